use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# A database that takes connections and yet does not do its work: a lock in the
# way, connections that end, errors, one connection too few. Known users do not
# notice, the database gets no further load from it, and the log says it once.

my $pg = Edge::Postgres->start(conf => ['max_connections = 40']);
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");
my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo,
    settings => {fresh_ttl => '1s', negative_ttl => '1s'},
);

sub notices {
    my ($t, $what) = @_;
    return scalar(() = $t->log_text =~ /^turn_auth_plugin: .*$what/mg);
}

my $watch = $pg->new_dbh;

sub backends {
    return $watch->selectrow_array("select count(*) from pg_stat_activity
        where usename = 'turn_server'");
}

sub load {
    my (%o) = @_;
    return $turn->load(clients => 32, user => 'user%d', users => 100,
        password => 'right', interval_ms => 1000, %o);
}

# All users known, and known not to be slow.
my $total = load(seconds => 2)->total;
my $limit = 250;    # half of query_timeout: nobody waits for the database
is_deeply($total->{refused}, {}, 'all users get in');

# ---- a lock ----

my $lock = $pg->new_dbh;
$lock->begin_work;
$lock->do('lock table turn.credential in access exclusive mode');
my $load = load(seconds => 8);
ok($turn->wait_log(qr/is away \(no answer/), 'locked: noticed');
my $most = 0;
for (1 .. 28) {
    sleep 0.25;
    my $now = backends();
    $most = $now if $now > $most;
}
$total = $load->total;
is_deeply($total->{refused}, {}, 'locked: nobody was refused');
is($total->{timeouts}, 0, 'locked: nobody went without an answer');
cmp_ok($total->{p99_ms}, '<', $limit,
    "locked: p99 $total->{p99_ms} ms under $limit ms");
cmp_ok($most, '<=', 3, "locked: $most backends wait for the lock at most");
is(notices($turn, 'is away'), 1, 'locked: one line at its start');
is(notices($turn, 'is back'), 0, 'locked: ... and none while it lasts');
$lock->rollback;
ok($turn->wait_log(qr/is back after/, 2), 'locked: its end is noticed');
is(notices($turn, 'is away'), 1, 'locked: once');
$pg->value("select turn.add_user('octavio.test', 'unlocked', 'right')");
ok(wait_until(sub { $turn->allocate('unlocked', 'right') eq 'ok' }, 5),
    'locked: and users are asked for');

# ---- every connection ends with its first question ----

my $view = $watch->selectrow_array(
    "select pg_get_viewdef('turn.turnusers_lt'::regclass)");
my $as_it_was = "create or replace view turn.turnusers_lt
    with (security_barrier) as $view";
my ($columns) = 'select realm, name, hmackey::char(128) as hmackey
    from turn.credential where';
sub users_where {
    my ($condition) = @_;
    $pg->psql("create or replace view turn.turnusers_lt
        with (security_barrier) as $columns $condition");
}

sub connects {
    return scalar(() = $pg->log_text =~ /connection authorized: user=turn_server/g);
}
$pg->psql('alter system set log_connections = on');
$pg->psql('select pg_reload_conf()');
wait_until(sub { $watch->selectrow_array('show log_connections') eq 'on' }, 3);
users_where('(select pg_terminate_backend(pg_backend_pid()))');
my $before = connects();
$load = load(seconds => 4)->total;
my $connects = connects() - $before;
is_deeply($load->{refused}, {}, 'connections end: nobody was refused');
cmp_ok($load->{p99_ms}, '<', $limit,
    "connections end: p99 $load->{p99_ms} ms under $limit ms");
cmp_ok($connects, '<=', 16, "connections end: $connects connections in 4 s");
is(notices($turn, 'is away'), 2, 'connections end: one line says so');
$pg->psql($as_it_was);
ok($turn->wait_log(qr/is back after.*is back after/s, 3),
    'connections end: one says when it is over');

# ---- connections that an administrator ends ----

$pg->value("select turn.add_user('octavio.test', 'under-way', 'right')");
# Without the feed, or nobody would be asked for.
$pg->psql('revoke execute on function turn.edge_state() from turn_server');
my $patient = Edge::Coturn->start(
    name => 'patient',
    port => 3479,
    plugin => 1,
    conninfo => $pg->conninfo,
    settings => {query_timeout => '4s'},
);
is($patient->allocate('user1', 'right'), 'ok', 'a user gets in');
$lock->begin_work;
$lock->do('lock table turn.credential in access exclusive mode');
$load = $patient->load(clients => 1, seconds => 3, user => 'under-way',
    password => 'right');
my $waits = "from pg_stat_activity where usename = 'turn_server'
    and query like '%user_record where name%' and wait_event_type = 'Lock'";
ok(wait_until(sub { $watch->selectrow_array("select count(*) $waits") }, 3),
    'a look-up is under way');
$watch->do("select pg_terminate_backend(pid) $waits");
sleep 0.1;
$lock->rollback;
$total = $load->total;
is_deeply($total->{refused}, {},
    'a look-up under way when its connection ends is asked again');
cmp_ok($total->{allocations}, '>', 0, '... and answered');
$patient->stop;
$pg->psql('grant execute on function turn.edge_state() to turn_server');

$load = load(seconds => 5, flood => 8);
my $until = time + 4;
while (time < $until) {
    $watch->do("select pg_terminate_backend(pid) from pg_stat_activity
        where usename = 'turn_server'");
    sleep 0.05;
}
$total = $load->total;
ok($turn->process->alive, 'ended again and again: turnserver goes on');
is_deeply($total->{refused}, {}, 'ended again and again: nobody is refused');
ok(wait_until(sub { $turn->log_text =~ /is back after [^\n]*\n(?!.*is away)/s },
    3), '... and then all is well again');

# ---- errors ----

my $record = $watch->selectrow_array(
    "select pg_get_viewdef('turn.user_record'::regclass)") =~ s/;\s*$//r;
$pg->psql("create or replace view turn.user_record as
    select * from ($record) r
    where (select 1 / (count(*) - count(*)) from pg_class) = 1");
ok($turn->wait_log(qr/has no change feed \(division by zero\)/),
    'look-ups fail with an error: a line says so of the change feed');
sleep 1.2;
is($turn->allocate('user1', 'right'), 'ok',
    'look-ups fail with an error: a known user gets in') for 1 .. 2;
sleep 1.2;
is($turn->allocate('user1', 'right'), 'ok', '... again');
ok($turn->wait_log(qr/does not tell users \(division by zero\)/),
    '... and a line says what fails');
$pg->psql("create or replace view turn.user_record as $record");
ok(wait_until(sub {
    $turn->allocate('nobody', 'right');
    $turn->log_text =~ /tells users again/;
}, 4), '... and one when it is over');
$turn->stop;

# ---- one connection only: no peer rules ----

$pg->psql('alter role turn_server connection limit 1');
my $poor = Edge::Coturn->start(
    name => 'poor',
    plugin => 1,
    conninfo => $pg->conninfo,
    settings => {query_timeout => '200ms', poll_interval => '1s'},
);
ok(wait_until(sub { $poor->allocate('user1', 'right') eq 'ok' }, 4),
    'one connection is too few: users get in');
ok($poor->wait_log(
    qr/not tell peer rules and realms \(.*too many.*\); no peer is reach/, 6),
    '... and a line says why no peer is');
is(notices($poor, 'is away'), 0, '... which is no outage');
$pg->psql('alter role turn_server connection limit -1');
ok($poor->wait_log(qr/tells peer rules and realms again after/, 4),
    '... and one says when it is over');
is(notices($poor, 'does not tell peer'), 1, '... once');
ok($poor->wait_log(qr/does not tell changes.*tells changes again after/s, 4),
    '... of changes as well');

# Both away: one line, not two.
$pg->stop;
ok($poor->wait_log(qr/is away/, 3), 'both away');
sleep 2.5;
$pg->up;
ok($poor->wait_log(qr/is back/, 3), '... and back');
sleep 1.5;
is(notices($poor, '(?:is away|is back|tell)'), 6, '... with one line each');

done_testing();
