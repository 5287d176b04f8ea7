use strict;
use warnings;
use utf8;
use Edge::Netns;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;

# turn.add_user and its kin, as people call them: connected as turn_admin.

binmode $_, ':utf8' for map { Test::More->builder->$_ }
    qw(output failure_output todo_output);

# turnadmin opens a log file there, whatever it is told.
system('mount', '-t', 'tmpfs', 'log', '/var/log') == 0 or die "mount: $?";

my $pg = Edge::Postgres->start;
$pg->install;
my $admin = $pg->dbh(user => 'turn_admin');
my $server = $pg->dbh(user => 'turn_server');
my $realm = 'octavio.test';

sub value {
    my ($sql, @bind) = @_;
    return ($admin->selectrow_array($sql, undef, @bind))[0];
}

# The error of a statement as 'SQLSTATE message'; '' if it succeeds.
sub error {
    my ($sql, @bind) = @_;
    return '' if eval { $admin->do($sql, undef, @bind); 1 };
    my ($message) = $admin->errstr =~ /^ERROR:\s+(.*?)(?:\nHINT|\nCONTEXT|$)/s;
    return $admin->state . " $message";
}

sub add { return value('select turn.add_user(?, ?, ?)', $realm, @_) }

sub check {
    my ($name, $password) = @_;
    return value('select turn.check_user(?, ?, ?)', $realm, $name, $password);
}

# What coturn gets for a name: the first 32 digits of the key, or undef.
sub key_for_coturn {
    my ($name, $in) = @_;
    my ($key) = $server->selectrow_array('select hmackey from turnusers_lt
        where name = ? and realm = ?', undef, $name, $in // $realm);
    return defined $key ? substr($key, 0, 32) : undef;
}

subtest 'the key is the one that TURN and turnadmin compute' => sub {
    is(value("select turn.add_user('octavio.com', 'turnuser', 'cisco')"),
        undef, 'a given password is not returned');
    is(key_for_coturn('turnuser', 'octavio.com'),
        '29010c2929b4e8233368220405ac74d9', 'the key of the how-to');
    my ($raw) = $server->selectrow_array('select hmackey from turnusers_lt');
    is(length $raw, 128, 'padded as in coturn\'s own table');
    for my $case (['a:b', 'p:q'], ['x%s', 'blank in it'], ['$(id)', q{'"\\}],
        ['x' x 400, 'p' x 200])
    {
        my ($name, $password) = @$case;
        add($name, $password);
        open my $out, '-|', 'turnadmin', '-k', '-u', $name, '-r', $realm,
            '-p', $password or die "turnadmin: $!";
        my ($theirs) = join('', <$out>) =~ /^0x([0-9a-f]{32})$/m;
        is(key_for_coturn($name), $theirs, 'user ' . substr($name, 0, 10));
    }
};

subtest 'a password that is made' => sub {
    my $made = add('made', undef);
    like($made, qr/^[a-km-np-z2-9]{24}$/, 'is safe to paste');
    is(check('made', $made), 'ok', 'lets the user in');
    my %seen = map { $_ => 1 } map { add("made$_", undef) } 1 .. 50;
    is(scalar keys %seen, 50, 'is another one every time');
    my %letters = map { $_ => 1 } map { split // } keys %seen;
    is(scalar keys %letters, 32, 'of all letters there are');
    my $again = value('select turn.set_password(?, ?)', $realm, 'made');
    isnt($again, $made, 'set_password makes another');
    is(check('made', $made), 'wrong password', 'the old one is out');
    is(check('made', $again), 'ok', 'the new one is in');
};

subtest 'passwords stay out of the database and of its log' => sub {
    add('hidden', 'hunter2-in-clear');
    error('select turn.add_user(?, ?, ?)', $realm, 'hidden',
        'hunter3-in-clear');
    $pg->try_psql("select turn.$_", user => 'turn_admin') for
        "add_user('$realm', 'hidden', 'hunter4-in-clear')",
        "set_password('$realm', 'nobody', 'hunter5-in-clear')",
        "set_key('$realm', 'nobody', '29010c2929b4e8233368220405ac74d9')",
        "add_user('$realm', 'a b', 'hunter6-in-clear')";
    my $log = $pg->log_text;
    like($log, qr/user "hidden" exists/, 'a failing call is logged');
    unlike($log, qr/in-clear/, 'without the password in it');
    unlike($log, qr/29010c2929b4e/, 'or the key');
    my @found = $pg->rows("select c from turn.credential c
        where c::text like '%in-clear%'");
    is(@found, 0, 'no password is stored');
};

subtest 'what exists is not added again' => sub {
    add('twice', 'first');
    is(error('select turn.add_user(?, ?, ?)', $realm, 'twice', 'second'),
        '23505 user "twice" exists in realm "octavio.test"', 'says so');
    is(check('twice', 'first'), 'ok', 'and nothing is changed');
    is(value("select turn.add_user('other.test', 'twice', 'second')"), undef,
        'in another realm it is another user');
};

subtest 'of many who add one user, one does' => sub {
    my @out;
    for (1 .. 8) {
        open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh',
            $pg->psql_argv(user => 'turn_admin'), '-c',
            "select 'made ' || turn.add_user('$realm', 'raced')"
            or die "psql: $!";
        push @out, $out;
    }
    my @lines = map { my $o = $_; <$o> } @out;
    my @made = grep { /^made/ } @lines;
    is(@made, 1, 'and gets a password');
    is((grep { /user "raced" exists/ } @lines), 7, 'the others are told');
    my ($password) = $made[0] =~ /made (\w+)/;
    is(check('raced', $password), 'ok', 'which is the right one');
};

subtest 'a key instead of a password' => sub {
    my $key = '29010c2929b4e8233368220405ac74d9';
    value('select turn.add_user(?, ?, key => ?)', $realm, 'bykey', $key);
    is(key_for_coturn('bykey'), $key, 'as it is');
    value('select turn.set_key(?, ?, ?)', $realm, 'bykey',
        '0x060E2A77642492FE4DCA2A57C5C46D95');
    is(key_for_coturn('bykey'), '060e2a77642492fe4dca2a57c5c46d95',
        'and as turnadmin -k prints it, in any letter case');
    is(error('select turn.set_key(?, ?, ?)', $realm, 'bykey', $_),
        '22023 the key is not 32 hex digits', 'not: ' . ($_ // 'null'))
        for undef, '', 'cisco', substr($key, 1), "${key}0", "g$key";
    is(error('select turn.add_user(?, ?, ?, key => ?)', $realm, 'x', 'p', $key),
        '22023 give a password or a key, not both', 'one of the two');
};

subtest 'a user who may not log in is not there for coturn' => sub {
    add('gone', 'cisco');
    my $key = key_for_coturn('gone');
    my $act = sub { value("select turn.$_[0](?, ?)", $realm, 'gone') };
    my $state = sub {
        value('select state from turn.users where name = ?', 'gone');
    };
    is($state->(), 'active', 'active');

    $act->('disable_user');
    is(key_for_coturn('gone'), undef, 'disabled: hidden');
    is($state->(), 'disabled', 'people see why');
    like(check('gone', 'cisco'), qr/^disabled: /, 'and check_user says it');
    $act->('disable_user');
    $act->('enable_user');
    is(key_for_coturn('gone'), $key, 'enabled: as before');

    my $until = value("select now() + interval '2 seconds'");
    value('select turn.set_validity(?, ?, ?)', $realm, 'gone', $until);
    is(key_for_coturn('gone'), $key, 'valid for a moment: there');
    ok(wait_until(sub { !defined key_for_coturn('gone') }, 10),
        'then not, without anybody doing anything');
    is($state->(), 'expired', 'people see why');
    like(check('gone', 'cisco'), qr/^expired at /, 'and check_user says it');

    value("select turn.set_validity(?, ?, null, now() + interval '1 day')",
        $realm, 'gone');
    is(key_for_coturn('gone'), undef, 'not yet valid: hidden');
    is($state->(), 'not yet valid', 'people see why');
    like(check('gone', 'x'), qr/^wrong password; not yet valid, from /,
        'and check_user says it, with all other reasons');

    value('select turn.set_validity(?, ?, null)', $realm, 'gone');
    is(key_for_coturn('gone'), $key, 'without limits: there');
    $act->('remove_user');
    is(key_for_coturn('gone'), undef, 'removed: not there');
    like(check('gone', 'cisco'), qr/^unknown user "gone"/, 'unknown');
};

subtest 'turn.users' => sub {
    value("select turn.add_user(?, 'listed', 'cisco', valid_until =>
        '2127-01-01', note => 'CMS cluster A')", $realm);
    my $row = $admin->selectrow_hashref(
        "select * from turn.users where name = 'listed'");
    is_deeply([sort keys %$row], [sort qw(realm name state valid_from
        valid_until note created changed)], 'shows what people need, no key');
    is($row->{note}, 'CMS cluster A', 'the note');
    like($row->{valid_until}, qr/^2127-01-01/, 'until when');
    is($row->{changed}, $row->{created}, 'when it came');
    value("select turn.set_note(?, 'listed', 'other')", $realm);
    my $now = $admin->selectrow_hashref(
        "select * from turn.users where name = 'listed'");
    is($now->{note}, 'other', 'a changed note');
    is($now->{created}, $row->{created}, 'it came when it came');
    cmp_ok($now->{changed}, 'gt', $row->{changed}, 'and changed since');
};

subtest 'names that coturn refuses are refused here, with the reason' => sub {
    my %reason = (
        '' => 'the user name is empty',
        'a b' => 'user name "a b" contains a space, which coturn refuses',
        "a\tb" => "user name \"a\tb\" contains a tab, which coturn refuses",
        q{a'b} => q{user name "a'b" contains a single quote, }
            . 'which coturn refuses',
        'a"b' => 'user name "a"b" contains a double quote, '
            . 'which coturn refuses',
        "a\nb" => "user name \"a\nb\" contains a line break, "
            . 'which coturn refuses',
        "a\rb" => "user name \"a\rb\" contains a carriage return, "
            . 'which coturn refuses',
        'a\\b' => 'user name "a\\b" contains a backslash, '
            . 'which coturn refuses',
        "a\x01b" => "user name \"a\x01b\" contains a control character, "
            . 'which coturn refuses',
        'reUNIONselected' => 'user name "reUNIONselected" contains "union" '
            . 'and "select", which coturn refuses',
        '*x' => 'user name "*x" begins with "*", which stands for all users '
            . q{in coturn's command line interface},
        '1700000000:x' => 'user name "1700000000:x" begins with digits and '
            . 'a colon, as only time-limited users do',
        'x' x 513 => 'the user name has 513 bytes, coturn takes at most 512',
        'ü' x 257 => 'the user name has 514 bytes, coturn takes at most 512',
    );
    for my $name (sort keys %reason) {
        is(error('select turn.add_user(?, ?)', $realm, $name),
            "22023 $reason{$name}", $reason{$name});
        # Time-limited users: t/sql-secrets.t.
        is(check($name, 'x'), $reason{$name}, '… says check_user, too')
            if $name !~ /^\d+:/;
    }
    is(error('select turn.add_user(?, null)', $realm),
        '22023 the user name is empty', 'null');
    my %realm = (
        '' => 'the realm is empty',
        'a b' => 'realm "a b" contains a space, which coturn refuses',
        'r' x 128 => 'the realm has 128 bytes, coturn takes at most 127',
    );
    is(error('select turn.add_user(?, ?)', $_, 'x'), "22023 $realm{$_}",
        $realm{$_}) for sort keys %realm;
};

subtest 'names and passwords outside ASCII are those that clients send' => sub {
    my ($nfc, $nfd) = ("m\x{fc}ller", "mu\x{308}ller");
    add($nfc, "p\x{e4}ss");
    is(check($nfc, "p\x{e4}ss"), 'ok', 'in normal form NFC');
    is(error('select turn.add_user(?, ?)', $realm, $nfd), "22023 user name "
        . "\"$nfd\" is not in Unicode normal form NFC, as clients send it",
        'another form of a name is refused');
    is(error('select turn.add_user(?, ?, ?)', $realm, 'x', "pa\x{308}ss"),
        '22023 the password is not in Unicode normal form NFC, as clients send '
        . 'it', 'of a password, too');
    is(error('select turn.issue(?, ?)', $realm, $nfd) =~ s/".*?"/.../r,
        '22023 id ... is not in Unicode normal form NFC, as clients send it',
        'and of an id') if value('select turn.add_secret(?)', $realm);
    like(check($nfd, 'x'), qr/not in Unicode normal form NFC/,
        'check_user says so');
    is(error('select turn.add_user(?, ?)', $realm, $_), '', "taken: $_")
        for "\x{fb01}n", "\x{5f20}\x{4e09}", "M\x{dc}LLER";
};

subtest 'users are listed by name' => sub {
    value('select turn.add_user(?, ?)', 'list.test', $_) for map { "g$_" } 1..5;
    value("select turn.disable_user('list.test', 'g3')");
    my $list = sub { join ' ', map { $_->[0] } @{$admin->selectall_arrayref(
        "select name from turn.list_users('list.test'$_[0])")} };
    is($list->(''), 'g1 g2 g3 g4 g5', 'all');
    is($list->(', most => 2'), 'g1 g2', 'some');
    is($list->(", most => 2, after => 'g2'"), 'g3 g4', 'the next');
    is($list->(", '%4'"), 'g4', 'by pattern');
    is($list->(", state => 'disabled'"), 'g3', 'by state');
    is($list->(', most => null'), 'g1 g2 g3 g4 g5', 'as many as there are');
    is(error("select turn.list_users('list.test', state => 'x')"),
        '22023 state "x" is none of active, disabled, expired, not yet valid',
        'no such state');
};

subtest 'a page costs the same whatever the realm holds' => sub {
    $pg->psql("begin;
        insert into turn.import (realm, name, key)
        select 'long.test', 'g' || lpad(i::text, 6, '0'), md5(i::text)
        from generate_series(1, 100500) i;
        update turn.credential set enabled = false
        where name in ('g000007', 'g100400') and realm = 'long.test';
        commit; analyze turn.credential");
    # Buffers that one call reads, also when it is not the first.
    my $read = sub {
        my ($arguments) = @_;
        my $plan = $pg->psql("set plan_cache_mode = force_generic_plan;
            explain (analyze, buffers, costs off)
            select * from turn.list_users('long.test'$arguments)");
        return 0 + ($plan =~ /Buffers: shared hit=(\d+)/)[0];
    };
    cmp_ok($read->($_->[1]), '<', 1000, $_->[0])
        for ['the first', ''], ['in the middle', ", after => 'g050000'"],
            ['the last', ", after => 'g100490'"],
            ['disabled ones', ", state => 'disabled'"];
    my $names = sub { $pg->try_psql("select string_agg(name, ' ')
        from turn.list_users('long.test', $_[0])") };
    is($names->("state => 'disabled'"), "g000007 g100400\n",
        'those of a state are found among many others');
    my $page = $names->("'%0400'");
    like($page, qr/ g090400$/m, 'a pattern is looked for in 100,000 names');
    like($page, qr/NOTICE: .*\n.*after => 'g100000'/, '... and no more, a '
        . 'notice says so');
    is($names->("'%0400', after => 'g100000'"), "g100400\n", '... and goes on');
    $pg->psql("delete from turn.credential where realm = 'long.test'");
};

subtest 'a realm that is new is worth a word: it may be a typing error' => sub {
    my $add = sub { $pg->try_psql("select turn.add_user('octavio.tset', '$_[0]',
        'p')") };
    like($add->('first'), qr/NOTICE:  realm "octavio.tset" had no users until/,
        'the first user');
    unlike($add->('second'), qr/NOTICE/, 'not the second');
    $pg->psql("delete from turn.credential where realm = 'octavio.tset'");
};

subtest 'names that coturn takes are taken' => sub {
    for my $name ('x' x 512, 'ü' x 256, 'guest@octavio.test', '%s%s%n',
        '$1', ';--', 'a:1', 'select', 'union', 'x*', '17x:y', '日本')
    {
        add($name, 'cisco');
        ok(defined key_for_coturn($name), substr($name, 0, 20))
            or diag($name);
    }
};

subtest 'passwords that cannot be' => sub {
    is(error('select turn.add_user(?, ?, ?)', $realm, 'pw', ''),
        '22023 the password is empty', 'empty');
    is(error('select turn.add_user(?, ?, ?)', $realm, 'pw', 'p' x 257),
        '22023 the password has 257 bytes, coturn takes at most 256', 'long');
    is(error('select turn.add_user(?, ?, ?)', $realm, 'pw', "cisco\n"),
        '22023 the password contains a control character or line break',
        'pasted with its line break');
    add('pw', 'p' x 256);
    is(check('pw', 'p' x 256), 'ok', '256 bytes are good');
};

subtest 'times that cannot be' => sub {
    like(error("select turn.add_user(?, 't', valid_until => '2001-01-01')",
        $realm), qr/^22023 valid_until 2001-01-01.* is in the past$/, 'past');
    like(error("select turn.add_user(?, 't', valid_from => '2127-01-02',
        valid_until => '2127-01-01')", $realm),
        qr/^22023 valid_until .* is not after valid_from /, 'the wrong way');
    like(error("select turn.set_validity(?, 'listed', '2001-01-01')", $realm),
        qr/^22023 valid_until/, 'set_validity as well');
};

subtest 'whoever is not there cannot be changed' => sub {
    is(error("select turn.$_", $realm, 'nobody'),
        'P0002 there is no user "nobody" in realm "octavio.test"', $_) for
        "set_password(?, ?, 'x')", 'set_password(?, ?)',
        "set_key(?, ?, '29010c2929b4e8233368220405ac74d9')",
        'disable_user(?, ?)', 'enable_user(?, ?)', 'remove_user(?, ?)',
        'set_validity(?, ?, null)', "set_note(?, ?, 'x')";
};

subtest 'check_user says in words why a login fails' => sub {
    value('select turn.add_user(?, ?, ?)', 'words.test', 'guest', 'cisco');
    my $say = sub { value('select turn.check_user(?, ?, ?)', @_) };
    is($say->('words.test', 'guest', 'cisco'), 'ok', 'ok');
    is(value("select turn.check_user('words.test', 'guest')"), 'ok',
        'without a password: whether there is any other reason');
    is($say->('words.test', 'guest', 'Cisco'), 'wrong password', 'wrong');
    is($say->('words.test', 'guest', ' cisco '),
        'wrong password: right without the blanks around it', 'blanks');
    is($say->('words.test', 'Guest', 'cisco'), 'unknown user "Guest" in realm '
        . '"words.test"; there is user "guest" (letter case counts)', 'case');
    is($say->('other.words.test', 'guest', 'cisco'), 'unknown user "guest" in '
        . 'realm "other.words.test"; a user of this name is in realm '
        . '"words.test"', 'another realm has that user');
    is($say->('other.words.test', 'nobody', 'cisco'), 'unknown user "nobody" '
        . 'in realm "other.words.test"; this realm has no users at all',
        'nobody there at all');
    is($say->('words.test', 'nobody', 'cisco'),
        'unknown user "nobody" in realm "words.test"', 'unknown');
    $pg->psql("insert into turn.credential (realm, name, hmackey)
        values ('words.test', 'broken', 'no key')");
    is($say->('words.test', 'broken', 'x'),
        'its stored key is none: set a new password', 'a broken key');
};

subtest 'a look-up among 200,000 users is a look into an index' => sub {
    $pg->psql("insert into turn.credential (realm, name, hmackey)
        select 'many.test', 'user' || i, md5(i::text)
        from generate_series(1, 200000) i; analyze turn.credential");
    for my $dbh ($server, $admin) {
        my $plan = join "\n", map { $_->[0] } @{$dbh->selectall_arrayref(
            "explain (analyze, timing off) select hmackey from turnusers_lt
            where name='user777' and realm='many.test'")};
        like($plan, qr/Index Scan using credential_pkey/, 'by its key');
        unlike($plan, qr/Seq Scan on credential/, 'and nothing else');
        like($plan, qr/Index Cond: .*realm.*name/, 'realm and name both');
    }
};

done_testing();
