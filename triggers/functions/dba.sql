-- Functions of the DBA. Part of install.sql, which see.

-- enable_table captures a table from its commit on; again with other options: with these. exclude: columns that never leave
-- the table. suppress_redundant: updates that change nothing are left out. level: statement or row; null chooses. key: the
-- columns that tell a foreign table's rows apart; other tables have a key of their own.
create or replace function relay.enable_table(relation regclass, exclude text[] default '{}', suppress_redundant boolean default false,
    level text default null, key text[] default '{}') returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    c record;
    blockers text;
    without text := '';
    args text;
    leaf regclass;
begin
    select k.oid, k.relkind, k.relpersistence, k.relispartition, k.relreplident, k.relowner, n.nspname into c
        from pg_class k join pg_namespace n on n.oid = k.relnamespace where k.oid = relation;
    if c.relkind not in ('r', 'p', 'f') then
        raise exception '% is not a table', relation using errcode = 'wrong_object_type',
            hint = 'Of a view, enable the tables that it reads.';
    elsif c.relpersistence <> 'p' then
        raise exception '% is not permanent: it is emptied without a trigger', relation using errcode = 'wrong_object_type',
            hint = format('alter table %s set logged;', relation);
    elsif c.nspname in ('relay', 'pg_catalog', 'information_schema') then
        raise exception '% belongs to the server or to the relay', relation using errcode = 'wrong_object_type';
    elsif not pg_has_role(c.relowner, 'usage') then
        raise exception '% belongs to role %, of which % is no member', relation, quote_ident(pg_get_userbyid(c.relowner)), quote_ident(current_user)
            using errcode = 'insufficient_privilege', hint = 'Run it as the table''s owner or a superuser.';
    elsif c.relispartition then
        raise exception '% is a partition: its changes are captured with its root''s', relation using errcode = 'wrong_object_type',
            hint = format('select relay.enable_table(%L);', pg_partition_root(relation));
    elsif level not in ('statement', 'row') then
        raise exception 'level is statement or row, not %', level;
    end if;
    -- An insert of a key's new holder may then come before the delete of its old one.
    select string_agg(format('%I', i.relname), ', ') into blockers from pg_index x join pg_class i on i.oid = x.indexrelid
        where x.indrelid = relation and not x.indimmediate
          and (x.indisreplident or x.indisprimary and c.relreplident <> 'i');
    if blockers is not null then
        raise exception 'the key of % is deferrable (%): changes can''t be put into an order that keeps it unique', relation, blockers
            using errcode = 'object_not_in_prerequisite_state',
            hint = format('alter table %s drop constraint %s, add primary key (…);', relation, blockers);
    end if;
    exclude := coalesce(exclude, '{}');
    key := coalesce(key, '{}');
    if c.relkind = 'f' and cardinality(key) = 0 then
        raise exception '% is a foreign table, of which the server knows no key', relation using errcode = 'object_not_in_prerequisite_state',
            hint = format('select relay.enable_table(%L, key => ''{…}'');  -- the columns that tell its rows apart', relation);
    elsif c.relkind <> 'f' and cardinality(key) > 0 then
        raise exception '% is a table, whose own key tells its rows apart', relation using hint = 'Leave key out.';
    elsif key && exclude then
        raise exception 'a column of the key can''t be excluded: without it no row can be told from another';
    end if;
    select string_agg(format('%I', e), ', ') into blockers from unnest(exclude || key) e
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
        and k.suppress_redundant = enable_table.suppress_redundant and k.key = enable_table.key) and relay.table_problem(relation) is null
        and relay.row_trigger(relation) <> '!relay_row' and not exists (select from relay.unheard(relation)) then
        perform relay.drop_idle(relation);
        return level;
    end if;
    args := format('%L, %L', coalesce(without, ''), case when suppress_redundant then 'suppress' else '' end);

    perform relay.drop_idle(relation);
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
        execute format('create trigger %I after insert or update or delete on %s for each row when (%s) execute function relay.capture_row(%s)',
            relay.row_trigger(relation), relation, relay.row_condition(relation), args);
        execute format('alter %stable %s enable always trigger %I', case when c.relkind = 'f' then 'foreign ' end, relation, relay.row_trigger(relation));
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

    insert into relay.captured as k (relation, name, level, excluded, suppress_redundant, key)
        values (relation, relation::text, level, exclude, suppress_redundant, key)
        on conflict on constraint captured_pkey do update
        set name = excluded.name, level = excluded.level, excluded = excluded.excluded, suppress_redundant = excluded.suppress_redundant,
            key = excluded.key, enabled = now();
    -- What was written before isn't in the outbox: who follows the table loads it anew.
    perform relay.put(relation, 'X', null, array['the table was enabled'], true);
    return level;
end
$$;

-- by_row says why a table can't be captured by statement; null where it can.
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

-- leaves are the tables that a TRUNCATE may name or reach: the table, and all of its partitions.
create or replace function relay.leaves(relation regclass) returns setof regclass language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.relid from pg_partition_tree(relation) t union select relation
$$;

-- row_trigger is the name of a table's trigger for each row. Partitions get their root's, under the same name, and ATTACH
-- PARTITION fails where there is one of that name: so the name holds the table's oid. It didn't in older versions.
create or replace function relay.row_trigger(relation oid) returns name language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select t.tgname from pg_trigger t where t.tgrelid = relation and t.tgname = '!relay_row' and t.tgparentid = 0),
        '!relay_row_' || relation)
$$;

-- row_condition is when that trigger fires: while the table isn't itself a partition, for then its root's does. DETACH
-- PARTITION wakes it.
create or replace function relay.row_condition(relation regclass) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(case c.relkind when 'p' then 'pg_partition_root(%1$L::regclass) = %1$L::regclass' else 'pg_partition_root(%1$L::regclass) is null' end, relation)
    from pg_class c where c.oid = relation
$$;

-- captured_root is the captured table that a partition belongs to; null where there is none.
create or replace function relay.captured_root(relation oid) returns regclass language sql stable set search_path = pg_catalog, pg_temp as $$
    select k.relation from relay.captured k where k.relation = pg_partition_root(captured_root.relation::regclass) and k.relation <> captured_root.relation
$$;

-- drop_triggers drops what captures a table and its partitions. Where a root captures them, what is the root's stays.
create or replace function relay.drop_triggers(relation regclass) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in select g.tgname, g.tgrelid::regclass as place from pg_trigger g
        where g.tgrelid in (select relay.leaves(relation)) and g.tgname ~ '^!relay_' and g.tgparentid = 0
          and (g.tgname <> '!relay_truncate' or relay.captured_root(relation) is null) loop
        execute format('drop trigger %I on %s', t.tgname, t.place);
    end loop;
end
$$;

-- drop_idle ends what captured a table's partitions by themselves before they were attached.
create or replace function relay.drop_idle(relation regclass) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in select g.tgname, g.tgrelid::regclass as place from pg_trigger g
        where g.tgrelid in (select relay.leaves(relation)) and g.tgrelid <> relation and g.tgname ~ '^!relay_' and g.tgname <> '!relay_truncate' and g.tgparentid = 0 loop
        execute format('drop trigger %I on %s', t.tgname, t.place);
    end loop;
    delete from relay.captured k where k.relation in (select relay.leaves(drop_idle.relation)) and k.relation <> drop_idle.relation;
end
$$;

-- drop_orphans drops triggers of tables that nothing captures any more, such as partitions that were detached. It says which
-- it can't drop, for they are in use or somebody else's.
create or replace function relay.drop_orphans() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in select g.tgname, g.tgrelid::regclass as place from pg_trigger g where g.tgname ~ '^!relay_' and g.tgparentid = 0
        and not exists (select from relay.captured k where k.relation in (g.tgrelid, pg_partition_root(g.tgrelid))) loop
        begin
            execute format('drop trigger %I on %s', t.tgname, t.place);
        exception when lock_not_available or insufficient_privilege then
            raise notice 'trigger % is left on %, which nothing captures: %', quote_ident(t.tgname), t.place, sqlerrm
                using hint = format('drop trigger %I on %s;', t.tgname, t.place);
        end;
    end loop;
end
$$;

-- disable_table ends the capture of a table at its commit. One that isn't captured, or is gone, is no error.
create or replace function relay.disable_table(relation regclass) returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    was boolean;
begin
    perform relay.drop_triggers(relation);
    delete from relay.captured k where k.relation = disable_table.relation;
    was := found;
    if was and relay.captured_root(relation) is null then
        delete from relay.captured k where k.relation in (select relay.leaves(disable_table.relation));
        perform relay.put(relation, 'X', null, array['the table was disabled'], true);
    end if;
    perform relay.drop_orphans();
    return was;
end
$$;

-- doorbell says whether the reader has itself woken when it sleeps. auto, the default: where the server allows no prepared
-- transactions, since one that has notified can't be prepared. on: there, too. off: the reader looks by itself. It hears of
-- this within seconds.
create or replace function relay.doorbell(mode text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if mode not in ('auto', 'on', 'off') then
        raise exception 'doorbell is auto, on or off, not %', mode;
    end if;
    update relay.state set doorbell = mode;
    perform pg_notify('pgrelay', ''); -- a reader that sleeps looks what it is now
end
$$;

-- grant_reader lets a role read the outbox and do what the relay must; it owns nothing and writes to no table itself.
create or replace function relay.grant_reader(reader name) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('grant usage on schema relay to %I', reader);
    execute format('grant select on all tables in schema relay to %I', reader);
    execute format('grant select on sequence relay.outbox_id to %I', reader);
    execute format('grant execute on function relay.record(bigint, pg_snapshot, boolean), relay.turn(),
        relay.begin_epoch(text), relay.finish_epoch(text, bigint), relay.status(), relay.tables() to %I', reader);
end
$$;

-- table_problem says what keeps a captured table's changes from being seen; null where nothing does.
create or replace function relay.table_problem(relation oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when c.oid is null then 'the table is gone'
        when c.relispartition then format('it has become a partition of %s, %s', pg_partition_root(c.oid), case when relay.captured_root(c.oid) is null
            then 'which isn''t captured: its changes are missed' else 'which is captured with its partitions: its own triggers are idle' end)
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
            select relay.row_trigger(c.oid), 'capture_row', l from relay.leaves(c.oid) l where k.level = 'row'
            union all
            select '!relay_truncate', 'capture_truncate', c.oid where c.relkind <> 'f' or current_setting('server_version_num')::int >= 160000
        ) w left join pg_trigger t on t.tgrelid = w.place and t.tgname = w.name
        where c.oid is not null and (t.oid is null or t.tgenabled <> 'A' or t.tgfoid is distinct from to_regproc('relay.' || w.function))
    ) wrong
    where k.relation = table_problem.relation
$$;

-- unheard are a captured table's partitions whose own TRUNCATE goes unseen: those made after it was enabled.
create or replace function relay.unheard(relation oid) returns setof oid language sql stable set search_path = pg_catalog, pg_temp as $$
    select l from relay.leaves(relation) l join pg_class p on p.oid = l
    where l <> unheard.relation and p.relkind <> 'f'
      and not exists (select from pg_trigger t where t.tgrelid = l and t.tgname = '!relay_truncate' and t.tgenabled = 'A')
$$;

-- enable_again is the statement after which a table is captured as it was, with every trigger; of what has become a
-- partition, the statement after which it is captured with its root.
create or replace function relay.enable_again(k relay.captured) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when c.oid is null then format('delete from relay.captured where relation = %s;', k.relation)
        when relay.captured_root(c.oid) is not null then format('select relay.disable_table(%L);', c.oid::regclass)
        when c.relispartition then format('select relay.enable_table(%L);', pg_partition_root(c.oid))
        else format('select relay.enable_table(%L%s%s%s%s);', c.oid::regclass,
            case when cardinality(k.excluded) > 0 then format(', exclude => %L', k.excluded) end,
            case when k.suppress_redundant then ', suppress_redundant => true' end,
            case when k.level = 'row' and relay.by_row(c.oid) is null then ', level => ''row''' end,
            case when cardinality(k.key) > 0 then format(', key => %L', k.key) end)
        end
    from (values (k.relation)) v(oid) left join pg_class c on c.oid = v.oid
$$;

-- status is a line for the outbox and one for each captured table; remedy is what to run where problem isn't null.
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
    detail := s.doorbell;
    problem := case when detail = 'auto' and current_setting('max_prepared_transactions') <> '0'
        then 'the server allows prepared transactions, so nobody rings: the relay looks by itself' end;
    remedy := case when problem is not null then 'select relay.doorbell(''on''); -- where no application prepares transactions that write to captured tables' end;
    return next;
    for name, detail, problem, remedy in
        select coalesce((select c.oid::regclass::text from pg_class c where c.oid = k.relation), k.name),
            format('by %s%s%s', k.level, case when cardinality(k.excluded) > 0 then ', without ' || array_to_string(k.excluded, ', ') end,
                case when k.suppress_redundant then ', redundant updates suppressed' end),
            p.problem, case when p.problem is not null then relay.enable_again(k) end
        from relay.captured k cross join lateral (select coalesce(relay.table_problem(k.relation),
            case when k.level = 'statement' and relay.writes_itself(k.relation) then
                'it has a trigger for each row, and is captured by statement: where that trigger writes to it, clients load it anew' end,
            case when k.level = 'row' and relay.row_trigger(k.relation) = '!relay_row' then
                'its trigger is of an older version: it can''t become a partition of a captured table' end,
            (select 'a TRUNCATE of a partition that is newer than the capture is noticed late: ' || string_agg(u::regclass::text, ', ')
             from relay.unheard(k.relation) u)) as problem) p
        order by 1
    loop
        return next;
    end loop;
end
$$;
