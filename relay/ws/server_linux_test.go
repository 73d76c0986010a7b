package ws

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// recorder is a Handler that answers each message with itself and tells of what happens.
type recorder struct {
	echo    bool
	pull    func(c *Conn, out *Batch) bool
	onOpen  func(c *Conn, r Request)
	onWake  func(l *Loop)
	onMsg   func(c *Conn, payload []byte)
	opened  chan *Conn
	closed  chan error
	mu      sync.Mutex
	request Request
}

func newRecorder() *recorder {
	return &recorder{echo: true, opened: make(chan *Conn, 20000), closed: make(chan error, 20000)}
}

func (r *recorder) Open(c *Conn, q Request) {
	r.mu.Lock()
	r.request = q
	r.mu.Unlock()
	if r.onOpen != nil {
		r.onOpen(c, q)
	}
	r.opened <- c
}

func (r *recorder) Message(c *Conn, payload []byte) {
	if r.onMsg != nil {
		r.onMsg(c, payload)
		return
	}
	queue, _ := c.Data().([]string)
	c.SetData(append(queue, string(payload)))
	c.Due()
}

func (r *recorder) Wake(l *Loop) {
	if r.onWake != nil {
		r.onWake(l)
	}
}

func (r *recorder) Pull(c *Conn, out *Batch) bool {
	if r.pull != nil {
		return r.pull(c, out)
	}
	queue, _ := c.Data().([]string)
	for _, m := range queue {
		out.TextString(m)
	}
	c.SetData([]string(nil))
	return false
}

func (r *recorder) Tick(*Conn, time.Time) {}

func (r *recorder) Closed(c *Conn, err error) { r.closed <- err }

// serve runs a server for the test.
func serve(t testing.TB, cfg Config, h Handler) *Server {
	t.Helper()
	s, err := Listen("tcp", "127.0.0.1:0", cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// client is a raw TCP connection.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

const head = "GET /v1/ws HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

func wrap(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

func open(t testing.TB, s *Server) *client {
	t.Helper()
	c := dial(t, s)
	c.send([]byte(head + "\r\n"))
	c.response(101)
	return c
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) response(want int) *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.StatusCode != want {
		c.t.Fatalf("got HTTP %d, want %d", r.StatusCode, want)
	}
	return r
}

// frame is a masked client frame.
func frame(op gobwas.OpCode, fin bool, payload string) []byte {
	f := gobwas.MaskFrame(gobwas.NewFrame(op, fin, []byte(payload)))
	return gobwas.MustCompileFrame(f)
}

func (c *client) text(s string) { c.t.Helper(); c.send(frame(gobwas.OpText, true, s)) }

func (c *client) next() gobwas.Frame {
	c.t.Helper()
	h, err := gobwas.ReadHeader(c.r)
	if err != nil {
		c.t.Fatal(err)
	}
	f := gobwas.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := readFull(c.r, f.Payload); err != nil {
		c.t.Fatal(err)
	}
	return f
}

func readFull(r *bufio.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k, err := r.Read(p[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (c *client) wantText(want string) {
	c.t.Helper()
	if f := c.next(); f.Header.OpCode != gobwas.OpText || string(f.Payload) != want {
		c.t.Fatalf("got %v %q, want text %q", f.Header.OpCode, f.Payload, want)
	}
}

// wantClose reads a close frame and the end of the stream.
func (c *client) wantClose(code int) {
	c.t.Helper()
	f := c.next()
	got, reason := gobwas.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != gobwas.OpClose || int(got) != code {
		c.t.Fatalf("got opcode %v, code %d %q, want close %d", f.Header.OpCode, got, reason, code)
	}
}

func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("got byte %#x, want the end", b)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatal("the server did not close")
	}
}

func TestEchoWithGobwasClient(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	d := gobwas.Dialer{Protocols: []string{"pgrelay.v1"}}
	conn, _, hs, err := d.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if hs.Protocol != "pgrelay.v1" {
		t.Errorf("subprotocol %q", hs.Protocol)
	}
	for _, want := range []string{"hello", "", strings.Repeat("ü", 30000)} {
		if err := wsutil.WriteClientText(conn, []byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := wsutil.ReadServerText(conn)
		if err != nil || string(got) != want {
			t.Fatalf("got %d bytes %v, want %d", len(got), err, len(want))
		}
	}
}
