// Package client is a Go client of the protocol pgrelay.v1.
//
//	Conn    one WebSocket connection: handshake, hello, messages in and out
//	Mirror  what the frames add up to: the rows of each subscription, across connections
//
// A Mirror does what the protocol tells a client to do and refuses what it forbids a server to do: an insert of a key
// that is there, a frame of a shape that nobody holds, a live between a transaction's parts. The first such frame ends
// the connection and stays in Err. A subscription's id is the same on every connection.
//
//	Subscribe                    subscribed           live
//	   │                             │                 │
//	   ▼                             ▼                 ▼
//	┌─────┐ waiting ┌─────────┐  ┌────────┐        ┌──────┐
//	│asked├────────►│ waiting ├─►│building├───────►│ live │
//	└──┬──┘         └─────────┘  └───┬────┘        └──┬───┘
//	   │                 ▲           │ resync         │ resync
//	   │                 │       ┌───▼──────┐         │
//	   │                 └───────┤resyncing │◄────────┘
//	   ▼ error                   └──────────┘
//	failed                          closed: after Unsubscribe, or a limit
//
// A subscription shows one set of rows and, while its shape is being built, keeps the former one on show. Sets are
// shared by the ids that share a shape, and rows are never changed in place.
package client
