// Package capture follows one source database: it keeps its publication and slots, reads its stream into the
// journal and the hub, watches its catalog, and brings streams in by snapshots and replays.
//
//	          control connection: checks, catalog watch, anchors
//	source ─┬───────────────────────────────────────────────────
//	        ├ replication connection ─► journal ─► hub
//	        └ pool: snapshots ─► loads
//
// A Capture outlives every failure of its source: it connects again with growing pauses. While it can't, it is
// not available, and says why.
package capture
