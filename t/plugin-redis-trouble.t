use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;

# A Redis that takes nothing, is full, or wants another password; and seal keys
# that change while users log in. Nobody is refused for any of it, and one line
# says what is wrong.

my $dir = $Edge::Netns::dir;
my $keys = "$dir/seal.keys";
my ($old, $new) = map { $_ x 32 } 'a1', 'b2';
spew($keys, "$old\n", 0600);

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");
my $redis = Edge::Redis->start;
my $starts = 0;

sub edge {
    my (%o) = @_;
    return Edge::Coturn->start(name => 'edge' . $starts++, plugin => 1,
        conninfo => $pg->conninfo, %o, settings => {redis => $redis->address,
            seal_key_file => $keys, fresh_ttl => '1s', %{$o{settings} || {}}});
}

sub key { "cms-edge:octavio.test $_[0]" }
sub value { $redis->command('GET', key($_[0])) }
sub lines { scalar(() = $_[0]->log_text =~ /^turn_auth_plugin: .*$_[1]/mg) }

my $turn = edge();
ok(wait_until(sub { $redis->users == 100 }, 15), 'Redis holds all users');

# Edges tell by a hash which key seals, so that they can be compared.
sub sealing { substr sha256_hex(pack 'H*', $_[0]), 0, 8 }
like($turn->log_text, qr/seal_key_file\ \S+:\ 1\ key\(s\);\ the\ one\ that\ seals\ is
    \ ${\ sealing($old)}\ /x, 'a line says which key seals');

# ---- other seal keys, under load ----

my $load = $turn->load(clients => 16, seconds => 9, user => 'user%d',
    users => 100, password => 'right', interval_ms => 1000);
my $taken = 0;
my $take = sub {
    my ($text, $count) = @_;
    spew("$keys.new", $text, 0600);
    rename "$keys.new", $keys;
    $taken++;
    return wait_until(sub {
        lines($turn, "seal_key_file .*: $count key\\(s\\) taken over") > 0
            && lines($turn, 'taken over') == $taken }, 3);
};
ok($take->("$old\n$new\n", 2), 'a new seal key is added');
my %was = map { ("user$_" => value("user$_")) } 0 .. 99;
ok($take->("$new\n$old\n", 2), '... and made the first');
ok(wait_until(sub { !grep { value($_) eq $was{$_} } keys %was }, 12),
    '... so all values are sealed again');
like($turn->log_text, qr/2\ key\(s\)\ taken\ over;\ [^\n]*\ ${\ sealing($old)} .*
    \b2\ key\(s\)\ taken\ over;\ [^\n]*\ ${\ sealing($new)}\ /xs,
    '... lines say which seals, before and after');
ok($take->("$new\n", 1), '... and the old one is taken away');
spew($keys, "$new\nnonsense\n", 0600);
ok($turn->wait_log(qr/seal_key_file .*: line 2: this is no key.*stay in use/, 3),
    'a bad key file: a line says so');
spew($keys, "$new\n", 0644);
ok($turn->wait_log(qr/seal_key_file .* may be read by others.*stay in use/, 3),
    'one that others may read: a line says so');
chmod 0600, $keys;
ok(wait_until(sub { lines($turn, '1 key\(s\) taken over') == 2 }, 3),
    'what is put right: a line, too');
my $total = $load->total;
is_deeply($total->{refused}, {}, 'nobody was refused meanwhile');
is($total->{timeouts}, 0, '... or waited in vain');
is(lines($turn, 'did not open'), 0, 'no value was taken for a forgery');
$pg->stop;
$turn->stop;
$turn = edge();
is($turn->allocate('user2', 'right'), 'ok', 'the new key alone opens what is there');
spew("$dir/late.keys", "$old\n", 0600);
my $late = edge(port => 3479, settings => {seal_key_file => "$dir/late.keys"});
is($late->allocate('user9', 'right'), '401', 'an edge that lacks it reads nothing');
ok($late->wait_log(qr/values that did not open: \d+ \(forged, moved, or sealed/, 5),
    '... a line says so');
$late->stop;
is($turn->allocate('user9', 'right'), 'ok', '... and leaves the others theirs');
$pg->up;
ok($turn->wait_log(qr/PostgreSQL \S+ is back/), 'PostgreSQL is back');

# ---- no room, no writing ----

$redis->command('CONFIG', 'SET', 'maxmemory', '1');
ok($turn->wait_log(qr/Redis \S+ takes no values \(.*OOM.*\), expected room for all users \(maxmemory\); what/, 5),
    'Redis is full: a line says so');
$pg->value("select turn.disable_user('octavio.test', 'user3')");
ok(wait_until(sub { !defined value('user3') }, 5),
    '... who is disabled meanwhile is removed there, at least');
is($turn->allocate('user4', 'right'), 'ok', '... others get in');
$redis->command('CONFIG', 'SET', 'maxmemory', '0');
ok($turn->wait_log(qr/Redis \S+ takes values again/, 5), '... it has room again');
ok(wait_until(sub { defined value('user3') }, 15), '... and is filled again');
is(lines($turn, 'takes no values'), 1, '... one line at its start');
is(lines($turn, 'takes values again'), 1, '... one at its end');

$redis->command('REPLICAOF', '127.0.0.1', '1');
ok($turn->wait_log(qr/takes no values \(.*READONLY/, 5), 'a replica: a line says so');
is($turn->allocate('user5', 'right'), 'ok', '... users get in');
$redis->command('REPLICAOF', 'NO', 'ONE');
ok(wait_until(sub { lines($turn, 'takes values again') == 2 }, 5), '... and it is over');

$redis->command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-random');
$redis->command('CONFIG', 'SET', 'maxmemory',
    $redis->command('INFO', 'memory') =~ /^used_memory:(\d+)/m ? $1 - 20_000 : 1);
is($turn->allocate("user$_", 'right'), 'ok', 'Redis forgets what it likes: users get in')
    for 6 .. 8;
$redis->command('CONFIG', 'SET', 'maxmemory', '0');
$turn->stop;

# ---- passwords ----

sub away_because {
    my ($why, $title, %o) = @_;
    my $t = edge(%o);
    ok($t->wait_log(qr/Redis \S+ is away \([^\n]*$why[^\n]*\); PostgreSQL is asked/, 5),
        "$title: a line says so");
    is($t->allocate('user1', 'right'), 'ok', '... and users get in');
    is(lines($t, 'Redis'), 1, '... once');
    return $t;
}

spew("$dir/password", "geheim\n", 0600);
spew("$dir/wrong", "falsch\n", 0600);
spew("$dir/user", "edge geheim\n", 0600);
away_because('AUTH', 'a password where none is wanted',
    settings => {redis_password_file => "$dir/password"})->stop;
$redis->command('CONFIG', 'SET', 'requirepass', 'geheim');
my $waits = away_because('NOAUTH', 'no password where one is wanted');
away_because('WRONGPASS', 'a wrong password',
    settings => {redis_password_file => "$dir/wrong"}, port => 3479)->stop;
$redis->command('CONFIG', 'SET', 'requirepass', '');
ok($waits->wait_log(qr/Redis \S+ is back/, 5), 'what is put right is noticed');
$waits->stop;

my @rules = qw(~cms-edge:* +ping +select +getrange +set +del +eval);
$redis->command('ACL', 'SETUSER', 'edge', 'on', '>geheim', @rules);
$redis->command('FLUSHALL');
$turn = edge(settings => {redis_password_file => "$dir/user", redis_database => 3});
$redis->command('SELECT', 3);
ok(wait_until(sub { $redis->users == 100 }, 15),
    'a user of Redis who may do only what is documented, another database');
is(lines($turn, 'Redis'), 0, '... without a line');
$redis->command('SELECT', 0);
is(scalar($redis->users), 0, '... and nothing in the first');
$turn->stop;
away_because('DB index', 'a database that Redis has not',
    settings => {redis_database => 99})->stop;

# ---- TCP, and what is no Redis ----

$turn = edge(settings => {redis => $redis->tcp_address, redis_prefix => 'tcp:'});
ok(wait_until(sub { $redis->users('tcp:') == 100 }, 15), 'over TCP, with another prefix');
$turn->stop;
my $strange = edge(settings => {redis => '127.0.0.1:5432'});
ok($strange->wait_log(qr/Redis 127\.0\.0\.1:5432 is away \(/, 5),
    'PostgreSQL where Redis should be: a line says it is away');
is($strange->allocate('user1', 'right'), 'ok', '... and users get in');

done_testing();
