use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# A primary and a standby in one conninfo, as libpq knows it: when the first
# host is refused or frozen, the second is asked.

my @pg = map {
    my $pg = Edge::Postgres->start(name => "host$_", port => 5431 + $_);
    $pg->install;
    $pg->value("select turn.add_user('octavio.test', ?, 'right')", $_)
        for 'guest', "only-at-$_";
    $pg;
} 1, 2;
my $conninfo = "host=127.0.0.1,127.0.0.1 port=5432,5433 dbname=turn
    user=turn_server options='-c search_path=turn,public'" =~ s/\s+/ /gr;
my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $conninfo,
    settings => {fresh_ttl => '1s', negative_ttl => '100ms'},
);

sub gets_in {
    my ($user, $within, $title) = @_;
    my $begun = time;
    my $in = wait_until(sub { $turn->allocate($user, 'right') eq 'ok' },
        $within);
    ok($in, sprintf '%s: %s gets in after %.1f s', $title, $user,
        time - $begun);
}

is($turn->allocate('only-at-1', 'right'), 'ok', 'the first host is asked');
is($turn->allocate('only-at-2', 'right'), 401, '... and only it');

$pg[0]->freeze;
gets_in('only-at-2', 7, 'the first host is frozen');
is($turn->allocate('guest', 'right'), 'ok', '... users of both get in');
ok($turn->log_text =~ /is back after/, '... the outage is over');

my $begun = time;
my $out = `LD_PRELOAD=$Edge::Coturn::plugin turnadmin -l -e "$conninfo" 2>&1`;
like($out, qr/only-at-2/, 'turnadmin goes on to the second host as well');
cmp_ok(time - $begun, '<', 9, '... in time');

$pg[0]->thaw;
$pg[1]->stop;
gets_in('only-at-1', 4, 'the second host is stopped, the first is there again');

$pg[1]->up;
$pg[0]->stop;
gets_in('only-at-2', 4, 'the first host is stopped');
$turn->stop;

# Silent from the start.
$pg[0]->up;
$pg[0]->freeze;
$turn = Edge::Coturn->start(name => 'late', plugin => 1,
    conninfo => $conninfo);
gets_in('only-at-2', 5, 'turnserver starts with the first host frozen');

done_testing();
