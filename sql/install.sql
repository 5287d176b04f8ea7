-- cms-edge's database: TURN users, peer rules and what else coturn reads.
-- Run it with psql, as superuser or as the owner of the database, in the
-- database that coturn uses or is going to use (any name, empty or not):
--
--     createdb turn
--     psql -d turn -f sql/install.sql
--
-- Everything happens in one transaction. Running it again is harmless: it
-- brings an older cms-edge up to date and changes nothing in a current one.
-- Over an existing coturn database every row is kept; import.sql says how.
-- Whoever ran it first owns schema turn: the same role runs it again.
--
-- A database restored from pg_dump lacks one thing, for pg_dump leaves it out:
-- the search_path of turn_server and turn_admin. Running this again sets it.
--
-- Afterwards (more in roles.sql):
--
--     create role turnserver login in role turn_server;   -- coturn's OS user
--     select turn.add_user('octavio.com', 'turnuser');    -- as turn_admin
--
--     # turnserver.conf
--     psql-userdb="host=/run/postgresql dbname=turn user=turnserver
--                  options='-c search_path=turn,public'"   # on one line
--
-- What is where:
--     roles.sql          who connects            schema.sql, names.sql
--     users.sql          add_user, check_user, turn.users ...
--     peers.sql          allow_peer, deny_peer, turn.peers ...
--     bulk.sql           many users at once: \copy turn.import ...
--     secrets.sql        add_secret, rotate_secret, issue, turn.secrets ...
--     quotas.sql         set_quota, turn.quotas
--     audit.sql          turn.audit, prune_audit
--     coturn_tables.sql  secrets, realm options, origins, OAuth keys
--     coturn_views.sql   all of it as coturn and turnadmin see it
--     import.sql         an existing coturn database
--     journal.sql        what edges follow: changes of users
--     help.sql           turn.help
--     grants.sql         who may do what
-- select * from turn.help lists what people use, with its arguments and examples.
--
-- Needs PostgreSQL 13 or newer and no extension. Keys are made with core
-- md5(), which a server with OpenSSL in FIPS mode refuses: there, make keys
-- elsewhere (users.sql says how) for add_user(key => ...) and set_key().

\set ON_ERROR_STOP on
\set QUIET on

begin;

-- Where coturn's tables may be: what the caller's connection would find. That
-- search_path may lead to anybody's functions, so nothing is left to it.
select pg_catalog.set_config('turn_install.schemas',
    pg_catalog.current_schemas(false)::pg_catalog.text, true)
\g /dev/null
set local search_path = pg_catalog, pg_temp;
-- A policy that would hide rows, or run its maker's code, is an error.
set local row_security = off;
set local client_min_messages = warning;
set local client_encoding = 'UTF8';
set local lock_timeout = '60s';

-- One installation at a time in this database.
select pg_advisory_xact_lock(hashtext('cms-edge sql/install.sql'))
\g /dev/null

\ir roles.sql
\ir schema.sql
\ir names.sql
\ir users.sql
\ir bulk.sql
\ir peers.sql
\ir coturn_tables.sql
\ir secrets.sql
\ir quotas.sql
\ir import.sql
\ir journal.sql
\ir audit.sql
\ir coturn_views.sql
\ir import_views.sql
\ir help.sql
\ir grants.sql

select case when count(*) > 0 then format(' with %s user%s in %s realm%s',
        count(*), case when count(*) > 1 then 's' end,
        count(distinct realm), case when count(distinct realm) > 1 then 's' end)
    else '' end as holding
from turn.credential
\gset

commit;

\echo cms-edge: schema turn is ready in database :DBNAME:holding
