-- Quotas of a realm, which coturn takes from turn_realm_option in place of
-- turnserver.conf's. Included by install.sql.
--
-- coturn looks every few seconds. It counts allocations (total, per user) per
-- coturn, not over all edges, and knows the quotas of a realm that is its own
-- (`realm=` in turnserver.conf) or that of an Origin (turn_origin_to_realm).

create or replace view turn.quotas with (security_barrier) as
select realm,
    max(value) filter (where opt = 'total-quota') as total,
    max(value) filter (where opt = 'user-quota') as per_user,
    max(value) filter (where opt = 'max-bps') as bps
from turn.realm_option
where opt in ('total-quota', 'user-quota', 'max-bps')
group by realm;

comment on view turn.quotas is
    'quotas by realm: allocations in all, per user, and bytes per second of '
    'one; null: as turnserver.conf says';

create or replace function turn.put_quota(realm text, opt text, value bigint)
returns void language plpgsql as $$
begin
    perform turn.refuse(case when value < 0 or value > 2147483647 then
        format('%s %s is not between 0 and 2147483647', opt, value) end);
    if value = 0 then
        delete from turn.realm_option o
        where o.realm = put_quota.realm and o.opt = put_quota.opt;
    elsif value is not null then
        insert into turn.realm_option as o (realm, opt, value)
        values (put_quota.realm, put_quota.opt, put_quota.value::text)
        on conflict on constraint realm_option_pkey
            do update set value = excluded.value;
    end if;
end $$;

create or replace function turn.set_quota(
    realm text, total bigint default null, per_user bigint default null,
    bps bigint default null)
returns void language plpgsql security definer
set search_path = pg_catalog, turn, pg_temp as $$
begin
    perform turn.refuse(turn.fault_in_realm(realm));
    perform turn.refuse(case when coalesce(total, per_user, bps) is null then
        'say which quota: total, per_user or bps' end);
    perform turn.put_quota(realm, 'total-quota', total);
    perform turn.put_quota(realm, 'user-quota', per_user);
    perform turn.put_quota(realm, 'max-bps', bps);
end $$;

comment on function turn.set_quota is
'Sets quotas of a realm: allocations in all and per user, on each edge, and
bytes per second of one allocation. Null leaves one as it is, 0 takes it away:
turnserver.conf''s counts again.
Errors: 22023 no possible realm or number.
  select turn.set_quota(''octavio.com'', total => 1800, per_user => 12);';
