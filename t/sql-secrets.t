use strict;
use warnings;
use utf8;
use Digest::SHA qw(hmac_sha1 hmac_sha1_base64 sha1_hex);
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Encode qw(encode_utf8);
use Test::More;

# Secrets of time-limited users, such users, and quotas, as turn_admin, as a
# program that issues names, and as a stock coturn meets them.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->psql('create role webapp login; grant usage on schema turn to webapp;
    grant execute on function turn.issue to webapp');
my $admin = $pg->dbh(user => 'turn_admin');
my $webapp = $pg->dbh(user => 'webapp');
my $realm = 'octavio.test';

sub value { return ($admin->selectrow_array($_[0], undef, @_[1 .. $#_]))[0] }

# The error of a statement; '' if it succeeds.
sub error {
    my ($dbh, $sql, @bind) = @_;
    return '' if eval { $dbh->do($sql, undef, @bind); 1 };
    return $dbh->state . ' ' . ($dbh->errstr =~ /^ERROR:\s+(.*)/)[0];
}

sub issue {
    return $webapp->selectrow_hashref('select *,
        extract(epoch from expires)::bigint as unix from turn.issue(?, ?, ?)',
        undef, $realm, @_);
}

sub password {
    my ($secret, $name) = @_;
    return hmac_sha1_base64(encode_utf8($name), encode_utf8($secret)) . '=';
}

sub states {
    return join ' ', sort map { $_->[0] } @{$admin->selectall_arrayref(
        'select state from turn.secrets where realm = ?', undef, $realm)};
}

subtest 'SHA-1 and HMAC are the standard\'s' => sub {
    my @lengths = (0 .. 3, 54 .. 57, 62 .. 66, 118 .. 121, 127 .. 129, 300);
    my @wrong = grep { $pg->value("select encode(turn.sha1(convert_to(
        repeat('x', $_), 'UTF8')), 'hex')") ne sha1_hex('x' x $_) } @lengths;
    is_deeply(\@wrong, [], 'SHA-1 of messages around each block\'s end');
    @wrong = grep { $pg->value("select encode(turn.hmac_sha1(decode(repeat(
        'fe', $_), 'hex'), convert_to('a message', 'UTF8')), 'hex')")
        ne unpack 'H*', hmac_sha1('a message', "\xfe" x $_) } @lengths;
    is_deeply(\@wrong, [], 'HMAC with keys of such lengths');
};

subtest 'a name is issued' => sub {
    like(error($webapp, 'select turn.issue(?, ?)', $realm, 'x'),
        qr/P0002 realm "octavio.test" has no secret/, 'not without a secret');
    my $secret = value('select turn.add_secret(?)', $realm);
    like($secret, qr/^[a-km-np-z2-9]{24}$/, 'which is made, and shown once');
    my $user = issue('guest-17', '2 hours');
    is($user->{name}, "$user->{unix}:guest-17", 'expiry:id');
    cmp_ok(abs($user->{unix} - time - 7200), '<', 10, 'after the lifetime');
    cmp_ok(abs($user->{ttl} - 7200), '<=', 1, 'in seconds, too');
    is($user->{password}, password($secret, $user->{name}),
        'the password is the name\'s HMAC');
    my $odd = issue("müller\@octavio.test", '1 day');
    is($odd->{password}, password($secret, $odd->{name}), 'UTF-8 in the id');
    cmp_ok(abs(issue('a', '30 days')->{ttl} - 30 * 86400), '<=', 1,
        'for up to 30 days');
    is($pg->value('select count(*) from turn.credential'), 0,
        'nothing is stored');
};

subtest 'what cannot be a time-limited user is refused' => sub {
    for (
        ['', '1 day', 'the id is empty'],
        [undef, '1 day', 'the id is empty'],
        ['a b', '1 day', 'id "a b" contains a space, which coturn refuses'],
        ['x"', '1 day', 'id "x"" contains a double quote, which coturn '
            . 'refuses'],
        ['union_select', '1 day', 'id "union_select" contains "union" and '
            . '"select", which coturn refuses'],
        ['x' x 502, '1 day', 'the user name would have 513 bytes, coturn takes '
            . 'at most 512'],
        ['a', '0', 'the lifetime is less than a second'],
        ['a', '-1 day', 'the lifetime is less than a second'],
        ['a', undef, 'the lifetime is less than a second'],
        ['a', '4000 years -1439970 days', 'the lifetime 4000 years '
            . '-1439970 days is more than 30 days: turn.add_user adds users '
            . 'for longer'],
        ['a', '-100 years 36500 days', 'the lifetime is less than a second'],
        ['a', '31 days', 'the lifetime 31 days is more than 30 days: '
            . 'turn.add_user adds users for longer'])
    {
        my ($id, $lifetime, $why) = @$_;
        is(error($webapp, 'select turn.issue(?, ?, ?)', $realm, $id, $lifetime),
            "22023 $why", $why);
    }
    is(error($webapp, 'select turn.issue(?, ?)', $realm, 'x' x 501), '',
        'an id may have 501 bytes');
};

subtest 'who issues names sees no secret' => sub {
    like(error($webapp, $_), qr/^42501/, $_) for
        'select * from turn.turn_secret', 'select * from turn.secrets',
        'select * from turn.shared_secret', "select turn.add_secret('r')",
        "select turn.rotate_secret('r')", 'select * from turn.users',
        "select turn.hmac_sha1('', '')", "select turn.add_user('r', 'u')";
    $pg->install;
    is(error($webapp, 'select turn.issue(?, ?)', $realm, 'a'), '',
        'and may still issue them after an upgrade');
};

subtest 'a secret is rotated' => sub {
    my $old = $pg->value('select value from turn.shared_secret');
    my $new = value("select turn.rotate_secret('$realm', '1 hour')");
    isnt($new, $old, 'another one');
    is(states(), 'accepted signs', 'both are good');
    my $user = issue('a', '1 day');
    is($user->{password}, password($new, $user->{name}), 'the new one signs');
    cmp_ok(abs($pg->value('select valid_until_ms from turn.turn_secret
        where value = ?', $old) / 1000 - time - 3600), '<', 10,
        'the old one ends after the overlap');
    value("select turn.rotate_secret('$realm', '1 day')");
    cmp_ok(abs($pg->value('select valid_until_ms from turn.turn_secret
        where value = ?', $old) / 1000 - time - 3600), '<', 10,
        'and no later when there is another rotation');
    $pg->psql("update turn.shared_secret set valid_until = now()
        where value = '$old'");
    is($pg->dbh(user => 'turn_server')->selectrow_array(
        "select count(*) from turn_secret where value = '$old'"), 0,
        'then coturn does not see it');
    is(states(), 'accepted expired signs', 'people do');
    value("select turn.rotate_secret('$realm', '0')");
    is(states(), 'signs', 'without overlap the new one is alone');
    like(error($admin, "select turn.rotate_secret('$realm', ?)", $_),
        qr/^22023 the overlap/, 'no overlap: ' . ($_ // 'null'))
        for '-1 hour', undef;
};

subtest 'two rotations at once are as good as one after the other' => sub {
    my $first = $pg->new_dbh(user => 'turn_admin');
    $first->begin_work;
    $first->do("select turn.rotate_secret('$realm')");
    my $second = $pg->new_dbh(user => 'turn_admin');
    $second->do("select turn.rotate_secret('$realm')", {pg_async => 1});
    ok(wait_until(sub { $pg->value("select count(*) from pg_stat_activity
        where query like '%rotate%' and wait_event_type = 'Lock'") == 1 }),
        'the second waits');
    $first->commit;
    $second->pg_result;
    is($pg->value('select count(*) from turn.shared_secret
        where valid_until is null'), 1, 'and one secret is without an end');
};

subtest 'check_user knows why a time-limited user is refused' => sub {
    my $check = sub { value('select turn.check_user(?, ?, ?)', @_) };
    my $user = issue('a', '1 hour');
    my ($name, $right) = @$user{qw(name password)};
    is($check->($realm, $name, $right), 'ok', 'the right password');
    is($check->($realm, $name, undef), 'ok', 'none');
    is($check->($realm, $name, 'x'), 'wrong password: no secret of realm '
        . qq("$realm" signed it), 'another');
    like($check->($realm, '17:a', $right), qr/^expired at 1970/, 'expired');
    is($check->($realm, '99999999999:a', 'x'),
        'its expiry is no possible time', 'a far expiry');
    is($check->('other.test', $name, $right), 'realm "other.test" has no '
        . 'secret of time-limited users', 'another realm');
    $pg->psql("update turn.shared_secret set valid_until = now()
        where valid_until is null");
    like($check->($realm, $name, $right), qr/^the secret that .* ended at/,
        'a secret that has ended');
};

subtest 'no name outlives the secret it is signed with' => sub {
    $pg->psql("update turn.shared_secret
        set valid_until = now() + interval '1 hour'");
    my $user = issue('a', '1 day');
    cmp_ok(abs($user->{ttl} - 3600), '<', 10, 'its expiry is the secret\'s');
    $pg->psql("update turn.shared_secret
        set valid_until = now() + interval '1 second'");
    like(error($webapp, 'select turn.issue(?, ?)', $realm, 'x'),
        qr/^P0002/, 'a secret signs no name for less than a second');
    $pg->psql("update turn.shared_secret set valid_until = now()");
    like(error($webapp, 'select turn.issue(?, ?)', $realm, 'x'),
        qr/^P0002/, 'a secret that has ended signs nothing');
};

subtest 'secrets are added, listed and removed without being shown' => sub {
    is(value("select turn.add_secret('$realm', 'sixteen-letters-')"), undef,
        'a given secret is not returned');
    like(error($admin, "select turn.add_secret('$realm', 'sixteen-letters-')"),
        qr/^23505 this secret is there already/, 'twice is an error');
    for (['', 'the secret is empty'], ["a\nb", 'the secret contains a control '
            . 'character or line break'], ['x' x 257,
            'the secret has 257 bytes, coturn takes at most 256'])
    {
        is(error($admin, "select turn.add_secret('$realm', ?)", $_->[0]),
            "22023 $_->[1]", $_->[1]);
    }
    like($pg->try_psql("select turn.add_secret('$realm', 'short')",
        user => 'turn_admin'), qr/WARNING:  the secret is short/,
        'a short one is warned of');
    unlike(join(' ', map { @$_ } @{$admin->selectall_arrayref('select realm,
        fingerprint, state from turn.secrets')}), qr/letters|short/,
        'turn.secrets shows none');
    unlike($pg->log_text, qr/sixteen|a\nb|x{257}/, 'nor does the log');
    my $fingerprint = value("select fingerprint from turn.secrets
        where state = 'signs'");
    is(error($admin, 'select turn.remove_secret(?, ?)', $realm, $fingerprint),
        '', 'a fingerprint tells which to remove');
    like(error($admin, 'select turn.remove_secret(?, ?)', $realm,
        $fingerprint), qr/^P0002 realm .* has no secret with fingerprint/,
        'and that it is not there');
    unlike(join(' ', map { $_ // '' } map { @$_ } @{$admin->selectall_arrayref(
        'select * from turn.audit')}), qr/sixteen|short/, 'nor turn.audit');
};

subtest 'what is left when a secret is removed is said' => sub {
    $pg->psql('truncate turn.shared_secret');
    value("select turn.add_secret('$realm')");
    value("select turn.rotate_secret('$realm')");
    my $remove = sub {
        my ($state) = @_;
        my $fingerprint = value("select fingerprint from turn.secrets
            where state = '$state'");
        return $pg->try_psql("select turn.remove_secret('$realm',
            '$fingerprint')", user => 'turn_admin');
    };
    like($remove->('signs'),
        qr/WARNING:  turn.issue signs with a secret that ends at /,
        'one that ends');
    like($remove->('signs'), qr/WARNING:  realm "$realm" has no secret left/,
        'none');
    value("select turn.add_secret('$realm')");
    value("select turn.rotate_secret('$realm')");
    unlike($remove->('accepted'), qr/WARNING/, 'one without an end: no word');
};

subtest 'a stock coturn takes a name that was issued' => sub {
    $pg->psql('truncate turn.shared_secret');
    value('select turn.add_secret(?)', $realm);
    my $turn = Edge::Coturn->start(conninfo => $pg->conninfo,
        conf => ['use-auth-secret']);
    my $user = issue('guest', '1 hour');
    is($turn->allocate($user->{name}, $user->{password}), 'ok', 'admitted');
    value("select turn.rotate_secret('$realm', '1 hour')");
    is($turn->allocate($user->{name}, $user->{password}), 'ok',
        'within the overlap of a rotation, too');
    value("select turn.rotate_secret('$realm', '0')");
    is($turn->allocate($user->{name}, $user->{password}), '401',
        'not when its secret is gone');
    my $short = issue('guest', '2 seconds');
    is($turn->allocate($short->{name}, $short->{password}), 'ok', 'in time');
    ok(wait_until(sub { $turn->allocate($short->{name}, $short->{password})
        eq '401' }, 10), 'not after its expiry');
    $turn->stop;
};

subtest 'quotas' => sub {
    value("select turn.add_user('$realm', 'guest', 'cisco')");
    my $quotas = sub { join ' ', map { $_ // '-' } $admin->selectrow_array(
        'select total, per_user, bps from turn.quotas where realm = ?', undef,
        $realm) };
    value("select turn.set_quota('$realm', total => 1800)");
    is($quotas->(), '1800 - -', 'total');
    value("select turn.set_quota('$realm', per_user => 12, bps => 500000)");
    is($quotas->(), '1800 12 500000', 'others are kept');
    value("select turn.set_quota('$realm', 0, 0, 0)");
    is($quotas->(), '', '0 takes one away');
    is(error($admin, "select turn.set_quota('$realm', $_->[0])"),
        "22023 $_->[1]", $_->[1]) for
        ['-1', 'total-quota -1 is not between 0 and 2147483647'],
        ['1, 9999999999', 'user-quota 9999999999 is not between 0 and '
            . '2147483647'],
        ['null', 'say which quota: total, per_user or bps'];

    my $turn = Edge::Coturn->start(conninfo => $pg->conninfo);
    # Two relays of one user at once: 'ok' or '486'.
    my $second = sub {
        my $first = $turn->session({user => 'guest', password => 'cisco'});
        $first->step('allocate');
        my $result = $turn->allocate('guest', 'cisco');
        $first->close;
        return $result;
    };
    is($second->(), 'ok', 'without a quota: two relays of one user');
    value("select turn.set_quota('$realm', per_user => 1)");
    ok(wait_until(sub { $second->() eq '486' }, 15), 'with 1: one');
    value("select turn.set_quota('$realm', per_user => 0)");
    ok(wait_until(sub { $second->() eq 'ok' }, 15), 'taken away: two again');
};

done_testing();
