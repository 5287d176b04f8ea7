-- What coturn keeps beside users and peer rules: shared secrets of
-- time-limited users, realms by Origin, realm options, OAuth keys, and the
-- users of coturn's web administration. coturn and turnadmin see them through
-- views with coturn's own names (coturn_views.sql). Included by install.sql.

create table if not exists turn.shared_secret (
    realm   text not null default '',
    value   text not null,
    created timestamptz not null default now(),
    primary key (realm, value)
);
alter table turn.shared_secret add column if not exists valid_until timestamptz;

create table if not exists turn.origin (
    origin text not null,
    realm  text,
    primary key (origin)
);

create table if not exists turn.realm_option (
    realm text not null default '',
    opt   text not null,
    value text,
    primary key (realm, opt)
);

create table if not exists turn.oauth (
    kid       text not null,
    ikm_key   text,
    timestamp bigint default 0,
    lifetime  integer default 0,
    as_rs_alg text default '',
    realm     text,
    primary key (kid)
);

create table if not exists turn.web_admin (
    name     text not null,
    realm    text,
    password text,
    primary key (name)
);

comment on table turn.shared_secret is
    'secrets of time-limited users; coturn reads turn_secret';
comment on column turn.shared_secret.valid_until is
    'from then on names signed with it are refused; null: none';
comment on table turn.origin is
    'realm by Origin header; coturn reads turn_origin_to_realm';
comment on table turn.realm_option is
    'user-quota, total-quota, max-bps; coturn reads turn_realm_option';
comment on table turn.oauth is 'OAuth keys; coturn reads oauth_key';
comment on table turn.web_admin is
    'users of coturn''s web administration; coturn reads admin_user';
