-- turn.audit: who changed what, when. Triggers write it, so it holds whatever
-- way a change came: a function, turnadmin, an import. No key, password or
-- secret is in it; a secret is named by its fingerprint (turn.secrets).
-- Included by install.sql after import.sql.
--
-- `who` is the role that logged in, whatever role it took on; `application` is
-- what the client calls itself. turn_admin cannot change a line; the owner of
-- the database can. A statement that changes more than ten rows is one line
-- for each realm and kind of change. Lines stay until turn.prune_audit takes
-- those older than a year. Time-limited users (turn.issue) leave none.

create table if not exists turn.audit_line (
    at          timestamptz not null default clock_timestamp(),
    who         text not null default session_user,
    application text not null default current_setting('application_name'),
    what        text not null,
    realm       text,
    name        text,
    details     text
);
create index if not exists audit_line_at on turn.audit_line (at);
create index if not exists audit_line_name on turn.audit_line (name);

comment on table turn.audit_line is
    'who changed what; people read turn.audit';

create or replace view turn.audit with (security_barrier) as
select at, who, application, what, realm, name, details
from turn.audit_line;

comment on view turn.audit is
    'who changed what, when; the latest: order by at desc limit 20';

-- What changed of a user, in words; null if nothing worth a line.
create or replace function turn.user_change_in_words(
    old turn.credential, new turn.credential)
returns text language sql stable as $$
    select case
    when old.realm is null then 'user added'
    when new.realm is null then 'user removed'
    else nullif(concat_ws(', ',
        case when old.hmackey is distinct from new.hmackey
            then 'new key' end,
        case when old.enabled and not new.enabled then 'disabled' end,
        case when not old.enabled and new.enabled then 'enabled' end,
        case when (old.valid_from, old.valid_until)
            is distinct from (new.valid_from, new.valid_until)
            then 'new validity' end,
        case when old.note is distinct from new.note then 'new note' end), '')
    end
$$;

create or replace function turn.user_details(u turn.credential)
returns text language sql stable as $$
    select nullif(concat_ws('; ', 'valid from ' || u.valid_from,
        'valid until ' || u.valid_until, 'note: ' || u.note), '')
$$;

create or replace function turn.audit_users()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    few boolean;
begin
    if tg_op = 'INSERT' then
        few := (select count(*) from (select from new_rows limit 11) as n) < 11;
        insert into turn.audit_line (what, realm, name, details)
        select 'user added', n.realm, n.name, turn.user_details(n)
        from new_rows n where few
        union all
        select 'users added', n.realm, null, format('%s, "%s" to "%s"',
            count(*), min(n.name), max(n.name))
        from new_rows n where not few group by n.realm;
    elsif tg_op = 'DELETE' then
        few := (select count(*) from (select from old_rows limit 11) as o) < 11;
        insert into turn.audit_line (what, realm, name)
        select 'user removed', o.realm, o.name
        from old_rows o where few;
        insert into turn.audit_line (what, realm, details)
        select 'users removed', o.realm, format('%s, "%s" to "%s"',
            count(*), min(o.name), max(o.name))
        from old_rows o where not few group by o.realm;
    else
        few := (select count(*) from (select from old_rows limit 11) as o) < 11;
        insert into turn.audit_line (what, realm, name, details)
        with change as (
            select realm, name, turn.user_details(n) as details,
                turn.user_change_in_words(o, n) as what
            from old_rows o full join new_rows n using (realm, name))
        select c.what, c.realm, c.name,
            case when c.what ~ 'added|validity|note' then c.details end
        from change c where few and c.what is not null
        union all
        select c.what || ' (several users)', c.realm, null,
            format('%s, "%s" to "%s"', count(*), min(c.name), max(c.name))
        from change c where not few and c.what is not null
        group by c.realm, c.what;
    end if;
    return null;
end $$;

-- The same for the other tables. Arguments: what a row is called, the columns
-- with its name and with what is worth saying of it.
create or replace function turn.audit_rows()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    suffix constant text := case tg_op when 'INSERT' then ' added'
        when 'DELETE' then ' removed' else ' changed' end;
    changed jsonb[];
    r jsonb;
begin
    if tg_op = 'DELETE' then
        changed := array(select to_jsonb(o) from old_rows o limit 11);
    else
        changed := array(select to_jsonb(n) from new_rows n limit 11);
    end if;
    if cardinality(changed) > 10 then
        insert into turn.audit_line (what)
        values (tg_argv[0] || suffix || ' (more than ten)');
        return null;
    end if;
    foreach r in array changed loop
        if tg_table_name = 'shared_secret' then
            r := r || jsonb_build_object('fingerprint',
                turn.fingerprint(r->>'realm', r->>'value'));
        end if;
        insert into turn.audit_line (what, realm, name, details)
        values (tg_argv[0] || suffix, r->>'realm', r->>tg_argv[1],
            tg_argv[2] || ' ' || (r->>tg_argv[2]));
    end loop;
    return null;
end $$;

create or replace function turn.audit_truncate()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    insert into turn.audit_line (what) values ('all removed: ' || tg_argv[0]);
    return null;
end $$;

create or replace function pg_temp.audit(
    name text, function text, variadic arguments text[])
returns void language plpgsql as $$
declare
    call constant text := format('turn.%I(%s)', function,
        (select string_agg(quote_literal(a), ', ' order by place)
        from unnest(arguments) with ordinality as u (a, place)));
    event record;
begin
    for event in
        select * from (values
            ('insert', 'referencing new table as new_rows'),
            ('update', 'referencing old table as old_rows '
                'new table as new_rows'),
            ('delete', 'referencing old table as old_rows')) as e (op, rows)
    loop
        execute format('drop trigger if exists audit_%s on turn.%I',
            event.op, name);
        execute format('create trigger audit_%s after %1$s on turn.%I %s '
            'for each statement execute function %s',
            event.op, name, event.rows, call);
    end loop;
    execute format('drop trigger if exists audit_truncate on turn.%I', name);
    execute format('create trigger audit_truncate after truncate on turn.%I '
        'for each statement execute function turn.audit_truncate(%L)',
        name, arguments[1]);
end $$;

select pg_temp.audit('credential', 'audit_users', 'users'),
    pg_temp.audit('shared_secret', 'audit_rows', 'secret', 'fingerprint',
        'valid_until'),
    pg_temp.audit('peer_rule', 'audit_rows', 'peer rule', 'peer', 'allowed'),
    pg_temp.audit('realm_option', 'audit_rows', 'realm option', 'opt', 'value'),
    pg_temp.audit('origin', 'audit_rows', 'origin', 'origin', 'realm'),
    pg_temp.audit('oauth', 'audit_rows', 'OAuth key', 'kid', 'timestamp'),
    pg_temp.audit('web_admin', 'audit_rows', 'web administrator', 'name',
        'realm')
\g /dev/null

-- ---- for people ----

create or replace function turn.prune_audit(
    older_than interval default '1 year')
returns bigint language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    pruned bigint;
begin
    perform turn.refuse(case
        when older_than is null or now() - older_than > now() - '30 days'
            ::interval then
            'lines of the last 30 days stay' end);
    delete from turn.audit_line l where l.at < now() - older_than;
    get diagnostics pruned = row_count;
    insert into turn.audit_line (what, details)
    values ('audit pruned', format('%s lines older than %s', pruned,
        older_than));
    return pruned;
end $$;

comment on function turn.prune_audit is
'Takes away the lines of turn.audit that are older than this, at least 30 days;
returns how many, and leaves a line that says so. For cron.
Errors: 22023 less than 30 days.
  select turn.prune_audit();
  select turn.prune_audit(interval ''90 days'');';
