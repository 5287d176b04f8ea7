use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew slurp);
use Edge::Redis;
use Test::More;

# Every connection to PostgreSQL and Redis is cut, again and again: each time
# all are there again, and turnserver is as large as before. RECONNECTS=1000
# takes 20 minutes.

my $times = $ENV{RECONNECTS} // 6;
my $dir = $Edge::Netns::dir;
my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");
my $redis = Edge::Redis->start;
spew("$dir/seal.keys", '5a' x 32 . "\n", 0600);
my @proxies = map { Edge::Coturn::delay(%$_) }
    {listen => '127.0.0.1:5433', to => '127.0.0.1:5432'},
    {listen => '127.0.0.1:6380', to => $redis->tcp_address};
my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, port => 5433),
    settings => {redis => '127.0.0.1:6380', seal_key_file => "$dir/seal.keys",
        fresh_ttl => '1s'},
);

# The plugin's connections, as the servers see them.
sub connections {
    my @backends = map { "PostgreSQL $_->[0]" } $pg->rows('select pid
        from pg_stat_activity where usename = ? and state = ?',
        'turn_server', 'idle');
    my @clients = $redis->command('CLIENT', 'LIST') =~
        /^id=(\d+) addr=127[^\n]* cmd=(?:set|eval|getrange)/mg;
    return [@backends, map { "Redis $_" } @clients];
}

sub cut_all {
    my %before = map { $_ => 1 } @{connections()};
    $_->tell('cut') for @proxies;
    return wait_until(sub {
        my $now = connections();
        return @$now == 4 && !grep { $before{$_} } @$now;
    }, 10);
}

sub descriptors { scalar(() = glob '/proc/' . $turn->pid . '/fd/*') }

sub kilobytes {
    my ($rss) = slurp('/proc/' . $turn->pid . '/status') =~ /^VmRSS:\s+(\d+)/m;
    return $rss;
}

ok(wait_until(sub { @{connections()} == 4 }),
    'three connections to PostgreSQL and one to Redis');
cut_all() for 1 .. 2;
$turn->allocate("user$_", 'right') for 1 .. 10;
my ($descriptors, $kilobytes) = (descriptors(), kilobytes());
my $back = grep { cut_all() } 1 .. $times;
is($back, $times, "cut $times times: all are there again each time");
ok(wait_until(sub { descriptors() == $descriptors }),
    "... with as many descriptors as before: $descriptors")
    or diag(descriptors());
SKIP: {
    skip 'sanitizers keep freed memory', 1 if $ENV{TURN_PRELOAD};
    my $grown = kilobytes() - $kilobytes;
    cmp_ok($grown, '<', 200, "... and $grown kB more memory");
}
is($turn->allocate('user1', 'right'), 'ok', '... users get in');
$pg->value("select turn.disable_user('octavio.test', 'user1')");
ok(wait_until(sub { $turn->allocate('user1', 'right') eq '401' }),
    '... changes are noticed');

done_testing();
