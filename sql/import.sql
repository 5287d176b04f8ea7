-- An existing coturn database: every row of coturn's own tables moves into
-- schema turn, whatever age the tables are of, and the tables go. Where they
-- were, views of the same names take their place (import_views.sql), so a
-- coturn that connects as it always did goes on, with the same users. Included
-- by install.sql.
--
-- Looked at are the schemas that the caller's search_path names, and turn; of
-- those, the ones with a table turnusers_lt or turn_secret, for an admin_user
-- elsewhere is somebody else's. A row that is in schema turn already, with
-- other contents, stops the installation: one of the two is wrong, and only
-- people know which. So does a view or foreign key that somebody hung on
-- coturn's tables. A table with columns that no coturn reads today stays, as
-- NAME_before_cms_edge.
--
-- The tables may be anybody's, and who installs may be superuser: nothing is
-- read that could run their owner's code (foreign_code below).

create temporary table turn_found (
    old_schema name,
    old_name   name,
    owner      oid,
    acl        aclitem[]
) on commit drop;

create temporary table turn_target (
    old_name name,
    new_name name,
    keys     text,      -- what names a row to people
    required text[],    -- columns without which it is no table of coturn's
    columns  text[],    -- of both; a missing column or null becomes ...
    defaults text[]     -- ... this
) on commit drop;

insert into turn_target values
('turnusers_lt', 'credential', 'realm, name', '{name,hmackey}',
    '{realm,name,hmackey}', array['''''', 'null', 'null']),
('turn_secret', 'shared_secret', 'realm', '{value}',
    '{realm,value}', array['''''', 'null']),
('allowed_peer_ip', 'peer_rule', 'realm, ip_range', '{ip_range}',
    '{realm,ip_range}', array['''''', 'null']),
('denied_peer_ip', 'peer_rule', 'realm, ip_range', '{ip_range}',
    '{realm,ip_range}', array['''''', 'null']),
('turn_origin_to_realm', 'origin', 'origin', '{origin,realm}',
    '{origin,realm}', array['null', 'null']),
('turn_realm_option', 'realm_option', 'realm, opt', '{realm,opt,value}',
    '{realm,opt,value}', array['''''', 'null', 'null']),
('oauth_key', 'oauth', 'kid', '{kid,ikm_key}',
    '{kid,ikm_key,timestamp,lifetime,as_rs_alg,realm}',
    array['null', 'null', '0', '0', '''''', 'null']),
('admin_user', 'web_admin', 'name', '{name,realm,password}',
    '{name,realm,password}', array['null', 'null', 'null']);

-- `select` that reads an old table, of whatever age, as coturn reads it today.
create or replace function pg_temp.select_old(
    old regclass, columns text[], defaults text[])
returns text language sql as $$
    select 'select ' || string_agg(case
            when a.attname is null then format('%s as %I', d, c)
            when a.atttypid in ('int4'::regtype, 'int8'::regtype)
                then format('coalesce(%I, %s) as %1$I', c, d)
            else format('coalesce(%I::text, %s) as %1$I', c, d)
        end, ', ' order by place) || format(' from only %s', old)
    from unnest(columns, defaults) with ordinality as t (c, d, place)
    left join pg_attribute a on a.attrelid = old and a.attname = t.c
        and a.attnum > 0 and not a.attisdropped
$$;

-- What a table lacks to be coturn's; null if nothing.
create or replace function pg_temp.missing_column(old regclass, required text[])
returns text language sql as $$
    select c from unnest(required) as c
    where not exists (select from pg_attribute
        where attrelid = old and attname = c and attnum > 0
            and not attisdropped)
    limit 1
$$;

-- The columns of an old table that no coturn reads today.
create or replace function pg_temp.other_columns(old regclass, columns text[])
returns bigint language sql as $$
    select count(*) from pg_attribute
    where attrelid = old and attnum > 0 and not attisdropped
        and attname <> all (columns)
$$;

-- What of a table's owner would run, with the installer's rights, if the table
-- were read: the cast of a column's type, and, when the query is planned, the
-- expressions of indexes and statistics. Null if nothing would.
create or replace function pg_temp.foreign_code(old regclass, columns text[])
returns text language sql as $$
    select format('column %s is of type %s', attname, atttypid::regtype)
    from pg_attribute
    where attrelid = old and attname = any (columns) and atttypid not in
        ('varchar'::regtype, 'bpchar'::regtype, 'text'::regtype,
            'int4'::regtype, 'int8'::regtype)
    union all
    select format('index %s has an expression or a condition',
        indexrelid::regclass)
    from pg_index
    where indrelid = old and (indexprs is not null or indpred is not null)
    union all
    select format('statistics %s.%I are of an expression',
        stxnamespace::regnamespace, stxname)
    from pg_statistic_ext where stxrelid = old and 'e' = any (stxkind)
    limit 1
$$;

-- Locks an old table, lest it becomes another one, and looks what it is.
create or replace function pg_temp.lock_table(old regclass, columns text[])
returns void language plpgsql as $$
declare
    fault text;
begin
    execute format('lock table only %s in access exclusive mode', old);
    -- The name may have been another table's by then.
    if not exists (select from pg_locks where pid = pg_backend_pid()
        and relation = old and mode = 'AccessExclusiveLock')
    then
        raise exception 'table % was renamed meanwhile', old
            using hint = 'Install again. Nothing has been changed.';
    end if;
    fault := pg_temp.foreign_code(old, columns);
    if fault is not null then
        raise exception 'table % is not as coturn makes it: %', old, fault
            using hint = 'Code of its owner could run with your rights. Put '
                'that right or drop it, then install again. Nothing has been '
                'changed.';
    end if;
end $$;

-- Peer rows come over as coturn has them, also those it does not understand.
create or replace function pg_temp.import_peers(rows text, allowed boolean)
returns void language plpgsql as $$
declare
    r record;
    nets cidr[];
begin
    for r in execute rows loop
        begin
            nets := turn.nets_of(r.ip_range);
        exception when invalid_parameter_value then
            nets := '{}';
            raise warning 'peer "%" (realm "%") is kept, but coturn may not '
                'understand it: %', r.ip_range, r.realm, sqlerrm;
        end;
        if strpos(r.ip_range, '/') > 0 then
            raise warning 'peer "%" (realm "%") is kept, but coturn ignores '
                'it: use turn.%_peer', r.ip_range, r.realm,
                case when allowed then 'allow' else 'deny' end;
            nets := '{}';
        end if;
        insert into turn.peer_rule (realm, peer, allowed, nets, ranges)
        values (r.realm, r.ip_range, allowed, nets, array[r.ip_range]
            || array_remove(turn.ranges_of(r.ip_range, nets, allowed),
                r.ip_range))
        on conflict do nothing;
    end loop;
end $$;

create or replace function pg_temp.import_table(old regclass, t turn_target)
returns void language plpgsql as $$
declare
    rows constant text := pg_temp.select_old(old, t.columns, t.defaults);
    allowed constant boolean := t.old_name like 'allowed%';
    lost text;
    now_here text := format('select %s from turn.%I',
        array_to_string(t.columns, ', '), t.new_name);
begin
    if t.new_name = 'peer_rule' then
        perform pg_temp.import_peers(rows, allowed);
        now_here := format('select realm, peer from turn.peer_rule '
            'where allowed = %L', allowed);
    else
        execute format('insert into turn.%I (%s) %s on conflict do nothing',
            t.new_name, array_to_string(t.columns, ', '), rows);
    end if;

    execute format('select string_agg(format(%L, %s), %L) from '
        '(select * from (%s except %s) as l (%s) limit 3) as lost',
        case when t.keys like '%,%' then '"%s" "%s"' else '"%s"' end,
        t.keys, ', ', rows, now_here, array_to_string(t.columns, ', '))
        into lost;
    if lost is not null then
        raise exception 'schema turn already has other contents for rows of '
            '%: %', old, lost
            using hint = 'Remove or rename them in one of the two, then '
                'install again. Nothing has been changed.';
    end if;
end $$;

create or replace function pg_temp.retire_table(old regclass, t turn_target)
returns void language plpgsql as $$
declare
    what text;
begin
    if pg_temp.other_columns(old, t.columns) > 0 then
        execute format('alter table %s rename to %I', old,
            t.old_name || '_before_cms_edge');
    else
        execute format('drop table %s', old);
    end if;
exception when dependent_objects_still_exist then
    get stacked diagnostics what = pg_exception_detail;
    raise exception 'table % has moved into schema turn, but something needs '
        'it where it was', old
        using detail = what,
        hint = 'Drop that, install, and make it again on the view that takes '
            'the table''s place. Nothing has been changed.';
end $$;

do $$
declare
    schemas constant name[] := current_setting('turn_install.schemas')::name[];
    old record;
    t turn_target;
begin
    for old in
        select c.oid::regclass as id, n.nspname, c.relname, c.relowner,
            c.relacl
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join turn_target on old_name = c.relname
        where c.relkind = 'r' and n.nspname !~ '^pg_'
            and exists (select from pg_class mark
                where mark.relnamespace = n.oid and mark.relkind = 'r'
                    and mark.relname in ('turnusers_lt', 'turn_secret'))
        order by n.nspname, c.relname
    loop
        if old.nspname <> all (schemas || 'turn'::name) then
            raise warning '% is not looked at: schema % is not in search_path',
                old.id, old.nspname;
            continue;
        end if;
        select * into t from turn_target where old_name = old.relname;
        if pg_temp.missing_column(old.id, t.required) is not null then
            raise warning '% is not looked at: coturn''s would have a column '
                '%', old.id, pg_temp.missing_column(old.id, t.required);
            continue;
        end if;
        perform pg_temp.lock_table(old.id, t.columns);
        perform pg_temp.import_table(old.id, t);
        execute format('analyze turn.%I', t.new_name);
        insert into turn_found values (old.nspname, old.relname,
            old.relowner, old.relacl);
        perform pg_temp.retire_table(old.id, t);
    end loop;
end $$;
