-- Purpose: shows both sample services in the warehouse, as foreign tables under the services' schema names.
-- Run as:  a role with USAGE on the wrapper postgres_fdw and CREATE on the database, once:
--          psql -v services_host=… -v services_port=… -v profiles_password=… -v orders_password=… -f warehouse.sql
-- Locks:   none; connects to the services.
-- Undo:    drop server profiles cascade; drop server orders cascade; drop schema profiles, orders cascade;
-- Prints:  psql's command tags.

begin;

create schema profiles;
create schema orders;

-- An enum of the remote must exist, under the same schema name, before a table that uses it is imported.
create type profiles.status as enum ('invited', 'active', 'away', 'suspended');
create type orders.order_status as enum ('placed', 'paid', 'packed', 'shipped', 'delivered', 'cancelled');
create type orders.payment_method as enum ('card', 'transfer', 'wallet', 'cash');

create server profiles foreign data wrapper postgres_fdw
    options (host :'services_host', port :'services_port', dbname 'profiles');
create server orders foreign data wrapper postgres_fdw
    options (host :'services_host', port :'services_port', dbname 'orders');

create user mapping for current_user server profiles options (user 'profiles', password :'profiles_password');
create user mapping for current_user server orders options (user 'orders', password :'orders_password');

import foreign schema profiles from server profiles into profiles;
import foreign schema orders from server orders into orders;

commit;
