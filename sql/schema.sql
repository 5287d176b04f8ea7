-- Schema turn, and what must be true before anything is put into it.
-- Included by install.sql.

do $$
declare
    owner name;
begin
    if current_setting('server_version_num')::int < 130000 then
        raise exception 'PostgreSQL % is too old, cms-edge needs 13 or newer',
            current_setting('server_version');
    end if;

    if getdatabaseencoding() not in ('UTF8', 'SQL_ASCII') then
        raise warning 'the encoding of database % is %: coturn will not find '
            'user names outside ASCII in it', current_database(),
            getdatabaseencoding();
    end if;

    select pg_get_userbyid(nspowner) into owner
    from pg_namespace where nspname = 'turn';

    if owner is null then
        create schema turn;
    elsif not pg_has_role(owner, 'usage') then
        raise exception 'schema turn belongs to %, and you are %',
            owner, current_user
            using errcode = 'insufficient_privilege',
            hint = format('Run sql/install.sql as %s or as superuser.', owner);
    end if;
end $$;

comment on schema turn is
    'cms-edge: TURN users, peer rules and what else coturn reads';
