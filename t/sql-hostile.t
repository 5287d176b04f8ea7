use strict;
use warnings;
use Edge::Netns;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;

# Somebody, mostly a superuser, runs sql/install.sql in a database where another
# has put something first: none of that one's code may run.

my $file = "$Edge::Netns::root/sql/install.sql";
my $pg = Edge::Postgres->start;
my $dbs = 0;
$pg->psql('create role mallory login', db => 'postgres');

# Mallory's functions: what anybody else calls leaves a trace, which outlives
# a rollback.
my $evil = <<'SQL';
create sequence public.trace;
grant usage on sequence public.trace to public;
create function public.grab() returns text language plpgsql as $$
begin
    if current_user <> 'mallory' then
        perform nextval('public.trace');
    end if;
    return 'x';
end $$;
create function public.evil(text) returns text immutable language plpgsql as $$
begin
    return public.grab();
end $$;
create function public.on_row() returns trigger language plpgsql as $$
begin
    perform public.grab();
    return new;
end $$;
SQL
my $open_schema = 'create schema turn; grant usage, create on schema turn
    to mallory';
my $users = <<'SQL';
create table public.turnusers_lt (realm varchar(127) default '',
    name varchar(512), hmackey char(128), primary key (realm, name));
insert into public.turnusers_lt values ('octavio.test', 'guest',
    '29010c2929b4e8233368220405ac74d9');
SQL
my $sly_table = <<'SQL';
create table turn.credential (realm text not null, name text not null,
    hmackey text, enabled boolean not null default true,
    valid_from timestamptz, valid_until timestamptz, note text,
    created timestamptz, changed timestamptz, primary key (realm, name));
create trigger sly before insert on turn.credential
    for each row execute function public.on_row();
SQL

# A database where mallory, who owns it or not, has run this; its name.
sub prepared {
    my ($sql, %o) = @_;
    my $db = 'db' . ++$dbs;
    $pg->create_db($db, $o{owner});
    $pg->psql("grant create on schema public to mallory;
        grant create on database $db to mallory; " . ($o{first} // ''),
        db => $db);
    $pg->psql("$evil $sql", db => $db, user => 'mallory');
    return $db;
}

# Has anybody else run mallory's code in this database?
sub has_run {
    my ($db) = @_;
    return $pg->psql('select is_called from public.trace', db => $db) eq 't';
}

# Installing, after mallory's SQL, ends with this error and runs none of it.
sub refused {
    my ($what, $error, $sql, %o) = @_;
    subtest $what => sub {
        my $db = prepared($sql, %o);
        my $out = $pg->run_file($file, db => $db, user => $o{owner});
        ok(!has_run($db), 'nothing of it runs');
        like($out, $error, 'the installer is told');
    };
}

refused('a column of a type with a cast of its own',
    qr/public.turnusers_lt is not .*: column hmackey is of type public.sly/,
    <<'SQL');
create type public.sly as (x int);
create function public.sly_text(public.sly) returns text language sql as
    'select public.grab()';
create cast (public.sly as text) with function public.sly_text(public.sly);
create table public.turnusers_lt (realm varchar(127), name varchar(512),
    hmackey public.sly, primary key (realm, name));
insert into public.turnusers_lt values ('o.test', 'x', row(1)::public.sly);
SQL

refused('an index with a condition', qr/: index public.sly has a/, $users
    . "create index sly on turnusers_lt (name) where public.evil('') = 'x'");

refused('an index on an expression', qr/: index public.sly has an expr/, $users
    . "create index sly on turnusers_lt ((public.evil('')))");

refused('statistics of an expression', qr/: statistics public.sly are/, $users
    . "create statistics public.sly on name, (public.evil('') || name)
        from turnusers_lt") if $pg->dbh(db => 'postgres')->{pg_server_version}
    >= 140000;

refused('an inheriting table', qr/kid depends on table public.turnusers_lt/,
    $users . "create table kid () inherits (turnusers_lt);
    insert into kid values ('octavio.test', 'kid', '');
    create index sly on kid (name) where public.evil('') = 'x'");

refused('a schema turn of somebody else\'s', qr/turn belongs to mallory, and/,
    $users . "create schema turn; $sly_table");

refused('something of somebody else\'s in schema turn',
    qr/not its owner's alone: table turn.credential belongs to mallory/,
    $users . $sly_table, first => $open_schema);

refused('a schema turn where somebody else may create',
    qr/not its owner's alone: mallory may create objects there/, '',
    first => $open_schema);

$pg->psql('create role carol login createrole', db => 'postgres');
refused('row-level security, where the owner of the database installs',
    qr/affected by row-level security policy/, $users . <<'SQL',
grant all on turnusers_lt to carol;
alter table turnusers_lt enable row level security;
create policy sly on turnusers_lt using (public.grab() = 'x');
SQL
    owner => 'carol');

subtest 'a search_path that leads elsewhere' => sub {
    my $db = prepared(<<'SQL', owner => 'mallory');
create function public.set_config(text, text, boolean) returns text
    language sql as 'select public.grab()';
create function public.current_schemas(boolean) returns name[]
    language sql as 'select array[public.grab()]::name[]';
create function public.hashtext(text) returns int
    language sql as 'select 1 from (select public.grab()) as g';
SQL
    $pg->psql("alter database $db set search_path = public, pg_catalog",
        db => $db, user => 'mallory');
    $pg->run_file($file, db => $db);
    is($? >> 8, 0, 'does not keep anybody from installing');
    ok(!has_run($db), 'and nothing there runs');
};

subtest 'a table that becomes another one while it is waited for' => sub {
    my $db = prepared($users);
    my $mallory = $pg->new_dbh(db => $db, user => 'mallory');
    $mallory->begin_work;
    $mallory->do('lock table turnusers_lt');
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh',
        $pg->psql_argv(db => $db), '-f', $file or die "psql: $!";
    ok(wait_until(sub { $pg->psql("select count(*) from pg_locks
        where relation = 'turnusers_lt'::regclass and not granted",
        db => $db) }, 10), 'the installation waits');
    $mallory->do('alter table turnusers_lt rename to good');
    $mallory->do('create table turnusers_lt (name text)');
    $mallory->commit;
    like(join('', <$out>), qr/table public.good was renamed meanwhile/,
        'is not read');
    $mallory->disconnect;
};

subtest 'who had rights on the old tables keeps them' => sub {
    my $db = prepared($users . 'grant select on turnusers_lt to public');
    my $out = $pg->install($db);
    my $on = 'on public.turnusers_lt';
    like($out, qr/mallory keeps its rights \(delete, insert, .*\) $on/,
        'the installer is told of the owner');
    like($out, qr/everybody keeps its rights \(select\) $on/,
        'and of everybody else');
    ok(!has_run($db), 'which is all');
    unlike($pg->install($db), qr/WARNING/, 'it is said once');
};

done_testing();
