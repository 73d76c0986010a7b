-- Create remote schema to match foreign schema.
-- Set the search path to the remote schema created.
set search_path to web_socket_event_system_events;

-- Now the extension will be created in the remote schema just created.
create extension if not exists postgres_fdw;

CREATE SERVER gateway_event_server
FOREIGN DATA WRAPPER postgres_fdw
OPTIONS (host :'host', dbname 'web_socket_event_system', port :'port');

CREATE USER MAPPING FOR admin
SERVER gateway_event_server
OPTIONS (user 'admin', password :'password');

 -- Create whatever enums (types)/functions exist in the foreign database
 -- within this remote database
CREATE TYPE web_socket_event_system_events.event_label AS ENUM ('update_user_profile');

IMPORT FOREIGN SCHEMA web_socket_event_system_events
FROM SERVER gateway_event_server
INTO web_socket_event_system_events;

select * from web_socket_event_system_events.rules;

-- View all foreign servers.
-- select * from pg_foreign_server

