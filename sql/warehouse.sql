-- Purpose: shows the system database's tables in a warehouse, as foreign tables under the same schema name.
-- Run as:  a superuser, or a role with USAGE on the wrapper postgres_fdw and CREATE on the database; again is harmless:
--          psql -v system_host=… -v system_port=… -v system_dbname=… -v system_user=… -v system_password=… -f warehouse.sql
-- Locks:   none on other tables; connects to the system database.
-- Undo:    drop server gateway_event_server cascade; drop schema web_socket_event_system_events cascade;
-- Prints:  psql's command tags.

-- mapped_role is the role of this database that reads the rules (the relay's); default: the one that runs the script.

\set ON_ERROR_STOP on
\if :{?system_host} \else \set system_host localhost \endif
\if :{?system_port} \else \set system_port 5432 \endif
\if :{?system_dbname} \else \set system_dbname web_socket_event_system \endif
\if :{?mapped_role} \else \set mapped_role '' \endif

begin;

set local pgrelay.system_host = :'system_host';
set local pgrelay.system_port = :'system_port';
set local pgrelay.system_dbname = :'system_dbname';
set local pgrelay.system_login = :'system_user';
set local pgrelay.system_password = :'system_password';
set local pgrelay.mapped_role = :'mapped_role';

create extension if not exists postgres_fdw;
create schema if not exists web_socket_event_system_events;

do $$
begin
    if exists (select from pg_catalog.pg_class
               where relnamespace = 'web_socket_event_system_events'::regnamespace and relname = 'rules' and relkind <> 'f') then
        raise exception 'this database holds the system tables itself; there is nothing to import';
    end if;
    -- An enum of the remote must exist before a table that uses it is imported.
    if to_regtype('web_socket_event_system_events.event_label') is null then
        create type web_socket_event_system_events.event_label as enum ('update_user_profile');
    end if;
end
$$;

-- The server: foreign tables of rules are for reading.
do $$
declare
    present text[];
    option record;
begin
    if not exists (select from pg_catalog.pg_foreign_server where srvname = 'gateway_event_server') then
        create server gateway_event_server foreign data wrapper postgres_fdw;
    end if;
    select array(select option_name from pg_options_to_table(srvoptions)) into present
        from pg_catalog.pg_foreign_server where srvname = 'gateway_event_server';
    for option in values ('host', current_setting('pgrelay.system_host')), ('port', current_setting('pgrelay.system_port')),
                         ('dbname', current_setting('pgrelay.system_dbname')), ('updatable', 'false') loop
        execute format('alter server gateway_event_server options (%s %I %L)',
            case when option.column1 = any (present) then 'set' else 'add' end, option.column1, option.column2);
    end loop;
end
$$;

-- The mapping: for whom reads the rules and, since importing needs one, for whom runs this script.
do $$
declare
    reader name := coalesce(nullif(current_setting('pgrelay.mapped_role'), ''), current_user);
    mapped name;
begin
    foreach mapped in array array[current_user, reader] loop
        execute format('drop user mapping if exists for %I server gateway_event_server', mapped);
        execute format('create user mapping for %I server gateway_event_server options (user %L, password %L)',
            mapped, current_setting('pgrelay.system_login'), current_setting('pgrelay.system_password'));
    end loop;
    execute format('grant usage on schema web_socket_event_system_events to %I', reader);
    execute format('grant usage on foreign server gateway_event_server to %I', reader);
end
$$;

-- The tables: those of the remote schema that aren't here yet.
do $$
declare
    reader name := coalesce(nullif(current_setting('pgrelay.mapped_role'), ''), current_user);
    present text;
begin
    select string_agg(format('%I', relname), ', ') into present from pg_catalog.pg_class
        where relnamespace = 'web_socket_event_system_events'::regnamespace and relkind = 'f';
    execute format('import foreign schema web_socket_event_system_events %s from server gateway_event_server into web_socket_event_system_events',
        case when present is not null then format('except (%s)', present) end);
    execute format('grant select on all tables in schema web_socket_event_system_events to %I', reader);
end
$$;

commit;
