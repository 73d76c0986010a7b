-- Purpose: shows the outbox and every captured table, with what is wrong and what mends it.
-- Run as:  the role that ran install.sql or the relay's role: psql -f status.sql
-- Locks:   none.
-- Undo:    nothing to undo: it only reads.
-- Prints:  a line for the outbox, one for the doorbell, one for each table.

\set ON_ERROR_STOP on
\set SHOW_CONTEXT never

begin read only;

do $$
begin
    if to_regnamespace('relay') is null then
        raise exception 'capture by triggers isn''t installed in database %', current_database() using hint = 'psql -f install.sql';
    elsif not has_schema_privilege('relay', 'usage') then
        raise exception 'role % may not see it', quote_ident(current_user) using errcode = 'insufficient_privilege',
            hint = format('Run it as %s, or: grant usage on schema relay to %2$I; grant execute on function relay.status() to %2$I;',
                (select nspowner::regrole from pg_namespace where nspname = 'relay'), current_user);
    end if;
end
$$;

select * from relay.status();
commit;
