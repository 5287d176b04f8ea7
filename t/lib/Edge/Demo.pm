package Edge::Demo;

# The story that `make demo` and t/demo.t tell: the how-to's network comes up
# with the examples of conf-examples/, then its *Verify* steps are walked
# through by two guests with real browsers, over UDP and over TCP, and then by
# a guest and somebody inside, in the Call Bridge's place. Where the how-to
# needs split DNS, here is none: the inside has never heard of the guest URI.
# At last the edge shares its port 443, for a guest who has nothing else.
#
#   Edge::Demo->new->run(sub { my ($title, $error, $seconds) = @_; ... });

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(wait_until);
use Edge::Site;
use Edge::Topology;
use File::Path qw(make_path);
use JSON::PP;
use Time::HiRes qw(time);

my %at = %Edge::Topology::address;
my $frames = 30;
my $url = $Edge::Site::url;
my $name = $url =~ s{^https://}{}r;
my $secret = 'JiVWTlcQRkFnBcWL9bCGzA';

my @story = (
    ['The network is up: guests, firewall with static NAT, edge, inside',
        sub { $_[0]{site}->network }],
    ['DNS: the guest URI is known outside only, the internal name inside only',
        \&dns],
    ['PostgreSQL holds the TURN user that SQL made',
        sub { $_[0]{site}->database }],
    ['CMS is up: Call Bridge, API, a web bridge that knows one name, its own',
        \&cms],
    ['nginx and coturn run as conf-examples/ say for such a web bridge',
        sub { $_[0]{site}->edge }],
    ['CMS knows the TURN server and reaches it',
        sub { $_[0]{turn_server} = $_[0]{site}->turn_server }],
    ["Verify step 1: $url shows *Join call*", \&step1],
    ['Verify step 2: *Join call*, meeting ID 100101', \&step2],
    ['Verify step 3: a name, the space is *Proxy webRTC*, *Join call*',
        \&step3],
    ['Verify step 4: another device joins, both are connected', \&step4],
    ["... over UDP alone, both relayed at $at{nat}, video both ways",
        sub { $_[0]->both_relayed('udp') }],
    ['The firewall drops UDP: both come back through guest links',
        \&guest_links],
    ["... over TCP alone, both relayed at $at{nat}, video both ways",
        sub { $_[0]->both_relayed('tcp') }],
    ['The status page, inside: the web bridge is Active, nothing is wrong',
        \&status_page],
    ['A media peer inside, in the Call Bridge\'s place, joins',
        \&call_bridge],
    ["... which gets a relay from the edge's inner address, at $at{nat}",
        \&call_bridge_relay],
    ["... over UDP alone, the guest's relay is $at{nat}, inside $at{lan2}",
        sub { $_[0]->relayed_to_inside('udp') }],
    ['The firewall drops UDP: the guest comes back', \&guest_returns],
    ["... over TCP alone, the guest's relay is $at{nat}, inside $at{lan2}",
        sub { $_[0]->relayed_to_inside('tcp') }],
    ['The edge changes over to conf-examples/443-shared: one port for all',
        \&share_443],
    ['The guest is in a hotel that lets out nothing but TCP 443', \&hotel],
    ["... page, wss and turn:$name:443?transport=tcp: video both ways",
        sub { $_[0]->only_443("turn:$name:443?transport=tcp", 'tcp') }],
    ["... page, wss and turns:$name:443: video both ways",
        sub { $_[0]->only_443("turns:$name:443", 'tls') }],
    ['The status page counts what came to port 443, and nothing is wrong',
        \&status_443],
    ["Nothing that the guest's browser sent or was sent names the inside",
        \&no_name_of_the_inside],
);

# new(pictures => directory for screenshots)
sub new {
    my ($class, %o) = @_;
    make_path($o{pictures}) if $o{pictures};
    return bless {site => Edge::Site->new(internal_name_only => 1), %o},
        $class;
}

# Tells the story to its end or to the first step that fails; each(title,
# error or undef, seconds) is called after each. True when all passed.
sub run {
    my ($self, $each) = @_;
    for my $chapter (@story) {
        my ($title, $code) = @$chapter;
        my $start = time;
        my $ok = eval { $code->($self); 1 };
        $each->($title, $ok ? undef : $@ || 'unknown', time - $start);
        return 0 if !$ok;
    }
    return 1;
}

sub dns {
    my ($self) = @_;
    my $net = $self->{site}{net};
    _is($net->resolve('ann', 'cmsweb.octavio.test'), $at{nat},
        'the guest URI outside');
    _is($net->resolve('ann', 'cmsweb.cms.octavio.local'), undef,
        'the internal name outside');
    _is($net->resolve($_, 'cmsweb.octavio.test'), undef,
        "the guest URI in $_") for qw(edge inside);
}

# A space with a secret, for the guest links.
sub cms {
    my ($self) = @_;
    $self->{site}->cms(spaces => [{id => '100101', name => 'Proxy webRTC',
        user => 'proxywebrtc', secret => $secret}]);
}

# ---- the how-to's Verify ----

sub step1 {
    my ($self) = @_;
    $self->{ann} = $self->{site}->guest('ann', camera => 210);
    my $answer = $self->{ann}->open("$url/");
    _is($answer->{status}, 200, 'the page');
    _is($answer->{url} =~ s{(?<=test)/.*}{}r, $url, 'where it was led to');
    $self->{ann}->see(button => 'Join call');
    $self->picture('ann', 'step1-home');
}

sub step2 {
    my ($self) = @_;
    my $ann = $self->{ann};
    $ann->click('Join call');
    $ann->fill('Meeting ID' => '100101');
    $self->picture('ann', 'step2-meeting-id');
    $ann->click('Continue');
}

sub step3 {
    my ($self) = @_;
    my $ann = $self->{ann};
    $ann->see(heading => 'Proxy webRTC');
    $ann->fill('Your name' => 'Ann');
    $self->picture('ann', 'step3-name');
    $ann->click('Join call');
    $ann->see('You are the first one here.');
}

sub step4 {
    my ($self) = @_;
    $self->{site}->turn_only('udp');
    my $bob = $self->{bob} = $self->{site}->guest('bob', camera => 30);
    $bob->open("$url/");
    $bob->click('Join call');
    $bob->fill('Meeting ID' => '100101');
    $bob->click('Continue');
    $bob->fill('Your name' => 'Bob');
    $bob->click('Join call');
    $self->both_connected;
}

sub both_connected {
    my ($self) = @_;
    for (['ann', 'Bob'], ['bob', 'Ann']) {
        my ($who, $other) = @$_;
        $self->{$who}->see("2 in this call: you, $other");
        $self->{$who}->text =~ /\Q$other\E guest\d+\@octavio\.test/
            or croak "$who sees no user\@outside: " . $self->{$who}->text;
        $self->{$who}->see('Connected', timeout => 40000);
    }
}

sub both_relayed {
    my ($self, $protocol) = @_;
    for my $who (qw(ann bob)) {
        my $call = $self->{$who}->call(_plays_over($protocol));
        _is($call->{local}{candidateType}, 'relay', "$who\'s candidate");
        _is($call->{local}{address}, $at{nat}, "$who\'s relay address");
        _relay_port($call->{local}{port});
        _is($call->{remote}{address}, $at{nat}, "the address $who sends to");
    }
    $self->picture($_, "step4-$protocol") for qw(ann bob);
    $self->no_name_of_the_inside($_) for qw(ann bob);
}

# Guest links of CMS 2.x and 3.x.
sub guest_links {
    my ($self) = @_;
    $self->{site}->turn_only('tcp');
    $self->{ann}->open("$url/invited.sf?secret=$secret&id=100101");
    $self->{ann}->fill('Your name' => 'Ann');
    $self->{ann}->click('Join call');
    $self->{bob}->open("$url/meeting/100101?secret=$secret");
    $self->{bob}->fill('Your name' => 'Bob');
    $self->{bob}->click('Join call');
    $self->both_connected;
}

# ---- the edge's status ----

sub status_page {
    my ($self, $picture) = @_;
    my $site = $self->{site};
    my $admin = $self->{admin} = $site->{browsers}->person('admin',
        prefix => [$site->in('inside')], size => [1180, 930]);
    wait_until(sub {
        $admin->open("http://$at{lan1}:8445/");
        return $admin->sees('No problem found.') && $admin->sees('Active');
    }, 30) or croak 'the status page says: ' . $admin->text;
    $self->picture('admin', $picture // 'status');
    $admin->close;
}

# ---- in the Call Bridge's place ----

sub call_bridge {
    my ($self) = @_;
    $self->{bob}->close;
    $self->{site}->turn_only('udp');
    $self->{inside} = $self->{site}->guest('inside', camera => 120);
    $self->{inside}->open(
        'https://cmsweb.cms.octavio.local:9999/index.html?id=100101');
    $self->{inside}->fill('Your name' => 'Call Bridge');
    $self->{inside}->click('Join call');
    $self->guest_joins;
}

# The Call Bridge allocates as well; it goes to LAN1. Whether a call needs that
# relay is ICE's business, so it is asked for on its own.
sub call_bridge_relay {
    my ($self) = @_;
    my $relays = $self->{inside}->run(<<'JS');
(async () => {
    const answer = await fetch('/api/join', { method: 'POST',
        body: JSON.stringify({ id: '100101', name: 'relay' }) });
    const { iceServers } = await answer.json();
    const pc = new RTCPeerConnection(
        { iceServers, iceTransportPolicy: 'relay' });
    const relays = [];
    const done = new Promise((resolve) => {
        pc.onicecandidate = ({ candidate }) => candidate
            ? relays.push({ address: candidate.address,
                port: candidate.port, url: candidate.url })
            : resolve();
    });
    pc.createDataChannel('relay');
    await pc.setLocalDescription();
    await done;
    pc.close();
    return relays;
})()
JS
    _is(scalar @$relays, 2, "the number of the Call Bridge's relays");
    for my $relay (@$relays) {
        _is($relay->{address}, $at{nat}, "the Call Bridge's relay");
        _relay_port($relay->{port});
        $relay->{url} =~ /\Q$at{lan1}/
            or croak "the Call Bridge's relay came from $relay->{url}";
    }
}

sub guest_returns {
    my ($self) = @_;
    $self->{site}->turn_only('tcp');
    $self->guest_joins;
}

sub guest_joins {
    my ($self) = @_;
    my $ann = $self->{ann};
    $ann->open("$url/index.html?id=100101");
    $ann->fill('Your name' => 'Ann');
    $ann->click('Join call');
    $ann->see('2 in this call: you, Call Bridge');
    $ann->see('Connected', timeout => 40000);
}

# There is no NAT between the Call Bridge and the edge: the guest offers its
# relay at the NAT address, and media then comes to the Call Bridge from the
# edge's own address and the same port, which it tells the guest.
sub relayed_to_inside {
    my ($self, $protocol, $picture) = @_;
    my $guest = $self->{ann}->call(sub {
        return _plays_over($protocol)->($_[0])
            && $_[0]{local}{address} eq $at{lan2};
    });
    my $inside = $self->{inside}->call(_plays_over());
    my @offered = map { [(split)[4, 5]] }
        grep { / typ relay/ } @{$guest->{candidates}};
    _is($_->[0], $at{nat}, 'the relay address the guest offers') for @offered;
    my $port = $guest->{local}{port};
    _relay_port($port);
    grep { $_->[1] == $port } @offered
        or croak "the guest's relay port $port is none it offered";
    _is($guest->{remote}{address}, $at{cms}, 'where the guest sends to');
    _is($inside->{remote}{port}, $port, 'the port the Call Bridge sends to');
    $self->picture($_, ($picture // 'inside') . "-$protocol")
        for qw(ann inside);
}

# ---- one port 443 ----

sub share_443 {
    my ($self) = @_;
    my $site = $self->{site};
    $site->share_443;
    $site->cms_tool("tcp-port $self->{turn_server} 443");
}

# With a name server of its own.
sub hotel {
    my ($self) = @_;
    $self->{site}->lets_out('ann', 'tcp dport 443', 'udp dport 53');
    my $said = ($self->{site}->output('ann', 'curl', '-sS', '-m', '1',
        "http://$name/"))[1];
    $said =~ /timed? out/i or croak "port 80 is reached: $said";
}

# CMS would have given the guest turn:$at{nat}:443 as well; here there is one
# way, by name.
sub only_443 {
    my ($self, $ice, $protocol) = @_;
    my $site = $self->{site};
    $site->{cms}->change(iceServers => [{urls => [$ice],
        username => 'turnuser', credential => $site->password}]);
    $self->guest_joins;
    _is($self->{ann}->run('performance.getEntriesByType("navigation")[0]'
            . '.nextHopProtocol'), 'h2', 'what the page came over');
    $self->relayed_to_inside($protocol, '443');
}

sub status_443 {
    my ($self) = @_;
    $self->status_page('443-status');
    my $status = ($self->{site}->output('inside', 'curl', '-sS', '-m', '10',
        "http://$at{lan1}:8445/?format=json"))[1];
    my $share = eval { decode_json($status) }->{share}{connections}
        // {};
    $share->{$_} or croak "no $_ is counted: $status"
        for qw(https turn_tcp turn_tls);
}

# ---- checking ----

# In headers, bodies and WebSocket messages, cookies and page of a guest.
sub no_name_of_the_inside {
    my ($self, $who) = @_;
    my $seen = $self->{$who // 'ann'}->find('octavio.local');
    croak join "\n", @{$seen->{found}} if @{$seen->{found}};
    $seen->{answers} && $seen->{messages} or croak 'nothing was recorded';
}

sub picture {
    my ($self, $who, $name) = @_;
    return if !$self->{pictures};
    $self->{$who}->screenshot("$self->{pictures}/$name-$who.png");
}

# Video flows both ways, on the pair of candidates that ICE settles on.
sub _plays_over {
    my ($protocol) = @_;
    return sub {
        my ($call) = @_;
        return $call->{framesDecoded} >= $frames
            && $call->{framesSent} >= $frames
            && (!$protocol
                || ($call->{local}{relayProtocol} // '') eq $protocol);
    };
}

sub _is {
    my ($got, $expected, $what) = @_;
    $_ //= 'nothing' for $got, $expected;
    $got eq $expected or croak "$what is $got, not $expected";
}

sub _relay_port {
    my ($port) = @_;
    $port >= 24000 && $port <= 29999
        or croak "relay port $port is not in 24000-29999";
}

1;
