-- What coturn accepts as realm, user name, password and key, and how the last
-- is made of the others. Pure functions: no table is read here. Called by
-- users.sql, bulk.sql, peers.sql, secrets.sql and coturn_views.sql; included by
-- install.sql.
--
-- Names and passwords outside ASCII: coturn compares the UTF-8 bytes that a
-- client sends, and the client sends what it was given (browsers) or brings it
-- into a normal form first (SASLprep, RFC 8265). Both send the same if it is in
-- normal form NFC already, as keyboards write it. Another form looks the same
-- and is another name: it is refused. Letter case counts.

-- A character that neither names nor realms may hold, in words; null if there
-- is none. coturn refuses the first seven in every name it is sent.
create or replace function turn.refused_character(value text)
returns text language plpgsql immutable as $$
begin
    -- Nearly always, and quickly: bulk.sql asks for every row.
    if value !~ '[\u0001-\u0020\u007f"''\\]' then
        return null;
    end if;
    return (select what
        from (values
            (1, ' ',   'a space'),
            (2, E'\t', 'a tab'),
            (3, '''',  'a single quote'),
            (4, '"',   'a double quote'),
            (5, E'\n', 'a line break'),
            (6, E'\r', 'a carriage return'),
            (7, E'\\', 'a backslash'),
            (8, (regexp_match(value, '[\u0001-\u001f\u007f]'))[1],
                'a control character')) as refused (place, c, what)
        where strpos(value, c) > 0
        order by place
        limit 1);
end $$;

-- Is it written another way than in Unicode normal form NFC? (In a database of
-- another encoding nothing else is possible.)
create or replace function turn.other_normal_form(value text)
returns boolean language plpgsql stable as $$
begin
    if octet_length(value) = length(value)
        or getdatabaseencoding() <> 'UTF8'
    then
        return false;
    end if;
    return value is not nfc normalized;
end $$;

-- Why coturn refuses the length of a text, whose owner and verb are the
-- subject ("the realm has"); null if it is good.
create or replace function turn.fault_in_length(
    subject text, value text, most integer)
returns text language sql immutable as $$
    select case when octet_length(value) > most then format(
        '%s %s bytes, coturn takes at most %s', subject, octet_length(value),
        most)
    end
$$;

-- Why coturn, or cms-edge, refuses a realm; null if it is good.
create or replace function turn.fault_in_realm(realm text)
returns text language sql stable as $$
    select coalesce(
        case when coalesce(realm, '') = '' then 'the realm is empty' end,
        turn.fault_in_length('the realm has', realm, 127),
        case
        when turn.refused_character(realm) is not null then format(
            'realm "%s" contains %s, which coturn refuses',
            realm, turn.refused_character(realm))
        when turn.other_normal_form(realm) then format(
            'realm "%s" is not in Unicode normal form NFC', realm)
        end)
$$;

-- Why coturn, or cms-edge, refuses how a user name, or the part of one that
-- the noun says, is written; null if it is good.
create or replace function turn.fault_in_spelling(noun text, value text)
returns text language sql stable as $$
    select case
    when turn.refused_character(value) is not null then format(
        '%s "%s" contains %s, which coturn refuses',
        noun, value, turn.refused_character(value))
    when turn.other_normal_form(value) then format(
        '%s "%s" is not in Unicode normal form NFC, as clients send it',
        noun, value)
    when lower(value) like '%union%' and lower(value) like '%select%' then
        format('%s "%s" contains "union" and "select", which coturn refuses',
            noun, value)
    end
$$;

-- Why coturn, or cms-edge, refuses a user name; null if it is good. A name
-- that begins with `*` would mean "everybody" in coturn's command line
-- interface; digits and a colon begin the names of time-limited users.
create or replace function turn.fault_in_name(name text)
returns text language sql stable as $$
    select coalesce(
        case when coalesce(name, '') = '' then 'the user name is empty' end,
        turn.fault_in_length('the user name has', name, 512),
        turn.fault_in_spelling('user name', name),
        case
        when left(name, 1) = '*' then format(
            'user name "%s" begins with "*", which stands for all users in '
            'coturn''s command line interface', name)
        when name ~ '^[0-9]+:' then format(
            'user name "%s" begins with digits and a colon, as only '
            'time-limited users do', name)
        end)
$$;

-- Why coturn, or cms-edge, refuses the id of a time-limited user whose name
-- this is; null if it is good.
create or replace function turn.fault_in_issued(id text, name text)
returns text language sql stable as $$
    select coalesce(
        case when coalesce(id, '') = '' then 'the id is empty' end,
        turn.fault_in_length('the user name would have', name, 512),
        turn.fault_in_spelling('id', id))
$$;

-- Why a password or a secret, as the noun says, cannot be used; null if it is
-- good. It is not quoted.
create or replace function turn.fault_in_hidden(noun text, value text)
returns text language sql immutable as $$
    select coalesce(
        case when coalesce(value, '') = '' then format('the %s is empty', noun)
        end,
        turn.fault_in_length(format('the %s has', noun), value, 256),
        case when value ~ '[\u0001-\u001f\u007f]' then format(
            'the %s contains a control character or line break', noun)
        end)
$$;

create or replace function turn.fault_in_password(password text)
returns text language sql stable as $$
    select coalesce(turn.fault_in_hidden('password', password),
        case when turn.other_normal_form(password) then 'the password is not '
            'in Unicode normal form NFC, as clients send it'
        end)
$$;

create or replace function turn.fault_in_secret(secret text)
returns text language sql immutable as $$
    select turn.fault_in_hidden('secret', secret)
$$;

-- The 32 hex digits that coturn stores and `turnadmin -k` prints:
-- md5(user:realm:password), over UTF-8 whatever the database's encoding.
-- (For a password outside ASCII turnadmin computes another key than browsers
-- and CMS do; this is the browsers' one.)
create or replace function turn.key_of(realm text, name text, password text)
returns text language sql stable as $$
    select md5(convert_to(name || ':' || realm || ':' || password, 'UTF8'))
$$;

-- A key as `turnadmin -k` or coturn's table has it (with or without 0x, any
-- letter case), as 32 small hex digits; null if it is none.
create or replace function turn.clean_key(key text)
returns text language sql immutable as $$
    select (regexp_match(lower(btrim(key)), '^(?:0x)?([0-9a-f]{32})$'))[1]
$$;

-- 24 characters of 5 random bits each (120 bits) from the server's
-- cryptographic generator: small letters and digits without l, o, 0 and 1, so
-- they survive the CMS API, a URL, a shell and a telephone.
create or replace function turn.random_password()
returns text language sql volatile as $$
    select string_agg(substr('abcdefghijkmnpqrstuvwxyz23456789',
        get_byte(bits, i) % 32 + 1, 1), '' order by i)
    from (select sha256(convert_to(
            gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
        ) as random (bits), generate_series(0, 23) as i
$$;
