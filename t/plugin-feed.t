use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# The change feed: all users are in memory soon after the start, and what is
# committed holds a moment later, whatever changed and however it was told.
# Every time to live is an hour here: nothing else would notice.

my $pg = Edge::Postgres->start(conf => ['log_statement = all']);
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 6999) i");
my %hours = map { $_ => '1h' } qw(fresh_ttl negative_ttl poll_interval);
my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo,
    settings => \%hours);

ok($turn->wait_log(
    qr/: 7000 users of \S+ in memory after \S+ s \(complete, feed live\)/),
    'a line says when all users are in memory');

sub asked {
    return scalar(() = $pg->log_text =~ /user_record where name=/g);
}

sub soon {
    my ($want, $title, $user, $password) = @_;
    my $begun = time;
    ok(wait_until(sub { $turn->allocate($user, $password // 'right') eq $want },
        5), $title);
    cmp_ok(time - $begun, '<', 1, '... soon');
}

is($turn->allocate("user$_", 'right'), 'ok', "user$_ gets in") for 1, 6999;
is($turn->allocate('nobody', 'right'), 401, 'nobody does not');
is(asked(), 0, '... and the database was not asked for any of them');

# ---- what may change ----

$pg->value("select turn.disable_user('octavio.test', 'user1')");
soon(401, 'a disabled user is out', 'user1');
$pg->value("select turn.enable_user('octavio.test', 'user1')");
soon('ok', '... and enabled again is in', 'user1');
$pg->value("select turn.set_password('octavio.test', 'user1', 'new')");
soon('ok', 'a new password works', 'user1', 'new');
is($turn->allocate('user1', 'right'), 401, '... and the old one does not');
$pg->value("select turn.remove_user('octavio.test', 'user1')");
soon(401, 'a removed user is out', 'user1', 'new');
$pg->value("select turn.add_user('octavio.test', 'user1', 'right')");
soon('ok', '... and added again is in', 'user1');
$pg->psql("update turn.credential set name = 'other',
    hmackey = md5('other:octavio.test:right') where name = 'user2'");
soon('ok', 'a user of another name is in', 'other');
is($turn->allocate('user2', 'right'), 401, '... under that name alone');
$pg->psql("update turn.credential set enabled = false
    where name <> 'user3'");
soon(401, '6999 users disabled in one statement are out', 'user6999');
is($turn->allocate('user4', 'right'), 401, '... this one as well');
is($turn->allocate('user3', 'right'), 'ok', '... but not the other');
$pg->psql('update turn.credential set enabled = true');
soon('ok', '... and in again', "user$_") for 4, 6999;
$pg->psql("truncate turn.credential");
soon(401, 'with an empty table everybody is out', 'user3');
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 9) i");
soon('ok', '... and who is added then is in', 'user3');
is(asked(), 0, 'the database was not asked for a single user');

# ---- time ----

$pg->psql("update turn.credential set
    valid_until = now() + interval '1.5 s' where name = 'user4'");
$pg->psql("update turn.credential set
    valid_from = now() + interval '1.5 s' where name = 'user5'");
soon(401, 'a user whose time is to come is out', 'user5');
is($turn->allocate('user4', 'right'), 'ok', 'one whose time is to end is in');
my $wait = $pg->value("select extract(epoch from valid_until - now())
    from turn.credential where name = 'user4'");
sleep $wait > 0 ? $wait : 0;
soon(401, '... until it ends', 'user4');
soon('ok', '... and the other in when it comes', 'user5');

# ---- the connection is lost, the database is not ----

my $feed = "select pid from pg_stat_activity where usename = 'turn_server'
    and query ~ 'user_record where xact'";
my $pid = $pg->value($feed);
$pg->dbh->begin_work;
$pg->value("select turn.disable_user('octavio.test', 'user6')");
$pg->value('select pg_terminate_backend(?)', $pid);
$pg->dbh->commit;
soon(401, 'changed while the feed was cut: noticed', 'user6');
ok(wait_until(sub { ($pg->value($feed) // $pid) != $pid }, 3),
    '... by another connection');
my $readings = () = $turn->log_text =~ /in memory after/g;
$pid = $pg->value($feed);
$pg->value('select pg_terminate_backend(?)', $pid);
ok(wait_until(sub { ($pg->value($feed) // $pid) != $pid }, 3), 'cut again');
$pg->value("select turn.enable_user('octavio.test', 'user6')");
soon('ok', '... and it goes on', 'user6');
is(scalar(() = $turn->log_text =~ /in memory after/g), $readings,
    '... without reading all users again');

# ---- PostgreSQL is restarted ----

$pg->stop;
is($turn->allocate('user7', 'right'), 'ok', 'PostgreSQL is stopped: users get in');
$pg->up;
$pg->value("select turn.disable_user('octavio.test', 'user7')");
soon(401, 'started again: what changed then is noticed', 'user7');
ok($turn->wait_log(qr/another database than before, or a restart: 8 users/),
    '... all users are read again, and a line says so');
$turn->stop;

# ---- plain coturn tables ----

$pg->plain_tables('plain', 'guest');
my $plain = Edge::Coturn->start(name => 'plain', plugin => 1,
    conninfo => $pg->conninfo(db => 'plain'),
    settings => {fresh_ttl => '1s', negative_ttl => '1s'});
ok($plain->wait_log(qr{/plain has no change feed \(it lacks cms-edge's}),
    "coturn's own tables: a line says that there is no feed");
is($plain->allocate('guest', 'right'), 'ok', '... users get in');
$pg->psql('delete from turnusers_lt', db => 'plain');
ok(wait_until(sub { $plain->allocate('guest', 'right') eq '401' }, 3),
    '... and are out within fresh_ttl');

done_testing();
