use strict;
use warnings;
use Edge::Netns;
use Edge::Dns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_until spew);
use Test::More;
use Time::HiRes qw(time);

# Where targets are: names and SRV records are followed while nginx runs, by
# all workers, over reloads; what is known stays while DNS says nothing.

my $guest = 'cmsweb.octavio.test';

# Each target says where it is asked.
my @addresses = (map("127.0.0.$_", 2 .. 12), '[::1]');
Edge::Nginx->start(name => 'targets', modules => [], workers => 1,
    log_format => undef, connections => 4096,
    http => 'server { ' . join(' ', map { "listen $_:9080;" } @addresses)
        . ' listen 127.0.0.2:9090; listen 127.0.0.2:80;'
        . " listen unix:$Edge::Netns::dir/cms.sock;"
        . ' return 200 "$server_addr:$server_port"; }');

my $dns = Edge::Dns->start(
    'a.octavio.test' => {A => ['127.0.0.2']},
    'six.octavio.test' => {AAAA => ['::1']},
    'many.octavio.test' => {A => [map "127.0.0.$_", 2 .. 12]},
    'one.octavio.test' => {A => ['127.0.0.2']},
    'two.octavio.test' => {A => ['127.0.0.3']},
    'three.octavio.test' => {A => ['127.0.0.4']},
    '_cms-web._tls.octavio.test' => {SRV => [
        [10, 1, 9080, 'one.octavio.test'], [20, 1, 9080, 'two.octavio.test']]},
    "_cms-web._tls.$guest" => {SRV => [[1, 0, 9090, 'one.octavio.test']]},
    'meet.octavio.test' => {A => ['127.0.0.2']},
    'odd.octavio.test' => {A => ['0.0.0.0', '127.0.0.7'], AAAA => ['::']},
);

my %balancer = (
    name => '', hash => 'hash $arg_k;', chash => 'hash $arg_k consistent;',
    least => 'least_conn;', random => 'random;', ip => 'ip_hash;',
);
my %target = (
    six => 'target six.octavio.test:9080;',
    socket => "target unix:$Edge::Netns::dir/cms.sock;",
    literal6 => 'target [::1]:9080;',
    srv => 'target srv:_cms-web._tls.octavio.test;',
    default => '',
    fallback => '',
    many => 'target many.octavio.test:9080;',
    odd => 'target odd.octavio.test:9080;',
    nowhere => 'target nowhere.octavio.test:9080;',
    beside => "target nowhere.octavio.test:9080;\n target 127.0.0.3:9080;",
    spare => "target nowhere.octavio.test:9080;\n"
        . " target a.octavio.test:9080 backup;",
    out => "target a.octavio.test:9080 down;\n target 127.0.0.9:9080;",
    (map { $_ => "$balancer{$_}\n target a.octavio.test:9080;" }
        keys %balancer),
);

sub http {
    my ($resolver, %lines) = @_;
    return join('', $resolver, map({
        my $uri = $_ eq 'fallback' ? 'meet.octavio.test' : $guest;
        "cms_webbridge $_ {\n guest_uri $uri;\n tls off;\n health_check off;\n"
            . " $lines{$_}\n}\n"
    } sort keys %lines),
        "server {\n listen 127.0.0.1:80;\n",
        map({ " location /$_/ { cms_proxy $_; }\n" } sort keys %lines), "}\n");
}

my $edge = Edge::Nginx->start(
    http => http("resolver $Edge::Dns::address;\n", %target));

# at('/name/'): the address that answers, or the status.
sub at {
    my ($path, $host) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
    my $r = $c->get($path, Host => $host // $guest) // die 'no answer';
    return $r->status == 200 ? $r->body : $r->status;
}

# all('/name/'): where ten guests get, on as many connections.
sub all {
    my ($path) = @_;
    my %at;
    $at{at("$path?k=$_")} = 1 for 1 .. 10;
    return join ' ', sort keys %at;
}

# follows(title, sub): true at last; tells how long it took.
sub follows {
    my ($title, $what) = @_;
    my $start = time;
    my $ok = wait_until($what, 20);
    ok($ok, $title);
    note(sprintf '%.2f s', time - $start);
    return;
}

is(at('/name/'), '127.0.0.2:9080', 'the first guest gets to a name that DNS '
    . 'is yet to be asked for');
is(at('/socket/'), "unix:$Edge::Netns::dir/cms.sock:", 'a unix socket');
is(at('/literal6/'), '::1:9080', 'an IPv6 address');
is(at('/six/'), '::1:9080', 'a name with an IPv6 address');
is(at('/srv/'), '127.0.0.2:9080', 'of SRV records the lowest priority');
is(at('/default/'), '127.0.0.2:9090',
    'without a target: SRV of the guest URI, with its port');
is(at('/fallback/', 'meet.octavio.test'), '127.0.0.2:80',
    'without SRV either: its address, port 80');
is(all('/odd/'), '127.0.0.7:9080', 'an address that means the edge itself '
    . 'is not used');
is(at('/nowhere/'), 502, 'a name that does not exist: 502');
is(at('/beside/'), '127.0.0.3:9080', 'and a target beside it serves');
is(at('/spare/'), '127.0.0.2:9080', 'or a backup one, by name');
is(at('/out/'), '127.0.0.9:9080', 'a name that is "down" gets no guest');
ok($edge->wait_error(qr/many\.octavio\.test:9080" .*more than 8 addresses/),
    'more addresses than fit are told');
is(scalar(split ' ', all('/many/')), 8, 'and 8 of them used');

# ---- followed ----

$dns->set('a.octavio.test' => {A => ['127.0.0.3', '127.0.0.4']});
follows("$_: another answer of DNS is followed", sub {
    all("/$_/") =~ /^127\.0\.0\.3:9080( 127\.0\.0\.4:9080)?$/
        || all("/$_/") eq '127.0.0.4:9080';
}) for sort keys %balancer;
is(all('/name/'), '127.0.0.3:9080 127.0.0.4:9080',
    'all its addresses are used');

$dns->set('a.octavio.test' => {A => ['127.0.0.4', '127.0.0.5']});
for my $name (sort keys %balancer) {
    follows("$name: one more goes, one comes", sub {
        my $all = all("/$name/");
        $all !~ /\.[23]:/ && ($name eq 'ip' || $all =~ /\.5:/);
    });
}

# ask often, since chance decides
$dns->set('a.octavio.test' => {A => [map "127.0.0.$_", 3 .. 6]});
follows('random: more addresses than at first are followed', sub {
    my %n;
    $n{at('/random/')}++ for 1 .. 60;
    return keys %n == 4 && !grep { $_ < 4 } values %n;
});

$dns->set('_cms-web._tls.octavio.test' => {SRV => [
    [20, 1, 9080, 'one.octavio.test'], [10, 1, 9080, 'two.octavio.test'],
    [10, 1, 9080, 'three.octavio.test']]});
follows('another priority of SRV records is followed',
    sub { all('/srv/') eq '127.0.0.3:9080 127.0.0.4:9080' });

# ---- DNS says nothing, or no ----

sub queries_go_on {
    my ($name) = @_;
    my $before = $dns->queries('A', $name);
    return wait_until(sub { $dns->queries('A', $name) > $before + 20 }, 20);
}

# an answer under way is not to come after the next one
follows('so it is without a balancer',
    sub { 4 == split ' ', all('/name/') });
$dns->set('a.octavio.test' => {A => ['127.0.0.4', '127.0.0.5']});
follows('and fewer again', sub { all('/name/') !~ /\.[36]:/ });
$dns->set('a.octavio.test' => {rcode => 'NXDOMAIN'});
my $text = 'target "a\.octavio\.test:9080" of cms_webbridge "name"';
ok($edge->wait_error(qr/$text does not resolve: no such name; the addresses/),
    'a name that is gone is told');
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/, 'its last addresses stay');
ok(queries_go_on('a.octavio.test'), 'it is asked for again');
$dns->set('a.octavio.test' => {rcode => 'SERVFAIL'});
ok(queries_go_on('a.octavio.test'), 'so it is where DNS fails');
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/, 'the addresses stay');
is(() = $edge->error_log =~ /$text does not resolve/g, 1,
    'which is told once');
$dns->stop;
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/, 'and without any DNS');

# ---- reload ----

$edge->reload;
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/,
    'a reload without DNS keeps what is known');
my %more = (%target, new => 'target 127.0.0.7:9080;');
delete $more{literal6};
$edge->reload(http => http("resolver $Edge::Dns::address;\n", %more));
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/,
    'and so does one that changes the lines of others');
is(at('/new/'), '127.0.0.7:9080', 'whose new targets serve');
ok(!$edge->reload(http => http('', %more, broken => 'target 1 2;')),
    'a configuration that is wrong');
like(at('/name/'), qr/^127\.0\.0\.[45]:9080$/, 'changes nothing');
$edge->reload(http => http("resolver $Edge::Dns::address;\n", %more));

my ($victim) = $edge->workers;
kill 'KILL', $victim;
$dns->set('a.octavio.test' => {A => ['127.0.0.6']});
$dns->again;
follows('a worker killed, DNS back: names are followed again',
    sub { all('/name/') eq '127.0.0.6:9080' });
ok($edge->wait_error(qr/$text resolves again/), 'which is told');

# ---- DNS dead at start ----

$dns->stop;
$edge->stop;
spew("$Edge::Netns::dir/hosts", "127.0.0.8 local.octavio.test\n");
spew("$Edge::Netns::dir/resolv.conf", "nameserver $Edge::Dns::address\n");
system('mount', '--bind', "$Edge::Netns::dir/$_", "/etc/$_") == 0 or die
    for qw(hosts resolv.conf);
$edge = Edge::Nginx->start(name => 'late', http => http('', %more,
    local => 'target local.octavio.test:9080;'));
is(at('/local/'), '127.0.0.8:9080', 'without "resolver": /etc/hosts');
is(at('/name/'), 502, 'nginx starts without DNS; guests get 502');
$dns->again;
follows('until DNS is there, that of /etc/resolv.conf',
    sub { at('/name/') eq '127.0.0.6:9080' });
spew("$Edge::Netns::dir/hosts", "127.0.0.9 local.octavio.test local\n");
follows('a change of /etc/hosts is followed',
    sub { at('/local/') eq '127.0.0.9:9080' });

done_testing();
