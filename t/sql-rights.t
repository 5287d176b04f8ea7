use strict;
use warnings;
use Edge::Netns;
use Edge::Postgres;
use Test::More;

# Who may do what: turn_server (coturn), turn_admin (people, turnadmin), and
# everybody else in the database.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->psql(<<'SQL');
create role stranger login;
create role turnserver login in role turn_server;
create role alice login in role turn_admin;
select turn.add_user('octavio.test', 'guest', 'cisco', note => 'private');
select turn.add_user('octavio.test', 'hidden', 'cisco');
select turn.disable_user('octavio.test', 'hidden');
select turn.allow_peer('octavio.test', '192.0.2.17');
select turn.deny_peer('octavio.test', '10.0.0.0/8');
insert into turn.turn_secret values ('octavio.test', 'secret');
insert into turn.turn_origin_to_realm values ('https://o.test', 'octavio.test');
insert into turn.turn_realm_option values ('octavio.test', 'max-bps', '1');
insert into turn.oauth_key (kid, ikm_key) values ('kid', 'key');
insert into turn.admin_user values ('admin', '', '$5$x');
SQL

# 'denied', 'error ...' or the rows, for one statement of one role.
sub try_as {
    my ($role, $sql) = @_;
    my $dbh = $pg->dbh(user => $role);
    my $rows = eval { $dbh->selectall_arrayref($sql) };
    # Not allowed to, or a view that nobody can write to.
    return 'denied' if ($dbh->state // '') =~ /^(42501|55000)$/;
    return 'error ' . $dbh->errstr if $@;
    return join ' ', map { join ',', map { $_ // '' } @$_ } @$rows;
}

my $conninfo_path = 'set search_path = turn, public';
$pg->dbh(user => $_)->do($conninfo_path) for qw(turnserver alice stranger);

my @coturns = (
    ["select hmackey from turnusers_lt where name='guest'"
        . " and realm='octavio.test'" => qr/^[0-9a-f]{32} +$/],
    ["select value from turn_secret where realm='octavio.test'" => 'secret'],
    ['select value from turn_secret' => 'secret'],
    ["select name, to_jsonb(r)->>'hmackey' is null from turn.user_record r"
        . ' order by 1' => 'guest,0 hidden,1'],
    ['select in_recovery from turn.edge_state()' => '0'],
    ['select origin,realm from turn_origin_to_realm'
        => 'https://o.test,octavio.test'],
    ['select realm,opt,value from turn_realm_option'
        => 'octavio.test,max-bps,1'],
    ['select ip_range,realm from allowed_peer_ip' => '192.0.2.17,octavio.test'],
    ['select ip_range,realm from denied_peer_ip'
        => qr/^10\.0\.0\.0-10\.255\.255\.255,octavio\.test /],
);

for my $role (qw(turn_server turnserver)) {
    subtest "$role reads what coturn reads" => sub {
        for (@coturns) {
            my ($sql, $expected) = @$_;
            my $got = try_as($role, $sql);
            ref $expected ? like($got, $expected, $sql)
                : is($got, $expected, $sql);
        }
        is(try_as($role, 'select name from turnusers_lt'), 'guest',
            'of users, the valid ones');
    };
}

my @tables = map { $_->[0] } $pg->rows("select relname from pg_class
    where relnamespace = 'turn'::regnamespace and relkind = 'r' order by 1");
my @views = map { $_->[0] } $pg->rows("select relname from pg_class
    where relnamespace = 'turn'::regnamespace and relkind = 'v' order by 1");
my @functions = map { $_->[0] } $pg->rows("select oid::regprocedure
    from pg_proc where pronamespace = 'turn'::regnamespace order by 1");
cmp_ok(@functions, '>', 20, 'there are functions to ask about');

subtest 'turn_server changes nothing and reads nothing else' => sub {
    is(try_as('turn_server', "select * from turn.$_"), 'denied', "read $_")
        for @tables, qw(users peers oauth_key admin_user);
    for my $view (@views) {
        is(try_as('turn_server', "delete from turn.$view returning 1"),
            'denied', "delete from $view");
        is(try_as('turn_server',
            "insert into turn.$view default values returning 1"), 'denied',
            "insert into $view");
        my ($column) = $pg->value("select attname from pg_attribute
            where attrelid = 'turn.$view'::regclass and attnum = 1");
        is(try_as('turn_server',
            "update turn.$view set $column = null returning 1"), 'denied',
            "update $view");
    }
    is(try_as('turn_server', 'create table turn.mine (i int)'), 'denied',
        'create in schema turn');
};

subtest 'turn_server has no right but those, wherever one looks' => sub {
    my @may = map { "@$_" } $pg->rows("select c.oid::regclass::text, privilege
        from pg_class c join pg_namespace n on n.oid = relnamespace,
            unnest(array['select', 'insert', 'update', 'delete', 'truncate',
                'references', 'trigger']) as privilege
        where relkind in ('r', 'v', 'm', 'f', 'p') and nspname !~ '^pg_'
            and nspname <> 'information_schema'
            and has_table_privilege('turn_server', c.oid, privilege)
        order by 1");
    is_deeply(\@may, [map { "turn.$_ select" } qw(allowed_peer_ip
        denied_peer_ip turn_origin_to_realm turn_realm_option turn_secret
        turnusers_lt user_record)], 'tables and views: to read seven');
    is($pg->value("select count(*) from pg_class c join pg_attribute a
        on attrelid = c.oid where relnamespace = 'turn'::regnamespace
        and attacl is not null and has_column_privilege('turn_server', c.oid,
            attnum, 'select,insert,update,references')"), 0, 'no column');
    is($pg->value("select count(*) from pg_class where case
        when relkind = 'S' then has_sequence_privilege('turn_server', oid,
            'usage,select,update') end"), 0, 'no sequence');
    is($pg->value("select count(*) from pg_proc p join pg_namespace n
        on n.oid = pronamespace where nspname not in ('pg_catalog',
            'information_schema', 'turn') and prosecdef
        and has_function_privilege('turn_server', p.oid, 'execute')"), 0,
        'no function with another\'s rights in another schema');
    is($pg->value("select string_agg(nspname, ' ') from pg_namespace
        where has_schema_privilege('turn_server', oid, 'create')"),
        $pg->value("select case when current_setting('server_version_num')::int
            < 150000 then 'public' end"), 'no schema to make things in');
    is(try_as('turn_server', $_), 'denied', $_) for
        'set role turn_admin', 'set role postgres',
        'create schema mine', 'create role mine', 'create database mine',
        'alter role turn_server superuser', 'grant turn_admin to turn_server',
        "copy (select 1) to program 'true'", "copy (select 1) to '/tmp/x'",
        "select pg_read_file('/etc/passwd')", "select lo_import('/etc/passwd')",
        'select * from pg_authid', 'select * from pg_statistic',
        'alter system set port = 1', 'checkpoint', 'set log_statement = none',
        "set session_replication_role = replica",
        'alter table turn.credential disable trigger all',
        'drop view turn.turnusers_lt',
        "comment on schema turn is 'mine'";
    is(try_as('turn_server', "select count(*) from pg_stats
        where schemaname = 'turn' and tablename not like '%turn%'"), 0,
        'no statistics of users');
};

subtest 'nobody may call what is inside' => sub {
    for my $role (qw(stranger turn_server)) {
        my @may = grep { $pg->value('select has_function_privilege(?, ?,
            ?)', $role, $_, 'execute') } @functions;
        is_deeply(\@may, $role eq 'stranger' ? [] : ['turn.edge_state()'],
            "$role: no function of schema turn but edges' own");
    }
    my @may = map { s/\(.*//r } grep { $pg->value(
        'select has_function_privilege(?, ?, ?)', 'turn_admin', $_,
        'execute') } @functions;
    is_deeply([sort @may], [map { "turn.$_" } qw(add_secret add_user allow_peer
        check_user deny_peer disable_user enable_user issue list_users
        prune_audit remove_peer remove_secret remove_user resync_edges
        rotate_secret set_key set_note set_password set_quota set_validity)],
        'turn_admin: what is there for people');
};

subtest 'a stranger in the same database' => sub {
    is(try_as('stranger', "select * from turn.$_"), 'denied', "read $_")
        for @tables, @views;
    is(try_as('stranger', "select turn.check_user('octavio.test', 'guest')"),
        'denied', 'call');
};

subtest 'turn_admin sees and changes all, by functions and views' => sub {
    for my $role (qw(turn_admin alice)) {
        is(try_as($role, 'select name from turnusers_lt order by 1'),
            'guest hidden', "$role sees hidden users");
        is(try_as($role, "select * from turn.$_"), 'denied',
            "and no table: $_") for @tables;
        is(try_as($role, 'select note from turn.users where name = '
            . "'guest'"), 'private', 'users');
        is(try_as($role, 'select realm, peer, rule from turn.peers '
            . 'order by peer'), 'octavio.test,10.0.0.0/8,deny '
            . 'octavio.test,192.0.2.17,allow', 'peers');
        is(try_as($role, "select turn.check_user('octavio.test', 'guest', "
            . "'cisco')"), 'ok', 'check_user');
    }
};

subtest 'a superuser, as whom coturn may run, sees valid users only' => sub {
    is($pg->psql('select name from turn.turnusers_lt'), 'guest',
        'in the view that coturn reads');
    is($pg->psql('select name from turn.users order by 1'), "guest\nhidden",
        'and all of them in turn.users');
};

subtest 'a condition that talks does not see hidden users' => sub {
    my $dbh = $pg->new_dbh(user => 'turnserver');
    my @said;
    local $SIG{__WARN__} = sub { push @said, @_ };
    $dbh->do($conninfo_path);
    $dbh->do(q{create function pg_temp.leak(name text, key text)
        returns boolean cost 0.0001 language plpgsql as $$
        begin raise warning 'saw % %', name, key; return true; end $$});
    $dbh->{PrintWarn} = 1;
    $dbh->selectall_arrayref('select name from turnusers_lt
        where pg_temp.leak(name, hmackey)');
    like("@said", qr/saw guest/, 'it sees the others');
    unlike("@said", qr/saw hidden/, 'but not them');
    my $out = $pg->try_psql("$conninfo_path; select hmackey::int from "
        . 'turnusers_lt where hmackey::int = 1', user => 'turnserver');
    unlike($out, qr/${\ $pg->value("select hmackey from turn.credential
        where name = 'hidden'")}/, 'nor does an error message');
};

subtest 'functions with the owner\'s rights look nowhere else' => sub {
    my @loose = $pg->rows("select oid::regprocedure from pg_proc
        where pronamespace = 'turn'::regnamespace and prosecdef
        and not coalesce('search_path=pg_catalog, turn, pg_temp'
            = any (proconfig), false)");
    is_deeply(\@loose, [], 'search_path is pinned, pg_temp last');
    my @views = $pg->rows("select relname from pg_class
        where relname in ('users', 'peers', 'secrets', 'quotas', 'audit',
            'turnusers_lt', 'turn_secret')
        and relnamespace = 'turn'::regnamespace and reloptions is null");
    is_deeply(\@views, [], 'views over what is secret are barriers');

    my $dbh = $pg->new_dbh(user => 'alice');
    $dbh->do("create function pg_temp.refuse(text) returns void language sql
        as 'select 1/0'");
    $dbh->do("create function pg_temp.md5(bytea) returns text language sql
        as 'select ''x'''");
    $dbh->do('create temp table credential (realm text, name text)');
    $dbh->do('set search_path = pg_temp, turn, pg_catalog');
    $dbh->do("select turn.add_user('octavio.test', 'fooled', 'cisco')");
    is($pg->value("select turn.check_user('octavio.test', 'fooled',
        'cisco')"), 'ok', 'whatever the caller puts in its way');
};

subtest 'what people may use is explained' => sub {
    my @silent = map { $_->[0] } $pg->rows("select oid::regprocedure
        from pg_proc p where pronamespace = 'turn'::regnamespace
        and has_function_privilege('turn_admin', oid, 'execute')
        and obj_description(oid, 'pg_proc')
            !~ (E'\\n  select ([*] from )?turn[.]' || proname || '[(]')");
    is_deeply(\@silent, [], 'every function shows a call in \df+');
    @silent = map { $_->[0] } $pg->rows("select relname from pg_class
        where relnamespace = 'turn'::regnamespace and relkind = 'r'
        and obj_description(oid, 'pg_class') is null");
    is_deeply(\@silent, [], 'every table says what it is for');

    my $admin = $pg->dbh(user => 'turn_admin');
    is_deeply($admin->selectcol_arrayref('select name from turn.help
        where arguments is null order by 1'),
        [qw(audit help import peers quotas secrets users)],
        'turn.help names what turn_admin reads,');
    is_deeply($admin->selectcol_arrayref("select name || '(' || arguments || ')'
        from turn.help where arguments is not null order by 1"),
        $pg->dbh->selectcol_arrayref("select
            format('%s(%s)', proname, pg_get_function_arguments(oid))
        from pg_proc where pronamespace = 'turn'::regnamespace
        and has_function_privilege('turn_admin', oid, 'execute') order by 1"),
        '... and what it calls,');
    like($admin->selectrow_array("select help from turn.help
        where name = 'rotate_secret'"), qr/\n  select turn\.rotate_secret\(/,
        '... with an example');
    is(try_as('turn_server', 'select from turn.help'), 'denied',
        'coturn needs none of it');
};

subtest 'the roles cannot do more than that in the cluster' => sub {
    is_deeply([map { "@$_" } $pg->rows("select rolname, rolcanlogin, rolsuper,
        rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
        from pg_roles where rolname like 'turn\\__%' order by 1")],
        ['turn_admin 1 0 0 0 0 0', 'turn_server 1 0 0 0 0 0'],
        'they may log in');
    is($pg->value("select count(rolpassword) from pg_authid
        where rolname like 'turn\\__%'"), 0, 'but not by password');
};

# As Debian has it: on the unix socket, the OS user's name is the role's.
subtest 'with peer authentication' => sub {
    my $strict = Edge::Postgres->start(name => 'strict', port => 5433,
        hba => ['local all turnserver,turn_server peer',
            'local all all trust', 'host all all samehost scram-sha-256']);
    $strict->install;
    $strict->psql("create role turnserver login in role turn_server;
        select turn.add_user('octavio.test', 'guest', 'cisco')");
    my $try = sub {
        my ($os_user, $conninfo) = @_;
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            open STDERR, '>&', \*STDOUT;
            chdir '/';
            exec 'setpriv', "--reuid=$os_user", "--regid=$os_user",
                '--init-groups', 'psql', '-XAtwd', $conninfo, '-c',
                'select name from turnusers_lt';
        }
        return join '', <$out>;
    };
    my %turnserver = (user => 'turnserver');
    is($try->('turnserver', $strict->conninfo(%turnserver)), "guest\n",
        'the OS user turnserver needs no password');
    like($try->('daemon', $strict->conninfo(%turnserver)),
        qr/Peer authentication failed/, 'another OS user does not get in');
    like($try->('turnserver', $strict->conninfo(user => 'turn_server')),
        qr/Peer authentication failed/, 'nor does it get in as another role');
    like($try->('turnserver', $strict->conninfo(tcp => 1,
        user => 'turn_server')), qr/no password supplied/,
        'over TCP nobody does, without a password');
    $strict->stop;
};

done_testing();
