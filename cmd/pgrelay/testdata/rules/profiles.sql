create schema profiles;
create type profiles.status as enum ('invited', 'active', 'suspended');
create table profiles.users (
    id      bigint primary key,
    owner   uuid,
    name    text not null,
    email   text,
    status  profiles.status not null,
    balance numeric(12, 2),
    tags    text[],
    profile jsonb
);
alter table profiles.users replica identity full;
insert into profiles.users values
    (1, '00000000-0000-0000-0000-00000000000a', 'Ada', 'ada@example.com', 'active', 12.50, '{early}', '{"city": "Wien"}'),
    (2, '00000000-0000-0000-0000-00000000000b', 'Bo', null, 'active', null, '{}', '{}'),
    (3, null, 'Cy O''Neill', 'cy@example.com', 'suspended', 0, null, null);
create table profiles.notes (id bigint primary key, owner uuid, body text, length integer);
create table profiles.keyless (n integer);
create table profiles.heap (n integer primary key);
