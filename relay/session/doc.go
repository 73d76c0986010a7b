// Package session is the server's side of a connection: it takes a client's messages, turns subscriptions into
// streams of shapes, and says what is due on the socket.
//
//	message ─► session ─► directory (rules, relations) ─► shape ─► stream ─► load, then ring
//	                │                                                              │
//	                └────────── own answers ──────────────────► Pull ◄────────────┘
//
// A session lives on its connection's loop and has no lock and no goroutine. It holds cursors, not frames: the
// only queue of its own is that of its answers, which is bounded.
package session
