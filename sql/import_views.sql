-- Where import.sql found coturn's tables, views of the same names take their
-- place, with the same rights, so that a coturn with its old connection string
-- goes on. They show what schema turn shows: valid users only. Who is given
-- such rights is said in a warning. Included by install.sql, after
-- coturn_views.sql.

do $$
declare
    old turn_found;
    right_of record;
begin
    for old in select * from turn_found loop
        if old.old_schema <> 'turn' then
            execute format('create view %I.%I as select * from turn.%2$I',
                old.old_schema, old.old_name);
            execute format('comment on view %I.%I is %L', old.old_schema,
                old.old_name, 'coturn''s table of old, now in schema turn');
        end if;
        for right_of in
            select grantee, privilege_type as privilege
            from aclexplode(coalesce(old.acl, acldefault('r', old.owner)))
            where privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                and (grantee <> 0 or old.old_schema <> 'turn')
        loop
            execute format('grant %s on %I.%I to %s', right_of.privilege,
                old.old_schema, old.old_name,
                case right_of.grantee when 0 then 'public'
                else right_of.grantee::regrole::text end);
        end loop;
    end loop;
end $$;

-- Whoever put such tables there, maybe long before, has a hand on users now.
do $$
declare
    kept record;
begin
    for kept in
        select role_name, rights, string_agg(id::text, ', ' order by id::text)
            as views
        from (select c.oid::regclass as id, case grantee
                when 0 then 'everybody' else grantee::regrole::text end,
                string_agg(lower(privilege_type), ', ' order by privilege_type)
            from turn_found
            join pg_class c
                on c.oid = format('%I.%I', old_schema, old_name)::regclass,
                aclexplode(relacl)
            where grantee <> relowner
                and not exists (select from pg_roles
                    where oid = grantee and rolsuper)
            group by c.oid, grantee) as on_view (id, role_name, rights)
        group by role_name, rights
        order by role_name, rights
    loop
        raise warning '% keeps its rights (%) on %', kept.role_name,
            kept.rights, kept.views
            using hint = 'Revoke them once its coturn or tool connects as '
                'turn_server or turn_admin.';
    end loop;
end $$;
