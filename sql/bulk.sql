-- Many users at once: rows that are put into turn.import become users, all of
-- them or none. Included by install.sql.
--
--     \copy turn.import (realm, name, key, note) from 'users.csv' csv header
--
-- or, where the users are in a table already,
--
--     insert into turn.import (realm, name, password) select ...
--
-- A row needs a realm, a name, and a key or a password. A user who exists gets
-- the row's key, validity and note, and stays disabled if it is; the same file
-- twice changes nothing. What cannot be stops all of it, and names the rows.
--
-- Keys rather than passwords, for a line that PostgreSQL itself refuses (a
-- column too few) shows in the server's log. The key of a user is
-- md5(name:realm:password); `turnadmin -k` prints it.

create unlogged table if not exists turn.import (
    realm       text,
    name        text,
    password    text,
    key         text,
    valid_from  timestamptz,
    valid_until timestamptz,
    note        text,
    line        bigint generated always as identity,
    fault       text
);

comment on table turn.import is
    'rows put here become users; it is always empty (\copy ... from)';

-- A password is a key before it reaches the table; what is wrong waits for all
-- rows to be there.
create or replace function turn.import_row()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    new.fault := coalesce(turn.fault_in_realm(new.realm),
        turn.fault_in_name(new.name),
        case
        when new.password is not null and new.key is not null then
            'a password and a key'
        when new.password is not null then
            turn.fault_in_password(new.password)
        when new.key is null then 'neither password nor key'
        when turn.clean_key(new.key) is null then
            'the key is not 32 hex digits'
        end,
        case
        when new.valid_until <= now() then format(
            'valid_until %s is in the past', new.valid_until)
        when new.valid_until <= new.valid_from then format(
            'valid_until %s is not after valid_from %s',
            new.valid_until, new.valid_from)
        end);
    new.key := case when new.password is null then turn.clean_key(new.key)
        else turn.key_of(new.realm, new.name, new.password) end;
    new.password := null;
    return new;
end $$;

-- Raises 22023 with the first rows that cannot be.
create or replace function turn.refuse_import()
returns void language plpgsql as $$
declare
    faults bigint;
    first_ones text;
begin
    update turn.import i set fault = 'the same user twice'
    from (select realm, name, min(line) as line
        from turn.import group by realm, name having count(*) > 1) as twice
    where i.realm = twice.realm and i.name = twice.name
        and i.line > twice.line and i.fault is null;

    select count(*), string_agg(format('row %s: %s', place, fault), E'\n'
            order by place) filter (where nth <= 10)
    into faults, first_ones
    from (select place, fault, row_number() over (order by place) as nth
        from (select line - min(line) over () + 1 as place, fault
            from turn.import) as numbered
        where fault is not null) as faulty;
    if faults > 0 then
        raise exception '% of the rows cannot be users, so none is', faults
            using errcode = 'invalid_parameter_value', detail = first_ones;
    end if;
end $$;

create or replace function turn.import_rows()
returns trigger language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    disabled bigint;
begin
    perform turn.refuse_import();
    insert into turn.credential as c
        (realm, name, hmackey, valid_from, valid_until, note)
    select i.realm, i.name, i.key, i.valid_from, i.valid_until, i.note
    from turn.import i
    order by i.realm, i.name
    on conflict (realm, name) do update
        set hmackey = excluded.hmackey, valid_from = excluded.valid_from,
            valid_until = excluded.valid_until, note = excluded.note
        where (c.hmackey, c.valid_from, c.valid_until, c.note)
            is distinct from (excluded.hmackey, excluded.valid_from,
                excluded.valid_until, excluded.note);

    select count(*) into disabled
    from turn.import i join turn.credential c
        on c.realm = i.realm and c.name = i.name
    where not c.enabled;
    if disabled > 0 then
        raise warning '% of the users are disabled, and stay so', disabled;
    end if;
    delete from turn.import;
    return null;
end $$;

drop trigger if exists import_row on turn.import;
drop trigger if exists import_rows on turn.import;
create trigger import_row before insert on turn.import
    for each row execute function turn.import_row();
create trigger import_rows after insert on turn.import
    for each statement execute function turn.import_rows();
