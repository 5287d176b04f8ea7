use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Examples;
use Edge::Guests;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use Edge::WebBridge;
use File::Copy qw(copy);
use JSON::PP;
use Test::More;

# conf-examples/two-clusters: two CMS clusters on one edge, with the very file
# and commands; the web bridges are inside, everything else is the edge. What
# belongs to one cluster is not seen by guests of the other, nor harms them.

my $here = "$Edge::Netns::root/conf-examples/two-clusters";
my %cluster = (
    'cmsweb' => {guest => 'cmsweb.octavio.test', at => '192.0.2.180',
        internal => 'cmsweb.cms.octavio.local', ca => 'inside',
        ca_file => 'cms-ca.pem', meeting => 100101, user => 'turnuser'},
    'cmsweb-eu' => {guest => 'cmsweb-eu.octavio.test', at => '192.0.2.190',
        internal => 'cmsweb-eu.cms-eu.octavio.local', ca => 'inside-eu',
        ca_file => 'cms-eu-ca.pem', meeting => 200202, user => 'turnuser-eu'},
);
my @names = sort keys %cluster;
my %other = ('cmsweb' => 'cmsweb-eu', 'cmsweb-eu' => 'cmsweb');
# What names a cluster; "cmsweb" begins the other's names.
my %names = ('cmsweb' => qr/cmsweb\.octavio|cmsweb\.cms|192\.0\.2\.180/,
    'cmsweb-eu' => qr/cmsweb-eu|cms-eu|192\.0\.2\.190/);

Edge::Examples::install();
Edge::Coturn::add_addresses('198.51.100.61', '203.0.113.156');
system('sh', '-ec', <<'SH') == 0 or die 'no network';
ip netns add inside
ip link add lan1 type veth peer name eth0 netns inside
ip addr add 192.0.2.168/24 dev lan1
ip link set lan1 up
ip -n inside addr add 192.0.2.180/24 dev eth0
ip -n inside addr add 192.0.2.190/24 dev eth0
ip -n inside link set eth0 up
SH
spew('/etc/hosts', join('', map { "$_->{at} $_->{internal}\n" }
    values %cluster), 0644);
spew('/etc/nginx/nginx.conf',
    Edge::Examples::substituted(slurp("$here/nginx.conf")), 0644);
for my $name (@names) {
    my $c = $cluster{$name};
    my ($cert, $key) = Edge::Certs::cert('outside', $c->{guest});
    copy($cert, "/etc/cms-edge/$name.pem");
    copy($key, "/etc/cms-edge/$name.key");
    copy(Edge::Certs::ca($c->{ca}), "/etc/cms-edge/$c->{ca_file}");
    $c->{bridge} = Edge::WebBridge->start(
        name => $name, prefix => [qw(ip netns exec inside)],
        ca => $c->{ca}, listen => "$c->{at}:443",
        external => $c->{guest}, internal => $c->{internal},
        absoluteUrls => \1,
        spaces => [{id => "$c->{meeting}", name => "Space of $name",
            user => 'space'}],
    );
}

my @nginx = Edge::Examples::nginx_argv();
is(qx(@nginx[0 .. 2] -t 2>&1), "nginx: the configuration file"
        . " /etc/nginx/nginx.conf syntax is ok\nnginx: configuration file"
        . " /etc/nginx/nginx.conf test is successful\n",
    'nginx -t has nothing to say');
my $nginx = Edge::Process->start(
    name => 'nginx',
    argv => [@nginx],
    stop_signal => 'QUIT',
    ready => sub { (slurp('/run/nginx.pid') // '') =~ /\d/ },
);

# curl of a guest: headers and page.
sub curl {
    my ($host, $path, @more) = @_;
    open my $out, '-|', 'curl', '-sS', '-i', '-m', '10', '--cacert',
        Edge::Certs::ca('outside'), '--resolve', "$host:443:203.0.113.156",
        @more, "https://$host$path" or die "curl: $!";
    local $/;
    my $text = <$out>;
    close $out;
    return $text;
}

# What openssl shows of a handshake, and of the certificate.
sub s_client {
    my ($options) = @_;
    my $to = "-connect 203.0.113.156:443 $options";
    my $shown = qx(openssl s_client $to </dev/null 2>&1);
    return $shown if $shown !~ /BEGIN CERTIFICATE/;
    my $file = "$Edge::Netns::dir/seen.pem";
    spew($file, $shown);
    return $shown . qx(openssl x509 -noout -text -in $file);
}

sub status {
    my $text = qx(curl -sS -m 10 'http://192.0.2.168:8445/?format=json');
    return eval { decode_json($text) } // {};
}

# The states of all addresses of a cluster, as the status page has them.
sub states {
    my ($name) = @_;
    my ($webbridge) = grep { $_->{name} eq $name } @{status()->{webbridges}};
    return join ' ', map { map { $_->{state} } @{$_->{addresses}} }
        @{$webbridge->{targets}};
}

sub joins {
    my ($name) = @_;
    my $c = $cluster{$name};
    my $guests = Edge::Guests->join(address => '203.0.113.156',
        host => $c->{guest}, firstMeeting => $c->{meeting}, count => 3);
    my $joined = $guests->wait_events(3, 'joined', 20);
    my @refused = grep { $_->{event} ne 'joined' } $guests->events;
    diag(encode_json(\@refused)) if !$joined;
    $guests->stop;
    return $joined;
}

ok(wait_until(sub { states($_) eq 'active' }, 20), "$_ is active") for @names;
ok(joins($_), "guests join a meeting of $_") for @names;
for my $name (@names) {
    my %hosts = map { $_->{headers}{host} => 1 }
        $cluster{$name}{bridge}->requests;
    is(join(' ', keys %hosts), $cluster{$name}{guest},
        "$name got its own guests and no others");
}

# ---- what guests of one see of the other ----

for my $name (@names) {
    my $c = $cluster{$name};
    my $cert = s_client("-servername $c->{guest}");
    like($cert, $names{$name}, "$name: the certificate is its own");
    unlike($cert, $names{$other{$name}}, '... and does not name the other');
    my $seen = join '', map { curl($c->{guest}, $_) } '/', '/en-US/home',
        "/invited.sf?secret=x&id=$c->{meeting}", '/nothing', '/en-US/goodbye',
        '/app.js', '/api/status';
    like($seen, qr{^HTTP/2 200}m, '... its pages come');
    unlike($seen, $names{$other{$name}},
        '... and no header, cookie or page names the other');
    unlike($seen, qr/octavio\.local/, '... or the inside');
    unlike(curl($c->{guest}, '/', '-X', 'TRACE'), $names{$other{$name}},
        '... nor does an error');
    like(curl($c->{guest}, '/en-US/home', '-H',
        "Host: $cluster{$other{$name}}{guest}"), qr{^HTTP/2 (?:200|421|400)},
        '... who knows the other name may ask for that');
}
{
    my $text = s_client('-noservername');
    unlike($text, qr/BEGIN CERTIFICATE/, 'who asks for no name sees no'
        . ' certificate');
    unlike($text, qr/octavio/, '... and no name');
    my $host = $cluster{'cmsweb-eu'}{guest};
    my $head = qx(curl -sS -I -m 10 -H Host:$host http://203.0.113.156/x);
    like($head, qr{^Location: https://cmsweb-eu\.octavio\.test/x\r}m,
        'http leads to the https of the same name');
}

# ---- one is down ----

my $eu = $cluster{'cmsweb-eu'}{bridge};
my $running = Edge::Guests->load(rate => 20, guests => 5,
    address => '203.0.113.156', host => $cluster{cmsweb}{guest});
$eu->kill;
ok(wait_until(sub { states('cmsweb-eu') eq 'failed' }, 30),
    'cmsweb-eu is down: the status page says so');
is(states('cmsweb'), 'active', '... and that cmsweb is not');
my $down = curl($cluster{'cmsweb-eu'}{guest}, '/en-US/home');
like($down, qr{^HTTP/2 50[234]}, '... its guests get an error');
unlike($down, qr/octavio\.local|192\.0\.2\.|cmsweb\./,
    '... which names nothing inside, and not the other');
ok(joins('cmsweb'), '... guests of cmsweb join');
my @requests = $running->stop;
is(scalar(grep { !$_->{ok} } @requests), 0,
    '... and none of those that were there noticed')
    or diag(Edge::Guests::summary(@requests), "\n",
        slurp('/var/log/nginx/error.log'));
$eu->again;
ok(wait_until(sub { states('cmsweb-eu') eq 'active' }, 30), 'it is back');
ok(joins('cmsweb-eu'), '... and its guests join');

# ---- TURN for both ----

my $pg = Edge::Postgres->start(host => '',
    hba => ['local all postgres trust', 'local all all trust']);
symlink $pg->socket_dir, '/run/postgresql' or die "symlink: $!";
$pg->install('turn');
$pg->psql('create role turnserver login in role turn_server');
my ($commands) = slurp("$here/README.md") =~ /^```sh\n(.*?)^```/ms;
my @passwords = split /\n/, sh($commands);
is(scalar @passwords, 2, 'README: a TURN user for each cluster');
Edge::Examples::cli_password();
my $coturn = Edge::Process->start(
    name => 'coturn', Edge::Examples::coturn(),
    ready_log => qr/Total (General servers|relay threads)/,
);
my $turn = bless {ip => '192.0.2.168', port => 3478}, 'Edge::Coturn';
Edge::Coturn::build();
ok($coturn->wait_log(qr/complete, feed live/), 'coturn knows them');
is($turn->allocate('turnuser', $passwords[0]), 'ok', 'turnuser gets a relay');
is($turn->allocate('turnuser-eu', $passwords[1]), 'ok', '... turnuser-eu, too');
is($turn->allocate('turnuser-eu', $passwords[0]), 401,
    '... but not with the password of the other');
$pg->value("select turn.disable_user('octavio.test', 'turnuser-eu')");
ok(wait_until(sub { $turn->allocate('turnuser-eu', $passwords[1]) eq '401' }),
    'one cluster is shut out');
is($turn->allocate('turnuser', $passwords[0]), 'ok',
    '... and the other is not');
done_testing();

# Commands as the README has them, with the names replaced.
sub sh {
    my ($text) = @_;
    local $ENV{PGHOST} = $pg->socket_dir;
    my $commands = Edge::Examples::substituted($text);
    return qx((set -e\n$commands) 2>&1);
}
