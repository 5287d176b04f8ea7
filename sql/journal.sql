-- What edges follow: a version of every user, and what changed since they last
-- looked. The plugin (turn_auth_plugin/feed.c) reads turn.user_record and calls
-- turn.edge_state as turn_server; nobody else needs them. Included by
-- install.sql after import.sql, so that users who come over are in it too.
--
-- turn.user_change, the journal, has one row for every user, and one, a
-- tombstone, for every user who is gone. Each change gives the row the next
-- number while the row is locked, so a user's numbers grow in the order of
-- commits, and the transaction, so an edge that knows snapshot S asks for
--
--     select ... from turn.user_record
--     where xact >= pg_snapshot_xmin(S) and not pg_visible_in_snapshot(xact, S)
--
-- and gets what S did not show, in whatever order it was committed. On a
-- standby a snapshot does not list what runs: there only the first condition
-- is right, and some rows come twice.
--
-- Numbers can go back: a failover loses the last ones, a restored backup many.
-- So a version is (epoch, number); turn.edge_state begins a new epoch when the
-- database is not the one it was.
--
-- Whoever changes turn.credential with triggers off (pg_restore
-- --disable-triggers, a logical subscription, session_replication_role) calls
-- turn.resync_edges() afterwards, or edges do not notice.

create sequence if not exists turn.user_version;

create table if not exists turn.user_change (
    realm   text not null,
    name    text not null,
    version bigint not null,
    xact    xid8 not null,
    changed timestamptz not null,
    gone    boolean not null default false,
    primary key (realm, name)
);
create index if not exists user_change_xact on turn.user_change (xact);
create index if not exists user_change_gone on turn.user_change (changed)
    where gone;

-- A row is stamped when it is made, and again with every change (below).
alter table turn.user_change
    alter version set default nextval('turn.user_version'),
    alter xact set default pg_current_xact_id(),
    alter changed set default clock_timestamp();

comment on table turn.user_change is
    'the last change of every user; edges read it through user_record';
comment on column turn.user_change.version is
    'grows with every change of this user; compare only within an epoch';
comment on column turn.user_change.xact is
    'the transaction that changed the user last';
comment on column turn.user_change.gone is
    'removed; the row is kept 90 days for edges that were away';

create table if not exists turn.epoch (
    number   bigint primary key,
    identity text not null,
    began    timestamptz not null
);

comment on table turn.epoch is
    'since when this database is the one it is; versions count within one';
comment on column turn.epoch.number is
    'unix seconds of its begin, and always more than the last';

-- hmackey is null unless the user may log in now. Times are unix milliseconds,
-- null where there is none. xact is for the feed.
create or replace view turn.user_record as
select j.realm, j.name, j.version,
    case when c.enabled and (c.valid_from is null or c.valid_from <= now())
            and (c.valid_until is null or c.valid_until > now())
        then c.hmackey end as hmackey,
    case when c.valid_from > now() and isfinite(c.valid_from) and c.enabled
            and (c.valid_until is null or c.valid_until > now())
        then floor(date_part('epoch', c.valid_from) * 1000)::bigint
        end as valid_from_ms,
    case when c.valid_until > now() and isfinite(c.valid_until) and c.enabled
        then floor(date_part('epoch', c.valid_until) * 1000)::bigint
        end as valid_until_ms,
    j.xact
from turn.user_change j
left join turn.credential c on c.realm = j.realm and c.name = j.name;

comment on view turn.user_record is
    'every user, and who is gone, with a version, as edges read it';

-- ---- the journal is kept ----
-- A change says who it is of and whether the user is gone. Rows are written in
-- one order, or two bulk changes of the same users would wait for each other.

-- A row that is there gets its number here, while it is locked.
create or replace function turn.stamp_change()
returns trigger language plpgsql
set search_path = pg_catalog, turn, pg_temp as $$
begin
    new.version := nextval('turn.user_version');
    new.xact := pg_current_xact_id();
    new.changed := clock_timestamp();
    return new;
end $$;

-- Always: also for whoever calls turn.resync_edges with triggers off.
drop trigger if exists stamp on turn.user_change;
create trigger stamp before update of gone on turn.user_change
    for each row execute function turn.stamp_change();
alter table turn.user_change enable always trigger stamp;

create or replace function turn.journal_insert()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    insert into turn.user_change (realm, name, gone)
    select realm, name, false from new_rows order by realm, name
    on conflict (realm, name) do update set gone = excluded.gone;
    return null;
end $$;

-- A change that no edge would notice (a note) is none.
create or replace function turn.journal_update()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    insert into turn.user_change (realm, name, gone)
    select n.realm, n.name, false
    from (select realm, name, hmackey, enabled, valid_from, valid_until
            from new_rows
        except
        select realm, name, hmackey, enabled, valid_from, valid_until
            from old_rows) as n
    union all
    select o.realm, o.name, true
    from (select realm, name from old_rows
        except select realm, name from new_rows) as o
    order by 1, 2
    on conflict (realm, name) do update set gone = excluded.gone;
    return null;
end $$;

create or replace function turn.journal_delete()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    insert into turn.user_change (realm, name, gone)
    select realm, name, true from old_rows order by realm, name
    on conflict (realm, name) do update set gone = excluded.gone;
    perform turn.forget_gone(100);
    return null;
end $$;

-- Writes a change of every user whose row, or lack of one, the journal does
-- not know; or of all users.
create or replace function turn.mend_journal(everybody boolean)
returns void language sql as $$
    insert into turn.user_change (realm, name, gone)
    select realm, name, c.enabled is null as gone
    from turn.credential c full join turn.user_change k using (realm, name)
    where everybody or k.gone is distinct from (c.enabled is null)
    order by realm, name
    on conflict (realm, name) do update set gone = excluded.gone
$$;

create or replace function turn.journal_truncate()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform turn.mend_journal(false);
    return null;
end $$;

-- Forgets so many of those who are gone for 90 days, the oldest first.
create or replace function turn.forget_gone(most integer)
returns void language sql as $$
    delete from turn.user_change j
    where (j.realm, j.name) in (select old.realm, old.name
        from turn.user_change old
        where old.gone and old.changed < now() - interval '90 days'
        order by old.changed limit most for update skip locked)
$$;

drop trigger if exists journal_insert on turn.credential;
drop trigger if exists journal_update on turn.credential;
drop trigger if exists journal_delete on turn.credential;
drop trigger if exists journal_truncate on turn.credential;
create trigger journal_insert after insert on turn.credential
    referencing new table as new_rows
    for each statement execute function turn.journal_insert();
create trigger journal_update after update on turn.credential
    referencing old table as old_rows new table as new_rows
    for each statement execute function turn.journal_update();
create trigger journal_delete after delete on turn.credential
    referencing old table as old_rows
    for each statement execute function turn.journal_delete();
create trigger journal_truncate after truncate on turn.credential
    for each statement execute function turn.journal_truncate();

-- A journal row that comes from a dump (pg_restore --data-only): what restoring
-- the user has just written here stands, and a transaction of elsewhere means
-- nothing.
create or replace function turn.journal_restored()
returns trigger language plpgsql
set search_path = pg_catalog, turn, pg_temp as $$
begin
    if exists (select from turn.user_change j
        where j.realm = new.realm and j.name = new.name)
    then
        return null;
    end if;
    new.xact := pg_current_xact_id();
    return new;
end $$;

drop trigger if exists restored on turn.user_change;
create trigger restored before insert on turn.user_change
    for each row when (new.xact is distinct from pg_current_xact_id())
    execute function turn.journal_restored();

-- ---- edges are told ----

-- Notifications are hints: they say that it is time to look, and no more.
create or replace function turn.tell_edges()
returns trigger language plpgsql
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform pg_notify(tg_argv[0], '');
    return null;
end $$;

do $$
declare
    told record;
begin
    for told in
        select * from (values ('user_change', 'turn_users'),
            ('peer_rule', 'turn_tables'), ('shared_secret', 'turn_tables'),
            ('realm_option', 'turn_tables'), ('origin', 'turn_tables'),
            ('oauth', 'turn_tables')) as t (name, channel)
    loop
        execute format('drop trigger if exists tell_edges on turn.%I',
            told.name);
        execute format('create trigger tell_edges '
            'after insert or update or delete or truncate on turn.%I '
            'for each statement execute function turn.tell_edges(%L)',
            told.name, told.channel);
    end loop;
end $$;

-- ---- which database this is ----

-- Microseconds since 1970: text that no setting of the caller changes.
create or replace function turn.moment(at timestamptz)
returns bigint language sql stable as $$
    select (date_part('epoch', at) * 1000000)::bigint
$$;

-- Another value when what was committed before may be gone: after a restart, a
-- crash, a failover, in a copy, with turn.credential restored or rewritten. An
-- owner who is no superuser does not see when the server last recovered from
-- the crash of a process.
create or replace function turn.database_identity()
returns text language plpgsql volatile as $$
begin
    return concat_ws('/', (select system_identifier from pg_control_system()),
        case when pg_is_in_recovery() then 'standby'
            else left(pg_walfile_name(pg_current_wal_lsn()), 8) end,
        turn.moment(pg_postmaster_start_time()),
        (select turn.moment(backend_start)
            from pg_stat_get_activity(null)
            where backend_type = 'checkpointer'),
        (select oid from pg_database where datname = current_database()),
        pg_relation_filenode('turn.credential'));
end $$;

-- Journal rows of transactions yet to come are from elsewhere (a dump). Null
-- while somebody else begins an epoch and does not come to an end: edges look
-- again later, as on a standby, and nobody can keep them waiting.
create or replace function turn.begin_epoch(identity text)
returns bigint language plpgsql as $$
declare
    began bigint;
begin
    begin
        perform set_config('lock_timeout', '300ms', true);
        lock table turn.epoch in exclusive mode;
    exception when lock_not_available then
        return null;
    end;
    -- A number that was told is never lost, lest it is given again.
    perform set_config('synchronous_commit', 'local', true);
    select e.number into began
    from turn.epoch e
    where e.identity = begin_epoch.identity
        and e.number = (select max(number) from turn.epoch);
    if found then
        return began;
    end if;
    update turn.user_change j set xact = pg_current_xact_id()
    where j.xact >= pg_snapshot_xmax(pg_current_snapshot());
    insert into turn.epoch (number, identity, began)
    select greatest(floor(date_part('epoch', clock_timestamp()))::bigint,
        max(e.number) + 1), begin_epoch.identity, clock_timestamp()
    from turn.epoch e
    returning number into began;
    return began;
end $$;

-- For edges: is this a standby, the epoch, what the database is known by, and
-- the server's clock. The epoch is null where none has begun and none can now:
-- on a standby, in a read-only transaction, while somebody else begins one.
create or replace function turn.edge_state(
    out in_recovery boolean, out epoch bigint, out identity text,
    out now_ms bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    newest turn.epoch;
begin
    in_recovery := pg_is_in_recovery();
    identity := turn.database_identity();
    select * into newest from turn.epoch e order by e.number desc limit 1;
    if in_recovery or newest.identity = identity then
        epoch := newest.number;
    elsif current_setting('transaction_read_only') = 'off' then
        epoch := turn.begin_epoch(identity);
    end if;
    now_ms := floor(date_part('epoch', clock_timestamp()) * 1000);
end $$;

-- ---- for people ----

create or replace function turn.resync_edges()
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    lock table turn.credential in share mode;
    perform turn.mend_journal(true);
end $$;

comment on function turn.resync_edges is
'Lets every edge read every user again: for when users were changed behind its
back, with triggers off (pg_restore --disable-triggers, a logical subscription).
  select turn.resync_edges();';

-- Users of before there was a journal, or changed with triggers off meanwhile.
select turn.mend_journal(false)
\g /dev/null
