// Package publication keeps a source's publications equal to what the relay captures there.
//
// There are two: one carries insert, update, delete and TRUNCATE, and only where there are insert-only tables a second,
// its name ending in "_insert", carries insert and TRUNCATE alone: added to a publication that carries updates, a table
// without replica identity makes the application's own UPDATE and DELETE fail. Members are physical tables one by one
// (partitions as leaves, never FOR ALL TABLES): only so can the relay say of each since when its changes are complete.
// A publication in use is altered, never dropped and recreated: unread WAL refers to its oid.
//
//	missing ──► create (empty) ──► alter … add table, one by one ──► every transaction of that moment ended ──► Ready
package publication
