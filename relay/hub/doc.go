// Package hub turns a source's changes into frames and keeps, for each connection, where it is in them.
// It does no I/O and never logs.
//
//	change ─► columns (encoded once each) ─► shapes (framed once each) ─► ring of ready frames
//	                                                                        ▲        ▲
//	                                                        connection A ───┘        └─── connection B
//	                                                        (a cursor per shape, one position per source)
//
// A Source is written by the one goroutine that reads its stream. A Reader belongs to one connection and is
// used on its loop alone. What they share lies behind the source's lock, which nobody holds over a system call.
//
// Memory is bounded per source by the bytes of frames in all rings: past it the oldest frames go, whoever has
// not read them, and a connection that needed one of them has lagged.
package hub
