use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# coturn with the plugin: who may log in, how soon a change is seen, and what
# the database is asked.

my $pg = Edge::Postgres->start(conf => ["log_statement = 'all'"]);
$pg->install;
$pg->value("select turn.add_user('octavio.test', ?, 'right')", $_)
    for 'guest', 'changing', 'leaving';
$pg->value("select turn.add_user('other.test', 'stranger', 'right')");

my $turn = Edge::Coturn->start(
    plugin => 1,
    user => 'turnserver',
    conninfo => $pg->conninfo,
    settings => {fresh_ttl => '2s', negative_ttl => '1s'},
);

sub asked { return scalar(() = $pg->log_text =~ /select hmackey/g) }

is($turn->allocate('guest', 'right'), 'ok', 'a user of the database gets in');
is($turn->allocate('guest', 'wrong'), 401, 'a wrong password is refused');
is($turn->allocate('nobody', 'right'), 401, 'an unknown user is refused');
is($turn->allocate('stranger', 'right'), 401, 'a user of another realm, too');
is($turn->allocate('Guest', 'right'), 401, 'letter case counts');

my ($wrong) = $turn->client({user => 'guest', password => 'wrong'}, 'allocate');
my ($unknown) = $turn->client({user => 'nemo', password => 'wrong'}, 'allocate');
is($wrong, $unknown, 'wrong password and unknown user get the same answer');

# coturn itself answers some of these with another error.
like($turn->allocate($_, 'right'), qr/^4\d\d$/, 'refused: ' . substr($_, 0, 20))
    for "x' or '1'='1", 'a"b', '%s%s%n', 'a\\', '$1', "x\xc3\xa9", 'u' x 500;

is($turn->allocate("x\xff\xfe", 'right'), 401, 'refused: bytes that are no UTF-8');
unlike($turn->log_text,
    qr/^turn_auth_plugin: (?!settings of|no cli|\d+ users of|user ".*wrong pass)/m,
    '... which is no fault to log');

my $before = asked();
my $since = time;
is(join(' ', map { $turn->allocate('guest', 'right') } 1 .. 30),
    join(' ', ('ok') x 30), '30 logins');
cmp_ok(asked() - $before, '<=', 2 + (time - $since),
    '... ask the database about once in fresh_ttl');

# ---- changes ----

sub within {
    my ($seconds, $user, $password, $want, $title) = @_;
    my $begun = time;
    my $seen = wait_until(sub { $turn->allocate($user, $password) eq $want },
        $seconds + 2);
    my $took = time - $begun;
    ok($seen && $took <= $seconds + 0.5, $title)
        or diag("took $took s, expected $seconds s");
}

is($turn->allocate('changing', 'right'), 'ok', 'before a change');
$pg->value("select turn.set_password('octavio.test', 'changing', 'new')");
within(2, 'changing', 'new', 'ok', 'a new password works within fresh_ttl');
is($turn->allocate('changing', 'right'), 401, '... and the old one does not');

is($turn->allocate('leaving', 'right'), 'ok', 'before a user is disabled');
$pg->value("select turn.disable_user('octavio.test', 'leaving')");
within(2, 'leaving', 'right', 401, 'a disabled user is out within fresh_ttl');

is($turn->allocate('late', 'right'), 401, 'before a user is added');
$pg->value("select turn.add_user('octavio.test', 'late', 'right')");
within(1, 'late', 'right', 'ok', 'a new user is in within negative_ttl');

# ---- what goes to the database ----

unlike($pg->log_text, qr/(?:statement|execute[^:]*): select value from/,
    'auth_ping does not reach the database');
unlike($pg->log_text, qr/execute[^:]*: .*oauth_key/,
    'OAuth keys are not read where coturn does not use them');
my ($connections) = $pg->value(
    "select count(*) from pg_stat_activity where usename = 'turn_server'");
is($connections, 3, 'three connections, however many threads coturn has');
$turn->stop;

# ---- far away ----

my $away = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432', ms => 200);
my $far = Edge::Coturn->start(
    name => 'far',
    port => 3479,
    plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, port => 5433),
    settings => {fresh_ttl => '2s'},
);
ok(wait_until(sub { $far->allocate('guest', 'right') eq 'ok' }),
    'PostgreSQL 400 ms away: a user gets in');
$before = asked();
my $load = $far->load(clients => 4, seconds => 5, user => 'guest',
    password => 'right')->total;
is_deeply($load->{refused}, {}, '... and stays in');
is(asked() - $before, 0, '... the database tells of changes by itself');
cmp_ok($load->{p99_ms}, '<', 400, '... for which no login waits');
$far->stop;

$away->tell('delay 50');
# Many at a time, one look-up for each name.
$pg->value("select count(turn.add_user('octavio.test', 'cold' || i, 'right'))
    from generate_series(0, 9) i");
$far = Edge::Coturn->start(
    name => 'cold',
    port => 3480,
    plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, port => 5433),
);
wait_until(sub { $far->allocate('guest', 'right') eq 'ok' });
$before = asked();
$load = $far->load(clients => 32, seconds => 8, user => 'cold%d', users => 10,
    password => 'right')->total;
is_deeply($load->{refused}, {}, 'ten cold users, 32 clients: nobody is refused');
cmp_ok(asked() - $before, '<=', 10, '... and each is asked for once');
$far->stop;

# ---- time-limited users, as coturn alone does them ----

$pg->psql("insert into turn.turn_secret (realm, value)"
        . " values ('octavio.test', 'north')");
my $rest = Edge::Coturn->start(
    name => 'rest',
    plugin => 1,
    conninfo => $pg->conninfo,
    conf => ['use-auth-secret'],
    settings => {poll_interval => '1s'},
);

sub rest_password {
    my ($secret, $user) = @_;
    require Digest::SHA;
    my $p = Digest::SHA::hmac_sha1_base64($user, $secret);
    return $p . '=' x (-length($p) % 4);
}
my $user = (int(time) + 600) . ':guest-17';
is($rest->allocate($user, rest_password('north', $user)), 'ok',
    'with use-auth-secret a time-limited user gets in');
is($rest->allocate($user, rest_password('south', $user)), 401,
    '... not with another secret');
$pg->freeze;
is($rest->allocate($user, rest_password('north', $user)), 'ok',
    '... also while the database is frozen');
$pg->thaw;
$pg->psql("insert into turn.turn_secret (realm, value)"
        . " values ('octavio.test', 'south')");
ok(wait_until(
    sub { $rest->allocate($user, rest_password('south', $user)) eq 'ok' }, 3),
    'a new secret is known within poll_interval');

done_testing();
