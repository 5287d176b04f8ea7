use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;

# Redis beside a database with coturn's own tables: no feed tells of changes
# there, and nothing stays of who was removed.

my $dir = $Edge::Netns::dir;
spew("$dir/seal.keys", "5a" x 32 . "\n", 0600);
my $pg = Edge::Postgres->start;
$pg->plain_tables('turn', qw(stays goes changes));
my $redis = Edge::Redis->start;

sub edge {
    my ($name) = @_;
    return Edge::Coturn->start(name => $name, plugin => 1,
        conninfo => $pg->conninfo(user => 'postgres'), settings => {
            redis => $redis->address, seal_key_file => "$dir/seal.keys",
            fresh_ttl => '500ms', negative_ttl => '100ms'});
}

my $turn = edge('first');
ok(wait_until(sub { $turn->allocate('stays', 'right') eq 'ok' }), 'a user gets in');
is($turn->allocate($_, 'right'), 'ok', '... and others') for qw(goes changes);
ok(wait_until(sub { $redis->users == 3 }), 'Redis holds who was asked for');
$turn->allocate("nobody$_", 'right') for 1 .. 10;
is(scalar($redis->users), 3, '... and not whom nobody knows');
$pg->psql("delete from turnusers_lt where name = 'goes'; update turnusers_lt
    set hmackey = '" . md5_hex('changes:octavio.test:other')
    . "' where name = 'changes'");
ok(wait_until(sub { $turn->allocate('goes', 'right') eq '401' }),
    'who is removed is refused after fresh_ttl');
ok(wait_until(sub { $turn->allocate('changes', 'other') eq 'ok' }),
    'a new password is right after fresh_ttl');
$pg->stop;
$turn->stop;
$turn = edge('second');
is($turn->allocate('stays', 'right'), 'ok',
    'PostgreSQL down, memory empty: a user gets in from Redis');
is($turn->allocate('goes', 'right'), '401', '... not who was removed');
is($turn->allocate('changes', 'right'), '401', '... nor with the old password');
is($turn->allocate('changes', 'other'), 'ok', '... but with the new one');
$pg->up;
ok($turn->wait_log(qr/PostgreSQL \S+ is back/), 'PostgreSQL is back');
is($turn->allocate('stays', 'right'), 'ok', '... and a user gets in');

done_testing();
