-- Purpose: makes the sample service profiles: people with an e-mail address, settings, tags and a balance.
-- Run as:  the owner of an empty database (profiles), once.
-- Locks:   none; everything it makes is new.
-- Undo:    drop schema profiles cascade;
-- Prints:  psql's command tags.

begin;

create schema profiles;

create type profiles.status as enum ('invited', 'active', 'away', 'suspended');

create table profiles.users (
    id         uuid not null default gen_random_uuid(),
    name       text not null,
    email      text not null,
    status     profiles.status not null default 'invited',
    balance    numeric(12, 2) not null default 0,
    tags       text[] not null default '{}',
    profile    jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint users_pkey primary key (id),
    constraint users_email_key unique (email),
    constraint users_balance_not_negative check (balance >= 0)
);

-- Old rows whole, so that rules and filters may read every column, and rows leave a filter as they enter it.
alter table profiles.users replica identity full;

-- 320 people, each combination of first and last name once. Their ids come from their number, so that the orders
-- service, a database of its own, can name them too.
insert into profiles.users (id, name, email, status, balance, tags, profile, created_at, updated_at)
select md5('user ' || n)::uuid,
       first || ' ' || last,
       lower(first || '.' || last) || '@example.com',
       (array['active', 'active', 'active', 'away', 'invited', 'suspended'])[1 + n * 7 % 6]::profiles.status,
       (n * 7919 % 250000) / 100.0,
       (array['early', 'newsletter', 'wholesale', 'beta', 'staff'])[1 + n % 5:1 + n % 5 + n % 3],
       jsonb_build_object(
           'city', (array['Lisbon', 'Kyoto', 'Bergen', 'Austin', 'Nairobi', 'Montréal', 'Wien', 'Auckland'])[1 + n % 8],
           'language', (array['pt', 'ja', 'nb', 'en', 'sw', 'fr', 'de', 'en'])[1 + n % 8],
           'theme', (array['light', 'dark', 'system'])[1 + n % 3],
           'logins', n * 31 % 400),
       now() - make_interval(days => n * 13 % 900, mins => n),
       now() - make_interval(hours => n * 5 % 300, secs => n)
from (
    select row_number() over (order by f.at, l.at)::int as n, first, last
    from unnest(array['Ada', 'Bruno', 'Chiyo', 'Dara', 'Elif', 'Farid', 'Greta', 'Hugo', 'Ines', 'Jonas',
                      'Kaia', 'Liam', 'Mara', 'Noor', 'Oskar', 'Priya', 'Quentin', 'Rosa', 'Sana', 'Tomas'])
             with ordinality as f (first, at),
         unnest(array['Almeida', 'Berg', 'Chen', 'Dubois', 'Eriksen', 'Fischer', 'Garcia', 'Haddad',
                      'Ito', 'Jensen', 'Kamau', 'Lopez', 'Moreau', 'Novak', 'Okafor', 'Petrov'])
             with ordinality as l (last, at)
) people;

commit;
