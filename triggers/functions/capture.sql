-- Functions that the triggers run. Part of install.sql, which see.

-- ring wakes the reader when the transaction has been committed. It doesn't fail.
create or replace function relay.ring() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_notification_queue_usage() < 0.5 then
        perform pg_notify('pgrelay', '');
    end if;
exception when others then
    null; -- the reader finds the change when it looks next
end
$$;

-- asleep tells that the reader sleeps, as relay/outbox/doc.go describes: it holds a lock then. It is inlined where it is called.
create or replace function relay.asleep() returns boolean language sql as $$
    select case when pg_catalog.pg_try_advisory_lock_shared(1885827685, 1) then not pg_catalog.pg_advisory_unlock_shared(1885827685, 1) else true end
$$;

-- put writes one row of the outbox where speed doesn't matter. bell: it is the first of its transaction, and rings if the reader
-- sleeps.
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
    if bell then
        begin
            if relay.asleep() then
                perform relay.ring();
            end if;
        exception when others then
            perform relay.ring(); -- the server has no room for a lock: rather once too often
        end;
    end if;
end
$$;

-- close ends the epoch: nothing is captured until the reader has begun another one.
create or replace function relay.close() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(1885827685, 4); -- not while the sequence is turned
    perform setval('relay.outbox_id', 4611686018427387904);
end
$$;

-- keep_budget closes the outbox when it is larger than the operator allows.
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

-- fault records that a change of a table wasn't captured. It returns what the application is to be told, null by default.
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

-- writes_itself tells that a table has triggers that may write to it for each row of a statement, before the statement's end:
-- those of the application, and foreign keys to itself that change it on update.
create or replace function relay.writes_itself(relation oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from pg_trigger t left join pg_constraint k on k.oid = t.tgconstraint
        where t.tgrelid = relation and t.tgtype & 67 = 1 and t.tgenabled <> 'D' and t.tgname !~ '^!relay_'
          and (not t.tgisinternal or k.conrelid = k.confrelid and k.confupdtype in ('c', 'n', 'd')))
$$;

-- capture is the trigger for each statement. A statement of up to 128 rows is one row of the outbox.
-- What writes to the outbox for the first time in a transaction does so in a subtransaction, so that nothing that is wrong
-- with the outbox can make the application's statement fail. Later writes needn't: the table is locked against changes by
-- then, and a subtransaction for each statement would overflow what Postgres keeps of them at hand (64).
-- relay.wrote, which ends with the transaction, is the generation of the outbox that it has written to.
-- Each operator and function of an expression costs: they are made ready anew in every transaction. Hence few of them.
create or replace function relay.capture() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
    set bytea_output = 'hex' set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
    i bigint;
    olds text[];
    news text[];
    without jsonb;
    suppress boolean;
    problem text;
begin
    begin
        if tg_argv[0] <> '' or tg_argv[1] <> '' or pg_trigger_depth() > 1 or pg_partition_root(tg_relid) is not null then
            if pg_partition_root(tg_relid) is not null then
                return null; -- attached since: its root's trigger for each row captures it
            elsif pg_trigger_depth() > 1 and relay.writes_itself(tg_relid) then
                -- The statement that this one is a part of is captured when it ends, after this one.
                perform relay.put(tg_relid, 'X', null, array['a trigger of its own wrote to it within a statement'], true);
                return null;
            end if;
            without := nullif(tg_argv[0], '')::jsonb;
            suppress := tg_op = 'UPDATE' and tg_argv[1] <> '';
        end if;
        if tg_op = 'INSERT' and without is null then
            news := array(select (n.*)::text from new_rows n limit 129);
        elsif tg_op = 'DELETE' and without is null then
            olds := array(select (o.*)::text from old_rows o limit 129);
        elsif without is null then
            olds := array(select (o.*)::text from old_rows o limit 129);
            news := array(select (n.*)::text from new_rows n limit 129);
        else
            if tg_op <> 'INSERT' then
                olds := array(select jsonb_populate_record(o.*, without)::text from old_rows o limit 129);
            end if;
            if tg_op <> 'DELETE' then
                news := array(select jsonb_populate_record(n.*, without)::text from new_rows n limit 129);
            end if;
        end if;
        if suppress then
            if cardinality(news) <= 128 then
                select coalesce(array_agg(u.o), '{}'), coalesce(array_agg(u.n), '{}') into olds, news from unnest(olds, news) u(o, n) where u.o <> u.n;
            end if;
        end if;
        if cardinality(coalesce(news, olds)) = 1 or cardinality(coalesce(news, olds)) between 2 and 128
            and coalesce(pg_column_size(olds), 0) + coalesce(pg_column_size(news), 0) <= 262144 then
            i := nextval('relay.outbox_id');
            if i & 255 = 0 or i >= 4611686018427387904 then
                if i >= 4611686018427387904 then
                    return null;
                end if;
                perform relay.keep_budget();
            end if;
            if current_setting('relay.wrote', true) is distinct from (i >> 32)::text then
                if (i >> 32) % 3 = 0 then
                    insert into relay.outbox_0 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
                elsif (i >> 32) % 3 = 1 then
                    insert into relay.outbox_1 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
                else
                    insert into relay.outbox_2 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
                end if;
                if relay.asleep() then
                    perform relay.ring();
                end if;
                return null;
            end if;
        elsif cardinality(coalesce(news, olds)) = 0 then
            return null;
        end if;
    exception when others then
        i := null; -- row by row, then
    end;
    if i is not null then
        if (i >> 32) % 3 = 0 then
            insert into relay.outbox_0 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        elsif (i >> 32) % 3 = 1 then
            insert into relay.outbox_1 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        else
            insert into relay.outbox_2 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        end if;
        return null;
    end if;

    declare
        old_row text;
        new_row text;
        old_cursor refcursor;
        new_cursor refcursor;
        bytes bigint := 0;
        bell boolean := true;
        ended boolean := false;
    begin
        olds := null;
        news := null;
        without := nullif(tg_argv[0], '')::jsonb;
        if tg_op <> 'INSERT' then
            open old_cursor no scroll for
                select case when without is null then (o.*)::text else jsonb_populate_record(o.*, without)::text end from old_rows o;
        end if;
        if tg_op <> 'DELETE' then
            open new_cursor no scroll for
                select case when without is null then (n.*)::text else jsonb_populate_record(n.*, without)::text end from new_rows n;
        end if;
        while not ended loop
            if tg_op <> 'INSERT' then
                fetch old_cursor into old_row;
                ended := not found;
            end if;
            if tg_op <> 'DELETE' then
                fetch new_cursor into new_row;
                ended := not found;
            end if;
            if not ended and not (tg_argv[1] = 'suppress' and tg_op = 'UPDATE' and old_row = new_row) then
                if tg_op <> 'INSERT' then
                    olds := array_append(olds, old_row);
                end if;
                if tg_op <> 'DELETE' then
                    news := array_append(news, new_row);
                end if;
                bytes := bytes + coalesce(octet_length(old_row), 0) + coalesce(octet_length(new_row), 0);
            end if;
            if ended and coalesce(cardinality(news), cardinality(olds)) > 0 or bytes > 262144 or coalesce(cardinality(news), cardinality(olds)) >= 128 then
                perform relay.put(tg_relid, tg_op::"char", olds, news, bell);
                bell := false;
                olds := null;
                news := null;
                bytes := 0;
            end if;
        end loop;
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

-- capture_row is the trigger for each row, where there are no transition tables: partitions, inheritance, foreign tables.
create or replace function relay.capture_row() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
    set bytea_output = 'hex' set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
    i bigint;
    olds text[];
    news text[];
    problem text;
begin
    begin
        if tg_op <> 'INSERT' then
            olds := array[case when tg_argv[0] = '' then old::text else jsonb_populate_record(old, tg_argv[0]::jsonb)::text end];
        end if;
        if tg_op <> 'DELETE' then
            news := array[case when tg_argv[0] = '' then new::text else jsonb_populate_record(new, tg_argv[0]::jsonb)::text end];
        end if;
        if tg_argv[1] = 'suppress' and olds = news then
            return null;
        end if;
        i := nextval('relay.outbox_id');
        if i & 255 = 0 or i >= 4611686018427387904 then
            if i >= 4611686018427387904 then
                return null;
            end if;
            perform relay.keep_budget();
        end if;
        if current_setting('relay.wrote', true) is distinct from (i >> 32)::text then
            if (i >> 32) % 3 = 0 then
                insert into relay.outbox_0 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
            elsif (i >> 32) % 3 = 1 then
                insert into relay.outbox_1 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
            else
                insert into relay.outbox_2 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", set_config('relay.wrote', (i >> 32)::text, true) is not null, olds, news);
            end if;
            begin
                if relay.asleep() then
                    perform relay.ring();
                end if;
            exception when others then
                perform relay.ring(); -- and what was written stays: nothing writes it again
            end;
            return null;
        end if;
    exception when others then
        problem := sqlerrm;
    end;
    if problem is null then
        if (i >> 32) % 3 = 0 then
            insert into relay.outbox_0 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        elsif (i >> 32) % 3 = 1 then
            insert into relay.outbox_1 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        else
            insert into relay.outbox_2 values (i, pg_current_xact_id(), clock_timestamp(), tg_relid, tg_op::"char", false, olds, news);
        end if;
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

