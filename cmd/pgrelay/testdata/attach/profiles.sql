create schema profiles;
create table profiles.users (
    id    bigint primary key,
    owner text not null,
    name  text not null,
    bio   text
);
alter table profiles.users alter bio set storage external;
insert into profiles.users select n, 'owner ' || n, 'name ' || n, repeat('x', 6000) from generate_series(1, 100) n;
create table profiles.notes (id bigint primary key, tenant bigint not null, body text);
create unique index notes_by_tenant on profiles.notes (tenant, id);
create table profiles.log (at timestamptz not null, line text);
create table profiles.scratch (n integer);
create table profiles."Weird ""Name"" – ö" (id integer primary key, "a b" text);
create schema private;
create table private.pins (id bigint primary key, pin text);
alter table private.pins enable row level security;
analyze;
