-- Functions of the reader, granted to the relay's role. Part of install.sql, which see.

-- excluded_of is what was excluded of a table, or of the root that it is a partition of.
create or replace function relay.excluded_of(relation oid) returns text[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select k.excluded from relay.captured k
        where k.relation = coalesce(pg_partition_root(excluded_of.relation::regclass), excluded_of.relation)), '{}')
$$;

-- columns_of is a table's columns as record_out prints them: name, type, and whether they are captured.
create or replace function relay.columns_of(relation oid) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_agg(jsonb_build_array(a.attname, a.atttypid::bigint, a.attgenerated <> 'v'
            and not a.attname = any (relay.excluded_of(columns_of.relation))) order by a.attnum)
    from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
$$;

-- note_layout keeps a table's columns if they aren't those that were kept last, and returns them then, else null. Every
-- change of an attribute gives its row in the catalog another xmin.
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

-- record makes everything that became visible since s0 delivery number this, and keeps its border s1. It records nothing
-- where there is nothing, unless always. closed: changes may be missing, so nothing is delivered. layouts: of the tables in
-- it whose columns are new, by oid.
create or replace function relay.record(this bigint, s0 pg_snapshot, always boolean,
    out s1 pg_snapshot, out closed boolean, out recorded boolean, out layouts jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan -- plans outlive the time when a table is empty
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
    case (last >> 32) % 3
    when 0 then insert into relay.delivery_0 values (this, s1);
    when 1 then insert into relay.delivery_1 values (this, s1);
    else insert into relay.delivery_2 values (this, s1);
    end case;
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true); -- what goes out is on disk, and so is what it is made of
    end if;
    recorded := true;
end
$$;

-- turn empties the table that comes next and turns over to it. It returns false, and waits for nobody, where the table's
-- rows haven't all been delivered, somebody reads or writes it, or the outbox is closed.
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
    -- The base moves to the first delivery that sees every row of the table, and is none of those kept with it.
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

-- begin_epoch starts one: from its commit on everything is captured. Transactions that ran before it may have made changes
-- that weren't; finish_epoch is called when they have ended. It fails with lock_not_available where the outbox was closed
-- and a transaction still uses it.
create or replace function relay.begin_epoch(why text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    s relay.state;
begin
    if not pg_try_advisory_xact_lock(1885827685, 4) then
        raise exception 'the outbox is being closed by a transaction that hasn''t ended' using errcode = 'lock_not_available';
    end if;
    if (select last_value from relay.outbox_id) >= 4611686018427387904 then
        lock table relay.outbox_0, relay.outbox_1, relay.outbox_2, relay.delivery_0, relay.delivery_1, relay.delivery_2 in access exclusive mode nowait;
        update relay.state set base = greatest(base, (coalesce((select max(n) from relay.delivery), 0) << 24) + 16777215);
        truncate relay.outbox_0, relay.outbox_1, relay.outbox_2, relay.delivery_0, relay.delivery_1, relay.delivery_2;
        update relay.state set generation = generation + 1 returning * into s;
        perform setval('relay.outbox_id', s.generation << 32, false);
    end if;
    -- Never a number that was used before, also where the schema was removed meanwhile.
    update relay.state set epoch = greatest(epoch + 1, extract(epoch from clock_timestamp())::bigint), ready = false, reason = why returning * into s;
    return s.epoch;
end
$$;

-- finish_epoch lets deliveries follow: everything that is committed by now is before the first one.
create or replace function relay.finish_epoch(system_ text, timeline_ bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update relay.state set ready = true, system = system_, timeline = timeline_, base_snapshot = pg_current_snapshot(),
        base = (((greatest((select max(n) from relay.delivery), base >> 24) + 1)) << 24) + 16777215;
end
$$;

-- tables are the captured ones. stamp differs whenever one of a table's triggers was made, altered, disabled or enabled, in
-- between too: pg_trigger's row is another one then; and when a partition without a trigger for it was emptied by TRUNCATE.
create or replace function relay.tables(out relation oid, out name text, out level text, out excluded text[], out suppress_redundant boolean,
    out key text[], out problem text, out remedy text, out stamp text) returns setof record
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.relation, coalesce(c.oid::regclass::text, k.name), k.level, k.excluded, k.suppress_redundant, k.key, relay.table_problem(k.relation),
        relay.enable_again(k),
        (select md5(string_agg(format('%s %s %s %s', t.tgrelid, t.tgname, t.tgenabled, t.xmin), ',' order by t.oid)) from pg_trigger t
         where t.tgname ~ '^!relay_' and t.tgrelid in (select relay.leaves(c.oid)))
            || coalesce((select string_agg(format(' %s/%s', u, p.relfilenode), '' order by u) from relay.unheard(c.oid) u join pg_class p on p.oid = u), '')
    from relay.captured k left join pg_class c on c.oid = k.relation order by 2
$$;
