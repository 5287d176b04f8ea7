use strict;
use warnings;
use Edge::Netns;
use Digest::MD5 qw(md5_hex);
use Edge::Postgres;
use Edge::Process;
use Test::More;

# sql/install.sql on empty databases, on coturn's own of several ages, again
# and again, by whoever may run it.

my $file = "$Edge::Netns::root/sql/install.sql";
my $pg = Edge::Postgres->start;
my $dbs = 0;

# A new database with these statements run in it; its name.
sub database {
    my ($sql, %o) = @_;
    my $db = $o{name} // 'db' . ++$dbs;
    $pg->create_db($db, $o{owner});
    $pg->psql($sql, db => $db, user => $o{owner}) if $sql;
    return $db;
}

sub dump_of {
    my ($db) = @_;
    my @psql = $pg->psql_argv(db => $db);
    (my $pg_dump = $psql[0]) =~ s/psql$/pg_dump/;
    my $pid = open(my $out, '-|') // die "fork: $!";
    exec $pg_dump, @psql[2 .. $#psql] if !$pid;
    local $/;
    my $text = <$out>;
    close $out or die "pg_dump failed";
    # Recent versions put a random word into \restrict.
    $text =~ s/^\\(un)?restrict .*\n//mg;
    return $text;
}

my @coturn_columns = (
    [turnusers_lt => 'realm,name,rtrim(hmackey)'],
    [turn_secret => 'realm,value'],
    [allowed_peer_ip => 'realm,ip_range'],
    [denied_peer_ip => 'realm,ip_range'],
    [turn_origin_to_realm => 'origin,realm'],
    [turn_realm_option => 'realm,opt,value'],
    [oauth_key => 'kid,ikm_key,timestamp,lifetime,as_rs_alg,realm'],
    [admin_user => 'name,realm,password'],
);

# What a connection sees in coturn's tables, by table.
sub coturn_rows {
    my ($db, %o) = @_;
    my $path = $o{search_path} // 'public';
    my %rows;
    for (@coturn_columns) {
        my ($table, $columns) = @$_;
        $rows{$table} = [split /\n/, $pg->psql("set search_path = $path; "
            . "select $columns from $table order by 1, 2", db => $db,
            user => $o{user})];
    }
    return \%rows;
}

my $rows = <<'SQL';
insert into turnusers_lt values
 ('octavio.test', 'guest', '29010c2929b4e8233368220405ac74d9'),
 ('octavio.test', 'second', '060e2a77642492fe4dca2a57c5c46d95'),
 ('octavio.test', 'O''Brien %s "x" \', '060E2A77642492FE4DCA2A57C5C46D95'),
 ('octavio.test', 'sha256', repeat('0123456789abcdef', 4)),
 ('octavio.test', 'broken', 'no key'),
 ('octavio.test', 'nokey', null),
 ('', 'norealm', '29010c2929b4e8233368220405ac74d9'),
 ('other.test', 'guest', '79010c2929b4e8233368220405ac74d9');
insert into turn_secret values ('octavio.test', 'one'), ('octavio.test', 'two'),
 ('', 'three');
insert into allowed_peer_ip values ('octavio.test', '192.0.2.17'),
 ('', '198.51.100.0-198.51.100.255'), ('', '2001:db8::-2001:db8::7');
insert into denied_peer_ip values ('octavio.test', '10.0.0.0-10.255.255.255'),
 ('octavio.test', '::1');
insert into turn_origin_to_realm values ('https://cmsweb.octavio.test',
 'octavio.test'), ('https://no.realm.test', null);
insert into turn_realm_option values ('octavio.test', 'total-quota', '1800'),
 ('octavio.test', 'user-quota', null);
insert into oauth_key values
 ('kid', 'aWttLWtleQ==', 1416000000, 3600, 'A256GCM', 'octavio.test'),
 ('kid2', 'aWttLWtleQ==', 1416000000, 3600, 'A256GCM', null);
insert into admin_user values ('admin', null, '$5$salt$hash'),
 ('realmadmin', 'octavio.test', '$5$salt$hash2');
SQL
my $coturn = do { local $/; open my $f, '<', '/usr/share/coturn/schema.sql'
    or die "schema.sql: $!"; <$f> };

subtest 'an empty database' => sub {
    my $db = database('');
    my $out = $pg->install($db);
    is($out, "cms-edge: schema turn is ready in database $db\n",
        'says that it is ready, and nothing else');
    my $first = dump_of($db);
    is($pg->install($db), $out, 'again: says the same');
    my $twice = "$Edge::Netns::dir/twice.sql";
    Edge::Process::spew($twice, "\\i $file\n" x 2, 0644);
    is($pg->run_file($twice, db => $db), $out x 2, 'twice in one session: too');
    is(dump_of($db), $first, 'and changes nothing');

    $pg->psql(<<'SQL', db => $db);
        select turn.add_user('octavio.test', 'a', note => 'n');
        select turn.add_user('octavio.test', 'b', 'cisco');
        select turn.disable_user('octavio.test', 'b');
        select turn.deny_peer('octavio.test', '10.0.0.0/8');
        insert into turn.turn_secret values ('octavio.test', 'secret');
        insert into turn.turn_realm_option values ('octavio.test', 'x', '1');
SQL
    my $second = dump_of($db);
    is($pg->install($db), "cms-edge: schema turn is ready in database $db "
        . "with 2 users in 1 realm\n", 'a third time: says how many are there');
    is(dump_of($db), $second, 'a third time, with data in it: nothing either');
};

subtest 'a database in another encoding' => sub {
    $pg->psql("create database latin template template0 encoding 'LATIN1'
        locale 'C'", db => 'postgres');
    like($pg->install('latin'), qr/WARNING: .* LATIN1: .* outside ASCII/,
        'is warned of');
    local $ENV{PGCLIENTENCODING} = 'UTF8';
    $pg->psql(qq{select turn.add_user('octavio.test', 'm\xc3\xbcller',
        'cisco')}, db => 'latin', user => 'turn_admin');
    is($pg->psql("select rtrim(hmackey) from turnusers_lt", db => 'latin',
        user => 'turn_server'), md5_hex("m\xc3\xbcller:octavio.test:cisco"),
        'the key is that of the name in UTF-8, as clients send it');
};

subtest 'a backup, restored' => sub {
    my $db = database('');
    $pg->install($db);
    $pg->psql("select turn.add_user('octavio.test', 'a', 'cisco'),
        turn.add_user('octavio.test', 'b', 'cisco'),
        turn.disable_user('octavio.test', 'b'),
        turn.deny_peer('', '10.0.0.0/8')", db => $db);
    Edge::Process::spew("$Edge::Netns::dir/backup.sql", dump_of($db), 0644);
    my $restored = database('');
    my $out = $pg->run_file("$Edge::Netns::dir/backup.sql", db => $restored);
    unlike($out, qr/ERROR/, 'runs');
    is(dump_of($restored), dump_of($db), 'is the same');
    is($pg->psql("set search_path = turn; select name from turnusers_lt",
        db => $restored, user => 'turn_server'), 'a', 'and works');
    $pg->install($restored);
    is(dump_of($restored), dump_of($db), 'installing over it is harmless,');
    is($pg->psql('select name from turnusers_lt', db => $restored,
        user => 'turn_server'), 'a', 'and sets the search_path again');
};

subtest 'a database of any name' => sub {
    my $db = database('', name => q{cms "edge" it's %s});
    $pg->install($db);
    is($pg->psql(q{select turn.add_user('octavio.test', 'a', 'cisco')},
        db => $db, user => 'turn_admin'), '', 'works');
};

subtest 'the database of a coturn that runs: every row is kept' => sub {
    my $db = database($coturn . $rows);
    $pg->psql('create role oldturn login; '
        . 'grant select on turnusers_lt, turn_secret to oldturn; '
        . 'create role oldadmin login; '
        . 'grant select, insert, update, delete on turnusers_lt to oldadmin',
        db => $db);
    my $before = coturn_rows($db);
    my @said = split /\n/, $pg->install($db);
    is(pop @said, "cms-edge: schema turn is ready in database $db with 8 users "
        . 'in 3 realms', 'says that it is ready, and how many came over,');
    is_deeply([grep { !/(oldadmin|oldturn) keeps its rights|^HINT/ } @said],
        [], 'and warns of nothing but those who keep their rights');

    my $denied = delete $before->{denied_peer_ip};
    my $after = coturn_rows($db, search_path => 'turn');
    my $denied_now = delete $after->{denied_peer_ip};
    is_deeply($after, $before, 'where coturn looks from now on');
    my %there = map { $_ => 1 } @$denied_now;
    is_deeply([grep { !$there{$_} } @$denied], [], 'denied peers as well,');
    ok($there{'octavio.test|::ffff:10.0.0.0-::ffff:10.255.255.255'},
        'which now hold for IPv4-mapped addresses too');

    $after = coturn_rows($db, search_path => 'public');
    delete $after->{denied_peer_ip};
    is_deeply($after, $before,
        'and where a coturn with its old connection string looks');
    is($pg->psql("select count(*) from turnusers_lt", db => $db,
        user => 'oldturn'), 8, 'which may still read it');
    like($pg->try_psql("delete from turnusers_lt", db => $db,
        user => 'oldturn'), qr/permission denied/, 'and no more than before');

    $pg->psql("select turn.disable_user('octavio.test', 'guest')", db => $db);
    is($pg->psql("select count(*) from turnusers_lt where name = 'guest'",
        db => $db, user => 'oldturn'), 1,
        'a user who is disabled is hidden from the old coturn, too');

    $pg->psql("insert into turnusers_lt (realm,name,hmackey) values(
        'octavio.test','new','060e2a77642492fe4dca2a57c5c46d95')", db => $db,
        user => 'oldadmin');
    is($pg->psql("select turn.check_user('octavio.test', 'new')", db => $db),
        'ok', 'who might change it, may');
    like($pg->try_psql("update turnusers_lt set
        hmackey='160e2a77642492fe4dca2a57c5c46d95' where name = 'nobody'",
        db => $db, user => 'oldadmin'), qr/WARNING:  no such user/,
        'and is told the same as elsewhere');
    $pg->psql("delete from turnusers_lt where name = 'new'", db => $db,
        user => 'oldadmin');
    is($pg->psql("select count(*) from turn.users where name = 'new'",
        db => $db), 0, 'and may delete');

    $pg->psql("select turn.remove_user('octavio.test', 'second')", db => $db);
    my $dump = dump_of($db);
    is($pg->install($db), "cms-edge: schema turn is ready in database $db "
        . "with 7 users in 3 realms\n", 'installing again says nothing new');
    is(dump_of($db), $dump, 'and brings nobody back');
};

subtest 'coturn tables of 2014' => sub {
    my $db = database(<<'SQL');
create table turnusers_lt (realm varchar(512), name varchar(512),
    hmackey char(128), primary key (realm, name));
create table turnusers_st (name varchar(512) primary key,
    password varchar(512));
create table turn_secret (realm varchar(512), value varchar(512),
    primary key (realm, value));
create table allowed_peer_ip (ip_range varchar(256), primary key (ip_range));
create table denied_peer_ip (ip_range varchar(256), primary key (ip_range));
create table turn_origin_to_realm (origin varchar(512), realm varchar(512),
    primary key (origin, realm));
create table turn_realm_option (realm varchar(512), opt varchar(32),
    value varchar(128), primary key (realm, opt));
create table oauth_key (kid varchar(128), ikm_key varchar(256),
    timestamp bigint, lifetime integer, hkdf_hash_func varchar(64),
    as_rs_alg varchar(64), as_rs_key varchar(256), auth_alg varchar(64),
    auth_key varchar(256), primary key (kid));
insert into turnusers_lt values ('octavio.test', 'guest',
    '29010c2929b4e8233368220405ac74d9');
insert into allowed_peer_ip values ('192.0.2.17');
insert into denied_peer_ip values ('10.0.0.0-10.255.255.255');
insert into oauth_key values ('kid', 'ikm', null, null, 'SHA-256', 'AEAD', 'k',
    'a', 'b');
SQL
    $pg->install($db);
    my $now = coturn_rows($db, search_path => 'turn');
    is_deeply($now->{turnusers_lt},
        ['octavio.test|guest|29010c2929b4e8233368220405ac74d9'], 'users,');
    is_deeply($now->{allowed_peer_ip}, ['|192.0.2.17'],
        'peers without realm, for all realms,');
    is_deeply($now->{oauth_key}, ['kid|ikm|0|0|AEAD|'], 'OAuth keys are kept,');
    is($pg->psql('select hkdf_hash_func, auth_key
        from oauth_key_before_cms_edge', db => $db), 'SHA-256|b',
        'and what no coturn reads today stays beside');
    is($pg->psql('select count(*) from turnusers_st', db => $db), 0,
        'a table of no concern is left alone');
};

subtest 'coturn tables in a schema of their own' => sub {
    my $db = database("create schema turn; set search_path = turn; "
        . $coturn . $rows);
    my $before = coturn_rows($db, search_path => 'turn');
    delete $before->{denied_peer_ip};
    $pg->install($db);
    my $after = coturn_rows($db, search_path => 'turn');
    delete $after->{denied_peer_ip};
    is_deeply($after, $before, 'called turn: every row is kept');

    $pg->psql('create role tenant login', db => 'postgres');
    $db = database("create schema turn; grant usage on schema turn to tenant;
        set search_path = turn; $coturn $rows
        alter table turnusers_lt owner to tenant;
        grant select on turn_secret to tenant");
    like($pg->install($db), qr/tenant keeps .* on turn.turnusers_lt/,
        'the installer is told who has rights on them');
    is($pg->psql('set search_path = turn; select count(*) from turnusers_lt',
        db => $db, user => 'tenant'), 8, 'whose coturn goes on');
    is($pg->psql('set search_path = turn; select count(*) from turn_secret',
        db => $db, user => 'tenant'), 3, 'with all it may read');

    $db = database('create role "Turn-Server" login;
        create schema "Edge 2"; set search_path = "Edge 2"; ' . "$coturn $rows
        alter table turnusers_lt owner to \"Turn-Server\"; alter database "
        . 'db' . ($dbs + 1) . ' set search_path = "Edge 2"');
    like($pg->install($db), qr/"Turn-Server" keeps .* "Edge 2".turnusers_lt/,
        'whatever schema and owner are called');

    $db = database("create schema edge2; set search_path = edge2; "
        . $coturn . $rows);
    like($pg->install($db), qr/edge2\.turnusers_lt is not looked at: .*\n/,
        'not in search_path: left alone, with a warning');
    is($pg->psql('select count(*) from edge2.turnusers_lt', db => $db), 8,
        'with all its rows');
};

subtest 'tables of others that have such names' => sub {
    my $db = database("create table admin_user (name text, realm text,
        password text, email text); insert into admin_user values ('x')");
    is($pg->install($db), "cms-edge: schema turn is ready in database $db\n",
        'where there is no coturn: no word');
    is($pg->psql('select name, email from public.admin_user', db => $db), 'x|',
        'they are left alone');

    $db = database($coturn . 'drop table oauth_key;
        create table oauth_key (id int); insert into oauth_key values (1)');
    like($pg->install($db), qr/oauth_key is not looked at: .* a column kid/,
        'where there is: a warning');
    is($pg->psql('select count(*) from public.oauth_key', db => $db), 1,
        'and they are left alone as well');
};

subtest 'peers that coturn does not understand' => sub {
    my $db = database($coturn . <<'SQL');
insert into denied_peer_ip values ('', '10.0.0.0/8'), ('', 'host.test');
insert into allowed_peer_ip values ('', '192.0.2.0/24');
SQL
    my $out = $pg->install($db);
    like($out, qr{peer "10.0.0.0/8" .* use turn.deny_peer}, 'are named');
    like($out, qr{peer "192.0.2.0/24" .* use turn.allow_peer}, 'each');
    my $now = coturn_rows($db, search_path => 'turn');
    is_deeply($now->{denied_peer_ip}, ['|10.0.0.0/8', '|host.test'],
        'kept as they were,');
    is_deeply($now->{allowed_peer_ip}, ['|192.0.2.0/24'],
        'and open nothing that was closed');
    $pg->psql("select turn.remove_peer('', 'host.test'),
        turn.remove_peer('', '192.0.2.0/24'),
        turn.deny_peer('', '10.0.0.0/8')", db => $db);
    $now = coturn_rows($db, search_path => 'turn');
    ok((grep { $_ eq '|10.0.0.0-10.255.255.255' } @{$now->{denied_peer_ip}}),
        'and can be put right');
    is_deeply($now->{allowed_peer_ip}, [], 'or taken away');
};

subtest 'when it cannot be done, nothing is' => sub {
    my $db = database($coturn . $rows . <<'SQL');
create view my_report as select name from turnusers_lt;
SQL
    my $dump = dump_of($db);
    my $out = $pg->run_file($file, db => $db);
    is($? >> 8, 3, 'psql ends with an error');
    like($out, qr/turnusers_lt has moved .* something needs it where it was/,
        'that says why');
    like($out, qr/view public.my_report depends on table public.turnusers_lt/,
        'and names what');
    is(dump_of($db), $dump, 'the database is as it was');

    $db = database($coturn);
    $pg->install($db);
    $pg->psql("select turn.add_user('octavio.test', 'guest', 'cisco')",
        db => $db);
    $pg->psql("set search_path = public;
        drop view turnusers_lt; create table turnusers_lt (realm varchar(127),
        name varchar(512), hmackey char(128), primary key (realm, name));
        insert into turnusers_lt values ('octavio.test', 'guest',
        '29010c2929b4e8233368220405ac74d9')", db => $db);
    $dump = dump_of($db);
    $out = $pg->run_file($file, db => $db);
    like($out, qr/for rows of public.turnusers_lt: "octavio.test" "guest"/,
        'a user with two different keys stops it');
    is(dump_of($db), $dump, 'and the database is as it was');
};

subtest 'by the owner of the database, who is no superuser' => sub {
    $pg->psql('create role carol login', db => 'postgres');
    my $db = database($coturn . $rows, owner => 'carol');
    my $before = coturn_rows($db, user => 'carol');
    delete $before->{denied_peer_ip};
    $pg->install($db, user => 'carol');
    pass('installs over her coturn tables');
    $pg->install($db, user => 'carol');
    pass('and again');
    my $after = coturn_rows($db, user => 'carol');
    delete $after->{denied_peer_ip};
    is_deeply($after, $before, 'keeps every row');
    $pg->psql("select turn.add_user('octavio.test', 'new', 'cisco')",
        db => $db, user => 'turn_admin');
    is($pg->psql("select turn.check_user('octavio.test', 'new', 'cisco')",
        db => $db, user => 'turn_admin'), 'ok', 'and turn_admin can work');
    is($pg->psql("select count(*) from turn.turnusers_lt", db => $db,
        user => 'turn_server'), 9, 'and coturn');
    cmp_ok($pg->psql('select epoch from turn.edge_state()', db => $db,
        user => 'turn_server'), '>', 0, 'and edges');
    is($pg->psql('select count(*) from turn.user_record', db => $db,
        user => 'turn_server'), 9, 'who know every user');

    $pg->psql('create role mallory login', db => 'postgres');
    my $out = $pg->run_file($file, db => $db, user => 'mallory');
    like($out, qr/schema turn belongs to carol, and you are mallory/,
        'somebody else is told whose it is');
};

subtest 'where the roles are missing and may not be made' => sub {
    my $other = Edge::Postgres->start(name => 'other', port => 5433);
    $other->psql('create role carol login', db => 'postgres');
    $other->create_db('turn', 'carol');
    my $out = $other->run_file($file, user => 'carol');
    like($out, qr/role turn_server is missing, and carol may not make it/,
        'the error says so');
    like($out, qr/superuser run: (create role .*;)/, 'and what to do');
    $out =~ /superuser run: (.*)/;
    $other->psql($1);
    $other->install('turn', user => 'carol');
    pass('which then is enough');
    $other->stop;
};

subtest 'again, while coturn asks all the time' => sub {
    my $db = database('');
    $pg->install($db);
    $pg->psql("select turn.add_user('octavio.test', 'guest')", db => $db);
    my @asking;
    for (1 .. 3) {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            print ask_until_stopped($db), "\n";
            POSIX::_exit(0);
        }
        push @asking, [$pid, $out];
    }
    $pg->install($db) for 1 .. 4;
    kill 'TERM', map { $_->[0] } @asking;
    for (@asking) {
        my $out = $_->[1];
        is(<$out>, "always found\n", 'every look-up finds the user');
        close $out;
    }
};

# Looks a user up as coturn does until SIGTERM; what went wrong first.
sub ask_until_stopped {
    my ($db) = @_;
    my $stopped = 0;
    local $SIG{TERM} = sub { $stopped = 1 };
    my $dbh = $pg->new_dbh(db => $db, user => 'turn_server');
    while (!$stopped) {
        my $found = eval { $dbh->selectrow_array("select hmackey
            from turnusers_lt where name='guest' and realm='octavio.test'") };
        return $@ || 'not found' if !$found;
    }
    return 'always found';
}

subtest 'many at once' => sub {
    my $db = database($coturn . $rows);
    my $db2 = database('');
    my @pids;
    for my $target ($db, $db, $db, $db2, $db2) {
        my $pid = fork() // die "fork: $!";
        if (!$pid) {
            my $out = $pg->run_file($file, db => $target);
            print STDERR $out if $?;
            POSIX::_exit($? ? 1 : 0);
        }
        push @pids, $pid;
    }
    my $failed = 0;
    for (@pids) {
        waitpid $_, 0;
        $failed++ if $?;
    }
    is($failed, 0, 'in one database and in two: all succeed');
    is(scalar @{coturn_rows($db)->{turnusers_lt}}, 8, 'and no row is lost');
};

done_testing();
