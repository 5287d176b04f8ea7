use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;

# A transaction that somebody forgot, begun before many users changed: the feed
# still reads what changed and no more.

my $users = 20000;
my $pg = Edge::Postgres->start;
$pg->install;
$pg->psql("insert into turn.credential (realm, name, hmackey)
    select 'octavio.test', 'user' || i, md5('user' || i || ':octavio.test:p')
    from generate_series(1, $users) i");
my $forgotten = $pg->new_dbh(db => 'turn');
$forgotten->begin_work;
$forgotten->do('select pg_current_xact_id()');
$pg->psql("update turn.credential set valid_until = now() + interval '1 year'");
my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo);
ok($turn->wait_log(qr/$users users .* in memory .*feed live/, 30),
    'users are in memory');

# Index scans and rows that were read.
sub counted {
    my ($row) = $pg->rows('select coalesce(idx_scan, 0),
        coalesce(idx_tup_fetch, 0) + seq_tup_read
        from pg_stat_user_tables where relname = \'user_change\'');
    return $row;
}

is($turn->allocate('user1', 'p'), 'ok', 'a user gets in');
my $scans_before = counted()->[0];
# The statistics of a backend come in about every second.
ok(wait_until(sub { counted()->[0] > $scans_before }, 10), 'the feed reads');
my ($scans, $rows) = @{counted()};
$pg->value("select turn.disable_user('octavio.test', 'user1')");
ok(wait_until(sub { $turn->allocate('user1', 'p') eq '401' }, 5),
    '... and sees what changes');
ok(wait_until(sub { counted()->[0] > $scans + 4 }, 20), '... all the time');
cmp_ok(counted()->[1] - $rows, '<', $users,
    '... without reading again what changed since that transaction began');
$forgotten->rollback;
done_testing;
