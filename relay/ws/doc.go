// Package ws serves WebSocket connections (RFC 6455) on a few epoll loops instead of goroutines: the socket adapter
// of the relay. It knows text messages, nothing of what they say.
//
//	accept ──► inbox ──► Loop: epoll_wait
//	(one goroutine)        │ readable   head complete ─► ws.Upgrader ─► Handler.Open
//	                       │            other path ────► net/http
//	                       │            frames ────────► Handler.Message
//	                       │ Wake, Post (eventfd) ─────► Handler.Wake ─► Conn.Due
//	                       │ due, nothing unwritten ───► Handler.Pull ─► Batch ─► one write(2) or writev(2)
//	                       │ writable                    the rest of an earlier Batch
//	                       └ wheel, once a second ─────► Handler.Tick, pings, deadlines
//
// A connection belongs to one loop for life, and everything that concerns it happens on that loop's goroutine, so a
// Handler needs no lock for what it keeps per connection or per loop.
//
// Nothing is queued per connection: a connection that is due is asked for frames when all earlier ones are with the
// kernel, and what it hands over is kept by reference until it is written. A reader that stands still thus holds at
// most one Batch, and the arrays that its slices lie in, and costs the others nothing. An idle connection is a struct
// and its slot, some 400 bytes of heap: no goroutine, no buffer, no timer.
//
// A descriptor's number is reused by the kernel at once, so nothing is ever addressed by it: epoll's data is a slot
// and its generation, and an event for an earlier tenant of a slot is dropped.
//
// Only Linux is supported: elsewhere the package builds and Listen returns an error.
package ws
