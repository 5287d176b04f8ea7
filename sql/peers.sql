-- Peer rules: which addresses a TURN user may reach through a relay. People
-- write networks; coturn (4.6.1 and newest) reads ranges `first-last` from
-- allowed_peer_ip and denied_peer_ip (coturn_views.sql). Included by
-- install.sql.
--
-- coturn's order decides: what is allowed is reachable, even if a wider or
-- equal rule denies it; what is denied is not; what no rule names follows
-- turnserver.conf, where cms-edge's examples deny everything. A realm of ''
-- stands for every realm.
--
-- Ranges are written so that all versions read the same out of them:
--   - coturn up to 4.6 compares IPv6 byte by byte, so that only a network is
--     the set one expects: a range that is no network is written as several.
--   - a first address `::` means "no lower limit", which takes in all of IPv4:
--     a network that begins there is written without it.
--   - coturn up to 4.6 does not see 10.0.0.1 in ::ffff:10.0.0.1: a denied IPv4
--     network is denied as IPv4-mapped, IPv4-compatible, 6to4 and NAT64 too.

create table if not exists turn.peer_rule (
    realm   text not null default '',
    peer    text not null,
    allowed boolean not null,
    nets    cidr[] not null,
    ranges  text[] not null,
    note    text,
    created timestamptz not null default now(),
    primary key (realm, peer, allowed)
);

comment on table turn.peer_rule is
    'peer rules; people read turn.peers, coturn {allowed,denied}_peer_ip';
comment on column turn.peer_rule.peer is
    'as written: a network, an address, or coturn''s first-last';
comment on column turn.peer_rule.nets is
    'the same as networks; empty where it came from coturn and is neither';
comment on column turn.peer_rule.ranges is
    'what coturn is told: the rule itself first, then what it takes besides';

create or replace view turn.peers with (security_barrier) as
select realm, peer,
    case when allowed then 'allow' else 'deny' end as rule,
    note, created
from turn.peer_rule;

comment on view turn.peers is
    'peer rules for people; realm '''' is every realm, allow wins over deny';

-- ---- ranges ----

-- The networks that together are exactly first to last (same family).
create or replace function turn.nets_between(first inet, last inet)
returns cidr[] language plpgsql immutable as $$
declare
    bits constant int := case family(first) when 4 then 32 else 128 end;
    at inet := first;
    net inet;
    len int;
    nets cidr[] := '{}';
begin
    loop
        -- The widest network that begins here and does not reach too far.
        len := bits;
        net := at;
        while len > 0
            and host(network(set_masklen(at, len - 1))) = host(at)
            and set_masklen(broadcast(set_masklen(at, len - 1)), bits) <= last
        loop
            len := len - 1;
            net := set_masklen(at, len);
        end loop;
        nets := nets || net::cidr;
        at := set_masklen(broadcast(net), bits);
        exit when at >= last;
        at := at + 1;
    end loop;
    return nets;
end $$;

-- What is meant by '10.0.0.0/8', '192.0.2.7' or '192.0.2.7-192.0.2.9', as
-- networks. Raises 22023 for anything else.
create or replace function turn.nets_of(peer text)
returns cidr[] language plpgsql immutable as $$
declare
    ends text[] := regexp_split_to_array(btrim(peer), '\s*-\s*');
    first inet;
    last inet;
    fault text;
begin
    begin
        first := ends[1]::inet;
        last := ends[2]::inet;
    exception when invalid_text_representation then
        first := null;
    end;
    if first is null or cardinality(ends) > 2 then
        raise exception '"%" is no network, address or range', peer
            using errcode = 'invalid_parameter_value',
            hint = 'Write 10.0.0.0/8, 192.0.2.7 or 192.0.2.7-192.0.2.9.';
    end if;
    fault := case
        when coalesce(last, first) in ('0.0.0.0', '::') then format(
            '"%s" is no address of a peer', peer)
        when last is null and host(network(first)) <> host(first) then format(
            '"%s" is no network: %s is', peer, network(first))
        when strpos(peer, '/') > 0 and last is not null
            or family(first) <> family(last) or first > last then format(
            '"%s" is no range: it takes two addresses of one family, '
            'the lower one first', peer)
        end;
    perform turn.refuse(fault);
    if last is null then
        return array[network(first)];
    end if;
    return turn.nets_between(first, last);
end $$;

-- A network as coturn's ranges. One that begins with `::` is written without
-- that address (it is no peer's anyway): as one range for each host byte that
-- is not 0. They overlap, and are exact in a byte-wise comparison too.
create or replace function turn.net_as_ranges(net cidr)
returns setof text language sql immutable as $$
    select host(net) || '-' || host(broadcast(net))
    where host(net) <> '::'
    union all
    select host(first::inet) || '-' || host(broadcast(net))
    from generate_series(masklen(net) / 8, 15) as byte,
        lateral (select string_agg(case
                when part <> byte / 2 then '0'
                when byte % 2 = 0 then '100'
                else '1' end, ':' order by part)
            from generate_series(0, 7) as part) as lowest (first)
    where host(net) = '::'
$$;

-- The IPv6 networks that spell the addresses of an IPv4 one: IPv4-mapped,
-- IPv4-compatible, NAT64's well-known prefix, 6to4.
create or replace function turn.nets_embedding(net cidr)
returns setof cidr language sql immutable as $$
    select (prefix || host(net) || '/' || 96 + masklen(net))::cidr
    from unnest(array['::ffff:', '::', '64:ff9b::']) as prefix
    where family(net) = 4
    union all
    select ('2002:' || to_hex(bits >> 16) || ':' || to_hex(bits & 65535)
        || '::/' || 16 + masklen(net))::cidr
    from (select net::inet - '0.0.0.0'::inet where family(net) = 4) as v (bits)
$$;

-- All that coturn is told of a rule, in order and once each: the text itself
-- where coturn takes it as it is, then what its networks need besides.
create or replace function turn.ranges_of(
    peer text, nets cidr[], allowed boolean)
returns text[] language sql immutable as $$
    with said (place, range) as (
        select 0, peer
        where strpos(peer, '/') = 0 and peer not like '::-%'
        union all
        select 1, turn.net_as_ranges(net)
        from unnest(nets) as net
        where strpos(peer, '/') > 0 or family(net) = 6
        union all
        select 2, turn.net_as_ranges(embedding)
        from unnest(nets) as net, turn.nets_embedding(net) as embedding
        where not allowed
    )
    select array_agg(range order by place, range)
    from (select range, min(place) from said group by range)
        as once (range, place)
$$;

-- A peer in its one spelling: the network, or the address alone, or first-last.
create or replace function turn.peer_text(peer text)
returns text language sql immutable as $$
    select case
    when peer like '%-%' then (
        select string_agg(host(btrim(part)::inet), '-' order by place)
        from unnest(string_to_array(peer, '-')) with ordinality
            as ends (part, place))
    when masklen(peer::inet) = case family(peer::inet)
        when 4 then 32 else 128 end then host(peer::inet)
    else btrim(peer)::cidr::text
    end
$$;

-- ---- changing them ----

-- Puts a rule in place of one for the same peer. Raises 22023.
create or replace function turn.put_peer(
    realm text, peer text, allowed boolean, note text)
returns void language plpgsql as $$
declare
    nets constant cidr[] := turn.nets_of(peer);
begin
    if realm <> '' then
        perform turn.refuse(turn.fault_in_realm(realm));
    end if;
    delete from turn.peer_rule r
    where r.realm = put_peer.realm and r.peer = put_peer.peer;
    insert into turn.peer_rule (realm, peer, allowed, nets, ranges, note)
    values (put_peer.realm, put_peer.peer, put_peer.allowed, nets,
        turn.ranges_of(peer, nets, allowed), put_peer.note);
end $$;

create or replace function turn.allow_peer(
    realm text, peer text, note text default null)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform turn.nets_of(peer);
    perform turn.put_peer(coalesce(realm, ''), turn.peer_text(peer), true,
        note);
end $$;

comment on function turn.allow_peer is
'Lets TURN users reach a peer: a network, an address, or first-last, IPv4 or
IPv6. Realm '''' is every realm. Takes the place of a rule that denies the very
same; wins over those that deny more.
Errors: 22023 no network, address or range; no possible realm.
  select turn.allow_peer(''octavio.com'', ''192.0.2.17'', ''Call Bridge 1'');';

create or replace function turn.deny_peer(
    realm text, peer text, note text default null)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
declare
    rule record;
begin
    perform turn.nets_of(peer);
    perform turn.put_peer(coalesce(realm, ''), turn.peer_text(peer), false,
        note);
    for rule in
        select distinct r.realm, r.peer
        from turn.peer_rule r, unnest(r.nets) as open,
            unnest(turn.nets_of(deny_peer.peer)) as closed
        where r.allowed and open && closed
            and (r.realm = deny_peer.realm
                or '' in (r.realm, coalesce(deny_peer.realm, '')))
        order by 1, 2
    loop
        raise warning '% stays reachable: it is allowed in realm "%"',
            rule.peer, rule.realm
            using hint = 'What is allowed wins; turn.remove_peer ends that.';
    end loop;
end $$;

comment on function turn.deny_peer is
'Keeps TURN users from a peer: a network, an address, or first-last, IPv4 or
IPv6; an IPv4 one also where an IPv6 address spells it. Realm '''' is every
realm. Takes the place of a rule that allows the very same; warns of those that
still allow a part of it.
Errors: 22023 no network, address or range; no possible realm.
  select turn.deny_peer(''octavio.com'', ''10.0.0.0/8'');';

create or replace function turn.remove_peer(realm text, peer text)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    delete from turn.peer_rule r
    where r.realm = coalesce(remove_peer.realm, '')
        and r.peer = remove_peer.peer;
    if found then
        return;
    end if;
    perform turn.nets_of(peer);
    delete from turn.peer_rule r
    where r.realm = coalesce(remove_peer.realm, '')
        and r.peer = turn.peer_text(remove_peer.peer);
    if not found then
        raise exception 'there is no rule for "%" in realm "%"', peer, realm
            using errcode = 'no_data_found',
            hint = 'select * from turn.peers lists them.';
    end if;
end $$;

comment on function turn.remove_peer is
'Takes away the rule, allow or deny, for exactly this peer in this realm.
Errors: P0002 there is none; 22023 no network, address or range.
  select turn.remove_peer(''octavio.com'', ''10.0.0.0/8'');';
