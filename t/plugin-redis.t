use strict;
use warnings;
use Digest::MD5 qw(md5 md5_hex);
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;

# Redis between memory and PostgreSQL: what it holds, who starts from it, and
# that two edges share one. (Values that are forged or replayed:
# plugin-redis-forged.t; a Redis with troubles: plugin-redis-trouble.t.)

my $dir = $Edge::Netns::dir;
my $keys = "$dir/seal.keys";
spew($keys, "# made for this test\n" . '0123456789abcdef' x 4 . "\n", 0600);

# ---- files with secrets ----

my $n = 0;

sub refusal {
    my (%settings) = @_;
    my $turn = Edge::Coturn->start(name => 'refused' . $n++, plugin => 1,
        users => {guest => 'right'}, wait => 0, settings => {
            redis => 'unix:/nowhere', seal_key_file => $keys, %settings});
    my $status = $turn->process->wait_end(5);
    $turn->stop;
    return $status ? $turn->log_text : 'it starts';
}

spew("$dir/open.keys", '0123456789abcdef' x 4 . "\n", 0644);
like(refusal(seal_key_file => "$dir/open.keys"),
    qr{seal_key_file \Q$dir\E/open\.keys may be read by others \(mode 0644\)},
    'a seal key file that others may read: turnserver does not start');
spew("$dir/short.keys", "\n0123456789abcdef\n", 0600);
like(refusal(seal_key_file => "$dir/short.keys"),
    qr{turn-auth\.conf:\d: seal_key_file \Q$dir\E/short\.keys line 2: this is no},
    '... nor with a key too short, and names the line');
spew("$dir/open.password", "geheim\n", 0604);
like(refusal(redis_password_file => "$dir/open.password"),
    qr{redis_password_file \Q$dir\E/open\.password may be read by others},
    '... nor with a password that others may read');

# ---- what Redis holds ----

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 19) i");
$pg->value("select turn.add_user('octavio.test', 'gone', 'right')");

my $redis = Edge::Redis->start(password => 'geheim');
spew("$dir/redis.password", "geheim\n", 0600);
my %settings = (redis => $redis->address, seal_key_file => $keys,
    redis_password_file => "$dir/redis.password");

sub edge {
    my ($name, %o) = @_;
    return Edge::Coturn->start(name => $name, plugin => 1,
        conninfo => $pg->conninfo, %o,
        settings => {%settings, %{$o{settings} || {}}});
}

sub holds {
    my ($count) = @_;
    return wait_until(sub { $redis->users == $count }, 15);
}

sub value { $redis->command('GET', "cms-edge:octavio.test $_[0]") }

my $turn = edge('first');
ok(wait_until(sub { $turn->allocate('user1', 'right') eq 'ok' }), 'a user logs in');
ok(holds(21), 'Redis soon holds all users, asked for or not')
    or diag(scalar($redis->users));
is(($redis->users)[0], 'cms-edge:octavio.test gone',
    'a key is the prefix, the realm and the name');
is(length(value('user1')), 98, 'a value is sealed: 98 bytes');
cmp_ok($redis->command('PTTL', 'cms-edge:octavio.test user1'), '<=',
    86_400_000, '... and lasts no longer than stale_ttl');

my $dump = $redis->dump;
like($dump, qr/octavio\.test user1/, 'a dump of Redis names users');
my $leaks = 0;
for my $user (map({ "user$_" } 0 .. 19), 'gone') {
    my $text = "$user:octavio.test:right";
    $leaks += grep { index($dump, $_) >= 0 } md5($text), md5_hex($text),
        uc md5_hex($text), 'right';
}
is($leaks, 0, '... and holds no key or password');

$turn->allocate("nobody$_", 'right') for 1 .. 20;
is(scalar($redis->users), 21, 'names that nobody has do not fill it');

my $before = value('gone');
$pg->value("select turn.remove_user('octavio.test', 'gone')");
ok(wait_until(sub { value('gone') ne $before }), 'of who is removed it knows so');

# ---- a start without PostgreSQL ----

$pg->stop;
$turn->stop;
$turn = edge('cold');
is($turn->allocate('user1', 'right'), 'ok',
    'PostgreSQL is down, memory empty: users get in from Redis');
is($turn->allocate('user2', 'wrong'), '401', '... with their password alone');
is($turn->allocate('gone', 'right'), '401', '... but not who was removed');
is($turn->allocate('nobody', 'right'), '401', '... nor who never was');
is($turn->allocate("user$_", 'right'), 'ok', "... user$_ as well") for 2 .. 5;
$pg->up;
$pg->value("select turn.add_user('octavio.test', 'new', 'right')");
ok(wait_until(sub { $turn->allocate('new', 'right') eq 'ok' }, 3),
    'PostgreSQL is back: so is everything');

# ---- Redis loses everything ----

ok(holds(22), 'Redis holds all');
$redis->command('FLUSHALL');
ok(holds(22), 'after FLUSHALL it is filled again');
$redis->stop;
ok($turn->wait_log(qr/Redis \S+ is away \(.+\); PostgreSQL is asked/),
    'stopped: one line');
is($turn->allocate('user6', 'right'), 'ok', '... and users get in');
$redis->up;
ok(holds(22), 'started again, empty: it is filled again');
like($turn->log_text, qr/Redis \S+ is back after \d+\.\d s\n/, '... one line');
$turn->stop;

# ---- two edges, one of which knows less ----

# Sweeps of the edge that is cut off come every second, with what was true once.
my $proxy = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432');
my %often = (stale_ttl => '4s', fresh_ttl => '1s');
my $knows = edge('knows', port => 3478, settings => \%often);
my $lags = edge('lags', port => 3479, settings => \%often,
    conninfo => $pg->conninfo(tcp => 1, port => 5433));
ok(wait_until(sub { $_->allocate('user7', 'right') eq 'ok' }), 'two edges')
    for $knows, $lags;
$proxy->tell('hold');
$before = value('user7');
$pg->value("select turn.disable_user('octavio.test', 'user7')");
ok(wait_until(sub { $knows->allocate('user7', 'right') eq '401' }),
    'one hears that a user is disabled');
ok(wait_until(sub {
    substr(value('user7') // '', 1, 12) gt substr($before, 1, 12)
}), '... and tells Redis');
my ($lowest, $end) = (value('user7'), time + 3);
wait_until(sub {
    my $now = value('user7') // '';
    $lowest = $now if substr($now, 1, 12) lt substr($lowest, 1, 12);
    return time > $end;
});
cmp_ok(substr($lowest, 1, 12), 'gt', substr($before, 1, 12),
    'what the other still believes never comes over it');
$proxy->tell('pass');
$_->stop for $knows, $lags;

done_testing();
