create extension postgres_fdw;
create schema profiles;
create schema distant;
create type profiles.status as enum ('invited', 'active', 'suspended');
create server profiles foreign data wrapper postgres_fdw options (host '127.0.0.1', port ':port', dbname 'profiles');
create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'distant');
create user mapping for current_user server profiles options (user ':user', password ':password');
create user mapping for current_user server distant options (user 'somebody', password 'of-distant');
import foreign schema profiles from server profiles into profiles;
create foreign table distant.things (id bigint) server distant;
create view profiles.summary as select 1 as n;

create table public.log (id bigint primary key, tenant bigint, level integer, n integer, line text);

-- Stored before the columns that one of them names were dropped, which nothing keeps anybody from doing.
set session_replication_role = replica;
insert into web_socket_event_system_events.rules (id, name, enabled, relation, roles, predicate, columns) values
    (1, 'names', true, 'profiles.users', '{anon,authenticated}', 'status = ''active''', '{name,status}'),
    (2, 'own row', true, 'profiles.users', '{}', '-- whoever has signed in
owner = (claims ->> ''sub'')::uuid
  and status <> ''suspended''', null),
    (3, 'editors', true, 'profiles.users', '{editor}', 'status in (''active'', ''invited'') and (balance > 10 or tags @> ''{vip}'')', '{name,owner,status,balance,tags}'),
    (4, 'everything', false, 'profiles.users', '{anon}', 'true', null),
    (5, 'disabled and broken', false, 'profiles.users', '{anon}', 'nmae = ''Ada''', null),
    (6, 'misspelt', true, 'profiles.users', '{boss}', 'status = ''active''
  and nmae = ''Ada''', null),
    (7, 'alphabet', true, 'profiles.users', '{boss}', 'name < ''M''', null),
    (8, 'gone columns', true, 'profiles.users', '{boss}', 'true', '{name,phone,fax}'),
    (9, 'syntax', true, 'profiles.users', '{boss}', 'id = 1 and', null),
    (10, 'text and uuid', true, 'profiles.users', '{boss}', 'owner = (claims ->> ''sub'')', null),
    (11, 'now', true, 'profiles.users', '{boss}', 'now() > ''2024-01-01''', null),
    (20, 'identity', true, 'profiles.notes', '{anon}', 'id > 5 and owner is null', null),
    (21, 'key', true, 'profiles.notes', '{anon}', 'id > 5', null),
    (30, 'no key', true, 'profiles.keyless', '{anon}', 'true', null),
    (31, 'a view', true, 'profiles.summary', '{anon}', 'true', null),
    (32, 'no table', true, 'profiles.user', '{anon}', 'true', null),
    (33, 'down', true, 'distant.things', '{anon}', 'id = 1', null),
    (34, 'down and disabled', false, 'distant.things', '{anon}', 'id = 1', null),
    (40, 'tenants', true, 'public.log', '{viewer}', 'tenant = any (array[(claims -> ''tenants'' ->> 0)::bigint, (claims -> ''tenants'' ->> 1)::bigint]) and 10 / level > 1', null),
    (41, 'halves', true, 'public.log', '{editor}', 'tenant > 0 and 10 / n > 1', null),
    (42, 'all', true, 'public.log', '{auditor}', 'true', null),
    (43, 'never', true, 'public.log', '{auditor}', '(claims ->> ''boss'')::boolean', null);
insert into web_socket_event_system_events.rules (id, name, event, predicate, payload_schema) values
    (50, 'own profile', 'update_user_profile', 'payload ->> ''id'' = claims ->> ''sub''', '{"type": "object"}'),
    (51, 'a row''s column', 'update_user_profile', 'owner = (claims ->> ''sub'')::uuid', null);
alter table public.log replica identity full;
set session_replication_role = origin;
