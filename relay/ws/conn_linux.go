package ws

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Errors that Handler.Closed may be given.
var (
	// errGone: the peer closed its side without a close frame (1006 in the RFC's terms).
	errGone     = io.ErrUnexpectedEOF
	errTimeout  = errors.New("the peer did not answer in time")
	errShutdown = errors.New("the server has shut down")
)

// state is where a connection stands in its life.
type state uint8

const (
	// stateHandshake: the request head isn't complete.
	stateHandshake state = iota
	// stateOpen: frames go both ways.
	stateOpen
	// stateClosing: a close frame is to be sent or was; only the peer's counts.
	stateClosing
	// stateDiscard: nothing that comes counts. When all is written the sending side is shut down, and the socket is
	// closed when the peer has done so too: closed at once, with bytes unread, it would reset the connection and the
	// peer could lose what was sent last.
	stateDiscard
	// stateGone: the descriptor is closed.
	stateGone
)

// Conn is one connection. Its methods may be called on its loop's goroutine only, Loop and ID apart.
type Conn struct {
	loop    *Loop
	id      uint64
	data    any
	remote  netip.AddrPort
	seat    seat
	verdict verdict

	in      []byte // a head or a frame that isn't complete
	message []byte // the fragments so far
	out     *backlog
	pong    []byte
	reason  *CloseError

	heard    time.Time // of the last complete frame
	deadline time.Time // of the state, zero for an open connection

	fd         int
	slot       int32
	state      state
	opened     bool
	queued     bool // in loop.due
	due        bool // Pull is to be called
	pingDue    bool
	pinged     bool // since the last frame
	pongDue    bool
	fragmented bool
	closeSent  bool
	peerClosed bool
	failed     bool // the input makes no sense any more
}

// Loop is the connection's loop, for life. Any goroutine.
func (c *Conn) Loop() *Loop { return c.loop }

// ID is unique within the server's life. Any goroutine.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the peer's address; not valid on a socket that isn't TCP.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Data is what SetData set: the handler's state.
func (c *Conn) Data() any { return c.data }

// SetData keeps the handler's state; nothing here looks at it.
func (c *Conn) SetData(v any) { c.data = v }

// Pending is the number of bytes that Pull handed over and the kernel hasn't taken yet.
func (c *Conn) Pending() int {
	if c.out == nil {
		return 0
	}
	return c.out.size
}

// Retract takes text frames back whose first byte the kernel has not taken: those for whose payload drop is true. It is
// called on the loop, not in Pull.
func (c *Conn) Retract(drop func(payload []byte) bool) {
	if c.out != nil && c.state == stateOpen {
		c.out.retract(drop)
	}
}

// Due has Pull called in this round, or when everything earlier is written. It may be called any number of times.
func (c *Conn) Due() {
	if c.state == stateOpen && !c.due {
		c.due = true
		c.enqueue()
	}
}

func (c *Conn) enqueue() {
	if !c.queued && c.state != stateGone {
		c.queued = true
		c.loop.due = append(c.loop.due, c)
	}
}

// Close sends a close frame, after the frame that is half written, and nothing further. Handler.Closed follows, not
// within this call, when the peer has answered or Config.CloseTimeout is over. Only the first call counts.
func (c *Conn) Close(code int, reason string) {
	if c.state == stateOpen {
		c.reason = &CloseError{Code: code, Reason: reason}
		c.beginClose()
	}
}

func (c *Conn) beginClose() {
	c.state = stateClosing
	c.deadline = c.loop.now.Add(c.loop.server.config.CloseTimeout)
	c.due, c.pongDue, c.pingDue, c.pong, c.message = false, false, false, nil, nil
	if c.out != nil {
		c.out.replace(c.closeFrame())
		c.closeSent = true
		return
	}
	c.enqueue()
}

// closeFrame answers the peer's close with its code, or carries the server's.
func (c *Conn) closeFrame() []byte {
	if c.reason.Remote {
		return appendClose(nil, c.reason.Code, "")
	}
	return appendClose(nil, c.reason.Code, c.reason.Reason)
}

// fail closes a connection whose input can't be understood any more.
// https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7
func (c *Conn) fail(code int, reason string) {
	c.failed = true
	switch c.state {
	case stateOpen:
		c.Close(code, reason)
	case stateClosing:
		if c.closeSent && c.out == nil {
			c.discard()
		}
	}
}

// discard lets the peer read what was sent last.
func (c *Conn) discard() {
	c.state = stateDiscard
	c.in = nil
	c.deadline = c.loop.now.Add(c.loop.server.config.CloseTimeout)
	if c.out == nil {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

// event is what epoll tells of the connection's socket.
func (c *Conn) event(events uint32) {
	if events&unix.EPOLLOUT != 0 && c.out != nil {
		c.flush()
	}
	if events&^unix.EPOLLOUT != 0 && c.state != stateGone {
		c.readable()
	}
}

// visit is the wheel's: about once a second.
func (c *Conn) visit() {
	now := c.loop.now
	if c.state != stateOpen {
		if !now.Before(c.deadline) {
			c.teardown(errTimeout)
		}
		return
	}
	config := &c.loop.server.config
	switch silent := now.Sub(c.heard); {
	case silent >= 2*config.Heartbeat:
		c.Close(codeNoSign, "no sign of life")
		return
	case silent >= config.Heartbeat && !c.pinged:
		c.pinged, c.pingDue = true, true
		c.enqueue()
	}
	c.loop.server.handler.Tick(c, now)
}

// generation of the connection's slot.
func (c *Conn) generation() uint32 { return c.loop.slots[c.slot].generation }

// detach takes the connection out of its loop; the descriptor stays open.
func (c *Conn) detach() {
	c.state = stateGone
	c.loop.poll.remove(c.fd)
	c.loop.vacate(c)
	c.in, c.message, c.out, c.pong = nil, nil, nil, nil
}

// teardown ends the connection. err counts where there is no close code.
func (c *Conn) teardown(err error) {
	if c.state == stateGone {
		return
	}
	c.detach()
	_ = unix.Close(c.fd)
	c.seat.release()
	if !c.opened {
		return
	}
	if c.reason != nil {
		err = c.reason
	}
	c.loop.open--
	c.loop.server.handler.Closed(c, err)
}
