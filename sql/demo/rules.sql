-- Purpose: lets anybody see the sample services' rows, except people's e-mail addresses.
-- Run as:  a member of pgrelay_operator in the system database; again is harmless.
-- Locks:   rows of web_socket_event_system_events.rules.
-- Undo:    delete from web_socket_event_system_events.rules where name like 'demo: %';
-- Prints:  psql's command tags.

begin;

insert into web_socket_event_system_events.rules (name, relation, roles, columns, comment) values
    ('demo: people', 'profiles.users', '{anon,authenticated}',
     '{id,name,status,balance,tags,profile,created_at,updated_at}', 'Everything but the e-mail address.'),
    ('demo: products', 'orders.products', '{anon,authenticated}', null, null),
    ('demo: orders', 'orders.orders', '{anon,authenticated}', null, null),
    ('demo: order lines', 'orders.order_lines', '{anon,authenticated}', null, null),
    ('demo: payments', 'orders.payments', '{anon,authenticated}', null, null)
on conflict (name) do update
    set relation = excluded.relation, roles = excluded.roles, columns = excluded.columns, comment = excluded.comment;

commit;
