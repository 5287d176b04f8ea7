use strict;
use warnings;
use Edge::Netns;
use Edge::Dns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# Where the web bridges are comes from DNS, and every worker follows it. The
# promise is TTL + 1 s; with other tests on this machine it may take longer.

my $ttl = 1;
my $within = 3 * ($ttl + 1);
my $srv = '_cms-web._tls.octavio.test';

# Web bridges that only say where they were reached.
my @at = map { "127.0.0.$_" } 2 .. 9;
Edge::Nginx->start(name => 'web-bridges', modules => [], log_format => undef,
    http => join '', map { <<"CONF" } (map({ "$_:80" } @at), '[::1]:8080'));
server {
    listen $_;
    location / { add_header X-At $_; return 200; }
}
CONF

# What may become of a name.
my %trouble = (nxdomain => {rcode => 'NXDOMAIN'},
    servfail => {rcode => 'SERVFAIL'}, silent => {silent => 1}, empty => {});
my @troubled = sort keys %trouble;
my $troubled = join '', map { <<"CONF" } @troubled;
cms_webbridge $_ {
    guest_uri $_.octavio.test;
    tls off;
    target cms.$_.octavio.test;
}
CONF

# With reuseport the kernel gives every worker its share of the connections.
my $http = <<"CONF";
resolver 127.0.0.1;
cms_webbridge named {
    guest_uri named.octavio.test;
    tls off;
    target cms.octavio.test:80;
}
cms_webbridge service {
    guest_uri service.octavio.test;
    tls off;
    target srv:$srv;
    health_check interval=1s timeout=800ms;
}
cms_webbridge default {
    guest_uri default.octavio.test;
    tls off;
}
$troubled
server {
    listen 127.0.0.1:80 reuseport;
    location / {
        cms_proxy named service default @troubled;
        add_header X-Worker \$pid always;
    }
}
CONF

# ---- nobody answers at the start ----

my $dns = Edge::Dns->prepare('cms.octavio.test' => {A => ['127.0.0.2']});
my $edge = Edge::Nginx->start(http => $http);
pass('nginx starts without a DNS server');
is(ask('named')->{status}, 502, 'until it answers guests get an error page');
$dns->again;
follows('a DNS server that comes later', 'named', '127.0.0.2:80');

# ---- names ----

my $asked = $dns->queries('A', 'cms.octavio.test');
sleep 3 * $ttl;
$asked = $dns->queries('A', 'cms.octavio.test') - $asked;
cmp_ok($asked, '<=', 4, 'it is asked for once in each TTL, for all workers');
note("$asked queries in 3 s");

$dns->set('cms.octavio.test' => {A => ['127.0.0.3']});
follows('another address', 'named', '127.0.0.3:80');
$dns->set('cms.octavio.test' => {A => ['127.0.0.3', '127.0.0.4']});
follows('a second address', 'named', '127.0.0.3:80', '127.0.0.4:80');
$dns->set('cms.octavio.test' => {A => ['127.0.0.4']});
follows('one of two removed', 'named', '127.0.0.4:80');
$dns->set('cms.octavio.test' => {CNAME => 'alias.octavio.test'},
    'alias.octavio.test' => {A => ['127.0.0.5']});
follows('an alias', 'named', '127.0.0.5:80');

$dns->set(map { ("cms.$_.octavio.test" => {A => ['127.0.0.5']}) } @troubled);
follows("$_: a first address", $_, '127.0.0.5:80') for @troubled;
my %asked = map { $_ => $dns->queries('A', "cms.$_.octavio.test") } @troubled;
$dns->set(map { ("cms.$_.octavio.test" => $trouble{$_}) } @troubled);
for (@troubled) {
    ok(wait_until(sub {
        $dns->queries('A', "cms.$_.octavio.test") >= $asked{$_} + 2;
    }, 60), "$_: it is asked for again and again");
    is(served_by($_), '127.0.0.5:80', '... while the last good one serves');
}
$dns->set(map { ("cms.$_.octavio.test" => {A => ['127.0.0.6']}) } @troubled);
follows("$_: what comes after", $_, '127.0.0.6:80') for @troubled;

$dns->stop;
sleep 2 * $ttl;
is(served_by('named'), '127.0.0.5:80',
    'no DNS server: the last good one serves');
ok($edge->reload, '... and nginx can be reloaded');
is(served_by('named'), '127.0.0.5:80', '... without forgetting it');
$dns->set('cms.octavio.test' => {A => ['127.0.0.7']});
$dns->again;
follows('once it is back', 'named', '127.0.0.7:80');

# ---- SRV ----

sub service { return map { [@$_[0 .. 2], "$_->[3].octavio.test"] } @_ }
$dns->set(map { ("cms$_.octavio.test" => {A => ["127.0.0.$_"]}) } 2 .. 9);
$dns->set('six.octavio.test' => {AAAA => ['::1']});
$dns->set($srv => {SRV => [service([10, 1, 80, 'cms2'], [20, 1, 80, 'cms3'])]});
follows('of two priorities the better', 'service', '127.0.0.2:80');
$dns->set($srv => {SRV => [service([30, 1, 80, 'cms2'], [20, 1, 80, 'cms3'])]});
follows('priorities exchanged', 'service', '127.0.0.3:80');
$dns->set($srv => {SRV => [service([20, 1, 80, 'cms2'], [20, 1, 80, 'cms3'])]});
follows('one priority for both', 'service', '127.0.0.2:80', '127.0.0.3:80');
$dns->set($srv => {SRV => [service([10, 1, 9, 'cms4'], [20, 1, 80, 'cms5'])]});
follows('the better priority does not answer', 'service', '127.0.0.5:80');
$dns->set($srv => {SRV => [service([10, 3, 80, 'cms6'], [10, 1, 80, 'cms7'])]});
follows('weights', 'service', '127.0.0.6:80', '127.0.0.7:80');
{
    my %n;
    $n{ask('service')->{at}}++ for 1 .. 40;
    cmp_ok($n{'127.0.0.6:80'} // 0, '>=', 2 * ($n{'127.0.0.7:80'} // 0),
        '... share the guests') or diag(explain(\%n));
}
$dns->set($srv => {SRV => [service([10, 1, 8080, 'six'])]});
follows('another port and IPv6', 'service', '[::1]:8080');
$dns->set($srv => {rcode => 'NXDOMAIN'});
sleep 2 * $ttl;
is(served_by('service'), '[::1]:8080',
    'no such service: the last good one serves');

# ---- no target line ----

$dns->set('default.octavio.test' => {A => ['127.0.0.8']});
follows('no target line: the address of the guest URI', 'default',
    '127.0.0.8:80');
$dns->set('_cms-web._tls.default.octavio.test'
    => {SRV => [service([10, 1, 80, 'cms9'])]});
follows('... or its service', 'default', '127.0.0.9:80');

unlike($edge->error_log, qr/\[(?:crit|alert|emerg)\]|exited on signal/,
    'nothing alarming is logged');
done_testing();

# {status, at: which web bridge answered, worker} of one request.
sub ask {
    my ($name) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80')
        // die "$Edge::HttpClient::error\n";
    my $r = $c->get('/', Host => "$name.octavio.test", Connection => 'close')
        // die "no answer\n";
    return {status => $r->status, at => $r->header('X-At') // 'nobody',
        worker => $r->header('X-Worker')};
}

# Who answers, of both workers.
sub served_by {
    my ($name) = @_;
    my (%at, %worker);
    for (1 .. 200) {
        my $r = ask($name);
        $at{$r->{at}}++;
        last if keys %worker == 2 && $_ > 10;
        $worker{$r->{worker}}++;
    }
    return join ' ', sort keys %at;
}

# Passes when, within the time, exactly these serve, in both workers.
sub follows {
    my ($title, $name, @want) = @_;
    my $changed = time;
    my $late = 0;
    my (%run, %seen);
    while (time < $changed + 30) {
        my $asked = time;
        my $r = ask($name);
        if (!grep { $_ eq $r->{at} } @want) {
            $late = $asked - $changed;
            %run = %seen = ();
            sleep 0.05;
            next;
        }
        $run{$r->{worker}}++;
        $seen{$r->{at}}++;
        my @settled = grep { $_ >= 5 } values %run;
        last if @settled == 2 && keys %seen == @want;
        sleep 0.01;
    }
    my $all = keys %seen == @want;
    ok($all && $late <= $within, "$title: followed")
        or diag(join ' ', 'answered by', %seen);
    note(sprintf '%.1f s', $late);
}
