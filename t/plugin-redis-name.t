use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(spew wait_until);
use Edge::Redis;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

# Redis by name: a name server that is silent holds up neither logins nor
# changes.

my $dir = $Edge::Netns::dir;

sub in_etc {
    my ($name, $text) = @_;
    spew("$dir/$name", $text, 0644);
    system('mount', '--bind', "$dir/$name", "/etc/$name") == 0
        or die "mount: $?";
}
my $silent = IO::Socket::INET->new(Proto => 'udp',
    LocalAddr => '127.0.0.53:53') or die $!;
in_etc('resolv.conf', "nameserver 127.0.0.53\n");
in_etc('hosts', "127.0.0.1 localhost redis.octavio.test\n");
spew("$dir/seal.keys", '0123456789abcdef' x 4 . "\n", 0600);

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 9) i");

sub edge {
    my ($name, $port, $redis) = @_;
    return Edge::Coturn->start(name => $name, port => $port, plugin => 1,
        conninfo => $pg->conninfo, settings => {redis => $redis,
            seal_key_file => "$dir/seal.keys"});
}

my $turn = edge('unknown', 3480, 'elsewhere.octavio.test:6379');
my $begun = time;
is($turn->allocate('user0', 'right'), 'ok',
    'nobody tells where Redis is: a user gets in');
cmp_ok(time - $begun, '<', 2, '... at once');
for my $i (1 .. 3) {
    $begun = time;
    $pg->value("select turn.disable_user('octavio.test', ?)", "user$i");
    ok(wait_until(sub { $turn->allocate("user$i", 'right') eq 401 }, 10),
        "... a disabled one does not");
    cmp_ok(time - $begun, '<', 2, '... soon after');
}
ok($turn->wait_log(qr/Redis elsewhere.octavio.test:6379 is away/, 5),
    '... and a line says that Redis is away');
$turn->stop;

my $redis = Edge::Redis->start(port => 6379);
$turn = edge('known', 3481, 'redis.octavio.test:6379');
ok(wait_until(sub { my @users = $redis->users; @users >= 7 }, 10),
    'Redis is found by its name');

done_testing();
