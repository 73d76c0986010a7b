-- Purpose: ends the capture of a table.
-- Run as:  the table's owner, who is the role that ran install.sql or a member of it: psql -v table=shop.orders -f disable_table.sql
-- Locks:   ACCESS EXCLUSIVE on the table: waits for those who use it, at most 500 ms, and they wait behind it; then fails, try again.
--          Where tables were detached from a captured one, on those too, to drop what is left there.
-- Undo:    psql -v table=shop.orders -f enable_table.sql
-- Prints:  t, or f where the table wasn't captured.

\set ON_ERROR_STOP on
\set SHOW_CONTEXT never
\if :{?table} \else \set table '' \endif

begin;
set local lock_timeout = '500ms';
set local pgrelay.relation = :'table';

do $$
begin
    if to_regnamespace('relay') is null then
        raise exception 'capture by triggers isn''t installed in database %', current_database() using hint = 'There is nothing to disable.';
    elsif not pg_has_role((select nspowner from pg_namespace where nspname = 'relay'), 'usage') then
        raise exception 'role % is not the one that ran install.sql, nor a member of it', quote_ident(current_user)
            using errcode = 'insufficient_privilege', hint = format('Run it as %s.', (select nspowner::regrole from pg_namespace where nspname = 'relay'));
    elsif current_setting('pgrelay.relation') = '' then
        raise exception 'no table is named' using hint = 'psql -v table=shop.orders -f disable_table.sql';
    end if;
end
$$;

select relay.disable_table(:'table'::regclass);
commit;
