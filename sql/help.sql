-- turn.help: what turn_admin may use of schema turn, in the words of its
-- comments. Included by install.sql, before grants.sql, which lets turn_admin
-- call the functions that have a comment.
--
--     select name, arguments from turn.help;
--     select help from turn.help where name = 'add_user';

create or replace view turn.help as
select c.relname::text as name, null as arguments,
    obj_description(c.oid, 'pg_class') as help
from pg_class c
where c.relnamespace = 'turn'::regnamespace and c.relkind in ('r', 'v')
    and has_any_column_privilege('turn_admin', c.oid, 'select, insert')
    and obj_description(c.oid, 'pg_class') is not null
union all
select p.proname, pg_get_function_arguments(p.oid),
    obj_description(p.oid, 'pg_proc')
from pg_proc p
where p.pronamespace = 'turn'::regnamespace
    and has_function_privilege('turn_admin', p.oid, 'execute')
    and obj_description(p.oid, 'pg_proc') is not null
order by 1;

comment on view turn.help is
    'what turn_admin may read (no arguments) and call, and how';
