use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Digest::SHA qw(hmac_sha1);
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

# Time-limited users (the TURN REST scheme) beside ordinary ones in one realm,
# with one secret, several, and none.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->psql("insert into turn.shared_secret (realm, value)
    values ('octavio.test', 'first'), ('other.test', 'foreign')");
my $hour = time + 3600;
$hour =~ s/\..*//;
$pg->value("select turn.add_user('octavio.test', ?, 'right')", $_)
    for 'guest', '4711', "$hour";
# turn.add_user() refuses such names; a coturn database may hold them.
$pg->psql("insert into turn.credential (realm, name, hmackey)
    select 'octavio.test', name, md5(name || ':octavio.test:right')
    from unnest('{$hour:both,1500000000:both}'::text[]) as name");

Edge::Coturn::add_addresses('192.0.2.7');
my %start = (
    plugin => 1,
    ip => '192.0.2.7',
    conninfo => $pg->conninfo,
    settings => {poll_interval => '1s'},
    conf => ['allowed-peer-ip=192.0.2.7'],
);
my $turn = Edge::Coturn->start(%start);

sub password {
    my ($name, $secret) = @_;
    return encode_base64(hmac_sha1($name, $secret), '');
}

# What a client gets that signs this name with this secret.
sub signed {
    my ($name, $secret) = @_;
    return $turn->allocate($name, password($name, $secret));
}

# [name, secret, answer, title]
my @first = (
    ["$hour:guest-17", 'first', 'ok', 'good for another hour'],
    ["$hour", 'first', 'ok', 'an expiry without ID'],
    ["$hour:", 'first', 'ok', 'an expiry with an empty ID'],
    ["$hour:a:b", 'first', 'ok', 'a colon in the ID'],
    ['4294967295:x', 'first', 'ok', 'as far in the future as coturn can count'],
    ['4294967296:x', 'first', 401,
        'further than that, which coturn takes for 1970'],
    ['99999999999999999999:x', 'first', 401, 'much further'],
    ['1500000000:x', 'first', 401, 'expired'],
    [int(time) - 1 . ':x', 'first', 401, 'expired a second ago'],
    ["$hour:x", 'wrong', 401, 'a wrong secret'],
    ["$hour:x", 'foreign', 401, 'the secret of another realm'],
    ["$hour:x", '', 401, 'an empty secret'],
    ['never:x', 'first', 401, 'an expiry that is no number'],
    ["x:$hour", 'first', 401, 'ID before expiry'],
    ["-$hour:x", 'first', 401, 'a negative expiry'],
);
is(signed(@$_[0, 1]), $_->[2], "one secret: $_->[3]") for @first;

# ---- ordinary users, and names that are both ----

sub ordinary_users {
    my ($when) = @_;
    is($turn->allocate('guest', 'right'), 'ok', "$when: an ordinary user");
    is($turn->allocate('guest', 'wrong'), 401, '... but not with any password');
    is($turn->allocate('4711', 'right'), 'ok',
        '... and one whose name is a number');
    is($turn->allocate("$hour:both", 'right'), 'ok',
        '... a name that is both: with its own password');
    is(signed("$hour:both", 'first'), 'ok', '... and with a signed one');
    is($turn->allocate("$hour:both", 'wrong'), 401, '... and with no other');
    is($turn->allocate('1500000000:both', 'right'), 'ok',
        '... one whose time has passed: with its own');
    is(signed('1500000000:both', 'first'), 401, '... and with no signed one');
}
ordinary_users('one secret');

# ---- a session, media included ----

# Allocates, waits until its handle is decided, then relays and refreshes.
sub session_works {
    my ($title, $user, $password, %o) = @_;
    my $s = $turn->session({user => $user, password => $password, %o});
    my $peer = $turn->session({user => 'guest', password => 'right'});
    my ($relay) = $peer->step('allocate') =~ /relay=(\S+)/;
    my ($own) = $s->step('allocate') =~ /relay=(\S+)/;
    like($own // 'none', qr/^192\.0\.2\.7:/, "$title: gets a relay");
    is($s->step('permission=192.0.2.7'), 'permission ok', '... a permission');
    is($peer->step('permission=192.0.2.7'), 'permission ok',
        '... (its peer, too)');
    is($s->step("send=$relay,hello"), 'send ok', '... sends');
    like($peer->step('receive'), qr/hello$/, '... and the peer receives');
    like($s->step("bind=$relay"), qr/^bind ok/, '... binds a channel');
    like($s->step('refresh'), qr/^refresh ok/, '... refreshes');
    return ($s, $peer);
}
session_works('one secret', "$hour:media", password("$hour:media", 'first'));

# ---- a second secret ----

sub change_secrets {
    my ($sql, $probe, $want) = @_;
    $pg->psql($sql);
    ok(wait_until(sub { signed("$hour:probe", $probe) eq $want }, 5),
        "the secret '$probe' is known: $want");
}

change_secrets("insert into turn.shared_secret (realm, value)
    values ('octavio.test', 'second')", 'second', 'ok');
is(signed(@$_[0, 1]), $_->[2], "two secrets: $_->[3]") for @first;
is(signed("$hour:guest-17", 'second'), 'ok',
    'two secrets: signed with the other');
is(signed('1500000000:x', 'second'), 401, '... expired');
ordinary_users('two secrets');

my @alive = (
    session_works('two secrets, the old', "$hour:media",
        password("$hour:media", 'first')),
    session_works('two secrets, the new', "$hour:media",
        password("$hour:media", 'second')),
    session_works('two secrets, both kinds of user', "$hour:both", 'right'),
    session_works('two secrets, over TCP', "$hour:tcp", password("$hour:tcp",
        'second'), tcp => 1),
);

my $load = $turn->load(clients => 16, seconds => 2, user => "$hour:load",
    password => password("$hour:load", 'first'))->total;
is($load->{refused}{401} // 0, 0,
    "nobody of $load->{allocations} is refused (401)");
cmp_ok($load->{allocations}, '>', 100, '... sixteen at a time');

my @wrong = $turn->client({user => "$hour:x", password => 'wrong'}, 'allocate',
    'allocate');
is(scalar(grep { /error 401/ } @wrong), 2,
    'a session that came with a wrong password does not get in later either');

# ---- the old one goes ----

change_secrets("update turn.shared_secret set valid_until = now() + '2 s'
    where value = 'first'", 'first', 401);
is(signed("$hour:guest-17", 'first'), 401,
    'signed with a secret that has expired');
is(signed("$hour:guest-17", 'second'), 'ok', 'signed with the one that stays');
like($_->step('refresh'), qr/^refresh ok/, 'a session from before goes on')
    for @alive;

# ---- rotated in SQL ----

sub issued {
    my ($name, $password) = split /\|/, $pg->value(
        "select name || '|' || password
        from turn.issue('octavio.test', 'caller')");
    return $turn->allocate($name, $password);
}
is(issued(), 'ok', 'turn.issue() makes a user who gets in');
$pg->value("select turn.rotate_secret('octavio.test', '1 hour')");
ok(wait_until(sub { issued() eq 'ok' }, 5),
    'so it does after turn.rotate_secret()');
is(signed("$hour:guest-17", 'second'), 'ok',
    '... which leaves those from before alone');
$pg->value("select turn.rotate_secret('octavio.test', '0')");
ok(wait_until(sub { signed("$hour:guest-17", 'second') eq 401 }, 5),
    'without overlap, those are refused');
$pg->psql("update turn.shared_secret set value = 'second'");

# ---- more secrets than are tried ----

change_secrets("insert into turn.shared_secret (realm, value, valid_until)
    select 'octavio.test', 's' || i, now() + i * interval '1 minute'
    from generate_series(1, 40) i", 's40', 'ok');
is(signed("$hour:x", 'second'), 'ok',
    '41 secrets: the one without an end counts');
is(signed("$hour:x", 's1'), 401, '... the one that ends first does not');
is(() = $turn->log_text =~ /realm octavio.test: too many valid secrets/g,
    1, '... which is said once');

# ---- outages, and coturn's own way ----

$pg->psql("delete from turn.shared_secret where value ~ '^s[0-9]+\$'");
$pg->stop;
ok($turn->wait_log(qr/is away/), 'PostgreSQL is away');
is(signed("$hour:new-guest", 'second'), 'ok',
    '... a time-limited user who never came before gets in');
is(signed("$hour:new-guest", 'wrong'), 401, '... but not with a wrong secret');
is($turn->allocate('guest', 'right'), 'ok', '... an ordinary one as well');
$turn->stop;
$pg->up;
$turn = Edge::Coturn->start(%start, name => 'own',
    conf => ['use-auth-secret', 'allowed-peer-ip=192.0.2.7']);
is(signed("$hour:x", 'second'), 'ok',
    'use-auth-secret: coturn checks the secrets itself');
is(signed("$hour:x", 'first'), 401, '... the valid ones only');
$turn->stop;

# ---- coturn's own table ----

$pg->create_db('stock');
$pg->run_file('/usr/share/coturn/schema.sql', db => 'stock');
$pg->psql("grant select on all tables in schema public to turn_server;
    insert into turn_secret (realm, value) values ('octavio.test', 'plain')",
    db => 'stock');
$turn = Edge::Coturn->start(%start, name => 'stock',
    conninfo => $pg->conninfo(db => 'stock'));
is(signed("$hour:x", 'plain'), 'ok',
    "coturn's own tables: a time-limited user");
is(signed("$hour:x", 'wrong'), 401, '... with a wrong secret');

done_testing();
