// Package wal reads a logical replication stream and looks after the slots that keep it.
//
// A source has one live slot, which the relay streams from and acknowledges as it receives, and up to two
// anchors: inactive copies of the live slot that keep the write-ahead log since the start of the journal's
// window. A relay that starts drops the old live slot and makes the oldest anchor's copy the live one, so the
// window is decoded again and clients resume.
//
//	      anchor 7              anchor 8                     live
//	─────────┼─────────────────────┼──────────────────────────┼──────► WAL
//	         └── decoded again after a restart ───────────────┘
//
// A live slot whose flush position is held back would serve the same end, but then a fast shutdown of the
// server never finishes.
//
// https://www.postgresql.org/docs/current/protocol-replication.html
package wal
