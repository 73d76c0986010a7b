-- Purpose: removes the triggers of every captured table, and what install.sql made in schema relay; the schema, too, where
--          nothing else is in it.
-- Run as:  the role that ran install.sql, who owns the captured tables or is a member of their owners: psql -f uninstall.sql
-- Locks:   ACCESS EXCLUSIVE on every captured table, all at once, each at most 500 ms; then fails, try again. Where that never
--          succeeds, run disable_table.sql for each table first.
-- Undo:    install.sql, and enable_table.sql for each table.
-- Prints:  psql's command tags, and a notice where the schema stays. Where nothing is installed, nothing is done.

\set ON_ERROR_STOP on
\set SHOW_CONTEXT never

begin;
set local lock_timeout = '500ms';
set local search_path = pg_catalog;

do $$
declare
    t record;
    others text;
begin
    if to_regnamespace('relay') is null then
        raise notice 'nothing is installed in database %', current_database();
        return;
    elsif not pg_has_role((select nspowner from pg_namespace where nspname = 'relay'), 'usage') then
        raise exception 'role % is not the one that ran install.sql, nor a member of it', quote_ident(current_user)
            using errcode = 'insufficient_privilege', hint = format('Run it as %s.', (select nspowner::regrole from pg_namespace where nspname = 'relay'));
    end if;
    for t in select g.tgname, g.tgrelid::regclass as place from pg_trigger g join pg_proc p on p.oid = g.tgfoid
        where g.tgparentid = 0 and (g.tgname ~ '^!relay_' or p.pronamespace = 'relay'::regnamespace and p.proname ~ '^capture') order by 2 loop
        execute format('drop trigger %I on %s', t.tgname, t.place);
    end loop;
    for t in
        select format('function %s', p.oid::regprocedure) as what, case when p.prorettype = 'trigger'::regtype then 4 else 1 end as turn
        from pg_proc p where p.pronamespace = 'relay'::regnamespace and p.proname in (
            'ring', 'rang', 'asleep', 'put', 'close', 'keep_budget', 'fault', 'writes_itself', 'capture', 'capture_row', 'capture_truncate',
            'enable_table', 'by_row', 'leaves', 'row_trigger', 'row_condition', 'captured_root', 'drop_triggers', 'drop_idle', 'drop_orphans',
            'disable_table', 'doorbell', 'grant_reader', 'table_problem', 'unheard', 'enable_again', 'status',
            'excluded_of', 'columns_of', 'note_layout', 'record', 'turn', 'begin_epoch', 'finish_epoch', 'tables')
        union all
        select format('%s %s', case c.relkind when 'v' then 'view' when 'r' then 'table' else 'sequence' end, c.oid::regclass), case c.relkind when 'v' then 2 else 3 end
        from pg_class c where c.relnamespace = 'relay'::regnamespace and c.relkind in ('v', 'r', 'S')
          and c.relname ~ '^(outbox|delivery|outbox_id|outbox_[0-2]|delivery_[0-2]|state|captured|layout)$'
        order by turn
    loop
        execute 'drop ' || t.what;
    end loop;
    begin
        drop schema relay;
    exception when dependent_objects_still_exist then
        get stacked diagnostics others = pg_exception_detail;
        raise notice 'schema relay stays, for it holds more than capture by triggers' using detail = others,
            hint = case when to_regclass('relay.attached') is null then 'drop schema relay cascade;  -- with all of that'
                else 'pgrelay detach takes back what attach did, and removes the schema.' end;
    end;
end
$$;

commit;
