create extension postgres_fdw;
create schema profiles;
create schema private;
create schema orders;
create schema distant;
create server profiles foreign data wrapper postgres_fdw options (host '127.0.0.1', port ':port', dbname 'profiles');
create server orders foreign data wrapper postgres_fdw options (host '127.0.0.1', port ':port', dbname 'orders');
create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'distant');
create user mapping for current_user server profiles options (user ':user', password ':password');
create user mapping for current_user server orders options (user ':user', password ':password');
create user mapping for current_user server distant options (user 'somebody', password 'of-distant');
import foreign schema profiles from server profiles into profiles;
import foreign schema private from server profiles into private;
import foreign schema orders from server orders into orders;
create foreign table distant.things (id bigint) server distant;

insert into web_socket_event_system_events.rules (name, enabled, relation, roles, predicate) values
    ('own row', true, 'profiles.users', '{}', 'owner = claims ->> ''sub'''),
    ('staff', true, 'profiles.users', '{staff}', 'name <> '''' and owner <> '''''),
    ('off', false, 'profiles.users', '{}', 'bio is null'),
    ('tenant', true, 'profiles.notes', '{}', 'tenant = (claims ->> ''tenant'')::bigint'),
    ('log', true, 'profiles.log', '{staff}', 'true'),
    ('weird', true, 'profiles.Weird "Name" – ö', '{}', 'true'),
    ('pins', true, 'private.pins', '{}', 'id = 1'),
    ('own orders', true, 'orders.orders', '{}', 'customer = claims ->> ''sub'''),
    ('totals', true, 'orders.totals', '{}', 'true');
