use strict;
use warnings;
use Edge::Netns;
use Edge::Dns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

# Whichever worker is killed: probes go on, names are followed, guests are
# served. The promise is 2 intervals; with other tests on this machine it may
# take longer.

my $interval = 1;
my $within = 3 * 2 * $interval;
my @at = map { "127.0.0.$_" } 2 .. 5;

# Web bridges that write down when they were asked, and by whom.
my $bridges = Edge::Nginx->start(name => 'web-bridges', modules => [],
    workers => 1, log_format => '$msec $server_addr $http_user_agent',
    http => join '', map { <<"CONF" } @at);
server {
    listen $_:80;
    location / { add_header X-At $_; return 200; }
}
CONF
my $dns = Edge::Dns->start('cms.octavio.test' => {A => ['127.0.0.5']});
my $edge = Edge::Nginx->start(http => <<"CONF");
resolver 127.0.0.1;
cms_webbridge fixed {
    guest_uri fixed.octavio.test;
    tls off;
    target 127.0.0.2;
    target 127.0.0.3;
    target 127.0.0.4;
    health_check interval=${interval}s timeout=${interval}s;
}
cms_webbridge named {
    guest_uri named.octavio.test;
    tls off;
    target cms.octavio.test;
    health_check interval=${interval}s timeout=${interval}s;
}
server {
    listen 127.0.0.1:80;
    location / { cms_proxy fixed named; }
}
CONF
ok(wait_until(sub { my %p = probes(); keys %p == @at }, 30),
    'every target is probed');

for my $n (1 .. 4) {
    my @workers = $edge->workers;
    my $killed = time;
    kill 'KILL', $workers[$n % @workers];
    ok(wait_until(sub {
        my %p = probes();
        @at == grep { $p{$_}[-1] > $killed + $interval } @at;
    }, 30), "a worker is killed ($n): every target is probed again");
    my $longest = longest_gap($killed);
    cmp_ok($longest, '<=', $within, '... with no long gap');
    note(sprintf 'at most %.2f s between two probes', $longest);
    is(served_by('fixed'), 200, '... guests are served');
}

# Killed while probes wait for an answer.
$bridges->freeze;
my $frozen = time;
sleep $interval;
kill 'KILL', $edge->workers;
$bridges->thaw;
ok(wait_until(sub {
    my %p = probes();
    @at == grep { $p{$_}[-1] > $frozen + 2 * $interval } @at;
}, 30), 'all workers are killed amid their probes: probing goes on');
is(served_by('fixed'), 200, '... guests are served');

$dns->set('cms.octavio.test' => {A => ['127.0.0.4']});
ok(wait_until(sub { (served_by('named', 'X-At') // '') eq '127.0.0.4' }, 30),
    '... and names are followed');
done_testing();

# When each was probed.
sub probes {
    my %probes;
    for (split /\n/, $bridges->access_log) {
        my ($when, $at, $agent) = split;
        push @{$probes{$at}}, $when if $agent eq 'cms-edge';
    }
    return %probes;
}

# The longest time between two probes of one target, from shortly before this.
sub longest_gap {
    my ($from) = @_;
    my %probes = probes();
    my $longest = 0;
    for my $times (values %probes) {
        my @t = grep { $_ > $from - 2 * $interval } @$times;
        for (1 .. $#t) {
            my $gap = $t[$_] - $t[$_ - 1];
            $longest = $gap if $gap > $longest;
        }
    }
    return $longest;
}

sub served_by {
    my ($name, $field) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80') // return;
    my $r = $c->get('/', Host => "$name.octavio.test") // return;
    return $field ? $r->header($field) : $r->status;
}
