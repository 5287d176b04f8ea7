-- Where import.sql found coturn's tables, views of the same names take their
-- place, with the same rights, so that a coturn with its old connection string
-- goes on. They show what schema turn shows: valid users only. Included by
-- install.sql, after coturn_views.sql.

do $$
declare
    old turn_found;
    right_of record;
begin
    for old in select * from turn_found where old_schema <> 'turn' loop
        execute format('create view %I.%I as select * from turn.%2$I',
            old.old_schema, old.old_name);
        execute format('comment on view %I.%I is %L', old.old_schema,
            old.old_name, 'coturn''s table of old, now in schema turn');
        for right_of in
            select grantee, privilege_type as privilege
            from aclexplode(coalesce(old.acl,
                acldefault('r', old.owner::regrole)))
            where privilege_type
                in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
        loop
            execute format('grant %s on %I.%I to %s', right_of.privilege,
                old.old_schema, old.old_name,
                case right_of.grantee when 0 then 'public'
                else right_of.grantee::regrole::text end);
        end loop;
    end loop;
end $$;
