use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;
use Time::HiRes qw(time sleep);

# PostgreSQL, Redis, or both stopped, frozen or silent for 10 s under load, and
# every key gets old meanwhile. Known users do not notice; the log says once that
# it begins and once that it ends. And starting without either.

my $dir = $Edge::Netns::dir;
my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");
my $redis = Edge::Redis->start;
spew("$dir/seal.keys", '0123456789abcdef' x 4 . "\n", 0600);
my $proxy = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432');
my %settings = (fresh_ttl => '3s', negative_ttl => '1s',
    redis => $redis->address, seal_key_file => "$dir/seal.keys");

sub edge {
    my ($name, $port) = @_;
    return Edge::Coturn->start(name => $name, port => $port, plugin => 1,
        conninfo => $pg->conninfo(tcp => 1, port => 5433),
        settings => \%settings);
}

my $turn = edge('edge', 3478);
ok($turn->wait_log(qr/feed live/), 'the edge is ready');

sub load {
    my (%o) = @_;
    return $turn->load(clients => 16, user => 'user%d', users => 100,
        password => 'right', interval_ms => 1000, %o);
}
# As in plugin-outage.t.
my $limit = $ENV{OUTAGE_P99_MS} // 250;

sub notices {
    my ($what) = @_;
    return scalar(() = $turn->log_text =~ /^turn_auth_plugin: $what/mg);
}

# which: of PostgreSQL and Redis, those whose lines are expected.
sub away_for_10_s {
    my ($how, $which, $away, $back) = @_;
    my %before = map { ("$_ away" => notices("$_ .* is away"),
        "$_ back" => notices("$_ .* is back")) } @$which;
    my $load = load(seconds => 13);
    wait_until(sub { scalar $load->lines }, 5);
    my $begun = time;
    $away->();
    ok(wait_until(sub {
        notices("$_ .* is away") > $before{"$_ away"}
    }, 4), "$how: noticed of $_") for @$which;
    is($turn->allocate('nobody', 'right'), 401, "$how: nobody else gets in");
    sleep 0.1 while time < $begun + 10;
    $back->();
    ok(wait_until(sub {
        notices("$_ .* is back") > $before{"$_ back"}
    }, 4), "$how: the end noticed of $_") for @$which;
    my $total = $load->total;
    is_deeply($total->{refused}, {}, "$how: nobody was refused");
    is($total->{timeouts}, 0, "$how: nobody went without an answer");
    cmp_ok($total->{p99_ms}, '<', $limit,
        "$how: p99 $total->{p99_ms} ms under $limit ms");
    diag("p99 $total->{p99_ms} ms, $how");
    is(notices("$_ .* is away") - $before{"$_ away"}, 1,
        "$how: one line at its start, $_") for @$which;
    is(notices("$_ .* is back") - $before{"$_ back"}, 1,
        "$how: one line at its end, $_") for @$which;
}

away_for_10_s('PostgreSQL silent on connect', ['PostgreSQL'],
    sub { $proxy->tell('hold'); $proxy->tell('cut') },
    sub { $proxy->tell('pass') });
away_for_10_s('Redis stopped', ['Redis'],
    sub { $redis->stop }, sub { $redis->up });
away_for_10_s('Redis frozen', ['Redis'],
    sub { $redis->freeze }, sub { $redis->thaw });
away_for_10_s('both frozen', ['PostgreSQL', 'Redis'],
    sub { $redis->freeze; $pg->freeze },
    sub { $pg->thaw; $redis->thaw });
$turn->stop;

# ---- a cold start ----

$pg->stop;
my $cold = edge('cold', 3479);
ok($cold->answers, 'PostgreSQL is down: turnserver starts and answers Binding');
is(join(' ', map { $cold->allocate("user$_", 'right') } 0 .. 19),
    join(' ', ('ok') x 20), '... users get in from Redis');
is($cold->allocate('user1', 'wrong'), 401, '... not with a wrong password');
my (undef, $peer) = $cold->client({user => 'user1', password => 'right'},
    'allocate', 'permission=192.0.2.7');
like($peer, qr{^permission error 403}, '... and no peer is open to them');
$cold->stop;

$redis->stop;
my $dark = edge('dark', 3480);
ok($dark->answers, 'both are down: turnserver starts and answers Binding');
is($dark->allocate('user1', 'right'), 401, '... nobody gets in');
$pg->up;
my $begun = time;
ok(wait_until(sub { $dark->allocate('user1', 'right') eq 'ok' }, 4),
    '... when PostgreSQL is back, users do');
cmp_ok(time - $begun, '<', 2, '... within 2 s');

done_testing();
