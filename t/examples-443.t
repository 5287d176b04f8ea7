use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Examples;
use Edge::Process qw(slurp spew wait_until);
use Edge::Site;
use JSON::PP;
use Test::More;

# conf-examples/443-shared on the how-to's network: an edge that runs is changed
# over with the commands of its README; then pages and TURN share port 443, and
# every guest is known by his own address, whatever he says of himself.

my $name = 'cmsweb.octavio.test';
my $examples = "$Edge::Netns::root/conf-examples";
my %at = %Edge::Topology::address;
my $site = Edge::Site->new;
$site->network;
$site->database;
$site->cms;
$site->edge;
my $turn_server = $site->turn_server;
my $forged = 'PROXY TCP4 192.0.2.99 192.0.2.98 4242 443';
my %user = (user => 'turnuser', password => $site->password);
my %tls = (tls => $name, ca => Edge::Certs::ca('outside'));

# ---- what differs from the base example, and how to get there ----

my ($files, $start, $outside, $tcp_port) =
    slurp("$examples/443-shared/README.md") =~ /^```sh\n(.*?)^```/msg;
{
    my ($less, $more) = differs('coturn/turnserver.conf',
        '443-shared/turnserver.conf');
    is_deeply([@$less, @$more], ['tcp-proxy-port=3479'],
        'turnserver.conf is that of the base example and one line more');
    ($less, $more) = differs('nginx/nginx.conf', '443-shared/nginx.conf');
    is_deeply($less, ['events { worker_connections 8192; }',
        'listen 443 ssl http2;'], 'nginx.conf has all lines of the base'
            . ' example but where it listens, and how much it takes');
}
{
    my $modules = "$Edge::Netns::dir/modules";
    mkdir $modules;
    $files =~ s,/usr/lib/nginx/modules/,$modules/,;
    my ($before) = slurp('/etc/turnserver.conf') =~ /^(cli-password=.*)$/m;
    my ($status, $said) = $site->commands("set -e\n$files");
    is($status, 0, 'README: the files') or diag($said);
    for my $file (sort keys %Edge::Examples::place_443) {
        my $there = $Edge::Examples::place_443{$file};
        (my $text = slurp($there)) =~ s/^cli(-password=.*)?\n//mg;
        is($text, slurp("$examples/$file"), "$file is put to $there");
    }
    my ($kept) = slurp('/etc/turnserver.conf') =~ /^(cli-password=.*)$/m;
    is($kept, $before, "the password of coturn's CLI is kept");
    is(sprintf('%o', (stat '/etc/turnserver.conf')[2] & 0777), '640',
        '... where others cannot read it');
    ok(-s "$modules/ngx_stream_cms_proxy_module.so", 'and the module');
}

$site->share_443;
like($start, qr/^nginx -t\n.*coturn\n.*reload nginx\n/s,
    'README: start (done)');
{
    my ($status, $said) = $site->output('edge',
        (Edge::Examples::nginx_argv())[0 .. 2], '-t');
    is($status, 0, 'nginx -t accepts the example') or diag($said);
    $said =~ s/^.*"listen \.\.\. http2" directive is deprecated.*\n//m;
    unlike($said, qr/\[warn\]/, 'without a warning');
    is_deeply([$site->output('edge', qw(nft -c -f),
        '/etc/cms-edge/nftables.conf')], [0, ''], 'nft accepts nftables.conf');
}
SKIP: {
    skip 'no systemd-analyze here', 1 if !-x '/usr/bin/systemd-analyze';
    my (undef, $said) = $site->output(undef, qw(systemd-analyze verify
        --man=no coturn.service));
    unlike($said, qr/443-shared/,
        'systemd-analyze verify finds no fault in the drop-in');
}
{
    my %port;
    my $look = sub {
        %port = map { /^(\w+) .*?:(\d+) .*\(\("(\w+)"/; "$3 $1 $2" => 1 }
            split /\n/, ($site->output('edge', qw(ss -Hlntup)))[1];
    };
    ok(wait_until(sub { $look->(); $port{'turnserver udp 3478'} }),
        'coturn has UDP 3478');
    ok(!$port{'turnserver tcp 3478'}, '... and no TCP 3478');
    ok($port{"nginx tcp $_"}, "nginx has TCP $_") for 443, 3478, 5349;
}

# ---- pages ----

{
    my $head = $site->curl('-I', "https://$name/en-US/home");
    like($head, qr{^HTTP/2 200}, 'guests are served over HTTP/2');
    my $home = "https://$name/en-US/home";
    my @status = ('-o', '/dev/null', '-w', '%{http_version} %{http_code}');
    is($site->curl(@status, '--http1.1', "$home?one"), '1.1 200',
        '... and over HTTP/1.1');
    is($site->curl(@status, '--no-alpn', "$home?none"), '1.1 200',
        '... and without ALPN');
    is($site->curl(@status, '--tls-max', '1.2', "$home?two"), '2 200',
        '... and over TLS 1.2');
    is($site->curl(@status, '--tls-max', '1.2', '--no-alpn',
        "$home?twonone"), '1.1 200', '... of both');
    like($site->curl('-i', "http://$name:443/"),
        qr{^HTTP/1\.1 400 .*The plain HTTP request was sent to HTTPS port}s,
        'http on 443 is told to speak https');
    my $log = '/var/log/nginx/access.log';
    wait_until(sub { slurp($log) =~ /twonone|400/ }, 5);
    my @from = map { /^(\S+)/ } split /\n/, slurp($log);
    is(scalar(grep { $_ eq $at{ann} } @from), scalar @from,
        "each line of nginx's access log has the guest's address")
        or diag(slurp($log));
    for my $port (443, 5349) {
        my ($status) = $site->output('ann', 'openssl', 's_client', '-tls1_1',
            '-cipher', 'ALL:@SECLEVEL=0', '-connect', "$name:$port");
        isnt($status, 0, "TLS 1.1 is refused on $port");
    }
}

# ---- TURN: each way in, and whom coturn sees ----

my @ways = (
    ['UDP on 3478', 3478, {}],
    ['TCP on 3478', 3478, {tcp => 1}],
    ['TCP on 443', 443, {tcp => 1}],
    ['TLS on 443', 443, {%tls}],
    ['TLS on 443, ALPN stun.turn', 443, {%tls, alpn => 'stun.turn'}],
    ['TLS on 5349', 5349, {%tls}],
);
my %client;
my %relay;    # its port
for my $way (@ways) {
    my ($title, $port, $o) = @$way;
    my $ann = $client{$title} = turn('ann', "$at{nat}:$port")
        ->session({%user, %$o});
    like($ann->step('binding'), qr/ mapped=\Q$at{ann}\E:/,
        "$title: XOR-MAPPED-ADDRESS is the guest's own");
    ($relay{$title}) = ($ann->step('allocate') // '')
        =~ /relay=\Q$at{nat}\E:(\d+) mapped=\Q$at{ann}\E:/;
    ok($relay{$title}, '... who gets a relay at the address behind the NAT');
    $ann->step("permission=$at{lan2}");
}
for my $way (@ways[2, 3]) {
    my ($there, $back) = ($way->[0], 'UDP on 3478');
    $client{$there}->step("send=$at{lan2}:$relay{$back},to and");
    is($client{$back}->step('receive'),
        "receive from=$at{nat}:$relay{$there} to and",
        "data goes from a relay over $there to one over $back");
    $client{$back}->step("send=$at{lan2}:$relay{$there},fro");
    is($client{$there}->step('receive'),
        "receive from=$at{nat}:$relay{$back} fro", '... and back');
}
for my $o ({}, {tcp => 1}) {
    my ($line) = turn('inside', "$at{lan1}:3478")->client($o, 'binding');
    like($line, qr/ mapped=\Q$at{cms}\E:/, 'the Call Bridge, inside, over '
            . ($o->{tcp} ? 'TCP' : 'UDP') . ': its own, too');
}

# ---- the plugin, as ever ----

{
    my $figures = {};
    ok(wait_until(sub {
        $figures = eval { decode_json(slurp('/run/cms-edge/turn.json')) };
        return $figures && $figures->{clients}{tcp} == 5
            && $figures->{relays}{tcp} == 5 && $figures->{relays}{udp} == 1;
    }), "the plugin's figures: five guests over TCP, one over UDP")
        or diag(explain($figures));
    # coturn 4.5 has UDP on 3479 as well (RFC 5780).
    is_deeply([sort map { "$_->{protocol} $_->{address}:$_->{port}" }
        grep { $_->{protocol} eq 'tcp' || $_->{port} == 3478 }
        @{$figures->{listening}}],
        [sort map { ("tcp $_:3479", "udp $_:3478") } @at{qw(lan1 lan2)}],
        '... and where coturn listens');

    my $password = $site->pg->value(
        "select turn.add_user('octavio.test', 'leaving')");
    my $leaving = turn('bob', "$at{nat}:443")->session({%tls,
        user => 'leaving', password => $password});
    like($leaving->step('allocate'), qr/^allocate ok/,
        'a new user gets a relay over TLS on 443');
    $site->pg->value("select turn.remove_user('octavio.test', 'leaving')");
    is($leaving->step('receive'), 'receive closed',
        '... and when he is removed his connection ends');
}

# ---- nobody is believed about where he comes from ----

for my $way (grep { $_->[2]{tcp} || $_->[2]{tls} } @ways) {
    my ($title, $port, $o) = @$way;
    is_deeply([turn('ann', "$at{nat}:$port")->client(
        {%user, %$o, first_line => $forged}, 'binding')], ['binding closed'],
        "$title: who sends a PROXY header is shown out");
}
my @to_proxy_port = (['ann', $at{nat}], ['firewall', $at{lan2}],
    ['inside', $at{lan1}], ['inside', $at{lan2}]);
is_deeply([forge($_)], [], "from $_->[0] nobody comes to $_->[1]:3479")
    for @to_proxy_port;
nft('delete table inet cms_edge');
like((forge($_))[0], qr/ mapped=192\.0\.2\.99:4242$/,
    "without nftables.conf who does from $_->[0] is believed")
    for @to_proxy_port[1 .. 3];
nft('-f', '/etc/cms-edge/nftables.conf');
is_deeply([forge($to_proxy_port[1])], [], 'it is loaded again: nobody does');

# ---- the logs ----

{
    $_->close for values %client;
    my $log = '/var/log/nginx/turn.log';
    my $lines = sub { grep { / stun 200 / } split /\n/, slurp($log) };
    ok(wait_until(sub { $lines->() >= 7 }),
        'turn.log has a line for each TURN connection') or diag(slurp($log));
    my $from = join '|', map { quotemeta } @at{qw(ann bob cms)};
    is(join("\n", grep { !/^(?:$from) / } split /\n/, slurp($log)), '',
        "... with the guest's address");
    for my $port (443, 3478, 5349) {
        ok(scalar(grep { /^\Q$at{ann}\E \[\S+\] $port stun / } $lines->()),
            "... and $port, where he came to");
    }
    unlike($site->logs, qr/\[(?:error|crit|alert|emerg)\]/,
        "nothing of all this is an error in nginx's log");
}

# ---- from outside, as the README says ----

{
    my @try = grep { length } split /\n/, Edge::Examples::substituted($outside);
    is(scalar @try, 3, 'README: three commands for outside');
    for my $try (@try) {
        my (undef, $said) = $site->output('ann', 'env', 'CURL_CA_BUNDLE='
                . Edge::Certs::ca('outside'), 'timeout', 20, 'sh', '-c', $try);
        (my $does = $try) =~ s/\s+#.*//;
        like($said, $does =~ /^curl/ ? qr{^HTTP/2 } : qr/Cannot complete Allo/,
            "... $does");
    }
}

# ---- CMS ----

is($tcp_port // "", "turn-server tcp-port ID 443\n", 'README: CMS is told');
$site->cms_tool("tcp-port $turn_server 443");
like($site->cms_tool("show $turn_server"),
    qr{<tcpPortNumberOverride>443<}, '... where TCP goes');

# ---- when something is wrong ----

is_deeply([turn('edge', "$at{lan2}:3479")->client({tcp => 1}, 'binding')],
    ['binding closed'], 'the PROXY port is for nothing but the PROXY protocol');
ok($site->{coturn}->wait_log(qr/proxy protocol violated/),
    "... and coturn's log says so");
$site->{coturn}->stop;
is_deeply([turn('ann', "$at{nat}:443")->client({tcp => 1}, 'binding')],
    ['binding closed'], 'where coturn is not running, its guests are told');
ok(wait_until(sub { slurp('/var/log/nginx/turn.log') =~ / stun 502 / }),
    '... and turn.log');
like($site->curl('-I', "https://$name/en-US/home"), qr{^HTTP/2 200},
    '... and pages go on');

spew('/etc/cms-edge/nftables.conf', "table inet {\n");
ok(!eval { Edge::Examples::coturn($site->in('edge')); 1 },
    'where the port cannot be closed, coturn does not start');
like($@, qr/ExecStartPre.*nftables\.conf:1:/,
    '... and the check before the start says why');
done_testing();

# A TURN server as somebody reaches it.
sub turn {
    my ($who, $address) = @_;
    return Edge::Coturn->at($address, in => [$site->in($who)]);
}

# What one hears who goes to the PROXY port: nothing, in half a second.
sub forge {
    my ($who, $address) = @{$_[0]};
    return Edge::Coturn->at("$address:3479",
        in => [$site->in($who), 'timeout', '0.5'])
        ->client({tcp => 1, first_line => $forged}, 'binding');
}

sub nft {
    my ($status, $said) = $site->output('edge', 'nft', @_);
    die "nft @_: $said" if $status;
}

# Lines that one of two examples has and the other has not, without comments:
# (those of the first, those of the second).
sub differs {
    my @lines = map { [grep { length }
        map { s/(?:^|\s)#.*//r =~ s/^\s+|\s+$//gr }
        split /\n/, slurp("$examples/$_")] } @_;
    my @seen = map { my %n; $n{$_}++ for @$_; \%n } @lines;
    return map { my $other = $seen[!$_];
        [grep { !$other->{$_} } @{$lines[$_]}] } 0, 1;
}
