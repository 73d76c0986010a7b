// Package warehouse finds out, from the warehouse's DSN alone, which databases stand behind it and what of them can be
// published under which name.
//
//	warehouse ──pg_foreign_table, pg_foreign_server, pg_user_mappings──► Discover ──► Warehouse
//	                                                                                    │ Sources
//	source ────pg_class, pg_attribute, pg_index, pg_inherits, pg_type──► Inspect  ──► Inspection (relations, refusals)
//	           the same catalogs, once a second ───────────────────────► Fingerprint
//
// # Names
//
// A relation is named as the warehouse names it: schema, a dot, table, without quotes. Where names that contain a dot
// make two relations equal ("a"."b.c" and "a.b"."c"), the first by schema and table keeps the name and the other is
// among Skipped. A source is named after the first by name of the foreign servers that lead to its database, or "local"
// for the warehouse's own. While one of several servers to a database can't be reached the relay can't know that they
// are one: the unreachable one is a source of its own, with Err.
//
// # Where a foreign server is
//
// Its options are read as the warehouse's machine would read them, then taken over to the relay's: a host that is
// absent, a socket folder or a loopback address means the warehouse's machine, so the relay dials the host of its own
// DSN (unless that is a loopback address or socket too). An absent port is 5432, or the DSN's port where the host is
// absent as well. Config.Hosts overrides this by "host:port" or "host"; the key for an absent host is "localhost".
//
// # Columns
//
// A foreign table's columns are the relation's, under its names, in its order. The remote column must be there and have
// the same type, where these count as the same: a foreign type without the remote's modifier (numeric over
// numeric(12,2)), types of users that have one name in different schemas, and text over any string or enum type. The
// relation's types are always the source's.
package warehouse
