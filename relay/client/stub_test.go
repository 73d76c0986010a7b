package client

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"pgrelay/relay/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const welcome = `{"type":"welcome","session":"s","version":"v","role":"anon","heartbeat_ms":60000,` +
	`"limits":{"message_bytes":1,"messages_per_second":1,"subscriptions":1,"predicate_bytes":1,"predicate_depth":1,"params":1,"snapshots":1}}`

// stub is the server's end of a socket, driven by a test.
type stub struct {
	t        *testing.T
	listener net.Listener
	welcome  string
}

// peer is one connection to it.
type peer struct {
	t    *testing.T
	conn net.Conn
	read *bufio.Reader
}

func newStub(t *testing.T) *stub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &stub{t: t, listener: listener, welcome: welcome}
}

func (s *stub) url() string { return "ws://" + s.listener.Addr().String() + wire.Path }

// connect connects the mirror and returns the server's end, hello answered.
func (s *stub) connect(m *Mirror, o Options) *peer {
	s.t.Helper()
	accepted := make(chan *peer, 1)
	go func() { accepted <- s.accept() }()
	if err := m.Connect(testContext(s.t), s.url(), o); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(m.Drop)
	return <-accepted
}

func (s *stub) accept() *peer {
	conn, err := s.listener.Accept()
	if err != nil {
		return nil
	}
	s.t.Cleanup(func() { conn.Close() })
	upgrader := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == wire.Subprotocol }}
	if _, err := upgrader.Upgrade(conn); err != nil {
		s.t.Error(err)
		return nil
	}
	p := &peer{t: s.t, conn: conn, read: bufio.NewReader(conn)}
	p.message()
	p.send(s.welcome)
	return p
}

// message returns the client's next message.
func (p *peer) message() wire.ClientMessage {
	var m wire.ClientMessage
	for {
		f, err := ws.ReadFrame(p.read)
		if err != nil {
			p.t.Errorf("read from the client: %v", err)
			return m
		}
		f = ws.UnmaskFrame(f)
		if f.Header.OpCode != ws.OpText {
			continue
		}
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			p.t.Errorf("decode %s: %v", f.Payload, err)
		}
		return m
	}
}

// send sends one message for each line.
func (p *peer) send(lines string) {
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := wsutil.WriteServerText(p.conn, []byte(line)); err != nil {
			return // the client may have hung up because of an earlier line
		}
	}
}

// settle sends the lines and returns when the mirror has applied them, or refused one.
func (p *peer) settle(m *Mirror, lines string) error {
	p.t.Helper()
	want := strings.Count(strings.TrimSpace(lines), "\n") + 1
	from := m.Stats().Frames
	p.send(lines)
	return m.Await(testContext(p.t), func(m *Mirror) bool { return m.Stats().Frames-from >= want })
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// show is a subscription's rows as JSON.
func show(t *testing.T, m *Mirror, id uint64) string {
	t.Helper()
	rows := m.Rows(id)
	if rows == nil {
		return "-"
	}
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
