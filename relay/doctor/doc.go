// Package doctor says what is wrong or risky about a warehouse, the databases behind it and the stored rules, each with
// its remedy.
//
//	warehouse.Discover ──► sources ──► questions of each, over one connection ──► place ──► checks (checks.go) ──► Report
//
// A question is a query that every database is asked once, over one connection, in a read-only transaction of its own
// with a statement_timeout and a lock_timeout. Questions read catalogs, statistics, the rules and the relay's own schema, never
// the rows of another table, so they meet no lock of a writer. A check reads what the questions brought and does no I/O:
// checks.go is the list of all of them. What can't be asked is a finding itself, and the checks that need it are left out.
package doctor
