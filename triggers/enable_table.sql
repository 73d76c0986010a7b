-- Purpose: captures a table by triggers, from this transaction's commit on.
-- Run as:  the table's owner, who is the role that ran install.sql or a member of it: psql -v table=shop.orders -f enable_table.sql
--          with -v exclude=secret or -v exclude='{secret,"Other One"}' (columns that never leave the table),
--          -v suppress_redundant=true (leave out updates that change nothing), -v level=row (a trigger for each row; default: what
--          suits); of a foreign table -v key=id (the column that tells its rows apart, or several: -v key='{a,b}'). Names are
--          as SQL writes them: -v table='shop."Big One"'. Again is harmless.
-- Locks:   SHARE ROW EXCLUSIVE on the table: waits for those who write it, at most 500 ms, and they wait behind it; then fails, try again.
-- Undo:    psql -v table=shop.orders -f disable_table.sql
-- Prints:  how the table is captured: statement or row.

\set ON_ERROR_STOP on
\set SHOW_CONTEXT never
\if :{?table} \else \set table '' \endif
\if :{?exclude} \else \set exclude '{}' \endif
\if :{?suppress_redundant} \else \set suppress_redundant false \endif
\if :{?level} \else \set level '' \endif
\if :{?key} \else \set key '{}' \endif

begin;
set local lock_timeout = '500ms';
set local pgrelay.relation = :'table';

do $$
begin
    if to_regnamespace('relay') is null then
        raise exception 'capture by triggers isn''t installed in database %', current_database() using hint = 'psql -f install.sql';
    elsif not pg_has_role((select nspowner from pg_namespace where nspname = 'relay'), 'usage') then
        raise exception 'role % is not the one that ran install.sql, nor a member of it', quote_ident(current_user)
            using errcode = 'insufficient_privilege', hint = format('Run it as %s.', (select nspowner::regrole from pg_namespace where nspname = 'relay'));
    elsif current_setting('pgrelay.relation') = '' then
        raise exception 'no table is named' using hint = 'psql -v table=shop.orders -f enable_table.sql';
    end if;
end
$$;

-- One name needs no braces. What is joined is read as an array only where it is one.
select relay.enable_table(:'table'::regclass,
    exclude => case when :'exclude' like '{%' then (:'exclude' || '')::text[] else array[:'exclude'] end,
    suppress_redundant => :'suppress_redundant', level => nullif(:'level', ''),
    key => case when :'key' like '{%' then (:'key' || '')::text[] else array[:'key'] end);
commit;
