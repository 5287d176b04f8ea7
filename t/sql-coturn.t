use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;

# A stock coturn, without the plugin, on our database: it admits and refuses
# whom the database says, at once, and reads the peer rules.

Edge::Coturn::add_addresses('192.0.2.1', '198.51.100.7', '198.51.100.8',
    '203.0.113.9', '2001:db8::1');
my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'guest', 'cisco')");
my $turn = Edge::Coturn->start(conninfo => $pg->conninfo, ip => '192.0.2.1',
    conf => ['relay-ip=2001:db8::1']);
my $allocate = sub { $turn->allocate('guest', $_[0] // 'cisco') };

subtest 'users' => sub {
    is($allocate->(), 'ok', 'a user in the database may allocate');
    is($allocate->('wrong'), '401', 'not with another password');
    $pg->value("select turn.disable_user('octavio.test', 'guest')");
    is($allocate->(), '401', 'disabled: refused');
    $pg->value("select turn.enable_user('octavio.test', 'guest')");
    is($allocate->(), 'ok', 'enabled: admitted');
    $pg->value("select turn.set_password('octavio.test', 'guest', 'other')");
    is($allocate->(), '401', 'password changed: the old one is refused');
    is($allocate->('other'), 'ok', 'the new one is good');
    $pg->value("select turn.set_validity('octavio.test', 'guest',
        clock_timestamp() + interval '3 seconds')");
    is($allocate->('other'), 'ok', 'valid for some seconds: admitted');
    ok(wait_until(sub { $allocate->('other') eq '401' }, 10),
        'then refused, without anybody doing anything');
    $pg->value("select turn.set_validity('octavio.test', 'guest', null)");
    $pg->value("select turn.remove_user('octavio.test', 'guest')");
    is($allocate->('other'), '401', 'removed: refused');

    my $made = $pg->value("select turn.add_user('octavio.test', 'guest')");
    is($allocate->($made), 'ok', 'a made password is good');
    my $name = 'g%s$(x);--:@' . 'n' x 400;
    $pg->value("select turn.add_user('octavio.test', ?, 'cisco')", $name);
    is($turn->allocate($name, 'cisco'), 'ok', 'an odd name as well');
    $pg->psql(qq{select turn.add_user('octavio.test', 'm\xc3\xbcller',
        'p\xc3\xa4ss')});
    is($turn->allocate("m\xc3\xbcller", "p\xc3\xa4ss"), 'ok',
        'one outside ASCII, in UTF-8');
    is($turn->allocate("mu\xcc\x88ller", "p\xc3\xa4ss"), '401',
        'its look-alike in another normal form is another name');
};

# 'ok' or '403' for a peer, once coturn has read the rules (every 5 s).
sub permission {
    my ($family, $peer) = @_;
    my @lines = $turn->client({user => 'peer', password => 'cisco'},
        "allocate=$family", "permission=$peer");
    return $lines[-1] =~ /^permission (?:error )?(\w+)/ ? $1 : $lines[-1];
}

subtest 'peer rules' => sub {
    $pg->value("select turn.add_user('octavio.test', 'peer', 'cisco')");
    is(permission('v4', $_), 'ok', "before: $_") for '198.51.100.7',
        '203.0.113.9';
    $pg->value("select turn.deny_peer('octavio.test', '198.51.100.0/24'),
        turn.deny_peer('', '3fff::/20'),
        turn.deny_peer('other.test', '203.0.113.0/24'),
        turn.allow_peer('octavio.test', '198.51.100.8'),
        turn.allow_peer('octavio.test', '3fff:2:1::/48'),
        turn.allow_peer('', '::/96')");
    ok(wait_until(sub { permission('v4', '198.51.100.7') eq '403' }, 15),
        'a denied network is denied, without a restart');
    my @table = (
        [v4 => '198.51.100.8', 'ok', 'what is allowed in it is not'],
        [v4 => '203.0.113.9', 'ok', 'nor what is denied in another realm'],
        [v6 => '3fff:2::7', '403', 'IPv6'],
        [v6 => '3fff:2:1::7', 'ok', 'allowed in it'],
        [v6 => '::ffff:198.51.100.7', '403', 'IPv4-mapped'],
        [v6 => '64:ff9b::198.51.100.7', '403', 'NAT64'],
        [v6 => '2002:c633:6407::1', '403', '6to4'],
        [v6 => '::ffff:198.51.99.7', 'ok', 'mapped, but a neighbour'],
        [v6 => '2001:db8::7', 'ok', 'of which no rule speaks'],
    );
    for (@table) {
        my ($family, $peer, $expected, $what) = @$_;
        is(permission($family, $peer), $expected, "$peer: $what");
    }
    $pg->value("select turn.remove_peer('octavio.test', '198.51.100.0/24')");
    ok(wait_until(sub { permission('v4', '198.51.100.7') eq 'ok' }, 15),
        'taken away: reachable again');
};

# As coturn's own documentation sets it up: a role of its own owns the tables.
subtest 'installing under a coturn that runs' => sub {
    $pg->psql('create role oldcoturn login');
    $pg->create_db('old', 'oldcoturn');
    $pg->run_file('/usr/share/coturn/schema.sql', db => 'old',
        user => 'oldcoturn');
    $pg->psql("insert into turnusers_lt values ('octavio.test', 'guest',
        md5('guest:octavio.test:cisco'))", db => 'old', user => 'oldcoturn');
    my $old = Edge::Coturn->start(name => 'old', port => 3479,
        ip => '192.0.2.1', conninfo => 'dbname=old user=oldcoturn host='
        . $pg->socket_dir);
    is($old->allocate('guest', 'cisco'), 'ok', 'before');
    $pg->install('old');
    is($old->allocate('guest', 'cisco'), 'ok',
        'after, with its old connection string and no restart');
    my $dbh = $pg->dbh(db => 'old', user => 'turn_admin');
    $dbh->do("select turn.disable_user('octavio.test', 'guest')");
    is($old->allocate('guest', 'cisco'), '401', 'disabled: refused');
    my $made = $dbh->selectrow_array(
        "select turn.add_user('octavio.test', 'new')");
    is($old->allocate('new', $made), 'ok', 'added: admitted');
    unlike($old->log_text, qr/ERROR.*(denied|exist)/, 'nothing is missing');
    $old->stop;
};

subtest 'nothing that coturn asks for is refused or misread' => sub {
    my $log = $turn->log_text;
    unlike($log, qr/permission denied|Wrong address|relation .* does not/,
        'in its log');
    unlike($pg->log_text, qr/ERROR/, 'nor in the server\'s');
};

done_testing();
