-- Purpose: removes schema relay and the triggers of every captured table.
-- Run as:  the role that ran install.sql, who owns the captured tables or is a member of their owners: psql -f uninstall.sql
-- Locks:   ACCESS EXCLUSIVE on every captured table, all at once, each at most 500 ms; then fails, try again. Where that never
--          succeeds, run disable_table.sql for each table first.
-- Undo:    install.sql, and enable_table.sql for each table.
-- Prints:  psql's command tags. Where nothing is installed, nothing is done.

\set ON_ERROR_STOP on

begin;
set local lock_timeout = '500ms';
set local client_min_messages = warning;

do $$
declare
    t record;
begin
    if to_regnamespace('relay') is null then
        return;
    end if;
    for t in select g.tgname, g.tgrelid::regclass as place from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
        where p.pronamespace = to_regnamespace('relay') and g.tgparentid = 0 and g.tgname like '!relay\_%' order by 2 loop
        execute format('drop trigger %I on %s', t.tgname, t.place);
    end loop;
end
$$;

drop schema if exists relay cascade;
commit;
