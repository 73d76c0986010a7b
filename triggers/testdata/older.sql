-- Schema relay as an older version made it: captured without key, state without doorbell, tables() and enable_table() of other shapes.

begin;

set local pgrelay.reader = :'reader';
set local search_path = pg_catalog;
set local client_min_messages = warning;

create schema if not exists relay;
comment on schema relay is 'Changes of captured tables, written by triggers and read by pgrelay. uninstall.sql removes it.';

do $$
begin
    create temporary table if not exists pgrelay_install (whole boolean) on commit drop;
    insert into pgrelay_install values (to_regclass('relay.outbox_id') is not null and to_regclass('relay.outbox_0') is not null
        and to_regclass('relay.outbox_1') is not null and to_regclass('relay.outbox_2') is not null
        and to_regclass('relay.delivery_0') is not null and to_regclass('relay.delivery_1') is not null
        and to_regclass('relay.delivery_2') is not null);
end
$$;

create sequence if not exists relay.outbox_id cache 1;

do $$
declare
    k int;
begin
    for k in 0..2 loop
        continue when to_regclass('relay.outbox_' || k) is not null;
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
    enabled            timestamptz not null default now(),
    constraint captured_pkey primary key (relation),
    constraint captured_level check (level in ('statement', 'row'))
);

create table if not exists relay.layout (
    relation oid    not null,
    n        bigint not null,
    stamp    text   not null,
    columns  jsonb  not null,  -- [[name, type's oid, is it captured], …] as record_out prints them
    constraint layout_pkey primary key (relation, n)
);

revoke all on all tables in schema relay from public;
revoke all on sequence relay.outbox_id from public;

create or replace function relay.ring() returns trigger language plpgsql as $$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared(1885827685, 1)
        and (tg_argv[0] operator(pg_catalog.=) 'on' or pg_catalog.current_setting('max_prepared_transactions') operator(pg_catalog.=) '0')
        and pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.5 then
        perform pg_catalog.pg_notify('pgrelay', '');
    end if;
    return null;
exception when others then
    return null; -- the reader finds the change when it looks next
end
$$;

create or replace function relay.put(relation oid, kind "char", olds text[], news text[], bell boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    i bigint := nextval('relay.outbox_id');
begin
    if i >= 4611686018427387904 then
        return;
    end if;
    if bell or i & 15 = 0 then
        perform relay.keep_budget();
    end if;
    execute format('insert into relay.outbox_%s values ($1, pg_current_xact_id(), clock_timestamp(), $2, $3, $4, $5, $6)', (i >> 32) % 3)
        using i, relation, kind, bell, olds, news;
end
$$;

create or replace function relay.close() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(1885827685, 4); -- not while the sequence is turned
    perform setval('relay.outbox_id', 4611686018427387904);
end
$$;

create or replace function relay.keep_budget() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    s record;
begin
    select budget, policy into s from relay.state;
    if pg_total_relation_size('relay.outbox_0') + pg_total_relation_size('relay.outbox_1') + pg_total_relation_size('relay.outbox_2') > s.budget then
        if s.policy = 'error' then
            raise exception 'the outbox is larger than its budget of % bytes', s.budget
                using hint = 'Start the relay, which empties it, or raise relay.state.budget.';
        end if;
        perform relay.close();
    end if;
end
$$;

create or replace function relay.fault(relation oid, problem text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    begin
        if (select policy from relay.state) = 'error' then
            return problem;
        end if;
        perform relay.put(relation, 'X', null, array[problem], true);
    exception when others then
        perform relay.close();
    end;
    raise log 'pgrelay: a change of % was not captured, clients load it anew: %', relation::regclass, problem;
    return null;
end
$$;

create or replace function relay.capture() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
    set bytea_output = 'hex' set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
    i bigint;
    x xid8;
    mark text;
    without jsonb := nullif(tg_argv[0], '');
    olds text[];
    news text[];
    packed boolean := false;
    problem text;
    old_row text;
    new_row text;
    old_cursor refcursor;
    new_cursor refcursor;
    bytes bigint := 0;
    bell boolean := true;
begin
    begin
        if tg_op <> 'INSERT' then
            olds := array(select case when without is null then (o.*)::text else jsonb_populate_record(o.*, without)::text end from old_rows o limit 129);
        end if;
        if tg_op <> 'DELETE' then
            news := array(select case when without is null then (n.*)::text else jsonb_populate_record(n.*, without)::text end from new_rows n limit 129);
        end if;
        if coalesce(cardinality(news), cardinality(olds)) <= 128
            and coalesce(pg_column_size(olds), 0) + coalesce(pg_column_size(news), 0) <= 262144 then
            if tg_argv[1] = 'suppress' and tg_op = 'UPDATE' then
                select array_agg(u.o), array_agg(u.n) into olds, news from unnest(olds, news) u(o, n) where u.o <> u.n;
            end if;
            if coalesce(cardinality(news), cardinality(olds), 0) = 0 then
                return null;
            end if;
            i := nextval('relay.outbox_id');
            if i >= 4611686018427387904 then
                return null;
            end if;
            if i & 255 = 0 then
                perform relay.keep_budget();
            end if;
            x := pg_current_xact_id();
            mark := x::text || '/' || (i >> 32);
            if current_setting('relay.xact', true) is distinct from mark then
                case (i >> 32) % 3
                when 0 then insert into relay.outbox_0 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
                when 1 then insert into relay.outbox_1 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
                else insert into relay.outbox_2 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
                end case;
                perform set_config('relay.xact', mark, true);
                return null;
            end if;
            packed := true;
        end if;
    exception when others then
        null; -- row by row, then
    end;
    if packed then
        case (i >> 32) % 3
        when 0 then insert into relay.outbox_0 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        when 1 then insert into relay.outbox_1 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        else insert into relay.outbox_2 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        end case;
        return null;
    end if;

    begin
        olds := null;
        news := null;
        if tg_op <> 'INSERT' then
            open old_cursor no scroll for
                select case when without is null then (o.*)::text else jsonb_populate_record(o.*, without)::text end from old_rows o;
        end if;
        if tg_op <> 'DELETE' then
            open new_cursor no scroll for
                select case when without is null then (n.*)::text else jsonb_populate_record(n.*, without)::text end from new_rows n;
        end if;
        loop
            if tg_op <> 'INSERT' then
                fetch old_cursor into old_row;
                exit when not found;
                olds := array_append(olds, old_row);
                bytes := bytes + octet_length(old_row);
            end if;
            if tg_op <> 'DELETE' then
                fetch new_cursor into new_row;
                exit when not found;
                news := array_append(news, new_row);
                bytes := bytes + octet_length(new_row);
            end if;
            if bytes > 262144 or coalesce(cardinality(news), cardinality(olds)) >= 128 then
                if tg_argv[1] = 'suppress' and tg_op = 'UPDATE' then
                    select array_agg(u.o), array_agg(u.n) into olds, news from unnest(olds, news) u(o, n) where u.o <> u.n;
                end if;
                if coalesce(cardinality(news), cardinality(olds), 0) > 0 then
                    perform relay.put(tg_relid, tg_op::"char", olds, news, bell);
                    bell := false;
                end if;
                olds := null;
                news := null;
                bytes := 0;
            end if;
        end loop;
        if tg_argv[1] = 'suppress' and tg_op = 'UPDATE' then
            select array_agg(u.o), array_agg(u.n) into olds, news from unnest(olds, news) u(o, n) where u.o <> u.n;
        end if;
        if coalesce(cardinality(news), cardinality(olds), 0) > 0 then
            perform relay.put(tg_relid, tg_op::"char", olds, news, bell);
        end if;
        if tg_op <> 'INSERT' then
            close old_cursor;
        end if;
        if tg_op <> 'DELETE' then
            close new_cursor;
        end if;
        return null;
    exception when others then
        problem := sqlerrm;
    end;
    begin
        problem := relay.fault(tg_relid, problem);
    exception when others then
        begin
            perform setval('relay.outbox_id', 4611686018427387904);
        exception when others then
            raise warning 'pgrelay: a change of % was not captured, and this could not be recorded: %', tg_relid::regclass, sqlerrm
                using hint = 'Run install.sql again; clients load everything anew.';
        end;
        problem := null;
    end;
    if problem is not null then
        raise exception 'pgrelay: the change could not be captured: %', problem
            using hint = 'relay.state.policy = ''skip'' lets the statement through and has clients load the table anew.';
    end if;
    return null;
end
$$;

create or replace function relay.capture_row() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
    set bytea_output = 'hex' set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
    i bigint;
    x xid8;
    mark text;
    without jsonb := nullif(tg_argv[0], '');
    olds text[];
    news text[];
    problem text;
begin
    begin
        if tg_op <> 'INSERT' then
            olds := array[case when without is null then old::text else jsonb_populate_record(old, without)::text end];
        end if;
        if tg_op <> 'DELETE' then
            news := array[case when without is null then new::text else jsonb_populate_record(new, without)::text end];
        end if;
        if tg_argv[1] = 'suppress' and olds = news then
            return null;
        end if;
        i := nextval('relay.outbox_id');
        if i >= 4611686018427387904 then
            return null;
        end if;
        if i & 255 = 0 then
            perform relay.keep_budget();
        end if;
        x := pg_current_xact_id();
        mark := x::text || '/' || (i >> 32);
        if current_setting('relay.xact', true) is distinct from mark then
            case (i >> 32) % 3
            when 0 then insert into relay.outbox_0 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
            when 1 then insert into relay.outbox_1 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
            else insert into relay.outbox_2 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", true, olds, news);
            end case;
            perform set_config('relay.xact', mark, true);
            return null;
        end if;
    exception when others then
        problem := sqlerrm;
    end;
    if problem is null then
        case (i >> 32) % 3
        when 0 then insert into relay.outbox_0 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        when 1 then insert into relay.outbox_1 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        else insert into relay.outbox_2 values (i, x, clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        end case;
        return null;
    end if;
    begin
        problem := relay.fault(tg_relid, problem);
    exception when others then
        begin
            perform setval('relay.outbox_id', 4611686018427387904);
        exception when others then
            raise warning 'pgrelay: a change of % was not captured, and this could not be recorded: %', tg_relid::regclass, sqlerrm
                using hint = 'Run install.sql again; clients load everything anew.';
        end;
        problem := null;
    end;
    if problem is not null then
        raise exception 'pgrelay: the change could not be captured: %', problem
            using hint = 'relay.state.policy = ''skip'' lets the statement through and has clients load the table anew.';
    end if;
    return null;
end
$$;

create or replace function relay.capture_truncate() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    problem text;
begin
    begin
        perform relay.put(tg_relid, 'T', null, null, true);
        return null;
    exception when others then
        problem := sqlerrm;
    end;
    begin
        problem := relay.fault(tg_relid, problem);
    exception when others then
        begin
            perform setval('relay.outbox_id', 4611686018427387904);
        exception when others then
            raise warning 'pgrelay: a change of % was not captured, and this could not be recorded: %', tg_relid::regclass, sqlerrm
                using hint = 'Run install.sql again; clients load everything anew.';
        end;
        problem := null;
    end;
    if problem is not null then
        raise exception 'pgrelay: the change could not be captured: %', problem
            using hint = 'relay.state.policy = ''skip'' lets the statement through and has clients load the table anew.';
    end if;
    return null;
end
$$;

create or replace function relay.enable_table(relation regclass, exclude text[] default '{}', suppress_redundant boolean default false,
    level text default null) returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    c record;
    blockers text;
    without text := '';
    args text;
    leaf regclass;
begin
    select k.oid, k.relkind, k.relpersistence, k.relispartition, k.relreplident, n.nspname into c
        from pg_class k join pg_namespace n on n.oid = k.relnamespace where k.oid = relation;
    if c.relkind not in ('r', 'p', 'f') then
        raise exception '% is not a table', relation using errcode = 'wrong_object_type';
    elsif c.relpersistence <> 'p' then
        raise exception '% is not permanent: it is emptied without a trigger', relation using errcode = 'wrong_object_type',
            hint = format('alter table %s set logged;', relation);
    elsif c.nspname in ('relay', 'pg_catalog', 'information_schema') then
        raise exception '% belongs to the server or to the relay', relation using errcode = 'wrong_object_type';
    elsif c.relispartition then
        raise exception '% is a partition: its changes are captured with its root''s', relation using errcode = 'wrong_object_type',
            hint = format('select relay.enable_table(%L);', (select relid from pg_partition_ancestors(relation) relid order by 1 offset 0 limit 1));
    elsif level not in ('statement', 'row') then
        raise exception 'level is statement or row, not %', level;
    end if;
    select string_agg(format('%I', i.relname), ', ') into blockers from pg_index x join pg_class i on i.oid = x.indexrelid
        where x.indrelid = relation and not x.indimmediate
          and (x.indisreplident or x.indisprimary and c.relreplident <> 'i');
    if blockers is not null then
        raise exception 'the key of % is deferrable (%): changes can''t be put into an order that keeps it unique', relation, blockers
            using errcode = 'object_not_in_prerequisite_state',
            hint = format('alter table %s drop constraint %s, add primary key (…);', relation, blockers);
    end if;
    exclude := coalesce(exclude, '{}');
    select string_agg(format('%I', e), ', ') into blockers from unnest(exclude) e
        where not exists (select from pg_attribute a where a.attrelid = relation and a.attname = e and a.attnum > 0 and not a.attisdropped);
    if blockers is not null then
        raise exception '% has no column %', relation, blockers using errcode = 'undefined_column';
    end if;
    select string_agg(format('%I', a.attname), ', ') into blockers from pg_attribute a
        where a.attrelid = relation and a.attname = any (exclude)
          and exists (select from pg_index x where x.indrelid = relation and (x.indisreplident or x.indisprimary) and a.attnum = any (x.indkey::int2[]));
    if blockers is not null then
        raise exception '% belongs to the key of %: without it no row can be told from another', blockers, relation;
    end if;
    select string_agg(format('%I', a.attname), ', ') into blockers from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attname = any (exclude) and t.typtype = 'd';
    if blockers is not null then
        raise exception '% can''t be excluded: its type is a domain, which may forbid null', blockers
            using hint = 'Give the column the domain''s base type and a constraint of its own.';
    end if;
    if cardinality(exclude) > 0 then
        select jsonb_object_agg(e, null) into without from unnest(exclude) e;
    end if;
    if relay.by_row(relation) is not null then
        if level = 'statement' then
            raise exception '% can''t be captured by statement: %', relation, relay.by_row(relation);
        end if;
        level := 'row';
    end if;
    level := coalesce(level, case when exists (select from pg_trigger t where t.tgrelid = relation and not t.tgisinternal
        and t.tgtype & 67 = 1 and t.tgname !~ '^!relay_') then 'row' else 'statement' end); -- after, for each row
    if exists (select from relay.captured k where k.relation = c.oid and k.level = enable_table.level and k.excluded = exclude
        and k.suppress_redundant = enable_table.suppress_redundant) and relay.table_problem(relation) is null then
        return level;
    end if;
    args := format('%L, %L', coalesce(without, ''), case when suppress_redundant then 'suppress' else '' end);

    perform relay.drop_triggers(relation);
    if level = 'statement' then
        execute format('create trigger "!relay_insert" after insert on %s referencing new table as new_rows
            for each statement execute function relay.capture(%s)', relation, args);
        execute format('create trigger "!relay_update" after update on %s referencing old table as old_rows new table as new_rows
            for each statement execute function relay.capture(%s)', relation, args);
        execute format('create trigger "!relay_delete" after delete on %s referencing old table as old_rows
            for each statement execute function relay.capture(%s)', relation, args);
        execute format('alter table %s enable always trigger "!relay_insert", enable always trigger "!relay_update",
            enable always trigger "!relay_delete"', relation);
    else
        execute format('create trigger "!relay_row" after insert or update or delete on %s for each row execute function relay.capture_row(%s)',
            relation, args);
        execute format('alter %stable %s enable always trigger "!relay_row"', case when c.relkind = 'f' then 'foreign ' end, relation);
    end if;
    for leaf in select relay.leaves(relation) loop
        if (select relkind from pg_class where oid = leaf) = 'f' and current_setting('server_version_num')::int < 160000 then
            raise notice 'TRUNCATE of % can''t be captured before Postgres 16', leaf;
            continue;
        end if;
        execute format('create or replace trigger "!relay_truncate" after truncate on %s for each statement execute function relay.capture_truncate()', leaf);
        execute format('alter table %s enable always trigger "!relay_truncate"', leaf);
    end loop;
    if c.relkind = 'f' then
        raise notice 'of % only writes through this database are captured, and they aren''t atomic with the remote write', relation;
    end if;

    insert into relay.captured as k values (relation, relation::text, level, exclude, suppress_redundant)
        on conflict on constraint captured_pkey do update
        set name = excluded.name, level = excluded.level, excluded = excluded.excluded, suppress_redundant = excluded.suppress_redundant, enabled = now();
    perform relay.put(relation, 'X', null, array['the table was enabled'], true);
    return level;
end
$$;

create or replace function relay.by_row(relation regclass) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when c.relkind = 'f' then 'a foreign table has no transition tables'
        when c.relkind = 'p' then 'it is partitioned, and writes to a partition alone would go unseen'
        when c.relispartition then 'it is a partition, and writes through its root would go unseen'
        when exists (select from pg_inherits i where c.oid in (i.inhparent, i.inhrelid)) then 'it inherits or is inherited'
        when exists (select from pg_subscription_rel s where s.srrelid = c.oid) then 'a subscription writes to it, which fires no statement triggers'
        end
    from pg_class c where c.oid = relation
$$;

create or replace function relay.leaves(relation regclass) returns setof regclass language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.relid from pg_partition_tree(relation) t union select relation
$$;

create or replace function relay.drop_triggers(relation regclass) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in select g.tgname, g.tgrelid::regclass as place from pg_trigger g
        where g.tgrelid in (select relay.leaves(relation)) and g.tgname ~ '^!relay_' and g.tgparentid = 0 loop
        execute format('drop trigger %I on %s', t.tgname, t.place);
    end loop;
end
$$;

create or replace function relay.disable_table(relation regclass) returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform relay.drop_triggers(relation);
    delete from relay.captured k where k.relation = disable_table.relation;
    if found then
        perform relay.put(relation, 'X', null, array['the table was disabled'], true);
    end if;
    return found;
end
$$;

create or replace function relay.doorbell(mode text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    k int;
begin
    if mode not in ('auto', 'on', 'off') then
        raise exception 'doorbell is auto, on or off, not %', mode;
    end if;
    for k in 0..2 loop
        execute format('drop trigger if exists ring on relay.outbox_%s', k);
        continue when mode = 'off';
        execute format('create constraint trigger ring after insert on relay.outbox_%s deferrable initially deferred
            for each row when (new.bell) execute function relay.ring(%L)', k, mode);
        execute format('alter table relay.outbox_%s enable always trigger ring', k);
    end loop;
end
$$;

create or replace function relay.grant_reader(reader name) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('grant usage on schema relay to %I', reader);
    execute format('grant select on all tables in schema relay to %I', reader);
    execute format('grant select on sequence relay.outbox_id to %I', reader);
    execute format('grant execute on function relay.record(bigint, pg_snapshot, boolean), relay.turn(),
        relay.begin_epoch(text), relay.finish_epoch(text, bigint), relay.status(), relay.tables() to %I', reader);
end
$$;

create or replace function relay.table_problem(relation oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when c.oid is null then 'the table is gone'
        when k.level = 'statement' and relay.by_row(c.oid) is not null then 'it is captured by statement, but ' || relay.by_row(c.oid)
        when wrong.list is not null then wrong.list
        when exists (select from pg_index x where x.indrelid = c.oid and not x.indimmediate and (x.indisreplident or x.indisprimary and c.relreplident <> 'i'))
            then 'its key has become deferrable'
        end
    from relay.captured k left join pg_class c on c.oid = k.relation
    cross join lateral (
        select string_agg(format('trigger %I of %s %s', w.name, w.place::regclass, case
            when t.oid is null then 'is missing'
            when t.tgenabled = 'D' then 'is disabled'
            when t.tgenabled <> 'A' then 'doesn''t fire in sessions with session_replication_role = replica, and was enabled by hand'
            else 'was altered' end), ', ' order by w.place, w.name) as list
        from (
            select v.name, v.function, c.oid as place from (values ('!relay_insert', 'capture'), ('!relay_update', 'capture'), ('!relay_delete', 'capture')) v(name, function)
                where k.level = 'statement'
            union all
            select '!relay_row', 'capture_row', l from relay.leaves(c.oid) l where k.level = 'row'
            union all
            select '!relay_truncate', 'capture_truncate', l from relay.leaves(c.oid) l join pg_class p on p.oid = l
                where p.relkind <> 'f' or current_setting('server_version_num')::int >= 160000
        ) w left join pg_trigger t on t.tgrelid = w.place and t.tgname = w.name
        where t.oid is null or t.tgenabled <> 'A' or t.tgfoid is distinct from to_regproc('relay.' || w.function)
    ) wrong
    where k.relation = table_problem.relation
$$;

create or replace function relay.status(out name text, out detail text, out problem text, out remedy text) returns setof record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    s record;
    last bigint;
    bytes bigint := pg_total_relation_size('relay.outbox_0') + pg_total_relation_size('relay.outbox_1') + pg_total_relation_size('relay.outbox_2');
begin
    select * into s from relay.state;
    select last_value into last from relay.outbox_id;
    name := 'outbox';
    detail := format('version %s, epoch %s, %s of %s, last delivery %s, past the budget: %s', s.version, s.epoch, pg_size_pretty(bytes),
        pg_size_pretty(s.budget), coalesce((select max(n)::text || ' at ' || max(at)::timestamptz(0) from relay.delivery), 'none'), s.policy);
    problem := case
        when last >= 4611686018427387904 then 'closed: nothing is captured until the relay has begun a new epoch'
        when bytes > s.budget / 2 then 'more than half of the budget is taken: the relay is away, behind, or something holds a lock on the outbox'
        end;
    remedy := case when problem is not null then 'start pgrelay serve, or: update relay.state set budget = …;' end;
    return next;
    name := 'doorbell';
    detail := coalesce((select format('for %s', encode(t.tgargs, 'escape')) from pg_trigger t where t.tgrelid = to_regclass('relay.outbox_0') and t.tgname = 'ring'), 'off');
    detail := case when detail like '%auto%' then 'auto' when detail like '%on%' then 'on' else detail end;
    problem := case when detail = 'auto' and current_setting('max_prepared_transactions') <> '0'
        then 'the server allows prepared transactions, so nobody rings: the relay looks by itself' end;
    remedy := case when problem is not null then 'select relay.doorbell(''on''); -- where no application prepares transactions that write to captured tables' end;
    return next;
    for name, detail, problem, remedy in
        select coalesce((select c.oid::regclass::text from pg_class c where c.oid = k.relation), k.name),
            format('by %s%s%s', k.level, case when cardinality(k.excluded) > 0 then ', without ' || array_to_string(k.excluded, ', ') end,
                case when k.suppress_redundant then ', redundant updates suppressed' end),
            relay.table_problem(k.relation),
            case when not exists (select from pg_class c where c.oid = k.relation) then format('delete from relay.captured where relation = %s;', k.relation)
                 when relay.table_problem(k.relation) is not null then format('select relay.enable_table(%L);', k.relation::regclass) end
        from relay.captured k order by 1
    loop
        return next;
    end loop;
end
$$;

create or replace function relay.excluded_of(relation oid) returns text[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select k.excluded from relay.captured k
        where k.relation in (excluded_of.relation, pg_partition_root(excluded_of.relation::regclass)) limit 1), '{}')
$$;

create or replace function relay.columns_of(relation oid) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_agg(jsonb_build_array(a.attname, a.atttypid::bigint, a.attgenerated <> 'v'
            and not a.attname = any (relay.excluded_of(columns_of.relation))) order by a.attnum)
    from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
$$;

create or replace function relay.note_layout(relation oid, n bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    now_ text;
    known text;
    columns jsonb;
begin
    select sum(a.xmin::text::bigint) || '/' || count(*) || relay.excluded_of(relation)::text
        into now_ from pg_attribute a where a.attrelid = note_layout.relation and a.attnum > 0 and not a.attisdropped;
    select l.stamp into known from relay.layout l where l.relation = note_layout.relation order by l.n desc limit 1;
    if now_ is not distinct from known then
        return null;
    end if;
    columns := relay.columns_of(relation);
    if columns is not null then -- else the table is gone
        insert into relay.layout as l values (note_layout.relation, note_layout.n, coalesce(now_, ''), columns)
            on conflict on constraint layout_pkey do update set stamp = excluded.stamp, columns = excluded.columns;
    end if;
    return columns;
end
$$;

create or replace function relay.record(this bigint, s0 pg_snapshot, always boolean,
    out s1 pg_snapshot, out closed boolean, out recorded boolean, out layouts jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set jit = off -- plans outlive the time when a table is empty
as $$
declare
    last bigint;
    relations oid[];
    one oid;
    columns jsonb;
begin
    s1 := pg_current_snapshot(); -- before last_value: what a closed outbox lacks isn't in an older snapshot
    select last_value into last from relay.outbox_id;
    closed := last >= 4611686018427387904;
    recorded := false;
    if closed then
        return;
    end if;
    select array_agg(distinct o.relation) into relations from (
        select f.relation from relay.outbox f where f.xid >= pg_snapshot_xmax(s0) and f.xid < pg_snapshot_xmax(s1) and pg_visible_in_snapshot(f.xid, s1)
        union all
        select f.relation from relay.outbox f where f.xid = any (array(select r from pg_snapshot_xip(s0) r)) and pg_visible_in_snapshot(f.xid, s1)
    ) o;
    if relations is null and not always then
        return;
    end if;
    perform pg_advisory_xact_lock(1885827685, 3);
    if exists (select from relay.delivery d where d.n >= this) then
        raise exception 'delivery % was recorded by somebody else: another relay reads this outbox', this using errcode = 'object_in_use';
    end if;
    foreach one in array coalesce(relations, '{}') loop
        columns := relay.note_layout(one, this);
        if columns is not null then
            layouts := coalesce(layouts, '{}') || jsonb_build_object(one::text, columns);
        end if;
    end loop;
    execute format('insert into relay.delivery_%s values ($1, $2)', (last >> 32) % 3) using this, s1;
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true); -- what goes out is on disk, and so is what it is made of
    end if;
    recorded := true;
end
$$;

create or replace function relay.turn() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    last bigint;
    k int;
    state relay.state;
    low bigint;
    high bigint;
    highest bigint;
    middle bigint;
    beyond boolean;
begin
    if not pg_try_advisory_xact_lock(1885827685, 4) then
        return false;
    end if;
    select last_value into last from relay.outbox_id;
    select * into state from relay.state;
    if last >= 4611686018427387904 or not state.ready then
        return false;
    end if;
    k := ((last >> 32) + 1) % 3;
    begin
        execute format('lock table relay.outbox_%s, relay.delivery_%s in access exclusive mode nowait', k, k);
    exception when lock_not_available then
        return false;
    end;
    execute format('select greatest(max(n), $1) from relay.delivery_%s', k) into low using state.base >> 24;
    select greatest(max(n), low) into highest from relay.delivery;
    high := highest;
    while low <= high loop
        middle := (low + high) / 2;
        execute format('select exists (select from relay.outbox_%s o, (select coalesce((select d.s1 from relay.delivery d where d.n > $2 and d.n <= $1 order by d.n desc limit 1), $3) as s1) b
            where o.xid >= pg_snapshot_xmin(b.s1) and not pg_visible_in_snapshot(o.xid, b.s1))', k) into beyond using middle, state.base >> 24, state.base_snapshot;
        if beyond then
            low := middle + 1;
        else
            high := middle - 1;
        end if;
    end loop;
    if low > highest then
        return false;
    end if;
    if low > state.base >> 24 then
        update relay.state set base = (low << 24) + 16777215, base_snapshot = (select d.s1 from relay.delivery d where d.n = low);
        delete from relay.layout l where exists (select from relay.layout m where m.relation = l.relation and m.n > l.n and m.n <= low);
    end if;
    execute format('truncate relay.outbox_%s, relay.delivery_%s', k, k);
    update relay.state set generation = (last >> 32) + 1;
    perform setval('relay.outbox_id', ((last >> 32) + 1) << 32, false);
    return true;
end
$$;

create or replace function relay.begin_epoch(why text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    s relay.state;
begin
    perform pg_advisory_xact_lock(1885827685, 4);
    if (select last_value from relay.outbox_id) >= 4611686018427387904 then
        lock table relay.outbox_0, relay.outbox_1, relay.outbox_2, relay.delivery_0, relay.delivery_1, relay.delivery_2 in access exclusive mode nowait;
        update relay.state set base = greatest(base, (coalesce((select max(n) from relay.delivery), 0) << 24) + 16777215);
        truncate relay.outbox_0, relay.outbox_1, relay.outbox_2, relay.delivery_0, relay.delivery_1, relay.delivery_2;
        update relay.state set generation = generation + 1 returning * into s;
        perform setval('relay.outbox_id', s.generation << 32, false);
    end if;
    update relay.state set epoch = greatest(epoch + 1, extract(epoch from clock_timestamp())::bigint), ready = false, reason = why returning * into s;
    return s.epoch;
end
$$;

create or replace function relay.finish_epoch(system_ text, timeline_ bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update relay.state set ready = true, system = system_, timeline = timeline_, base_snapshot = pg_current_snapshot(),
        base = (((greatest((select max(n) from relay.delivery), base >> 24) + 1)) << 24) + 16777215;
end
$$;

create or replace function relay.tables(out relation oid, out name text, out level text, out excluded text[], out suppress_redundant boolean,
    out problem text, out stamp text) returns setof record
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.relation, coalesce(c.oid::regclass::text, k.name), k.level, k.excluded, k.suppress_redundant, relay.table_problem(k.relation),
        (select md5(string_agg(format('%s %s %s %s', t.tgrelid, t.tgname, t.tgenabled, t.xmin), ',' order by t.oid)) from pg_trigger t
         where t.tgname ~ '^!relay_' and t.tgrelid in (select relay.leaves(c.oid)))
    from relay.captured k left join pg_class c on c.oid = k.relation order by 2
$$;

revoke all on all functions in schema relay from public;

do $$
begin
    insert into relay.state (version) values (1) on conflict on constraint state_pkey do update set version = excluded.version;
    if not (select whole from pg_temp.pgrelay_install) then
        update relay.state set ready = false, reason = 'the outbox was made anew' where epoch > 0;
    end if;
    if (select count(*) from pg_trigger t where t.tgname = 'ring' and t.tgrelid in ('relay.outbox_0'::regclass, 'relay.outbox_1'::regclass, 'relay.outbox_2'::regclass)) in (0, 3)
        and not (select whole from pg_temp.pgrelay_install) then
        perform relay.doorbell('auto');
    end if;
    if current_setting('pgrelay.reader') <> '' then
        perform relay.grant_reader(current_setting('pgrelay.reader'));
    end if;
end
$$;

commit;
