-- The two roles, made where they are missing. Included by install.sql.
--
-- turn_server  what coturn connects as: reads what a TURN server reads, of
--              users only the valid ones, and writes nothing.
-- turn_admin   what people and turnadmin connect as: sees and changes all,
--              through the functions and views of schema turn only.
--
-- Both may log in and have no password, so nobody gets in by password before
-- somebody sets one. With peer authentication (Debian's default on the unix
-- socket) give the OS users roles of their own name as members:
--
--     create role turnserver login in role turn_server;
--     create role alice login in role turn_admin;
--
-- or map them to these roles in pg_ident.conf. A coturn on another machine
-- uses a client certificate, or a password from a passfile: coturn logs the
-- whole connection string, so a password does not belong in psql-userdb.
--
-- Whoever takes over coturn can do as turn_server what PostgreSQL lets every
-- role do, too: temporary tables, large objects, notifications (edges take them
-- for hints; a queue full of them, 8 GB, makes changes of users fail), advisory
-- locks, its own password and settings, work without end; before PostgreSQL 15
-- also tables in schema public. None of it reaches schema turn. And it can end
-- every session of its own role, so that other edges of the same role do not
-- hear of changes: give each edge a role of its own.
--
--     create role edge1 login in role turn_server;
--
-- Where the database serves others as well, this takes most of it away:
--
--     revoke temporary on database turn from public;
--     revoke create on schema public from public;
--     alter role turnserver connection limit 40;    -- for each edge
--     alter role turnserver set statement_timeout = '30s';
--
-- To make roles one needs CREATEROLE. An owner without it gets an error that
-- says what a superuser has to run once.

do $$
declare
    role_name name;
begin
    foreach role_name in array array['turn_server', 'turn_admin'] loop
        if exists (select from pg_roles where rolname = role_name) then
            continue;
        end if;
        begin
            execute format('create role %I login', role_name);
        exception
            -- Another database of this cluster is being installed as well.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % is missing, and % may not make it',
                    role_name, current_user
                    using errcode = 'insufficient_privilege',
                    hint = 'Let a superuser run: create role turn_server '
                        'login; create role turn_admin login;';
        end;
    end loop;
end $$;
