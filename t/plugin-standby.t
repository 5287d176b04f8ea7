use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# A primary and a standby: with both in conninfo the primary is followed,
# wherever it is; a standby alone is polled, until it is promoted.

my $primary = Edge::Postgres->start(name => 'one', port => 5432);
$primary->install;
$primary->value("select count(turn.add_user('octavio.test', 'user' || i,
    'right')) from generate_series(0, 99) i");
my $standby = $primary->standby(name => 'two', port => 5433);
$standby->catch_up($primary);

my %hours = map { $_ => '1h' } qw(fresh_ttl negative_ttl);
my $both = "host=127.0.0.1,127.0.0.1 port=5433,5432 dbname=turn
    user=turn_server options='-c search_path=turn,public'" =~ s/\s+/ /gr;
my $follows = Edge::Coturn->start(name => 'follows', plugin => 1,
    conninfo => $both, settings => {%hours, poll_interval => '1s'});
my $polls = Edge::Coturn->start(name => 'polls', port => 3479, plugin => 1,
    conninfo => $standby->conninfo, settings => {%hours,
        poll_interval => '1s'});

sub within {
    my ($seconds, $turn, $user, $want, $title) = @_;
    my $begun = time;
    my $seen = wait_until(sub { $turn->allocate($user, 'right') eq $want },
        $seconds + 3);
    my $took = time - $begun;
    ok($seen && $took <= $seconds, sprintf '%s (%.2f s)', $title, $took);
}

ok($follows->wait_log(qr/100 users of \S+ in memory .*complete, feed live/),
    'both: the primary is found, though the standby is first');
ok($polls->wait_log(qr/100 users of \S+ in memory .*a standby, polled/),
    'the standby alone is polled');
is($_->allocate('user1', 'right'), 'ok', "$_->{name}: a user is in")
    for $follows, $polls;
is($polls->allocate('nobody', 'right'), 401, '... nobody is not');

$primary->value("select turn.disable_user('octavio.test', 'user1')");
within(1, $follows, 'user1', 401, 'the primary is followed: a change holds at once');
within(2.5, $polls, 'user1', 401, 'a standby: within poll_interval');
$primary->value("select turn.add_user('octavio.test', 'new', 'right')");
within(1, $follows, 'new', 'ok', 'a new user is in');
within(2.5, $polls, 'new', 'ok', '... where the standby is polled as well');

sub server_of {
    my ($pg) = @_;
    return $pg->value("select count(*) from pg_stat_activity
        where usename = 'turn_server'
        and application_name = 'turn_auth_plugin'");
}
ok(wait_until(sub { server_of($primary) == 3 }, 5),
    'all connections of one who follows go to the primary');
is(server_of($standby), 3, '... and only the other asks the standby');

# ---- a failover ----

$primary->kill;
is($follows->allocate('user2', 'right'), 'ok', 'the primary dies: users get in');
sleep 1;
is($follows->allocate('user3', 'right'), 'ok', '... later as well');
$standby->promote;
within(3, $polls, 'user3', 'ok', 'the standby is promoted: users get in');
$standby->value("select turn.disable_user('octavio.test', 'user3')");
within(4, $follows, 'user3', 401, 'a change there is noticed');
within(4, $polls, 'user3', 401, '... by the other, too');
ok($follows->wait_log(qr/another database.*users.*complete, feed live/, 15),
    'it is followed as the primary');
ok($polls->wait_log(qr/another database.*users.*complete, feed live/, 15),
    '... and no longer polled');
$standby->value("select turn.disable_user('octavio.test', 'user4')");
within(1, $_, 'user4', 401, "$_->{name}: a change holds at once again")
    for $follows, $polls;

done_testing();
