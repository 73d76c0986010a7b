-- A warehouse that is wrong in many ways, each of them once. :port is the server's.
create role doctor login replication createdb password 'doctor-Password-1';

create table orders (id bigint primary key, customer bigint not null, total numeric(12, 2));
create table log (at timestamptz not null, line text);
create table "Odd ""Name""" (n int primary key deferrable);
create unlogged table cache (id int primary key);
create table hidden (id int primary key);
alter table hidden enable row level security;

create extension postgres_fdw;
create server shop foreign data wrapper postgres_fdw options (host '127.0.0.1', port ':port', dbname 'shop');
create user mapping for doctor server shop options (user 'doctor', password 'doctor-Password-1');
create server away foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'away');
create user mapping for doctor server away options (user 'doctor', password 'doctor-Password-1');
create server unmapped foreign data wrapper postgres_fdw options (host '127.0.0.1', port ':port', dbname 'shop');
grant usage on foreign server shop, away to doctor;
create foreign table items (id bigint, price text) server shop options (schema_name 'public', table_name 'items');
create foreign table stock (id bigint, n int) server shop options (schema_name 'public', table_name 'stock');
create foreign table stock_too (id bigint) server shop options (schema_name 'public', table_name 'stock');
create foreign table far (id bigint) server away;
create foreign table secret (id bigint) server unmapped;

insert into web_socket_event_system_events.rules (name, relation, roles, predicate) values
    ('own orders', 'public.orders', '{}', 'customer = (claims ->> ''sub'')::bigint'),
    ('the log', 'public.log', '{auditor}', 'true'),
    ('no clock', 'public.stock', '{}', 'now() > now()'),
    ('by amount', 'public.stock_too', '{}', 'id < (claims ->> ''level'')::bigint'),
    ('misspelt', 'public.ordres', '{}', 'true'),
    ('what is hidden', 'public.hidden', '{}', 'true');

create publication pgrelay with (publish = 'insert, delete');
alter publication pgrelay add table only orders, only web_socket_event_system_events.rules;
select pg_create_logical_replication_slot('pgrelay_1_1_live', 'pgoutput');

grant pg_read_all_stats to doctor;
grant select on all tables in schema public, web_socket_event_system_events to doctor;
grant usage on schema web_socket_event_system_events to doctor;
grant insert, update on orders to doctor;
