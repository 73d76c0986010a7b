-- Purpose: makes the role that the relay connects as, in one source database: it reads rows and the log, owns and writes nothing.
-- Run as:  a superuser (REPLICATION is theirs to give), once in every source; again is harmless:
--          psql -v relay_password=… -f relay_role.sql, with -v relay_role=… and -v schemas='a, b' for other than the defaults
-- Locks:   none that readers or writers of the tables meet.
-- Undo:    drop owned by pgrelay; in every source, then drop role pgrelay;
-- Prints:  psql's command tags, then one line for each schema that the role reads.

-- Default: role pgrelay, every schema that is neither Postgres' own nor an extension's. A publication is made by the owner
-- of its tables, not by this role: the relay prints that statement for each source at its start.

\set ON_ERROR_STOP on
\if :{?relay_role} \else \set relay_role pgrelay \endif
\if :{?schemas} \else \set schemas '' \endif

begin;

set local pgrelay.relay_role = :'relay_role';
set local pgrelay.relay_password = :'relay_password';
set local pgrelay.schemas = :'schemas';

do $$
declare
    relay name := current_setting('pgrelay.relay_role');
begin
    if not exists (select from pg_catalog.pg_roles where rolname = relay) then
        execute format('create role %I', relay);
    end if;
    execute format('alter role %I login replication nosuperuser nocreatedb nocreaterole nobypassrls password %L',
        relay, current_setting('pgrelay.relay_password'));
    execute format('grant connect on database %I to %I', current_database(), relay);
end
$$;

do $$
declare
    relay name := current_setting('pgrelay.relay_role');
    wanted text[] := string_to_array(nullif(replace(current_setting('pgrelay.schemas'), ' ', ''), ''), ',');
    place name;
begin
    for place in
        select n.nspname from pg_catalog.pg_namespace n
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and (wanted is null or n.nspname = any (wanted))
          and not exists (select from pg_catalog.pg_depend d
                          where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
        order by 1
    loop
        execute format('grant usage on schema %I to %I', place, relay);
        execute format('grant select on all tables in schema %I to %I', place, relay);
        -- Tables that the role which runs this makes later; for those of other roles run it as they do.
        execute format('alter default privileges in schema %I grant select on tables to %I', place, relay);
        raise notice '% reads schema %', relay, place;
    end loop;
end
$$;

commit;
