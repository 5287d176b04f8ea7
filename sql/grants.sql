-- Who may do what, said again at every installation. Included by install.sql,
-- last.
--
-- Nobody but the owner touches a table of schema turn: people and turnadmin
-- work through functions and views that run with the owner's rights. What
-- coturn reads only with features that cms-edge does not use is not granted;
-- who uses them grants it:
--     grant select on turn.admin_user to turn_server;    -- web-admin
--     grant select on turn.oauth_key to turn_server;     -- oauth

revoke all on all tables in schema turn from public;
revoke all on all sequences in schema turn from public;
revoke all on all functions in schema turn from public;
revoke all on schema turn from public;

grant usage on schema turn to turn_server, turn_admin;

grant select on turn.turnusers_lt, turn.turn_secret, turn.allowed_peer_ip,
    turn.denied_peer_ip, turn.turn_origin_to_realm, turn.turn_realm_option,
    turn.user_record
    to turn_server;
grant execute on function turn.edge_state to turn_server;

grant select, insert, update, delete on turn.turnusers_lt, turn.turn_secret,
    turn.allowed_peer_ip, turn.denied_peer_ip, turn.turn_origin_to_realm,
    turn.turn_realm_option, turn.oauth_key, turn.admin_user
    to turn_admin;
grant select on turn.users, turn.peers, turn.secrets, turn.quotas, turn.audit,
    turn.help to turn_admin;
grant insert (realm, name, password, key, valid_from, valid_until, note)
    on turn.import to turn_admin;

-- What turn_admin may call is what is documented (COMMENT ON FUNCTION); the
-- rest is inside. A statement that holds a password or key is not logged with
-- its text when a function of ours, or a view's trigger, refuses it: only a
-- superuser's function can see to that.
do $$
declare
    f record;
begin
    for f in
        select p.oid::regprocedure as called,
            obj_description(p.oid, 'pg_proc') is not null as documented,
            p.prosecdef and (p.proargnames && array['password', 'key', 'secret']
                or p.prorettype = 'trigger'::regtype) as secret
        from pg_proc p
        where p.pronamespace = 'turn'::regnamespace
    loop
        if f.documented then
            execute format('grant execute on function %s to turn_admin',
                f.called);
        end if;
        if f.secret and current_setting('is_superuser') = 'on' then
            execute format('alter function %s set log_min_error_statement '
                '= panic', f.called);
        end if;
    end loop;
end $$;

-- coturn that connects as turn_server itself finds the views without being
-- told; a member of it names search_path in its connection string.
do $$
declare
    role_name name;
begin
    foreach role_name in array array['turn_server', 'turn_admin'] loop
        execute format('alter role %I in database %I '
            'set search_path = turn, public', role_name, current_database());
    end loop;
exception when insufficient_privilege then
    raise warning 'search_path of turn_server and turn_admin is as it was: % '
        'may not change them', current_user;
end $$;
