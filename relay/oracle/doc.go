// Package oracle holds the relay against Postgres: writers that do what applications do, clients that come and go as
// browsers do, and at the end every mirror must equal its table.
//
//	writers ──SQL──► Postgres ──► relay ──frames──► mirrors
//	                     │                             │
//	                     └────────── select ──► equal ◄┘
//
// The tests print their seed; PGRELAY_ORACLE_SEED repeats the decisions of a run (not its interleaving) and
// PGRELAY_ORACLE_SECONDS sets how long the writers write. With PGRELAY_ORACLE_URL and PGRELAY_ORACLE_DSN the relay and
// the database are those that are running there; the database gets a schema named oracle, which is dropped first.
//
// The leak test does so with rules that change meanwhile, and looks at every frame too: a history that triggers write has
// all rows that were ever committed, and Postgres says which of them the rules of a moment showed to whom.
// PGRELAY_LEAK_SEED repeats a run's decisions, PGRELAY_LEAK_SECONDS has it run again and again for so long.
package oracle
