-- Purpose: captures a table by triggers, from this transaction's commit on.
-- Run as:  the table's owner, who is the role that ran install.sql or a member of it: psql -v table=shop.orders -f enable_table.sql
--          with -v exclude='{secret,"Other One"}' (columns that never leave the table), -v suppress_redundant=true (leave out
--          updates that change nothing), -v level=row (a trigger for each row; default: what suits); of a foreign table
--          -v key='{id}' (the columns that tell its rows apart). Again is harmless.
-- Locks:   SHARE ROW EXCLUSIVE on the table: waits for those who write it, at most 500 ms, and they wait behind it; then fails, try again.
-- Undo:    psql -v table=shop.orders -f disable_table.sql
-- Prints:  how the table is captured: statement or row.

\set ON_ERROR_STOP on
\if :{?exclude} \else \set exclude '{}' \endif
\if :{?suppress_redundant} \else \set suppress_redundant false \endif
\if :{?level} \else \set level '' \endif
\if :{?key} \else \set key '{}' \endif

begin;
set local lock_timeout = '500ms';
select relay.enable_table(:'table'::regclass, :'exclude'::text[], :'suppress_redundant'::boolean, nullif(:'level', ''), :'key'::text[]);
commit;
