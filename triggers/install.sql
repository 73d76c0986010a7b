-- Purpose: makes schema relay, to which triggers write what changes in the tables that enable_table.sql names; no table yet.
-- Run as:  a role that may create schemas here, best the owner of those tables; no superuser: psql -v reader=pgrelay -f install.sql.
--          reader is the relay's role, which must exist (default: nobody's but yours). Again, as the same role, is harmless: it
--          brings an older version up to date, and readers from before stay readers.
-- Locks:   none on your tables. Over an older version: ACCESS EXCLUSIVE on relay.state and relay.captured, where they lack a
--          column, at most 500 ms; then fails, try again. And on the outbox's tables, where nobody uses them.
-- Undo:    uninstall.sql, which undoes enable_table.sql, too.
-- Prints:  psql's command tags, and what comes next.

\set ON_ERROR_STOP on
\set SHOW_CONTEXT never
\if :{?reader} \else \set reader '' \endif

begin;

set local pgrelay.reader = :'reader';
set local search_path = pg_catalog;
set local client_min_messages = warning;
set local lock_timeout = '500ms';

do $$
begin
    if to_regnamespace('relay') is not null and not pg_has_role((select nspowner from pg_namespace where nspname = 'relay'), 'usage') then
        raise exception 'role % is not the one that ran install.sql, nor a member of it', quote_ident(current_user)
            using errcode = 'insufficient_privilege', hint = format('Run it as %s.', (select nspowner::regrole from pg_namespace where nspname = 'relay'));
    elsif not exists (select from pg_class c where c.relnamespace = to_regnamespace('relay') and c.relname in ('state', 'captured', 'outbox_id', 'outbox_0', 'attached'))
        and (exists (select from pg_class c where c.relnamespace = to_regnamespace('relay')) or exists (select from pg_proc p where p.pronamespace = to_regnamespace('relay'))) then
        raise exception 'schema relay is somebody else''s: it holds other things than pgrelay''s' using hint = 'alter schema relay rename to …;';
    elsif current_setting('pgrelay.reader') <> '' and to_regrole(quote_ident(current_setting('pgrelay.reader'))) is null then
        raise exception 'there is no role %', quote_ident(current_setting('pgrelay.reader')) using errcode = 'undefined_object',
            hint = 'Make it first (sql/relay_role.sql), or leave reader out and run this again with it.';
    end if;
end
$$;

-- As its owner, so that who ran this before owns everything still.
do $$
begin
    if to_regnamespace('relay') is null then
        create schema relay;
    else
        execute format('set local role %s', (select nspowner::regrole from pg_namespace where nspname = 'relay'));
    end if;
end
$$;

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
            bell     boolean     not null,  -- the first of its transaction, which has rung if the reader slept
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

-- Columns that older versions lack. The doorbell's mode was its trigger's argument then.
do $$
declare
    c record;
begin
    for c in select * from (values ('state', 'doorbell', 'text not null default ''auto'''), ('captured', 'key', 'text[] not null default ''{}''')) v(place, name, definition)
        where not exists (select from pg_attribute a where a.attrelid = to_regclass('relay.' || v.place) and a.attname = v.name and not a.attisdropped) loop
        execute format('alter table relay.%s add column %s %s', c.place, c.name, c.definition);
        if c.name = 'doorbell' then
            update relay.state set doorbell = coalesce((select split_part(encode(t.tgargs, 'escape'), '\000', 1) from pg_trigger t
                where t.tgrelid = 'relay.outbox_0'::regclass and t.tgname = 'ring'), 'off');
        end if;
    end loop;
end
$$;

-- A trigger rang then, at commit. It does nothing any more.
do $$
begin
    if (select prorettype from pg_proc where oid = to_regproc('relay.ring')) = 'trigger'::regtype then
        execute 'alter function relay.ring() rename to rang';
        execute format('create or replace function %s returns trigger language plpgsql as %L', 'relay.rang()', 'begin return null; end');
    end if;
end
$$;

-- A function that returns something else can't be replaced, and one of other arguments would stand beside its successor: they
-- are dropped, and who might execute them may do so again. Those that triggers run stay, for writers may be running them.
do $$
declare
    f regprocedure;
begin
    perform set_config('pgrelay.grants', coalesce((select jsonb_agg(jsonb_build_array(p.proname, a.grantee::regrole::text, a.grantee::regrole::oid))::text
        from pg_proc p, aclexplode(p.proacl) a where p.pronamespace = 'relay'::regnamespace and a.grantee not in (0, p.proowner)), '[]'), true);
    for f in select p.oid from pg_proc p where p.pronamespace = 'relay'::regnamespace and p.proname in (
        'enable_table', 'by_row', 'leaves', 'row_trigger', 'row_condition', 'captured_root', 'drop_triggers', 'drop_idle', 'drop_orphans',
        'disable_table', 'doorbell', 'grant_reader', 'table_problem', 'unheard', 'enable_again', 'status',
        'excluded_of', 'columns_of', 'note_layout', 'record', 'turn', 'begin_epoch', 'finish_epoch', 'tables') loop
        begin
            execute format('drop function %s', f);
        exception when dependent_objects_still_exist then
            null; -- a view of yours, say; it is replaced, where that can be done
        end;
    end loop;
end
$$;

revoke all on all tables in schema relay from public;
revoke all on sequence relay.outbox_id from public;

\ir functions/capture.sql
\ir functions/dba.sql
\ir functions/reader.sql

-- 2. What isn't there yet, and grants.

revoke all on all functions in schema relay from public;

do $$
declare
    g record;
begin
    insert into relay.state (version) values (2) on conflict on constraint state_pkey do update set version = excluded.version;
    if not current_setting('pgrelay.whole')::boolean then
        update relay.state set ready = false, reason = 'the outbox was made anew' where epoch > 0;
    end if;
    for g in select p.oid::regprocedure as function, e ->> 1 as role from jsonb_array_elements(current_setting('pgrelay.grants')::jsonb) e
        join pg_proc p on p.pronamespace = 'relay'::regnamespace and p.proname = e ->> 0 loop
        execute format('grant execute on function %s to %s', g.function, g.role);
    end loop;
    perform relay.grant_reader(pg_get_userbyid((e ->> 2)::oid)) from jsonb_array_elements(current_setting('pgrelay.grants')::jsonb) e where e ->> 0 = 'record';
    if current_setting('pgrelay.reader') <> '' then
        perform relay.grant_reader(current_setting('pgrelay.reader'));
    end if;
end
$$;

-- The older version's trigger goes. Where a transaction uses the outbox it stays for the next time. Last, for writers wait for it.
do $$
declare
    k int;
begin
    for k in 0..2 loop
        continue when not exists (select from pg_trigger t where t.tgrelid = to_regclass('relay.outbox_' || k) and t.tgname = 'ring');
        begin
            execute format('lock table relay.outbox_%s in access exclusive mode nowait', k);
            execute format('drop trigger ring on relay.outbox_%s', k);
        exception when lock_not_available then
            null;
        end;
    end loop;
    if not exists (select from pg_trigger t where t.tgfoid = to_regproc('relay.rang')) then
        drop function if exists relay.rang();
    end if;
end
$$;

commit;
\echo 'Schema relay is there. Next, for each table: psql -v table=… -f enable_table.sql; status.sql shows them.'
