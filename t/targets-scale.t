use strict;
use warnings;
use Edge::Netns;
use Edge::HttpClient;
use Edge::ManyWebBridges;
use Edge::Nginx;
use Edge::Process qw(wait_until);
use Test::More;

# A thousand web bridges with two targets each in one configuration. The other
# figures are taken by t/bench/targets-scale.bench.

my $n = 1000;
my %form = (
    'one location for all' => Edge::ManyWebBridges::http($n, inside => ''),
    'a server for each' => Edge::ManyWebBridges::http($n, inside => '',
        servers => 1),
);
for my $form (sort keys %form) {
    my @before = times;
    my ($status, $said) = Edge::Nginx->test_conf(http => $form{$form});
    my @after = times;
    my $took = $after[2] + $after[3] - $before[2] - $before[3];
    is($status, 0, "$n web bridges, $form: nginx -t accepts it")
        or diag(substr $said, 0, 500);
    cmp_ok($took, '<=', 2, '... with 2 s of CPU at most');
    note(sprintf '%.2f s', $took);
}

my $bridges = Edge::ManyWebBridges::answering();
my $edge = Edge::Nginx->start(connections => 4096,
    http => Edge::ManyWebBridges::http($n));
for my $i (0, $n - 1) {
    my $c = Edge::HttpClient->new(to => '127.0.0.1:8000');
    my $r = $c->get('/', Host => Edge::ManyWebBridges::guest($i));
    like($r && $r->header('X-At'), qr/^127\.1\./,
        "a guest of web bridge $i gets there");
}
my $probes;
ok(wait_until(sub {
    $probes = Edge::ManyWebBridges::probes($bridges);
    2 * $n == grep { @$_ >= 3 } values %$probes;
}, 60), 'all ' . 2 * $n . ' targets are probed');
my ($last) = sort { $b <=> $a } map { @$_ } values %$probes;
my ($uneven, $fullest) = Edge::ManyWebBridges::unevenness($probes,
    $last - 6, $last - 1);
cmp_ok($fullest, '<', 5, '... spread over the interval');
note(sprintf 'fullest tenth of a second %.1f x mean, variance %.1f x mean',
    $fullest, $uneven);
unlike($edge->error_log, qr/\[(?:warn|error|crit|alert|emerg)\]/,
    '... without a complaint');
done_testing();
