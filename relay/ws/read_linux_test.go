package ws

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// FuzzRead feeds the same bytes at once, and cut into pieces: what the handler hears and how the connection ends must
// be the same.
func FuzzRead(f *testing.F) {
	f.Add(append([]byte(head+"\r\n"), frame(gobwas.OpText, true, "text")...), uint8(1))
	fragments := append(frame(gobwas.OpText, false, "frag"), frame(gobwas.OpPing, true, "ping")...)
	fragments = append(fragments, frame(gobwas.OpContinuation, true, "ment")...)
	fragments = append(fragments, frame(gobwas.OpClose, true, closeBody(1000, "bye"))...)
	f.Add(append([]byte(head+"\r\n"), fragments...), uint8(3))
	f.Add(append([]byte(head+"\n"), masked([]byte{0x82, 1}, "b")...), uint8(7))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(2))
	h := newRecorder()
	var heard []string
	h.onMsg = func(_ *Conn, p []byte) { heard = append(heard, string(p)) }
	s, err := Listen("tcp", "127.0.0.1:0", Config{MaxMessage: 300, Loops: 1}, h)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	l := s.Loops()[0]
	l.now = time.Now()
	read := func(t *testing.T, input []byte, piece int) string {
		heard = nil
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[1])
		l.take(accepted{fd: fds[0], at: l.now})
		c := l.slots[len(l.slots)-1].conn
		for len(input) > 0 && c.state != stateGone {
			n := min(piece, len(input))
			c.feed(bytes.Clone(input[:n]))
			input = input[n:]
		}
		ended := fmt.Sprintf("%q state %d opened %t failed %t %v", heard, c.state, c.opened, c.failed, c.reason)
		if len(c.in) > maxHead+maxHead || c.state == stateOpen && len(c.in) > 300+14 {
			t.Fatalf("keeps %d bytes", len(c.in))
		}
		if c.opened {
			<-h.opened
		}
		c.teardown(errGone)
		if c.opened {
			<-h.closed
		}
		l.due, l.dueHead = nil, 0
		return ended
	}
	f.Fuzz(func(t *testing.T, input []byte, piece uint8) {
		if len(input) > maxHead {
			return
		}
		whole := read(t, input, len(input))
		if cut := read(t, input, int(piece)+1); cut != whole {
			t.Fatalf("whole: %s\ncut: %s", whole, cut)
		}
	})
}
