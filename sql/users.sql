-- TURN users: the table, turn.users for people, and the functions that change
-- them. coturn sees the table through view turnusers_lt (coturn_views.sql).
-- Included by install.sql.
--
-- What the functions refuse, and how:
--     22023  a realm, name, password, key or time that cannot be: the message
--            says which, and why
--     P0002  no such user in this realm
--     23505  add_user: the user exists
--
-- Passwords are never stored. What is stored, the key, lets a TURN client log
-- in to this realm exactly as the password does, and nowhere else: treat
-- backups of this database accordingly. A password typed into SQL can end up
-- in ~/.psql_history, and in the server's log where it logs statements
-- (log_statement, log_min_duration_statement, auto_explain). Hence the habits:
-- let add_user and set_password make the password, or compute the key where
-- the password is known, and give only that:
--
--     read -rs P; printf %s "turnuser:octavio.com:$P" | md5sum
--
-- (`turnadmin -k -p ...` makes the same key, and shows the password in the
-- process list meanwhile.) A call that fails is kept out of the server's log by
-- the functions themselves where a superuser installed them (grants.sql).

create table if not exists turn.credential (
    realm       text not null,
    name        text not null,
    hmackey     text,
    enabled     boolean not null default true,
    valid_from  timestamptz,
    valid_until timestamptz,
    note        text,
    created     timestamptz not null default now(),
    changed     timestamptz not null default now(),
    primary key (realm, name)
);

comment on table turn.credential is
    'TURN users with their keys; people read turn.users, coturn turnusers_lt';
comment on column turn.credential.hmackey is
    'md5(name:realm:password) in hex, as good as the password in this realm';
comment on column turn.credential.valid_from is 'null: since ever';
comment on column turn.credential.valid_until is
    'the first moment the user is refused; null: never';

create or replace function turn.credential_changed()
returns trigger language plpgsql as $$
begin
    new.changed := now();
    return new;
end $$;

drop trigger if exists credential_changed on turn.credential;
create trigger credential_changed before update on turn.credential
    for each row execute function turn.credential_changed();

-- For turn.list_users, which looks for them by name among all others.
create index if not exists credential_unusual on turn.credential (realm, name)
    where not enabled or valid_from is not null or valid_until is not null;

-- Inside: no barrier hinders an index here.
create or replace view turn.user_with_state as
select realm, name,
    case
    when not enabled then 'disabled'
    when valid_until <= now() then 'expired'
    when valid_from > now() then 'not yet valid'
    else 'active'
    end as state,
    valid_from, valid_until, note, created, changed, enabled
from turn.credential;

-- More users than one wants to see: turn.list_users.
create or replace view turn.users with (security_barrier) as
select realm, name, state, valid_from, valid_until, note, created, changed
from turn.user_with_state;

comment on view turn.users is
    'TURN users; state is active, disabled, expired or not yet valid';

-- ---- inside ----

-- Raises 22023 with the fault, if there is one.
create or replace function turn.refuse(fault text)
returns void language plpgsql as $$
begin
    if fault is not null then
        raise exception '%', fault using errcode = 'invalid_parameter_value';
    end if;
end $$;

create or replace function turn.check_validity(
    valid_from timestamptz, valid_until timestamptz)
returns void language plpgsql as $$
begin
    perform turn.refuse(case
        when valid_until <= now() then format(
            'valid_until %s is in the past', valid_until)
        when valid_until <= valid_from then format(
            'valid_until %s is not after valid_from %s',
            valid_until, valid_from)
        end);
end $$;

-- Raises P0002 where an update or delete touched nobody.
create or replace function turn.expect_user(
    was_there boolean, realm text, name text)
returns void language plpgsql as $$
begin
    if not was_there then
        raise exception 'there is no user "%" in realm "%"', name, realm
            using errcode = 'no_data_found',
            hint = 'select * from turn.users lists them; '
                'turn.add_user adds one.';
    end if;
end $$;

-- ---- for people ----

create or replace function turn.add_user(
    realm text, name text, password text default null,
    valid_from timestamptz default null, valid_until timestamptz default null,
    note text default null, key text default null)
returns text language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    made text;
    stored text;
    elsewhere text;
begin
    perform turn.refuse(turn.fault_in_realm(realm));
    perform turn.refuse(turn.fault_in_name(name));
    perform turn.check_validity(valid_from, valid_until);
    if key is not null then
        perform turn.refuse(case when password is not null
            then 'give a password or a key, not both' end);
        stored := turn.clean_key(key);
        perform turn.refuse(case when stored is null
            then 'the key is not 32 hex digits' end);
    else
        if password is null then
            made := turn.random_password();
        else
            perform turn.refuse(turn.fault_in_password(password));
        end if;
        stored := turn.key_of(realm, name, coalesce(made, password));
    end if;

    if not exists (select from turn.credential c
        where c.realm = add_user.realm)
    then
        select min(c.realm) into elsewhere from turn.credential c;
    end if;
    if elsewhere is not null then
        raise notice 'realm "%" had no users until now', realm
            using hint = format('Others are in realm "%s".', elsewhere);
    end if;
    insert into turn.credential
        (realm, name, hmackey, valid_from, valid_until, note)
    values (add_user.realm, add_user.name, stored, add_user.valid_from,
        add_user.valid_until, add_user.note)
    on conflict do nothing;
    if not found then
        raise exception 'user "%" exists in realm "%"', name, realm
            using errcode = 'unique_violation',
            hint = 'turn.set_password and turn.set_key give it another '
                'password, turn.remove_user takes it away.';
    end if;
    return made;
end $$;

comment on function turn.add_user is
'Adds a TURN user. Without password and key it makes a password and returns
it, once: CMS wants it in clear. Otherwise returns null.
valid_from, valid_until: when the user may log in (null: always); note: for
people; key: 32 hex digits as turnadmin -k prints them.
Errors: 22023 what cannot be; 23505 the user exists.
  select turn.add_user(''octavio.com'', ''turnuser'');
  select turn.add_user(''octavio.com'', ''turnuser'',
      valid_until => ''2027-01-01'', note => ''CMS cluster A'');';

create or replace function turn.set_password(
    realm text, name text, password text default null)
returns text language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    made text;
begin
    if password is null then
        made := turn.random_password();
    else
        perform turn.refuse(turn.fault_in_password(password));
    end if;
    update turn.credential c
    set hmackey = turn.key_of(c.realm, c.name, coalesce(made, password))
    where c.realm = set_password.realm and c.name = set_password.name;
    perform turn.expect_user(found, realm, name);
    return made;
end $$;

comment on function turn.set_password is
'Gives a TURN user another password. Without one it makes it and returns it,
once. Who is logged in with the old one is out, at once where the edge closes
relays (cli), and so is everybody whom this user serves: of CMS''s user, every
guest. To change it without that, add a second user, tell CMS, and remove the
first.
Errors: 22023 no possible password; P0002 no such user.
  select turn.set_password(''octavio.com'', ''turnuser'');';

create or replace function turn.set_key(realm text, name text, key text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform turn.refuse(case when turn.clean_key(key) is null
        then 'the key is not 32 hex digits' end);
    update turn.credential c
    set hmackey = turn.clean_key(key)
    where c.realm = set_key.realm and c.name = set_key.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.set_key is
'Gives a TURN user another password, told only by its key: 32 hex digits as
`turnadmin -k` prints them, with or without 0x. No password reaches the server.
Who is logged in with the old password is out, as with turn.set_password.
Errors: 22023 no key; P0002 no such user.
  select turn.set_key(''octavio.com'', ''turnuser'',
      ''0x29010c2929b4e8233368220405ac74d9'');';

create or replace function turn.set_validity(
    realm text, name text,
    valid_until timestamptz, valid_from timestamptz default null)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform turn.check_validity(valid_from, valid_until);
    update turn.credential c
    set valid_from = set_validity.valid_from,
        valid_until = set_validity.valid_until
    where c.realm = set_validity.realm and c.name = set_validity.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.set_validity is
'Says from when until when a TURN user may log in; null is without limit.
An expired user is valid again with a later valid_until.
Errors: 22023 a time that is past or not after valid_from; P0002 no such user.
  select turn.set_validity(''octavio.com'', ''turnuser'', ''2028-01-01'');';

create or replace function turn.set_note(realm text, name text, note text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    update turn.credential c set note = set_note.note
    where c.realm = set_note.realm and c.name = set_note.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.set_note is
'Sets the note that turn.users shows. Errors: P0002 no such user.
  select turn.set_note(''octavio.com'', ''turnuser'', ''CMS cluster A'');';

create or replace function turn.disable_user(realm text, name text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    update turn.credential c set enabled = false
    where c.realm = disable_user.realm and c.name = disable_user.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.disable_user is
'Refuses a TURN user until turn.enable_user; its key is kept. Harmless when
it is disabled already. Errors: P0002 no such user.
  select turn.disable_user(''octavio.com'', ''turnuser'');';

create or replace function turn.enable_user(realm text, name text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    update turn.credential c set enabled = true
    where c.realm = enable_user.realm and c.name = enable_user.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.enable_user is
'Lets a disabled TURN user log in again, within its validity.
Errors: P0002 no such user.
  select turn.enable_user(''octavio.com'', ''turnuser'');';

create or replace function turn.remove_user(realm text, name text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    delete from turn.credential c
    where c.realm = remove_user.realm and c.name = remove_user.name;
    perform turn.expect_user(found, realm, name);
end $$;

comment on function turn.remove_user is
'Takes a TURN user away. Errors: P0002 no such user.
  select turn.remove_user(''octavio.com'', ''turnuser'');';

-- Names are looked at in their order, from an index, and so many of them at
-- most for a page: whatever a realm holds, a page costs as much.
create or replace function turn.list_users(
    realm text, name_like text default '%', state text default null,
    after text default '', most integer default 100)
returns setof turn.users language plpgsql stable security definer
set search_path = pg_catalog, turn, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    look_at constant bigint := case when most is not null
        then greatest(100000, most) end;
    some_users constant text := format('select * from turn.user_with_state u
        where u.realm = $1 and u.name > $2 %s order by u.name',
        case when state <> 'active' then 'and (not u.enabled
            or u.valid_from is not null or u.valid_until is not null)' end);
    listed bigint;
    last_name text;
begin
    perform turn.refuse(case when state not in
            ('active', 'disabled', 'expired', 'not yet valid') then format(
        'state "%s" is none of active, disabled, expired, not yet valid',
        state) end);
    return query execute format('select u.realm, u.name, u.state, u.valid_from,
            u.valid_until, u.note, u.created, u.changed
        from (%s limit $3) as u
        where ($4 = ''%%'' or u.name like $4) and ($5 is null or u.state = $5)
        order by u.name limit $6', some_users)
    using realm, coalesce(after, ''), look_at, name_like, state, most;

    get diagnostics listed = row_count;
    if listed < most then
        execute format('select min(u.name) from (%s offset $3 limit 2) as u
            having count(*) = 2', some_users)
        into last_name using realm, coalesce(after, ''), look_at - 1;
    end if;
    if last_name is not null then
        raise notice '% users were looked at, there are more', look_at
            using hint = format('To go on: after => %L', last_name);
    end if;
end $$;

comment on function turn.list_users is
'Lists users of a realm by name, at most 100 unless told; after is where the
list before ended. name_like: with % and _ as in LIKE; state: as in turn.users.
No call looks at more than 100,000 users (of disabled, expired and not yet valid
ones: users with such marks); a notice says how to go on.
Errors: 22023 no such state.
  select * from turn.list_users(''octavio.com'', ''guest-%'', ''expired'');
  select * from turn.list_users(''octavio.com'', after => ''guest-99'');';

-- ---- why a login fails ----

-- Where else a user of this name is known: what a typing error looks like.
create or replace function turn.nearby_users(realm text, name text)
returns text language sql stable as $$
    select case
    when exists (select from turn.credential c where c.realm = $1
            and lower(c.name) = lower($2)) then format(
        '; there is user "%s" (letter case counts)',
        (select c.name from turn.credential c where c.realm = $1
            and lower(c.name) = lower($2) order by 1 limit 1))
    when exists (select from turn.credential c where c.name = $2) then format(
        '; a user of this name is in realm %s',
        (select string_agg(format('"%s"', near.realm), ', ')
        from (select c.realm from turn.credential c where c.name = $2
            order by 1 limit 3) as near))
    when not exists (select from turn.credential c where c.realm = $1) then
        '; this realm has no users at all'
    else ''
    end
$$;

-- The same of a time-limited user, whom only secrets know.
create or replace function turn.check_issued(
    realm text, name text, password text)
returns text language plpgsql stable as $$
declare
    digits constant text := split_part(name, ':', 1);
    expires timestamptz;
    ended timestamptz;
begin
    if length(digits) > 10 or digits::bigint > 4294967295 then
        return 'its expiry is no possible time';
    end if;
    expires := to_timestamp(digits::bigint);
    if expires <= now() then
        return format('expired at %s', expires);
    end if;
    if not exists (select from turn.shared_secret s
        where s.realm = check_issued.realm
            and (s.valid_until is null or s.valid_until > now()))
    then
        return format('realm "%s" has no secret of time-limited users', realm);
    end if;
    if password is not null then
        select coalesce(max(coalesce(s.valid_until, 'infinity')), '-infinity')
        into ended
        from turn.shared_secret s
        where s.realm = check_issued.realm
            and password = encode(turn.hmac_sha1(convert_to(s.value, 'UTF8'),
                convert_to(name, 'UTF8')), 'base64');
        if ended = '-infinity' then
            return format('wrong password: no secret of realm "%s" signed it',
                realm);
        elsif ended <= now() then
            return format('the secret that signed it ended at %s', ended);
        end if;
    end if;
    return coalesce(turn.fault_in_issued(substr(name, length(digits) + 2),
        name), 'ok');
end $$;

create or replace function turn.check_user(
    realm text, name text, password text default null)
returns text language plpgsql stable security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    u turn.credential;
    reasons text[];
    trimmed text := btrim(password, E' \t\r\n');
begin
    select * into u from turn.credential c
    where c.realm = check_user.realm and c.name = check_user.name;
    if not found and name ~ '^[0-9]+:' then
        return turn.check_issued(realm, name, password);
    elsif not found then
        return coalesce(turn.fault_in_realm(realm), turn.fault_in_name(name),
            format('unknown user "%s" in realm "%s"', name, realm)
            || turn.nearby_users(realm, name));
    end if;

    if u.hmackey is null or u.hmackey !~* '^[0-9a-f]{32}' then
        reasons := reasons || 'its stored key is none: set a new password'
            ::text;
    elsif left(lower(u.hmackey), 32) <> turn.key_of(realm, name, password) then
        reasons := reasons || 'wrong password'::text;
        if left(lower(u.hmackey), 32) = turn.key_of(realm, name, trimmed) then
            reasons := array['wrong password: right without the blanks '
                'around it'];
        end if;
    end if;
    if not u.enabled then
        reasons := reasons || 'disabled: turn.enable_user lets it in'::text;
    end if;
    if u.valid_until <= now() then
        reasons := reasons || format('expired at %s', u.valid_until);
    end if;
    if u.valid_from > now() then
        reasons := reasons || format('not yet valid, from %s', u.valid_from);
    end if;
    reasons := reasons || coalesce(turn.fault_in_realm(realm),
        turn.fault_in_name(name));
    return coalesce(nullif(array_to_string(reasons, '; '), ''), 'ok');
end $$;

comment on function turn.check_user is
'Says why a login would fail, or ok: unknown, wrong password, disabled,
expired, not yet valid, a name that coturn refuses; of a time-limited user, too.
Without a password all but that is checked.
  select turn.check_user(''octavio.com'', ''turnuser'', ''wrong'');';
