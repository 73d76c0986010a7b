-- Purpose: makes schema relay, to which triggers write what changes in the tables that enable_table.sql names; no table yet.
-- Run as:  a role that may create schemas here, best the owner of those tables; no superuser: psql -v reader=pgrelay -f install.sql.
--          reader is the relay's role (default: nobody's but yours). Again, as the same role, is harmless: it brings the functions up to date.
-- Locks:   none that readers or writers of your tables meet; again: the schema's own functions and views, briefly.
-- Undo:    uninstall.sql, which undoes enable_table.sql, too.
-- Prints:  psql's command tags, and a notice for each thing that is there already.

\set ON_ERROR_STOP on
\if :{?reader} \else \set reader '' \endif

begin;

set local pgrelay.reader = :'reader';
set local search_path = pg_catalog;
set local client_min_messages = warning;

create schema if not exists relay;
comment on schema relay is 'Changes of captured tables, written by triggers and read by pgrelay. uninstall.sql removes it.';

-- What the reader knows was lost when one of these is missing: it starts anew, and its clients with it.
do $$
begin
    perform set_config('pgrelay.whole', (to_regclass('relay.outbox_id') is not null and to_regclass('relay.outbox_0') is not null
    and to_regclass('relay.outbox_1') is not null and to_regclass('relay.outbox_2') is not null and to_regclass('relay.delivery_0') is not null
    and to_regclass('relay.delivery_1') is not null and to_regclass('relay.delivery_2') is not null)::text, true);
end
$$;

-- 1. Tables.

-- Order of all changes. The id's upper half is the generation, which says what table a row goes to (generation modulo 3):
-- turning over to the next table is one setval. From 2^62 on the outbox is closed: nothing is captured until a new epoch.
-- Readers rely on cache 1: https://www.postgresql.org/docs/current/sql-createsequence.html
create sequence if not exists relay.outbox_id cache 1;

do $$
declare
    k int;
begin
    for k in 0..2 loop
        continue when to_regclass('relay.outbox_' || k) is not null;
        -- Only inserted into, and emptied as a whole: there is nothing for vacuum to do.
        execute format('create table relay.outbox_%s (
            id       bigint      not null,  -- relay.outbox_id
            xid      xid8        not null,  -- the transaction, never a subtransaction
            at       timestamptz not null,  -- when the trigger wrote it
            relation oid         not null,  -- pg_class.oid of the table, of a partition its own
            kind     "char"      not null,  -- I, U, D rows; T truncate; X changes were lost, new holds why
            bell     boolean     not null,  -- the first of its transaction: rings at commit if the reader sleeps
            old      text[],                -- the rows as record_out prints them under pinned settings
            new      text[]                 -- one for each of old where both are there
            ) with (autovacuum_enabled = false, toast.autovacuum_enabled = false)', k);
        execute format('alter table relay.outbox_%s alter old set storage external, alter new set storage external', k);
        execute format('create index outbox_%s_xid on relay.outbox_%s (xid)', k, k);
    end loop;
    for k in 0..2 loop
        execute format('create table if not exists relay.delivery_%s (
            n  bigint      not null,
            s1 pg_snapshot not null,        -- what the delivery holds: seen by s1 and not by the one before
            at timestamptz not null default clock_timestamp(),
            constraint delivery_%s_pkey primary key (n)
            ) with (autovacuum_enabled = false)', k, k);
    end loop;
end
$$;

create or replace view relay.outbox as
    select * from relay.outbox_0 union all select * from relay.outbox_1 union all select * from relay.outbox_2;
comment on view relay.outbox is 'Captured changes, each kept until the relay''s window has passed it.';

create or replace view relay.delivery as
    select * from relay.delivery_0 union all select * from relay.delivery_1 union all select * from relay.delivery_2;
comment on view relay.delivery is 'What was handed to the relay, and by which snapshots it is delimited.';

-- One row: where the reader is, and what the operator wants.
create table if not exists relay.state (
    one           boolean     not null default true,
    version       int         not null,
    epoch         bigint      not null default 0,      -- another one: changes may be missing between them
    ready         boolean     not null default false,  -- the epoch has begun
    reason        text        not null default 'it is the first',  -- why the epoch was begun
    base          bigint      not null default 0,      -- position that deliveries follow: (n << 24) + 16777215
    base_snapshot pg_snapshot,                         -- the snapshot of that delivery
    generation    bigint      not null default 0,
    system        text,                                -- pg_control_system().system_identifier
    timeline      bigint,
    budget        bigint      not null default 1073741824,  -- bytes that the outbox may take
    policy        text        not null default 'skip', -- past the budget, and where capture fails
    doorbell      text        not null default 'auto', -- relay.doorbell() sets it
    constraint state_pkey primary key (one),
    constraint state_one check (one),
    constraint state_budget check (budget > 0),
    constraint state_policy check (policy in ('skip', 'error'))
);
comment on column relay.state.policy is
    'skip: the change isn''t captured and clients load the table anew. error: the application''s statement fails.';

create table if not exists relay.captured (
    relation           oid     not null,
    name               text    not null,                -- as it was when the table was enabled
    level              text    not null,
    excluded           text[]  not null,
    suppress_redundant boolean not null,
    key                text[]  not null default '{}',   -- of a foreign table, of which the server knows none
    enabled            timestamptz not null default now(),
    constraint captured_pkey primary key (relation),
    constraint captured_level check (level in ('statement', 'row'))
);

-- The columns that a table had from delivery n on.
create table if not exists relay.layout (
    relation oid    not null,
    n        bigint not null,
    stamp    text   not null,
    columns  jsonb  not null,  -- [[name, type's oid, is it captured], …] as record_out prints them
    constraint layout_pkey primary key (relation, n)
);

revoke all on all tables in schema relay from public;
revoke all on sequence relay.outbox_id from public;

\ir functions/capture.sql
\ir functions/dba.sql
\ir functions/reader.sql

-- 2. What isn't there yet, and grants.

revoke all on all functions in schema relay from public;

do $$
begin
    insert into relay.state (version) values (1) on conflict on constraint state_pkey do update set version = excluded.version;
    if not current_setting('pgrelay.whole')::boolean then
        update relay.state set ready = false, reason = 'the outbox was made anew' where epoch > 0;
        perform relay.doorbell((select doorbell from relay.state));
    end if;
    if current_setting('pgrelay.reader') <> '' then
        perform relay.grant_reader(current_setting('pgrelay.reader'));
    end if;
end
$$;

commit;
