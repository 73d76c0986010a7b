-- Purpose: ends the capture of a table.
-- Run as:  the table's owner, who is the role that ran install.sql or a member of it: psql -v table=shop.orders -f disable_table.sql
-- Locks:   ACCESS EXCLUSIVE on the table: waits for those who use it, at most 500 ms, and they wait behind it; then fails, try again.
-- Undo:    psql -v table=shop.orders -f enable_table.sql
-- Prints:  t, or f where the table wasn't captured.

\set ON_ERROR_STOP on

begin;
set local lock_timeout = '500ms';
select relay.disable_table(:'table'::regclass);
commit;
