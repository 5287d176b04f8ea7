-- Schema turn, and what must be true before anything is put into it: that
-- nobody but its owner has been, or will be, in it. What the others left there
-- (a trigger, a function of a better matching type) would run with the rights
-- of whoever installs or calls. Included by install.sql.

-- What of schema turn belongs neither to its owner nor to a superuser. coturn's
-- own tables may; import.sql looks at these.
create or replace function pg_temp.foreign_object(turn oid)
returns text language sql as $$
    select format('%s belongs to %s',
        pg_describe_object(d.classid, d.objid, 0), r.oid::regrole)
    from pg_namespace n, pg_shdepend d
    join pg_roles r on r.oid = d.refobjid and not r.rolsuper,
        pg_identify_object(d.classid, d.objid, 0) as o
    where n.oid = turn and r.oid <> n.nspowner and o.schema = n.nspname
        and d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass
        and d.dbid = (select oid from pg_database
            where datname = current_database())
        and not (o.type = 'table' and o.name in ('turnusers_lt', 'turn_secret',
            'allowed_peer_ip', 'denied_peer_ip', 'turn_origin_to_realm',
            'turn_realm_option', 'oauth_key', 'admin_user'))
    union all
    select format('%s may create objects there', case grantee
        when 0 then 'everybody' else grantee::regrole::text end)
    from pg_namespace n, aclexplode(n.nspacl)
    where n.oid = turn and privilege_type = 'CREATE' and grantee <> n.nspowner
    limit 1
$$;

do $$
declare
    owner name;
    owner_is_superuser boolean;
    fault text;
begin
    if current_setting('server_version_num')::int < 130000 then
        raise exception 'PostgreSQL % is too old, cms-edge needs 13 or newer',
            current_setting('server_version');
    end if;

    if getdatabaseencoding() not in ('UTF8', 'SQL_ASCII') then
        raise warning 'the encoding of database % is %: coturn will not find '
            'user names outside ASCII in it', current_database(),
            getdatabaseencoding();
    end if;

    select rolname, rolsuper into owner, owner_is_superuser
    from pg_namespace join pg_roles r on r.oid = nspowner
    where nspname = 'turn';

    if owner is null then
        create schema turn;
        return;
    end if;
    if owner <> current_user and not (owner_is_superuser
        and current_setting('is_superuser') = 'on')
    then
        raise exception 'schema turn belongs to %, and you are %',
            owner, current_user
            using errcode = 'insufficient_privilege',
            hint = format('Connect as %s to run sql/install.sql.', owner);
    end if;
    fault := pg_temp.foreign_object('turn'::regnamespace);
    if fault is not null then
        raise exception 'schema turn is not its owner''s alone: %', fault
            using errcode = 'insufficient_privilege',
            hint = 'Look what it is, drop or revoke it, then install again. '
                'Nothing has been changed.';
    end if;
end $$;

-- Installing again replaces what coturn reads meanwhile. Everything is locked
-- now, so that its readers and writers wait a moment, and nobody in a circle:
-- views before tables, as readers do, and without the tables below, for which
-- a reader of another view may wait; tables before those that their triggers
-- write to.
do $$
declare
    found record;
begin
    for found in
        select c.oid::regclass as id, c.relkind, relowner::regrole as owner
        from pg_class c
        where relnamespace = 'turn'::regnamespace and relkind in ('v', 'r')
        order by relkind = 'r', relname in ('user_change', 'audit_line'),
            relname
    loop
        if found.relkind = 'v' then
            execute format('alter view %s owner to %s', found.id, found.owner);
        else
            execute format('lock table %s in access exclusive mode', found.id);
        end if;
    end loop;
end $$;

comment on schema turn is
    'cms-edge: TURN users, peer rules and what else coturn reads';
