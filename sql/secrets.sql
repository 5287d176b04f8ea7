-- Secrets of time-limited users, and such users: a name `<expiry>:<id>`, whose
-- password is an HMAC of the name, needs no row in the database (the TURN REST
-- scheme). Included by install.sql.
--
-- A program that hands names and passwords to guests needs to see no secret.
-- Give its role these two rights, which installing again leaves alone:
--
--     grant usage on schema turn to webapp;
--     grant execute on function turn.issue to webapp;
--
-- Who is logged in when such a name or its secret ends goes on until the client
-- ends it, as with coturn alone: coturn asks nobody when a relay is refreshed.
-- Where that is too long, give ordinary users: theirs are closed.
--
-- A secret is replaced without anybody noticing: turn.rotate_secret makes a new
-- one, with which turn.issue signs from then on, and names signed with the old
-- one stay good for the overlap. Whoever signs elsewhere (CMS does not; your
-- own program may) gets the new one meanwhile.

-- ---- inside ----

-- FIPS 180-4. Core PostgreSQL has SHA-2 only, and pgcrypto may not be there.
create or replace function turn.sha1(message bytea)
returns bytea language plpgsql immutable strict as $$
declare
    bits32 constant bigint := 4294967295;
    padded constant bytea := message || '\x80'::bytea
        || decode(repeat('00', (119 - length(message) % 64) % 64), 'hex')
        || int8send(length(message)::bigint * 8);
    h bigint[] := array[1732584193, 4023233417, 2562383102, 271733878,
        3285377520];
    v bigint[];
    w bigint[];
    x bigint;
begin
    for block in 0 .. length(padded) / 64 - 1 loop
        v := h;
        for t in 0 .. 79 loop
            if t < 16 then
                w[t] := ('x' || encode(substring(padded
                    from block * 64 + t * 4 + 1 for 4), 'hex'))::bit(32)::bigint
                    & bits32;
            else
                x := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
                w[t] := ((x << 1) | (x >> 31)) & bits32;
            end if;
            x := ((v[1] << 5) | (v[1] >> 27)) + v[5] + w[t] + case t / 20
                when 0 then ((v[2] & v[3]) | (~v[2] & v[4])) + 1518500249
                when 1 then (v[2] # v[3] # v[4]) + 1859775393
                when 2 then ((v[2] & v[3]) | (v[2] & v[4]) | (v[3] & v[4]))
                    + 2400959708
                else (v[2] # v[3] # v[4]) + 3395469782
                end;
            v := array[x & bits32, v[1],
                ((v[2] << 30) | (v[2] >> 2)) & bits32, v[3], v[4]];
        end loop;
        for i in 1 .. 5 loop
            h[i] := (h[i] + v[i]) & bits32;
        end loop;
    end loop;
    return decode((select string_agg(lpad(to_hex(part), 8, '0'), ''
        order by place) from unnest(h) with ordinality as u (part, place)),
        'hex');
end $$;

-- RFC 2104.
create or replace function turn.hmac_sha1(key bytea, message bytea)
returns bytea language plpgsql immutable strict as $$
declare
    short constant bytea := case when length(key) > 64 then turn.sha1(key)
        else key end;
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
begin
    for i in 0 .. length(short) - 1 loop
        inner_pad := set_byte(inner_pad, i, get_byte(short, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(short, i) # 92);
    end loop;
    return turn.sha1(outer_pad || turn.sha1(inner_pad || message));
end $$;

-- Which of a realm's secrets is meant, to people and in turn.audit.
create or replace function turn.fingerprint(realm text, secret text)
returns text language sql stable as $$
    select left(encode(sha256(convert_to(realm || ' ' || secret, 'UTF8')),
        'hex'), 8)
$$;

-- ---- for people ----

create or replace view turn.secrets with (security_barrier) as
select realm,
    left(encode(sha256(convert_to(realm || ' ' || value, 'UTF8')), 'hex'), 8)
        as fingerprint,
    case
    when valid_until <= now() then 'expired'
    when row_number() over (partition by realm order by
        coalesce(valid_until, 'infinity') desc, created desc, value) = 1
        then 'signs'
    else 'accepted'
    end as state,
    created, valid_until
from turn.shared_secret;

comment on view turn.secrets is
    'secrets of time-limited users, but for the secrets: turn.issue signs '
    'with the one whose state is signs';

create or replace function turn.add_secret(
    realm text, secret text default null)
returns text language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    made text;
begin
    perform turn.refuse(turn.fault_in_realm(realm));
    if secret is null then
        made := turn.random_password();
    else
        perform turn.refuse(turn.fault_in_secret(secret));
        if octet_length(secret) < 16 then
            raise warning 'the secret is short: whoever has one user name and '
                'password signed with it can guess it';
        end if;
    end if;
    insert into turn.shared_secret (realm, value, created)
    values (add_secret.realm, coalesce(made, secret), clock_timestamp())
    on conflict do nothing;
    if not found then
        raise exception 'this secret is there already, in realm "%"', realm
            using errcode = 'unique_violation',
            hint = 'select * from turn.secrets lists them.';
    end if;
    return made;
end $$;

comment on function turn.add_secret is
'Adds a secret of time-limited users. Without one it makes it and returns it,
once; otherwise returns null. Beside others: turn.issue signs with the newest,
all are accepted.
Errors: 22023 what cannot be; 23505 it is there.
  select turn.add_secret(''octavio.com'');';

create or replace function turn.rotate_secret(
    realm text, overlap interval default '1 day')
returns text language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    ends timestamptz := now() + overlap;
begin
    perform turn.refuse(case when overlap is null or ends < now() then
        'the overlap is the time for which old secrets stay good' end);
    -- Of two at once, the later ends what the earlier made.
    lock table turn.shared_secret in share row exclusive mode;
    delete from turn.shared_secret s
    where s.realm = rotate_secret.realm
        and (s.valid_until <= now() or ends <= now());
    update turn.shared_secret s set valid_until = ends
    where s.realm = rotate_secret.realm
        and (s.valid_until is null or s.valid_until > ends);
    return turn.add_secret(realm);
end $$;

comment on function turn.rotate_secret is
'Makes a new secret of time-limited users and returns it, once; all others of
the realm end after the overlap. Logins with a name that was signed with an old
one are refused from then on, whatever its own expiry; relays that run go on
until their clients end them. Overlap 0: at once.
Errors: 22023 no possible realm or overlap.
  select turn.rotate_secret(''octavio.com'');
  select turn.rotate_secret(''octavio.com'', overlap => ''0'');';

create or replace function turn.remove_secret(realm text, fingerprint text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    ends timestamptz;
begin
    delete from turn.shared_secret s
    where s.realm = remove_secret.realm
        and turn.fingerprint(s.realm, s.value)
            = lower(btrim(remove_secret.fingerprint));
    if not found then
        raise exception 'realm "%" has no secret with fingerprint "%"',
            realm, fingerprint
            using errcode = 'no_data_found',
            hint = 'select * from turn.secrets lists them.';
    end if;
    select max(coalesce(s.valid_until, 'infinity')) into ends
    from turn.shared_secret s
    where s.realm = remove_secret.realm
        and (s.valid_until is null or s.valid_until > now());
    if ends is null then
        raise warning 'realm "%" has no secret left: it has no time-limited '
            'users any more', realm
            using hint = 'turn.add_secret makes a secret.';
    elsif isfinite(ends) then
        raise warning 'turn.issue signs with a secret that ends at %', ends
            using hint = 'turn.rotate_secret makes one that does not.';
    end if;
end $$;

comment on function turn.remove_secret is
'Takes a secret away, told by its fingerprint in turn.secrets. Logins with names
signed with it are refused from now on, relays that run go on. A warning says so
if no secret is left, or none without an end.
Errors: P0002 there is none.
  select turn.remove_secret(''octavio.com'', ''1b4f0e98'');';

create or replace function turn.issue(
    in realm text, in id text, in lifetime interval default '1 day',
    out name text, out password text, out ttl integer, out expires timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    signs turn.shared_secret;
    expiry bigint;
begin
    perform turn.refuse(case
        when lifetime is null or now() + lifetime < now() + '1 second' then
            'the lifetime is less than a second'
        when now() + lifetime > now() + '30 days' then format(
            'the lifetime %s is more than 30 days: turn.add_user adds users '
            'for longer', lifetime)
        end);
    select * into signs from turn.shared_secret s
    where s.realm = issue.realm
        and (s.valid_until is null
            or s.valid_until > clock_timestamp() + interval '1 second')
    order by coalesce(s.valid_until, 'infinity') desc, s.created desc, s.value
    limit 1;
    if not found then
        raise exception 'realm "%" has no secret to sign with', realm
            using errcode = 'no_data_found',
            hint = 'turn.add_secret makes one.';
    end if;

    -- No longer than the secret lives.
    expires := to_timestamp(floor(date_part('epoch',
        least(clock_timestamp() + lifetime, signs.valid_until))));
    expiry := date_part('epoch', expires);
    name := expiry || ':' || id;
    perform turn.refuse(turn.fault_in_issued(id, name));
    password := encode(turn.hmac_sha1(convert_to(signs.value, 'UTF8'),
        convert_to(name, 'UTF8')), 'base64');
    ttl := ceil(date_part('epoch', expires - clock_timestamp()));
end $$;

comment on function turn.issue is
'Makes a time-limited TURN user, with the name <expiry>:<id>, and its password,
signed with the newest secret of the realm. Nothing is stored. The lifetime is
at most 30 days and ends with the secret; ttl is the same in seconds. A role
that may call this and nothing else sees no secret (sql/secrets.sql). What is
issued cannot be taken back one by one: turn.rotate_secret with overlap 0
refuses further logins of all.
Errors: 22023 an id that coturn refuses, no possible lifetime; P0002 the realm
has no secret.
  select * from turn.issue(''octavio.com'', ''guest-17'', ''2 hours'');';
