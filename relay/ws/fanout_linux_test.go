package ws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

func TestWakeReachesEveryLoopAndPostRunsThere(t *testing.T) {
	h := newRecorder()
	woken := make(chan int, 100)
	h.onWake = func(l *Loop) { woken <- l.Index() }
	s := serve(t, Config{Loops: 3}, h)
	for i, l := range s.Loops() {
		l.SetData(i)
		l.Wake()
		if got := <-woken; got != i {
			t.Fatalf("woke loop %d, want %d", got, i)
		}
		ran := make(chan any, 1)
		l.Post(func() { l.Post(func() { ran <- l.Data() }) })
		if got := <-ran; got != i {
			t.Fatalf("ran on loop %v, want %d", got, i)
		}
	}
}

// TestWakeIsNeverLost rings a loop that goes to sleep after each wake, from two goroutines.
func TestWakeIsNeverLost(t *testing.T) {
	var asked, seen atomic.Int64
	h := newRecorder()
	caught := make(chan struct{}, 1)
	h.onWake = func(*Loop) {
		seen.Store(asked.Load())
		select {
		case caught <- struct{}{}:
		default:
		}
	}
	s := serve(t, Config{Loops: 1}, h)
	for range 20000 {
		n := asked.Add(1)
		go s.Loops()[0].Wake()
		s.Loops()[0].Wake()
		for seen.Load() < n {
			select {
			case <-caught:
			case <-time.After(5 * time.Second):
				t.Fatal("a wake was lost")
			}
		}
	}
}

// feeder gives every connection the same frames, in turn.
type feeder struct {
	frames [][]byte
}

func (f *feeder) pull(c *Conn, out *Batch) bool {
	at, _ := c.Data().(int)
	for at < len(f.frames) && out.Len() < out.Limit {
		out.Add(f.frames[at])
		at++
	}
	c.SetData(at)
	return at < len(f.frames)
}

func TestSlowReaderCostsOthersNothing(t *testing.T) {
	const size, count = 10_000, 1_000
	payload := func(i int) string { return fmt.Sprintf("%0*d", size, i) }
	f := &feeder{}
	for i := range count {
		f.frames = append(f.frames, AppendFrame(nil, []byte(payload(i))))
	}
	h := newRecorder()
	h.pull = f.pull
	var most atomic.Int64
	h.onMsg = func(c *Conn, _ []byte) { c.Due() }
	s := serve(t, Config{Loops: 1, DrainTimeout: 100 * time.Millisecond}, h)
	slow := dialSmall(t, s)
	stalled := <-h.opened
	slow.text("go")
	fast := open(t, s)
	<-h.opened
	fast.text("go")
	for i := range count {
		fast.wantText(payload(i))
	}
	done := make(chan struct{})
	stalled.Loop().Post(func() { most.Store(int64(stalled.Pending())); close(done) })
	<-done
	if n := most.Load(); n == 0 || n > 64<<10+size+10 {
		t.Errorf("%d bytes are pending for the slow reader, want more than none and one batch at most", n)
	}
	for i := range count { // and it loses nothing
		slow.wantText(payload(i))
	}
}

// dialSmall is open with a small receive buffer, set before the window is announced.
func dialSmall(t testing.TB, s *Server) *client {
	t.Helper()
	d := net.Dialer{Control: small}
	conn, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wrap(t, conn)
	c.send([]byte(head + "\r\n"))
	c.response(101)
	return c
}

// TestCloseFinishesTheHalfWrittenFrame closes a connection whose peer stopped reading within a frame.
func TestCloseFinishesTheHalfWrittenFrame(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 3000)
	var frames []byte
	for range 20 {
		frames = AppendFrame(frames, payload)
	}
	h := newRecorder()
	h.pull = func(c *Conn, out *Batch) bool {
		if n, _ := c.Data().(int); n == 3 {
			out.TextString(strings.Repeat("private", 10))
		} else {
			c.SetData(n + 1)
			out.Add(frames)
		}
		return true
	}
	h.onMsg = func(c *Conn, p []byte) {
		if string(p) == "go" {
			c.Due()
		} else {
			c.Close(4409, "too slow")
		}
	}
	s := serve(t, Config{Loops: 1}, h)
	c := dialSmall(t, s)
	c.text("go")
	conn := <-h.opened
	waitUntilFull(conn)
	c.text("close")
	for {
		f := c.next()
		if f.Header.OpCode == gobwas.OpClose {
			if code, _ := gobwas.ParseCloseFrameData(f.Payload); code != 4409 {
				t.Errorf("code %d", code)
			}
			break
		}
		if f.Header.OpCode != gobwas.OpText || len(f.Payload) != len(payload) && len(f.Payload) != 70 {
			t.Fatalf("got %v of %d bytes", f.Header.OpCode, len(f.Payload))
		}
	}
	c.send(frame(gobwas.OpClose, true, closeBody(4409, "")))
	c.wantEOF()
}

// TestDescriptorReuse closes connections on which frames are due or events pending while others take their
// descriptors, and checks that nobody reads what was meant for another.
func TestDescriptorReuse(t *testing.T) {
	h := newRecorder()
	h.onMsg = func(c *Conn, p []byte) { c.SetData(string(p)); c.Due() }
	var rounds atomic.Int64
	h.pull = func(c *Conn, out *Batch) bool {
		name, _ := c.Data().(string)
		if name == "" {
			return false
		}
		out.TextString(name)
		rounds.Add(1)
		return out.Len() < 1000 && rounds.Load()%50 != 0
	}
	s := serve(t, Config{Loops: 2, DrainTimeout: 100 * time.Millisecond}, h)
	errs := make(chan error, 8)
	for w := range 8 {
		go func() {
			for i := range 150 {
				if err := tenant(s, fmt.Sprintf("worker %d, tenant %d", w, i), i%3); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// tenant opens a connection, reads some of its own frames and leaves in one of three ways.
func tenant(s *Server, name string, way int) error {
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(append([]byte(head+"\r\n"), frame(gobwas.OpText, true, name)...)); err != nil {
		return err
	}
	want := []byte(name)
	answer := make([]byte, 129) // the length of the 101 and its headers
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	f, err := gobwas.ReadFrame(conn)
	if err != nil {
		return err
	}
	if !bytes.Equal(f.Payload, want) {
		return fmt.Errorf("%s read %q", name, f.Payload)
	}
	switch way {
	case 0:
		return conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_, err = conn.Write(frame(gobwas.OpClose, true, closeBody(1000, "")))
	}
	return err
}

func TestManyConnections(t *testing.T) {
	const n = 2000
	h := newRecorder()
	shared := AppendFrame(nil, []byte("to everybody"))
	conns := map[*Loop][]*Conn{}
	h.pull = func(c *Conn, out *Batch) bool { out.Add(shared); return false }
	h.onWake = func(l *Loop) {
		for _, c := range conns[l] {
			c.Due()
		}
	}
	s := serve(t, Config{Loops: 2}, h)
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = open(t, s)
		c := <-h.opened
		conns[c.Loop()] = append(conns[c.Loop()], c)
	}
	for _, l := range s.Loops() {
		if len(conns[l]) != n/2 {
			t.Errorf("loop %d has %d connections of %d", l.Index(), len(conns[l]), n)
		}
		l.Wake()
	}
	for _, c := range clients {
		c.wantText("to everybody")
	}
}

// TestKernelKeepsLittleForAStalledReader counts what is handed over until the socket is full.
func TestKernelKeepsLittleForAStalledReader(t *testing.T) {
	frames := bytes.Repeat(AppendFrame(nil, bytes.Repeat([]byte("x"), 1000)), 16)
	h := newRecorder()
	var handed atomic.Int64
	h.pull = func(_ *Conn, out *Batch) bool {
		out.Add(frames)
		handed.Add(int64(len(frames)))
		return true
	}
	h.onMsg = func(c *Conn, _ []byte) { c.Due() }
	s := serve(t, Config{Loops: 1, DrainTimeout: time.Millisecond}, h)
	c := dialSmall(t, s)
	c.text("go")
	waitUntilFull(<-h.opened)
	if n := handed.Load(); n > 512<<10 {
		t.Errorf("%d bytes were handed over to a reader that stands still", n)
	}
}

func waitUntilFull(c *Conn) {
	for pending := 0; pending == 0; {
		got := make(chan int)
		c.Loop().Post(func() { got <- c.Pending() })
		pending = <-got
	}
}

// TestMoreSlicesThanOneWritev hands over more slices than the kernel takes in one call.
func TestMoreSlicesThanOneWritev(t *testing.T) {
	h := newRecorder()
	const n = 2*maxVectors + 7
	h.pull = func(_ *Conn, out *Batch) bool {
		for i := range n {
			out.Add(AppendFrame(nil, []byte(fmt.Sprint(i))))
		}
		return false
	}
	h.onMsg = func(c *Conn, _ []byte) { c.Due() }
	s := serve(t, Config{}, h)
	c := open(t, s)
	c.text("go")
	for i := range n {
		c.wantText(fmt.Sprint(i))
	}
}

func TestUnixSocket(t *testing.T) {
	s, err := Listen("unix", t.TempDir()+"/socket", Config{}, newRecorder())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := open(t, s)
	c.text("hello")
	c.wantText("hello")
	_ = c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func small(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	}); e != nil {
		return e
	}
	return err
}
