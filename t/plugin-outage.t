use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# PostgreSQL goes away for 10 s under load, first stopped, then frozen: known
# users do not notice, unknown ones are refused as always. fresh_ttl is short,
# so that every key gets old during the outage.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");

my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo,
    settings => {fresh_ttl => '3s', negative_ttl => '1s'},
);

# Half of query_timeout: a login that waits for the database takes longer. On a
# machine that does nothing else it is 50 ms; t/bench/turn-outage.bench says so.
my $limit = $ENV{OUTAGE_P99_MS} // 250;

sub notices {
    my ($what) = @_;
    return scalar(() = $turn->log_text =~ /^turn_auth_plugin: .*$what/mg);
}

sub away_for_10_s {
    my ($how, $away, $back) = @_;
    my ($starts, $ends) = (notices('is away'), notices('is back'));
    my $load = $turn->load(clients => 32, seconds => 14, user => 'user%d',
        users => 100, password => 'right', interval_ms => 1000);
    wait_until(sub { scalar $load->lines }, 5);

    $away->();
    my $begun = time;
    ok(wait_until(sub { notices('is away') > $starts }, 3),
        "$how: noticed within 3 s");
    my @took = map {
        my $asked = time;
        is($turn->allocate("nobody$_", 'right'), 401,
            "$how: unknown users get 401");
        time - $asked;
    } 1 .. 3;
    cmp_ok((sort { $a <=> $b } @took)[0], '<', 0.4, '... at once');
    sleep 0.1 while time < $begun + 10;

    $back->();
    $pg->value("select turn.add_user('octavio.test', ?, 'right')", $how);
    $begun = time;
    ok(wait_until(sub { $turn->allocate($how, 'right') eq 'ok' }, 2),
        "$how: a new user gets in within 2 s of its return");
    my $total = $load->total;
    is_deeply($total->{refused}, {}, "$how: nobody was refused");
    is($total->{timeouts}, 0, "$how: nobody went without an answer");
    cmp_ok($total->{p99_ms}, '<', $limit,
        "$how: p99 $total->{p99_ms} ms under $limit ms");
    diag("p99 $total->{p99_ms} ms, $how");
    cmp_ok($total->{allocations}, '>', 1000,
        "$how: $total->{allocations} allocations");
    is(notices('is away') - $starts, 1, "$how: one line at its start");
    is(notices('is back') - $ends, 1, "$how: one line at its end");
}

away_for_10_s('stopped', sub { $pg->stop }, sub { $pg->up });
away_for_10_s('frozen', sub { $pg->freeze }, sub { $pg->thaw });

my ($line) = $turn->log_text =~ /^(turn_auth_plugin: .*is away.*)$/m;
like($line, qr{/turn is away \(.+\)}, "it names the database, and why: $line");

# ---- stale_ttl 0: who wants no survival ----

$pg->freeze;
my $strict = Edge::Coturn->start(
    name => 'strict',
    port => 3479,
    plugin => 1,
    conninfo => $pg->conninfo,
    settings => {fresh_ttl => '1s', stale_ttl => 0},
);
$pg->thaw;
ok(wait_until(sub { $strict->allocate('user1', 'right') eq 'ok' }, 5),
    'stale_ttl 0: a user gets in');
$pg->freeze;
ok(wait_until(sub { $strict->allocate('user1', 'right') eq '401' }, 4),
    'and is refused when the key is no longer fresh');
my @lines = $strict->log_text =~ /^turn_auth_plugin: (.*is away.*)$/mg;
like($lines[0], qr/; no user is known yet/, '... the log says what happens:');
like($lines[1], qr/; stale_ttl is 0: nobody logs in when fresh_ttl is over/,
    $lines[1]);
$pg->thaw;
ok(wait_until(sub { $strict->allocate('user1', 'right') eq 'ok' }, 4),
    'until the database is back');

$strict->stop;
$turn->stop;

unlike($turn->log_text, qr/terminating connection/,
    'what a server says when it ends is no line of its own');

# ---- a pause ----

my $proxy = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432');
$turn = Edge::Coturn->start(name => 'pause', port => 3480, plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, port => 5433));
ok(wait_until(sub { $turn->allocate('user1', 'right') eq 'ok' }, 5),
    'a user gets in');

sub connections {
    return $pg->value("select string_agg(pid::text, ' ' order by pid)
        from pg_stat_activity where usename = 'turn_server'");
}
my $connections = connections();
$proxy->tell('hold');
ok($turn->wait_log(qr/is away \(no answer within query_timeout\)/), 'a pause is noticed');
is($turn->allocate('user1', 'right'), 'ok', '... and does not matter');
$proxy->tell('pass');
ok($turn->wait_log(qr/is back after/, 3), 'its end is noticed');
is(connections(), $connections, '... and no connection was given up for it');

done_testing();
