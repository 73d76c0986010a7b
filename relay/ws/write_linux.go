package ws

import (
	"unsafe"

	gobwas "github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// backlog is what the kernel hasn't taken yet of one batch.
type backlog struct {
	segments []segment
	offset   int // of the first segment, which begins at a frame's boundary
	size     int // bytes left
}

// serve writes what is due, unless something earlier is still unwritten: then it goes on when that is through.
func (c *Conn) serve() {
	if c.out != nil || c.state == stateGone {
		return
	}
	l := c.loop
	b := &l.batch
	b.Limit = l.server.config.BatchLimit
	if c.state == stateOpen {
		c.appendControl(b)
		if c.due {
			c.due = false
			c.due = l.server.handler.Pull(c, b) || c.due
		}
	}
	if c.state == stateClosing && !c.closeSent {
		b.reset()
		b.raw(c.closeFrame())
		c.closeSent = true
	}
	c.write(b)
	b.reset()
	if c.out == nil {
		c.written()
	}
}

func (c *Conn) appendControl(b *Batch) {
	if c.pingDue {
		c.pingDue = false
		b.control(gobwas.OpPing, nil)
	}
	if c.pongDue {
		b.control(gobwas.OpPong, c.pong)
		c.pongDue, c.pong = false, nil
	}
}

// write hands the batch to the kernel and keeps what it doesn't take.
func (c *Conn) write(b *Batch) {
	if b.size == 0 {
		return
	}
	l := c.loop
	n, err := l.vectors.send(c.fd, b.segments, 0)
	if err != nil {
		c.teardown(err)
		return
	}
	if n == b.size {
		return
	}
	if err := l.poll.writable(c.fd, c.slot, c.generation(), true); err != nil {
		c.teardown(err)
		return
	}
	c.out = &backlog{size: b.size - n}
	for _, s := range b.segments {
		if len(c.out.segments) == 0 {
			if n >= len(s.bytes) {
				n -= len(s.bytes)
				continue
			}
			c.out.offset = n
		}
		if s.private {
			s.bytes = append([]byte(nil), s.bytes...)
		}
		c.out.segments = append(c.out.segments, s)
	}
}

// flush goes on where write stopped, when the socket has room.
func (c *Conn) flush() {
	out := c.out
	n, err := c.loop.vectors.send(c.fd, out.segments, out.offset)
	if err != nil {
		c.teardown(err)
		return
	}
	out.size -= n
	if out.size > 0 {
		n += out.offset
		for n >= len(out.segments[0].bytes) {
			n -= len(out.segments[0].bytes)
			out.segments[0] = segment{}
			out.segments = out.segments[1:]
		}
		out.offset = n
		return
	}
	c.out = nil
	if err := c.loop.poll.writable(c.fd, c.slot, c.generation(), false); err != nil {
		c.teardown(err)
		return
	}
	c.written()
}

// written goes on when everything is with the kernel.
func (c *Conn) written() {
	switch c.state {
	case stateOpen:
		if c.due || c.pongDue || c.pingDue {
			c.enqueue()
		} else if c.loop.draining {
			c.Close(codeGoingAway, "the server is going away")
		}
	case stateClosing:
		switch {
		case !c.closeSent:
			c.enqueue()
		case c.peerClosed:
			c.teardown(nil)
		case c.failed:
			c.discard()
		}
	case stateDiscard:
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

// replace drops everything unwritten but the rest of the frame that is half written, and adds last.
func (o *backlog) replace(last []byte) {
	first := o.segments[0].bytes
	end := frameEnd(first, o.offset)
	clear(o.segments)
	o.segments = o.segments[:0]
	if end > o.offset {
		o.segments = append(o.segments, segment{bytes: first[:end]})
	}
	o.size = end - o.offset + len(last)
	if len(o.segments) == 0 {
		o.offset = 0
	}
	o.segments = append(o.segments, segment{bytes: last, private: true})
}

// retract drops whole frames that are unwritten. The segments' bytes are shared and stay as they are.
func (o *backlog) retract(drop func(payload []byte) bool) {
	var kept []segment
	size := 0
	keep := func(s segment, from, to int) {
		s.bytes = s.bytes[from:to:to]
		kept, size = append(kept, s), size+to-from
	}
	for i, s := range o.segments {
		at := 0
		if i == 0 && o.offset > 0 {
			// The frame that is half written stays as it is, so that its end is found.
			if at = frameEnd(s.bytes, o.offset); at > o.offset {
				keep(s, 0, at)
				size -= o.offset
			} else {
				o.offset = 0
			}
		}
		for at < len(s.bytes) {
			h, n, err := parseHeader(s.bytes[at:])
			end := len(s.bytes)
			if err == nil {
				end = min(end, at+n+int(h.Length))
			}
			if err != nil || h.OpCode != gobwas.OpText || !drop(s.bytes[at+n:end]) {
				keep(s, at, end)
			}
			at = end
		}
	}
	o.segments, o.size = kept, size
}

// vectors is the loop's room for the arguments of writev(2).
type vectors struct{ of []unix.Iovec }

// maxVectors is IOV_MAX.
const maxVectors = 1024

// send writes as much as the socket takes and returns how much that was; a full socket is no error.
func (v *vectors) send(fd int, segments []segment, offset int) (sent int, err error) {
	for len(segments) > 0 {
		some := segments[:min(len(segments), maxVectors)]
		size := -offset
		for i := range some {
			size += len(some[i].bytes)
		}
		n, err := v.once(fd, some, offset)
		sent += n
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN || err == nil && n < size {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		segments, offset = segments[len(some):], 0
	}
	return sent, nil
}

func (v *vectors) once(fd int, segments []segment, offset int) (int, error) {
	if len(segments) == 1 {
		n, err := unix.Write(fd, segments[0].bytes[offset:])
		return max(n, 0), err
	}
	v.of = v.of[:0]
	for i := range segments {
		b := segments[i].bytes[offset:]
		offset = 0
		iov := unix.Iovec{Base: &b[0]}
		iov.SetLen(len(b))
		v.of = append(v.of, iov)
	}
	n, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v.of[0])), uintptr(len(v.of)))
	clear(v.of)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
