use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;

# Who can write to Redis admits nobody: values that were forged, moved, cut or
# kept from before, with PostgreSQL up and down, before and after a restart.

my $dir = $Edge::Netns::dir;
my $keys = "$dir/seal.keys";
spew($keys, "0f1e2d3c4b5a69788796a5b4c3d2e1f0" x 2 . "\n", 0600);

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 39) i");
# Who has a key that would be user11's, with a password of their own choice.
$pg->value("select turn.set_key('octavio.test', 'user0',
    md5('user11:octavio.test:stolen'))");
my $redis = Edge::Redis->start;
my %settings = (redis => $redis->address, seal_key_file => $keys,
    fresh_ttl => '30s');
my $starts = 0;

sub edge {
    my (%o) = @_;
    return Edge::Coturn->start(name => 'edge' . $starts++, plugin => 1,
        conninfo => $pg->conninfo, settings => {%settings, %o});
}

sub key { "cms-edge:octavio.test $_[0]" }
sub value { $redis->command('GET', key($_[0])) }
sub put { $redis->command('SET', key($_[0]), $_[1]) }

my $turn = edge();
ok(wait_until(sub { $redis->users == 40 }, 15), 'Redis holds all users');
my %real = map { ("user$_" => value("user$_")) } 0 .. 39;

# ---- forged ----

# What an attacker makes of a value, without the seal key. Each for a user of
# its own, whom memory does not know after the restart.
my $other = $real{user0};
my @forgeries = (
    ['noise', join '', map { chr(7 * $_ % 256) } 1 .. 98],
    ["another user's value", $other],
    ['the beginning of its own', sub { substr $_[0], 0, 97 }],
    ['its own and a byte more', sub { "$_[0]x" }],
    ['a byte', "\x01"],
    ['its own with a later version', sub { "\x02" . "\xff" x 12 . substr $_[0], 13 }],
    ['its own with a later time', sub { substr($_[0], 0, 13) . "\x7f" . substr $_[0], 14 }],
    ['its own with another key', sub { my $v = $_[0]; substr($v, 56, 1) ^= "\x01"; $v }],
    ["its own beginning, another's rest", sub { substr($_[0], 0, 21) . substr $other, 21 }],
    ['another format', sub { "\x01" . substr $_[0], 1 }],
    ['a megabyte', 'x' x 1_048_576],
);

sub forge {
    my $i = 10;
    for my $forgery (@forgeries) {
        my $user = 'user' . $i++;
        my $how = $forgery->[1];
        put($user, ref $how ? $how->($real{$user}) : $how);
    }
    $redis->command('DEL', key("user$i"));
    $redis->command('RPUSH', key("user$i"), $real{"user$i"});
}

# With PostgreSQL there, forgeries are in vain and in nobody's way.
forge();
$turn->stop;
$turn = edge();
is($turn->allocate('user' . (10 + $_), 'right'), 'ok',
    "PostgreSQL up, in Redis $forgeries[$_][0]: PostgreSQL is right")
    for 0 .. $#forgeries;
ok(wait_until(sub {
    !grep { my $v = eval { value("user$_") }; !defined $v || length $v != 98
        || $v =~ /^.\xff/ } 10 .. 21
}, 15), 'and right values come over them');
ok($turn->wait_log(qr/Redis \S+: values that did not open: \d+ \(forged, /, 5),
    'one line says that there were some');

# Without, they admit nobody, and stay out of the others' way.
forge();
$pg->stop;
$turn->stop;
$turn = edge();
is($turn->allocate('user1', 'right'), 'ok', 'PostgreSQL down: a user gets in');
is($turn->allocate('user11', 'stolen'), '401',
    'PostgreSQL down: nobody gets in as another with a key of their own');
is($turn->allocate('user' . (10 + $_), 'right'), '401',
    "PostgreSQL down, in Redis $forgeries[$_][0]: refused") for 0 .. $#forgeries;
is($turn->allocate('user21', 'right'), '401',
    'PostgreSQL down, in Redis something that is no string: refused');
is($turn->allocate('user2', 'right'), 'ok', 'others get in as before');
is($redis->command('EXISTS', map { key("user$_") } 10 .. 21), 12,
    'what did not open stays: another edge may have a key for it');
$turn->stop;
$pg->up;

# ---- replayed ----

$turn = edge();
ok(wait_until(sub { $turn->allocate('user3', 'right') eq 'ok' }), 'a user gets in');
ok(wait_until(sub { $redis->users == 40 }, 15), 'all users are in Redis again');
my %before = map { ($_ => value($_)) } qw(user3 user4 user5);
$pg->value("select turn.disable_user('octavio.test', 'user3')");
$pg->value("select turn.remove_user('octavio.test', 'user4')");
$pg->value("select turn.set_password('octavio.test', 'user5', 'other')");
my $told = sub { !grep { substr(value($_), 1, 12) le substr($before{$_}, 1, 12) }
    keys %before };
ok(wait_until($told), 'a user is disabled, one removed, one gets a new password');
my %after = map { ($_ => value($_)) } keys %before;

sub replayed {
    my ($when) = @_;
    put($_, $before{$_}) for keys %before;
    is($turn->allocate($_, 'right'), '401', "the old value of $_, $when: refused")
        for sort keys %before;
}

replayed('PostgreSQL up');
$pg->stop;
ok($turn->wait_log(qr/PostgreSQL \S+ is away/), 'PostgreSQL is stopped');
replayed('PostgreSQL down: memory knows better');
$pg->up;
ok($turn->wait_log(qr/PostgreSQL \S+ is back/), 'PostgreSQL is back');
$turn->stop;
put($_, $before{$_}) for keys %before;
$turn = edge();
is($turn->allocate($_, 'right'), '401', "... $_, edge restarted: refused")
    for sort keys %before;
is($turn->allocate('user5', 'other'), 'ok', '... the new password is right');
ok(wait_until($told), '... and Redis is told again');
replayed('edge restarted, PostgreSQL up');


# A small memory: what changed is forgotten, its old value comes back.
$turn->stop;
$turn = edge(cache_size => 1000);
$pg->value("select count(turn.add_user('octavio.test', 'more' || i, 'right'))
    from generate_series(0, 3999) i");
ok(wait_until(sub { $turn->allocate('more3999', 'right') eq 'ok' }), 'many users');
ok(wait_until(sub { defined value('user6') }), 'one of them');
my $old = value('user6');
is($turn->allocate('user6', 'right'), 'ok', '... is valid');
$pg->value("select turn.set_password('octavio.test', 'user6', 'other')");
ok(wait_until(sub { $turn->allocate('user6', 'right') eq '401' }),
    '... until the password changes');
$pg->value("select count(turn.set_password('octavio.test', 'more' || i, 'new'))
    from generate_series(0, 3999) i");
ok(wait_until(sub { $turn->allocate('more3999', 'new') eq 'ok' }),
    'as many changes as make memory forget it');
put('user6', $old);
is($turn->allocate('user6', 'right'), '401',
    'the old value of who was forgotten: refused');
put('user6', $old);
is($turn->allocate('user6', 'other'), 'ok', '... and the new password is right');

# Removed without a trace of theirs: as removed stay those whom Redis says so.
put($_, $after{$_}) for keys %after;
$pg->stop;
$turn->stop;
$turn = edge();
is($turn->allocate($_, 'right'), '401',
    "edge restarted, PostgreSQL down: $_ is refused") for sort keys %after;
is($turn->allocate('user5', 'other'), 'ok', '... and the new password is right');

# What is left to who can write to Redis, as documented: nobody can know better.
$turn->stop;
put('user4', $before{user4});
$turn = edge();
is($turn->allocate('user4', 'right'), 'ok',
    'edge restarted, PostgreSQL down, tombstone replaced: the old value counts '
    . 'until its seal expires');
$turn->stop;

# ---- expired ----

$pg->up;
$turn = edge(stale_ttl => '3s', fresh_ttl => '1s');
ok(wait_until(sub { $turn->allocate('user7', 'right') eq 'ok' }), 'stale_ttl 3s');
ok(wait_until(sub {
    my $ttl = $redis->command('PTTL', key('user7'));
    return $ttl > 0 && $ttl <= 3000;
}), 'a value of 3 s');
$old = value('user7');
$turn->stop;
$pg->stop;
ok(wait_until(sub { !$redis->command('EXISTS', key('user7')) }, 5),
    'Redis forgets it after that');
put('user7', $old);
$turn = edge();
is($turn->allocate('user7', 'right'), '401',
    'put back without an end: refused, wherever stale_ttl is longer');
$turn->stop;

# ---- another database's edges, with the same keys ----

$pg->up;
$turn = edge(redis_prefix => 'lab:');
ok(wait_until(sub { $redis->command('EXISTS', 'lab:octavio.test user8') }, 10),
    'edges of another prefix fill the same Redis');
$turn->stop;
$pg->stop;
put('user8', scalar $redis->command('GET', 'lab:octavio.test user8'));
$turn = edge();
is($turn->allocate('user8', 'right'), '401',
    'a value that was moved from another prefix is refused');

done_testing();
