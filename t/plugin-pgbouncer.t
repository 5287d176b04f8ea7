use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until slurp spew);
use Test::More;
use Time::HiRes qw(time);

# pgbouncer between the edge and PostgreSQL, in session and in transaction mode,
# set up as conf-examples/several-edges/README.md says. $PGBOUNCER names another
# than Debian's.

my ($pgbouncer) = grep { -x } $ENV{PGBOUNCER} // '/usr/sbin/pgbouncer';
plan skip_all => 'pgbouncer is not installed (apt-get install pgbouncer)'
    if !$pgbouncer;

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i,
    'right')) from generate_series(0, 99) i");
$pg->value("select turn.allow_peer('octavio.test', '192.0.2.17')");
$pg->psql('create role edge1 login in role turn_server');
my $readme = slurp("$Edge::Netns::root/conf-examples/several-edges/README.md");
my ($settings) = $readme =~ /^(; psql-userdb .*?)^```/ms;
my ($search_path) = $readme =~ /^(alter role edge1 .*;)$/m;
$pg->psql($search_path);

sub bouncer {
    my ($mode, $port) = @_;
    my $dir = "$Edge::Netns::dir/$mode";
    mkdir $dir;
    spew("$dir/users", qq{"edge1" ""\n}, 0644);
    spew("$dir/pgbouncer.ini", <<"INI", 0644);
[databases]
turn = host=@{[ $pg->socket_dir ]} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users
pool_mode = $mode
$settings
INI
    return Edge::Process->start(name => $mode, user => 'postgres',
        argv => [$pgbouncer, "$dir/pgbouncer.ini"],
        ready_tcp => "127.0.0.1:$port");
}

sub within {
    my ($seconds, $turn, $user, $want, $title) = @_;
    my $begun = time;
    my $seen = wait_until(sub { $turn->allocate($user, 'right') eq $want },
        $seconds + 3);
    my $took = time - $begun;
    ok($seen && $took <= $seconds, sprintf '%s (%.2f s)', $title, $took);
}

my $port = 6432;
for my $mode (qw(session transaction)) {
    my $bouncer = bouncer($mode, $port);
    my $turn = Edge::Coturn->start(name => "coturn-$mode", plugin => 1,
        conninfo => $pg->conninfo(host => '127.0.0.1', port => $port,
            user => 'edge1'),
        settings => {fresh_ttl => '1h', negative_ttl => '1h'});
    ok($turn->wait_log(qr/\d+ users of \S+ in memory .*complete, feed live/),
        "$mode mode: every user is known");
    is($turn->allocate('user1', 'right'), 'ok', 'a user gets in');
    is($turn->allocate("new-$mode", 'right'), 401, '... nobody else');
    unlike($turn->log_text, qr/does not tell|no peer is reach/,
        '... and peer rules are known');

    # Without notifications (transaction mode) it is the next heartbeat.
    for my $n (1 .. 3) {
        $pg->value("select turn.add_user('octavio.test', ?, 'right')",
            "new-$mode$n");
        within(2, $turn, "new-$mode$n", 'ok', 'who is added gets in');
        $pg->value("select turn.disable_user('octavio.test', ?)",
            "new-$mode$n");
        within(2, $turn, "new-$mode$n", 401, '... and no more when disabled');
    }

    $bouncer->stop('INT');
    ok($turn->wait_log(qr/is away/, 10), 'pgbouncer is gone');
    is($turn->allocate('user2', 'right'), 'ok', '... a known user gets in');
    $pg->value("select turn.add_user('octavio.test', 'meanwhile-$mode',
        'right')");
    $bouncer = bouncer($mode, $port);
    ok($turn->wait_log(qr/is back/, 10), '... until it is back');
    within(2, $turn, "meanwhile-$mode", 'ok', '... with what was missed');

    $pg->stop;
    ok($turn->wait_log(qr/is back.*is away/s, 10),
        'PostgreSQL behind it is gone');
    is($turn->allocate('user3', 'right'), 'ok', '... a known user gets in');
    $pg->up;
    ok($turn->wait_log(qr/is back.*is back/s, 15), '... until it is back');
    $pg->value("select turn.disable_user('octavio.test', 'user4')");
    within(2, $turn, 'user4', 401, '... and a change holds again');
    $pg->value("select turn.enable_user('octavio.test', 'user4')");
    $_->stop for $turn, $bouncer;
    $port++;
}

done_testing();
