use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;
use Time::HiRes qw(sleep);

# A Redis that is read but takes values not at all, or some: one line when it
# begins and one when it is over, however often it is asked meanwhile.

my $dir = $Edge::Netns::dir;
spew("$dir/seal.keys", 'c3' x 32 . "\n", 0600);
spew("$dir/redis.password", "edge geheim\n", 0600);

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', chr(97 + i % 2) || i,
    'right')) from generate_series(0, 499) i");
my $redis = Edge::Redis->start;
my @rules = qw(on >geheim ~cms-edge:* -@all +ping +select +getrange +set +del);
$redis->command('ACL', 'SETUSER', 'edge', @rules);

my $turn = Edge::Coturn->start(name => 'edge', plugin => 1,
    conninfo => $pg->conninfo, settings => {redis => $redis->address,
        redis_password_file => "$dir/redis.password", fresh_ttl => '1s',
        seal_key_file => "$dir/seal.keys"});

sub lines { scalar(() = $turn->log_text =~ /^turn_auth_plugin: .*$_[0]/mg) }

ok($turn->wait_log(qr/takes no values \(NOPERM/, 10),
    'a user of Redis who may not +eval: a line says so');
like($turn->log_text, qr/takes\ no\ values\ \(NOPERM[^\n]*\),\ expected\ a\ user\ with\ \+ping
    \s\+select\ \+getrange\ \+set\ \+del\ \+eval\ ~cms-edge:\*;
    \ what\ it\ holds\ is\ still\ read\n/x, '... and what is expected');
sleep 4;    # for many marks, and more values that are tried
is(lines('takes'), 1, '... no other follows');
is($turn->allocate('a2', 'right'), 'ok', '... and users get in');
is($redis->users, 0, '... nothing is there');
$redis->command('ACL', 'SETUSER', 'edge', '+eval');
ok($turn->wait_log(qr/takes values again/, 10), 'it is put right: a line says so');
ok(wait_until(sub { $redis->users == 500 }, 10), '... and Redis is filled');
is(lines('takes'), 2, '... with no other line');

$redis->command('ACL', 'SETUSER', 'edge', 'resetkeys',
    '~cms-edge:octavio.test?a*', '~cms-edge:?????????????????');
$pg->psql('update turn.credential set hmackey = md5(random()::text)');
ok($turn->wait_log(qr/takes no values.*takes no values/s, 10),
    'half of the keys are refused: a line says so');
my $before = lines('takes');
sleep 10;
cmp_ok(lines('takes') - $before, '<=', 2, '... and not one for each answer');

done_testing();
