-- Purpose: shows the outbox and every captured table, with what is wrong and what mends it.
-- Run as:  the role that ran install.sql or the relay's role: psql -f status.sql
-- Locks:   none.
-- Undo:    nothing to undo: it only reads.
-- Prints:  a line for the outbox, one for the doorbell, one for each table.

\set ON_ERROR_STOP on

begin read only;
select * from relay.status();
commit;
