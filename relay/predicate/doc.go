// Package predicate evaluates Postgres' boolean SQL over one row, with Postgres' own semantics and without Postgres.
//
//	text ─ Postgres' parser ─► raw tree ─ analyze: names, types, operators, casts ─► tree ─ fold ─► Predicate
//	claims, parameters ─ Bind: reduce ─► what is left of the tree ─► closures over raw tuple values ─ Eval ─► True, False, Null or Failed
//	                                                └► Key, Constant, Covers (for an index), SafeSQL (for the snapshot)
//
// What it says is what "select (predicate)" says under search_path = pg_catalog and the session settings that the relay
// pins (UTC, ISO dates, extra_float_digits = 1), on every version from 15 to 18: the truth value, or an error where
// Postgres raises one, in the order in which its planner and its executor evaluate. Resolution follows the catalog that 15
// and 18 have in common (catalog.txt). What can't be exact is refused when it is compiled (an *Error with Refused set); a
// value whose form is read here in part only (a date as "Jan 5") is an error of that row, so that nothing becomes visible
// by it.
//
// Of subqueries those are evaluated that read no row: (SELECT value), and those that take a jsonb array apart.
//
// The claims are a value that differs from row to row in Postgres' eyes: what reads them alone is computed once for each
// binding, but its errors are raised only where a row's evaluation gets there.
//
// The steps on a row are counted and bounded by its size (work), since a client's predicate runs where others wait for it.
//
// TestOracle compares random predicates on random rows with real servers.
package predicate
