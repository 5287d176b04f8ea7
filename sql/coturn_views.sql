-- coturn's own tables, by name and column, as views on what schema turn
-- holds: coturn finds them through search_path, and turnadmin works on them.
-- Included by install.sql.
--
-- Whoever is a member of turn_admin sees all users here. Everybody else sees
-- those who are valid now; a superuser, too, lest a coturn that connects as one
-- admits a disabled user.
--
-- turnadmin inserts and, where that fails, updates, and says nothing either
-- way. So an insert of what exists changes it, without an error (which would
-- put the key into the server's log), and what turnadmin would not say is
-- raised as a warning, which libpq prints.

create or replace view turn.turnusers_lt with (security_barrier) as
select realm, name, hmackey::char(128) as hmackey
from turn.credential
where (enabled
        and (valid_from is null or valid_from <= now())
        and (valid_until is null or valid_until > now()))
    or (current_setting('is_superuser') = 'off'
        and pg_has_role('turn_admin', 'usage'));

create or replace view turn.turn_secret with (security_barrier) as
select realm, value,
    case when isfinite(valid_until)
        then floor(date_part('epoch', valid_until) * 1000)::bigint
        end as valid_until_ms
from turn.shared_secret
where valid_until is null or valid_until > now();

create or replace view turn.allowed_peer_ip with (security_barrier) as
select r.realm, range.ip_range
from turn.peer_rule r, unnest(r.ranges) as range (ip_range)
where r.allowed;

create or replace view turn.denied_peer_ip with (security_barrier) as
select r.realm, range.ip_range
from turn.peer_rule r, unnest(r.ranges) as range (ip_range)
where not r.allowed;

create or replace view turn.turn_origin_to_realm as
select origin, realm from turn.origin;

create or replace view turn.turn_realm_option as
select realm, opt, value from turn.realm_option;

create or replace view turn.oauth_key as
select kid, ikm_key, timestamp, lifetime, as_rs_alg, realm from turn.oauth;

create or replace view turn.admin_user as
select name, realm, password from turn.web_admin;

-- ---- an update or delete that finds nothing says so ----

create or replace function turn.change_begins()
returns trigger language plpgsql
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform set_config('turn.rows', 'none', true);
    return null;
end $$;

-- Arguments: what was not found, what there is to know, and `notice` where
-- turnadmin deletes before it adds.
create or replace function turn.change_ends()
returns trigger language plpgsql
set search_path = pg_catalog, turn, pg_temp as $$
begin
    if current_setting('turn.rows') = 'none' then
        if tg_argv[2] = 'notice' then
            raise notice 'no such % was there', tg_argv[0]
                using hint = tg_argv[1];
            return null;
        end if;
        raise warning 'no such %: nothing is changed', tg_argv[0]
            using hint = tg_argv[1];
    end if;
    return null;
end $$;

do $$
declare
    silent record;
begin
    for silent in
        select * from (values
            ('turnusers_lt', 'user', 'select * from turn.users also shows '
                'disabled and expired users, whom only members of turn_admin '
                'change here.', ''),
            ('turn_secret', 'secret', 'turn.secrets also shows those that '
                'have ended.', 'notice'),
            ('turn_origin_to_realm', 'origin', 'select * from '
                'turn.turn_origin_to_realm lists them.', ''),
            ('oauth_key', 'OAuth key', 'select kid from turn.oauth_key lists '
                'them.', ''),
            ('admin_user', 'web administrator', 'select name from '
                'turn.admin_user lists them.', ''))
            as v (name, noun, hint, level)
    loop
        execute format('drop trigger if exists change_begins on turn.%I',
            silent.name);
        execute format('drop trigger if exists change_ends on turn.%I',
            silent.name);
        execute format('create trigger change_begins before update or delete '
            'on turn.%I for each statement '
            'execute function turn.change_begins()', silent.name);
        execute format('create trigger change_ends after update or delete '
            'on turn.%I for each statement '
            'execute function turn.change_ends(%L, %L, %L)', silent.name,
            silent.noun, silent.hint, silent.level);
    end loop;
end $$;
drop function if exists turn.change_turnusers_lt_begins();
drop function if exists turn.change_turnusers_lt_ends();

-- ---- turnusers_lt ----

-- A key as coturn may store it: 32 to 128 hex digits.
create or replace function turn.coturn_key(key text)
returns text language plpgsql immutable as $$
begin
    perform turn.refuse(case when key is null
        or key !~* '^[0-9a-f]{32,128}$' then 'the key is not hex digits' end);
    return key;
end $$;

create or replace function turn.put_coturn_user(realm text, name text, key text)
returns void language plpgsql as $$
declare
    state text;
begin
    insert into turn.credential as c (realm, name, hmackey)
    values (put_coturn_user.realm, put_coturn_user.name, turn.coturn_key(key))
    on conflict on constraint credential_pkey
        do update set hmackey = excluded.hmackey;

    select u.state into state from turn.users u
    where u.realm = put_coturn_user.realm and u.name = put_coturn_user.name;
    if state <> 'active' then
        raise warning 'user "%" has the new key and is still %', name, state;
    end if;
end $$;

create or replace function turn.change_turnusers_lt()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    fault text;
begin
    perform set_config('turn.rows', 'some', true);
    if tg_op = 'DELETE' then
        delete from turn.credential c
        where c.realm = old.realm and c.name = old.name;
        return old;
    end if;

    if tg_op = 'UPDATE' and (new.realm, new.name) <> (old.realm, old.name) then
        raise exception 'a key holds for one name in one realm: add user "%"',
            new.name using errcode = 'feature_not_supported';
    end if;
    fault := coalesce(turn.fault_in_realm(new.realm),
        turn.fault_in_name(new.name));
    if tg_op = 'INSERT' and fault is not null then
        -- turnadmin does not show the error.
        raise warning '%', fault;
        perform turn.refuse(fault);
    end if;
    perform turn.put_coturn_user(new.realm, new.name, new.hmackey::text);
    return new;
end $$;

-- ---- allowed_peer_ip, denied_peer_ip ----

create or replace function turn.put_coturn_peer(
    realm text, ip_range text, allowed boolean)
returns void language plpgsql as $$
begin
    perform turn.nets_of(ip_range);
    perform turn.refuse(case when ip_range like '::-%' then format(
        '"%s" would mean all of IPv4 to coturn as well: write the network',
        ip_range) end);
    if strpos(ip_range, '/') > 0 then
        ip_range := turn.peer_text(ip_range);
    end if;
    perform turn.put_peer(coalesce(realm, ''), ip_range, allowed, null);
end $$;

create or replace function turn.drop_coturn_peer(
    realm text, ip_range text, allowed boolean)
returns void language plpgsql as $$
begin
    delete from turn.peer_rule r
    where r.realm = drop_coturn_peer.realm
        and r.allowed = drop_coturn_peer.allowed
        and r.ranges[1] = drop_coturn_peer.ip_range;
    if not found then
        raise exception '% is part of a wider rule in realm "%"',
            ip_range, realm
            using errcode = 'feature_not_supported',
            hint = 'turn.peers shows it; turn.remove_peer removes all of it.';
    end if;
end $$;

create or replace function turn.change_peer_ip()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    allowed constant boolean := tg_argv[0]::boolean;
begin
    if tg_op in ('DELETE', 'UPDATE') then
        perform turn.drop_coturn_peer(old.realm, old.ip_range, allowed);
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    perform turn.put_coturn_peer(new.realm, new.ip_range, allowed);
    return new;
end $$;

-- ---- what holds secrets: no insert fails for being there already ----

-- turnadmin deletes a secret before it adds it. So what is deleted leaves its
-- end behind for the rest of the session: what was rotated out stays so. One
-- that has ended already is wanted back.
create or replace function turn.change_turn_secret()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    ends timestamptz;
    known boolean;
begin
    perform set_config('turn.rows', 'some', true);
    if tg_op in ('DELETE', 'UPDATE') then
        delete from turn.shared_secret s
        where s.realm = old.realm and s.value = old.value
        returning valid_until into ends;
    end if;
    if tg_op = 'DELETE' then
        perform set_config('turn.deleted_secret', jsonb_build_object(
            turn.fingerprint(old.realm, old.value), ends)::text, false);
        return old;
    end if;
    perform turn.refuse(turn.fault_in_secret(new.value));
    new.realm := coalesce(new.realm, '');
    if tg_op = 'INSERT' then
        ends := nullif(current_setting('turn.deleted_secret', true),
            '')::jsonb->>turn.fingerprint(new.realm, new.value);
    end if;
    insert into turn.shared_secret (realm, value, valid_until)
    values (new.realm, new.value, ends)
    on conflict do nothing;
    known := not found;
    select valid_until into ends from turn.shared_secret s
    where s.realm = new.realm and s.value = new.value;
    if ends <= now() then
        update turn.shared_secret s set valid_until = null
        where s.realm = new.realm and s.value = new.value;
        raise warning 'the secret was there, until %: it has no end any more',
            ends;
    elsif ends is not null then
        raise warning 'the secret still ends at %', ends
            using hint = 'turn.rotate_secret or somebody else said so. '
                'Deleted first, and added by another command, it has no end.';
    elsif known then
        raise notice 'the secret is there already';
    else
        raise notice 'secret % is added: turn.issue signs with it',
            turn.fingerprint(new.realm, new.value);
    end if;
    return new;
end $$;

create or replace function turn.change_oauth_key()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform set_config('turn.rows', 'some', true);
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.kid <> old.kid then
        delete from turn.oauth o where o.kid = old.kid;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    insert into turn.oauth (kid, ikm_key, timestamp, lifetime, as_rs_alg, realm)
    values (new.kid, new.ikm_key, coalesce(new.timestamp, 0),
        coalesce(new.lifetime, 0), coalesce(new.as_rs_alg, ''), new.realm)
    on conflict (kid) do update set ikm_key = excluded.ikm_key,
        timestamp = excluded.timestamp, lifetime = excluded.lifetime,
        as_rs_alg = excluded.as_rs_alg, realm = excluded.realm;
    return new;
end $$;

create or replace function turn.change_admin_user()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform set_config('turn.rows', 'some', true);
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        delete from turn.web_admin a where a.name = old.name;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    insert into turn.web_admin (name, realm, password)
    values (new.name, new.realm, new.password)
    on conflict (name) do update
        set realm = excluded.realm, password = excluded.password;
    return new;
end $$;

create or replace function turn.change_turn_origin_to_realm()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform set_config('turn.rows', 'some', true);
    if tg_op in ('DELETE', 'UPDATE') then
        delete from turn.origin o where o.origin = old.origin;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    insert into turn.origin (origin, realm) values (new.origin, new.realm);
    return new;
end $$;

-- ---- the triggers ----

do $$
declare
    changed record;
begin
    for changed in
        select * from (values
            ('turnusers_lt', 'change_turnusers_lt()'),
            ('allowed_peer_ip', 'change_peer_ip(true)'),
            ('denied_peer_ip', 'change_peer_ip(false)'),
            ('turn_secret', 'change_turn_secret()'),
            ('oauth_key', 'change_oauth_key()'),
            ('admin_user', 'change_admin_user()'),
            ('turn_origin_to_realm', 'change_turn_origin_to_realm()'))
            as v (name, call)
    loop
        execute format('drop trigger if exists change on turn.%I',
            changed.name);
        execute format('create trigger change '
            'instead of insert or update or delete on turn.%I '
            'for each row execute function turn.%s', changed.name,
            changed.call);
    end loop;
end $$;
