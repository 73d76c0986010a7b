package ws

import (
	"fmt"
	"time"
)

// Handler is the consumer. All calls for one connection and all calls of Wake for one loop happen on that loop's
// goroutine, never concurrently; calls for different loops do run at the same time. No call may block: every other
// connection of the loop waits for it.
type Handler interface {
	// Open begins a connection's life, after the answer to its handshake.
	Open(c *Conn, r Request)
	// Message is one text message, valid UTF-8. The payload may be changed and is valid during the call only.
	Message(c *Conn, payload []byte)
	// Wake is called once after any number of calls of l.Wake.
	Wake(l *Loop)
	// Pull is called when c was marked due and everything earlier is written: it adds what is to be written now, at
	// most about out.Limit bytes. more: call again after this is written and the others had their turn.
	Pull(c *Conn, out *Batch) (more bool)
	// Tick is called about once a second (more often where the configured times are shorter than that) while the
	// connection is open.
	Tick(c *Conn, now time.Time)
	// Closed is called exactly once after Open: the connection is gone. err is a *CloseError where a close frame was
	// sent or received, else the socket's error.
	Closed(c *Conn, err error)
}

// CloseError tells with which code a connection ended.
type CloseError struct {
	// Code is that of the first close frame; 1005 where the peer's had none.
	Code   int
	Reason string
	// Remote: the peer closed.
	Remote bool
}

func (e *CloseError) Error() string {
	by := "server"
	if e.Remote {
		by = "client"
	}
	return fmt.Sprintf("closed by the %s with %d %q", by, e.Code, e.Reason)
}

// The close codes that the server uses by itself: RFC 6455, section 7.4.1, and the protocol's for a silent peer.
const (
	codeGoingAway   = 1001
	codeProtocol    = 1002
	codeUnsupported = 1003
	codeNoStatus    = 1005
	codeInvalidUTF8 = 1007
	codeTooLarge    = 1009
	codeNoSign      = 4408
)
