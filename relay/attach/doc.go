// Package attach gets the databases behind a warehouse ready for the relay, and takes everything back again.
//
//	warehouse ── serve.Look ──► sources, rules ──► what each database has ──► Plan: steps and notes ──► Print
//	                                                      ▲                              │
//	                                                      └──── looked at again ◄──── Apply, step by step
//
// A Plan holds what is missing alone, so one that was applied, or broke off half way, is made again from what is there:
// the second holds the rest, and the last nothing.
//
// # Locks
//
// A step is one transaction. Every step has a lock_timeout of 500 ms and is tried again after a pause, since whoever waits
// for a lock on a table has all others queue behind it: an ALTER TABLE that waits for one reader of 5 s holds every query of
// the application up for 4 s. https://www.postgresql.org/docs/current/explicit-locking.html
//
// # What is remembered
//
// What a step changes of what was there before (a replica identity, a privilege, an attribute of a role) it notes in the
// same transaction in the table relay.attached, and Detach takes back from there, if it still is as it was made. Detach
// removes that table with schema relay. What isn't noted there is the application's, and is left and said.
//
// # What there is none of
//
// A heartbeat table: the relay writes empty messages to the log instead (pg_logical_emit_message), for which it needs no
// table and no privilege.
package attach
