use strict;
use warnings;
use Edge::Netns;
use Edge::Postgres;
use Edge::Process;
use Test::More;

# turn.audit says who changed what; turn.import takes many users at once.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->psql('create role alice login in role turn_admin');
my $realm = 'octavio.test';
my $lines = $pg->psql('select count(*) from turn.audit');

# The lines since the last call, as 'what|name|details'.
sub audit {
    my $new = $pg->psql("select what || coalesce('|' || name, '')
        || coalesce('|' || details, '') from turn.audit order by at
        offset $lines");
    $lines = $pg->psql('select count(*) from turn.audit');
    return $new;
}

sub audit_of {
    my ($sql, $expected, $title) = @_;
    $pg->psql($sql, user => 'alice');
    my $new = audit();
    ref $expected ? like($new, $expected, $title) : is($new, $expected, $title);
}

subtest 'every change of a user is a line' => sub {
    audit_of("select turn.add_user('$realm', 'a', 'cisco', note => 'CMS A')",
        'user added|a|note: CMS A', 'add_user');
    is($pg->psql("select who || ' ' || application || ' ' || realm
        from turn.audit where at > now() - interval '1 minute'"),
        "alice psql $realm", 'with who, the application and the realm');
    audit_of("select turn.set_password('$realm', 'a', 'cisco2')", 'new key|a',
        'set_password');
    audit_of("select turn.disable_user('$realm', 'a')", 'disabled|a',
        'disable_user');
    audit_of("select turn.disable_user('$realm', 'a')", '', 'once');
    audit_of("select turn.enable_user('$realm', 'a')", 'enabled|a',
        'enable_user');
    audit_of("select turn.set_validity('$realm', 'a', '2099-01-01')",
        qr/^new validity\|a\|valid until 2099-01-01/, 'set_validity');
    audit_of("select turn.set_note('$realm', 'a', 'B')",
        qr/^new note\|a\|.*note: B$/, 'set_note');
    audit_of("delete from turn.turnusers_lt where name = 'a'", 'user removed|a',
        'turnadmin');
    $pg->try_psql("begin; select turn.add_user('$realm', 'b'); rollback",
        user => 'alice');
    is(audit(), '', 'what is rolled back did not happen');
};

subtest 'and of what else coturn reads' => sub {
    audit_of("select turn.allow_peer('$realm', '192.0.2.1')",
        'peer rule added|192.0.2.1|allowed true', 'a peer rule');
    audit_of("select turn.set_quota('$realm', total => 5)",
        'realm option added|total-quota|value 5', 'a quota');
    my $secret = $pg->psql("select turn.add_secret('$realm')",
        user => 'alice');
    my $fingerprint = $pg->psql('select fingerprint from turn.secrets');
    is(audit(), "secret added|$fingerprint", 'a secret, by its fingerprint');
    audit_of("select turn.remove_secret('$realm', '$fingerprint')",
        "secret removed|$fingerprint", 'removed');
    $pg->psql("select turn.add_secret('$realm')");
    $fingerprint = $pg->psql('select fingerprint from turn.secrets');
    audit();
    $pg->psql("select turn.rotate_secret('$realm')", user => 'alice');
    like(audit(), qr/^secret\ changed\|$fingerprint\|valid_until\ 2.*\n
        secret\ added\|(?!$fingerprint)\w{8}$/x, 'rotated: both');
    audit_of("insert into turn.oauth_key (kid, ikm_key) values ('k', 'ikm')",
        'OAuth key added|k|timestamp 0', 'an OAuth key');
    audit_of("insert into turn.admin_user values ('root', '', 'hash-of-it')",
        qr/^web administrator added\|root/, 'a web administrator');
    audit_of("insert into turn.turn_origin_to_realm values ('o', '$realm')",
        "origin added|o|realm $realm", 'an origin');
    my $all = $pg->psql('select * from turn.audit');
    unlike($all, qr/$secret|hash-of-it|ikm|cisco|[0-9a-f]{32}/,
        'no key, password or secret is in it');
};

subtest 'nobody but the owner changes it' => sub {
    for my $sql ('delete from turn.audit', "update turn.audit set who = 'x'",
        "insert into turn.audit (what) values ('x')",
        'truncate turn.audit_line', 'select * from turn.audit_line')
    {
        like($pg->try_psql($sql, user => 'alice'), qr/permission denied/, $sql);
    }
    like($pg->try_psql("select turn.prune_audit('29 days')", user => 'alice'),
        qr/lines of the last 30 days stay/, 'nor hides what was just done');
    $pg->psql("update turn.audit_line set at = now() - interval '13 months'
        where what = 'user removed'");
    like($pg->try_psql("select turn.prune_audit('-100 years 36030 days')",
        user => 'alice'), qr/lines of the last 30 days stay/,
        'however that is said');
    is($pg->psql('select turn.prune_audit()', user => 'alice'), 1,
        'lines of more than a year can be pruned');
    is($pg->psql("select what || ' ' || details || ' ' || who from turn.audit
        order by at desc limit 1"),
        'audit pruned 1 lines older than 1 year alice', 'which is a line');
};

# Writes a file with these rows; what \copy into turn.import says.
sub bring {
    my ($columns, @rows) = @_;
    my $file = "$Edge::Netns::dir/users.csv";
    Edge::Process::spew($file, join('', map { "$_\n" } $columns, @rows), 0644);
    my $out = $pg->try_psql("\\copy turn.import ($columns) from '$file' "
        . 'csv header', user => 'alice');
    $lines = $pg->psql('select count(*) from turn.audit') if $?;
    return $out;
}

sub check {
    return $pg->psql("select turn.check_user('$realm', '$_[0]', '$_[1]')");
}

subtest 'many users at once' => sub {
    audit();
    my @rows = map { "$realm,u$_,pw$_,n" } 1 .. 2000;
    my $version = sub { $pg->psql('select last_value from turn.user_version') };
    is(bring('realm,name,password,note', @rows), '', 'a file is taken');
    is(check('u7', 'pw7'), 'ok', 'its users may log in');
    is(audit(), 'users added|2000, "u1" to "u999"', 'one line in turn.audit');
    my $before = $version->();
    my $changed = $pg->psql('select max(changed) from turn.users');
    is(bring('realm,name,password,note', @rows), '', 'the same file again');
    is(audit(), '', 'changes nothing');
    is($version->(), $before, 'not for an edge either');
    is($pg->psql('select max(changed) from turn.users'), $changed,
        'nor in turn.users');
    is($pg->psql('select count(*) from turn.import'), 0, 'nothing stays there');
    my $file = $pg->psql("select pg_relation_filepath('turn.import')");
    $pg->stop;
    my $heap = Edge::Process::slurp("$pg->{data}/$file");
    $pg->up;
    ok(index($heap, 'u1999') > 0 && $heap !~ /pw\d/,
        'and no password was in its file');

    $pg->psql("select turn.disable_user('$realm', 'u7')");
    like(bring('realm,name,key,valid_until',
        "$realm,u7,29010c2929b4e8233368220405ac74d9,2099-01-01",
        "$realm,k,0x29010C2929B4E8233368220405AC74D9,"),
        qr/^WARNING:  1 of the users are disabled, and stay so/,
        'a disabled user is told of');
    like(check('u7', 'x'), qr/disabled/, 'and stays so');
    is($pg->psql("select hmackey from turn.credential where name = 'k'"),
        '29010c2929b4e8233368220405ac74d9', 'keys as turnadmin prints them');
};

subtest 'what cannot be a user stops the file, by row' => sub {
    my $before = $pg->psql('select count(*) from turn.credential');
    my $out = bring('realm,name,password,key,valid_from,valid_until',
        "$realm,good,pw,,,", "$realm,a b,pw,,,", ",x,pw,,,", "$realm,*x,pw,,,",
        "$realm,nothing,,,,", "$realm,both,pw,cc,,", "$realm,nokey,,cc,,",
        "$realm,good,pw,,,", "$realm,old,pw,,,2020-01-01",
        "$realm,never,pw,,2099-01-02,2099-01-01", "$realm,123:x,pw,,,");
    like($out, qr/ERROR:  10 of the rows cannot be users, so none is/, 'error');
    like($out, qr/row $_->[0]: .*$_->[1]/, "row $_->[0]") for
        [2, 'a space'], [3, 'the realm is empty'], [4, 'begins with "\*"'],
        [5, 'neither password nor key'], [6, 'a password and a key'],
        [7, 'not 32 hex digits'], [8, 'the same user twice'],
        [9, 'in the past'], [10, 'not after valid_from'],
        [11, 'digits and a colon'];
    is($pg->psql('select count(*) from turn.credential'), $before,
        'and none of them is added');
    is($pg->psql('select count(*) from turn.import'), 0, 'nothing stays there');

    bring('realm,name,password', map { "$realm,a b,in-clear$_" } 1 .. 20);
    $pg->try_psql("insert into turn.import (realm, name, password)
        values ('$realm', 'a b', 'in-clear')", user => 'alice');
    unlike($pg->log_text, qr/in-clear\d/, 'no password is in the log');
};

done_testing();
