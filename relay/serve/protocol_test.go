package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay/auth"
	"pgrelay/relay/client"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

func closedWith(err error, code int) bool {
	var closed *client.CloseError
	return errors.As(err, &closed) && closed.Code == code
}

// raw is a connection that says what it is told to, before hello too.
type raw struct {
	t    *testing.T
	conn interface {
		Write([]byte) (int, error)
		Read([]byte) (int, error)
		Close() error
		SetDeadline(time.Time) error
	}
}

func dialRaw(t *testing.T, url string, header http.Header) *raw {
	t.Helper()
	dialer := ws.Dialer{Protocols: []string{wire.Subprotocol}, Header: ws.HandshakeHeaderHTTP(header)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, early, _, err := dialer.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if early != nil {
		t.Fatal("something came before hello")
	}
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return &raw{t, conn}
}

func (c *raw) frame(f ws.Frame) {
	c.t.Helper()
	must(c.t, ws.WriteFrame(c.conn, ws.MaskFrame(f)))
}

func (c *raw) send(text string) { c.t.Helper(); c.frame(ws.NewTextFrame([]byte(text))) }

// next is the next message, or the close code in its place.
func (c *raw) next() (m wire.ServerMessage, code int) {
	c.t.Helper()
	for {
		f, err := ws.ReadFrame(c.conn)
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		switch f.Header.OpCode {
		case ws.OpText:
			must(c.t, json.Unmarshal(f.Payload, &m))
			return m, 0
		case ws.OpClose:
			closed, _ := ws.ParseCloseFrameData(f.Payload)
			return m, int(closed)
		case ws.OpPing:
			c.frame(ws.NewPongFrame(f.Payload))
		default:
			c.t.Fatalf("got a frame of kind %v", f.Header.OpCode)
		}
	}
}

func (c *raw) closes(code int) {
	c.t.Helper()
	if m, got := c.next(); got != code {
		c.t.Errorf("got %+v and the close code %d, want %d", m, got, code)
	}
}

// protocolDatabase has one table that anybody may see.
func protocolDatabase(t *testing.T, change ...func(*serve.Config)) (*database, *relay) {
	t.Helper()
	d := newDatabase(t, sharedServer(t, 15), people, "public.people", "public.other")
	r := d.start(change...)
	r.ready(t)
	return d, r
}

// TestClosed: what ends a connection, with which code, before hello and after it.
func TestClosed(t *testing.T) {
	_, r := protocolDatabase(t, func(c *serve.Config) { c.Limits.MessageBytes = 4096 })
	text := func(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }
	m := newMirror(t, r.url, client.Options{})
	m.live(m.subscribe("public.people"))
	for name, c := range map[string]struct {
		frame ws.Frame
		code  int
	}{
		"not JSON":            {text(`hello`), 4400},
		"cut JSON":            {text(`{"type":"hello"`), 4400},
		"two values":          {text(`{"type":"hello"}{}`), 4400},
		"an array":            {text(`[]`), 4400},
		"null":                {text(`null`), 4400},
		"a string":            {text(`"hello"`), 4400},
		"nothing":             {text(``), 4400},
		"no type":             {text(`{"id":1}`), 4400},
		"a type of null":      {text(`{"type":null}`), 4400},
		"a type of number":    {text(`{"type":1}`), 4400},
		"binary":              {ws.NewBinaryFrame([]byte(`{"type":"hello"}`)), 1003},
		"bad UTF-8":           {text("{\"type\":\"\xff\"}"), 1007},
		"too large":           {text(`{"type":"` + strings.Repeat("x", 4096) + `"}`), 1009},
		"a reserved opcode":   {ws.NewFrame(3, true, nil), 1002},
		"a lone continuation": {ws.NewFrame(ws.OpContinuation, true, []byte("x")), 1002},
		"a close":             {ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			before := dialRaw(t, r.url, nil)
			before.frame(c.frame)
			before.closes(c.code)
			after := dialRaw(t, r.url, nil)
			after.send(`{"type":"hello"}`)
			if m, _ := after.next(); m.Type != wire.TypeWelcome {
				t.Fatalf("got %+v", m)
			}
			after.frame(c.frame)
			after.closes(c.code)
		})
	}
	for _, first := range []string{`{"type":"subscribe","id":1,"table":"public.people"}`, `{"type":"ping"}`, `{"type":"nonsense"}`, `{"type":"hello","lagged":"never"}`} {
		c := dialRaw(t, r.url, nil)
		c.send(first)
		c.closes(4400)
	}
	if s := m.Stats(); s.Connections != 1 || s.Lives != 1 {
		t.Errorf("another connection was harmed: %+v", s)
	}
}

// TestRefusedMessages: what is refused while the connection and its subscriptions go on.
func TestRefusedMessages(t *testing.T) {
	d, r := protocolDatabase(t, func(c *serve.Config) { c.Limits.Subscriptions = 3 })
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.people")
	m.live(id)
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello","unknown":"field"}`)
	c.next()
	c.send(`{"type":"subscribe","id":10,"table":"public.other"}`)
	for {
		if m, _ := c.next(); m.Type == wire.TypeLive {
			break
		}
	}
	for _, x := range []struct{ name, send, id, code string }{
		{"an unknown type", `{"type":"shout","id":3}`, `3`, "bad_message"},
		{"a second hello", `{"type":"hello"}`, ``, "bad_message"},
		{"token", `{"type":"token","token":"x"}`, ``, "bad_token"},
		{"no table", `{"type":"subscribe","id":11}`, `11`, "bad_message"},
		{"an empty table", `{"type":"subscribe","id":12,"table":""}`, `12`, "bad_message"},
		{"a table of number", `{"type":"subscribe","id":13,"table":7}`, `13`, "bad_message"},
		{"columns of text", `{"type":"subscribe","id":14,"table":"public.other","columns":"id"}`, `14`, "bad_message"},
		{"snapshot of text", `{"type":"subscribe","id":15,"table":"public.other","snapshot":"no"}`, `15`, "bad_message"},
		{"a cursor of number", `{"type":"subscribe","id":16,"table":"public.other","since":1}`, `16`, "bad_message"},
		{"no id", `{"type":"subscribe","table":"public.other"}`, ``, "bad_message"},
		{"id 0", `{"type":"subscribe","id":0,"table":"public.other"}`, `0`, "bad_message"},
		{"a negative id", `{"type":"subscribe","id":-1,"table":"public.other"}`, ``, "bad_message"},
		{"id 2^53", `{"type":"subscribe","id":9007199254740992,"table":"public.other"}`, `9007199254740992`, "bad_message"},
		{"a fractional id", `{"type":"subscribe","id":17.5,"table":"public.other"}`, `17.5`, "bad_message"},
		{"an id with an exponent", `{"type":"subscribe","id":1e2,"table":"public.other"}`, `1e2`, "bad_message"},
		{"a text for an id", `{"type":"subscribe","id":"18","table":"public.other"}`, `"18"`, "bad_message"},
		{"an object for an id", `{"type":"subscribe","id":{},"table":"public.other"}`, ``, "bad_message"},
		{"null for an id", `{"type":"subscribe","id":null,"table":"public.other"}`, ``, "bad_message"},
		{"the same id", `{"type":"subscribe","id":10,"table":"public.people"}`, `10`, "duplicate_id"},
		{"a smaller id", `{"type":"subscribe","id":5,"table":"public.people"}`, `5`, "duplicate_id"},
		{"an unknown column", `{"type":"subscribe","id":30,"table":"public.other","columns":["x"]}`, `30`, "bad_columns"},
		{"a where that is none", `{"type":"subscribe","id":31,"table":"public.other","where":"id = = 1"}`, `31`, "bad_where"},
		{"params that nothing takes", `{"type":"subscribe","id":32,"table":"public.other","params":[1]}`, `32`, "bad_params"},
		{"the id of a refused one", `{"type":"subscribe","id":30,"table":"public.other"}`, `30`, "duplicate_id"},
		{"unsubscribe without id", `{"type":"unsubscribe"}`, ``, "bad_message"},
		{"unsubscribe a text", `{"type":"unsubscribe","id":"10"}`, `"10"`, "bad_message"},
	} {
		c.send(x.send)
		got, code := c.next()
		if got.Type != wire.TypeError || got.Code != x.code || string(got.ID) != x.id || got.Message == "" {
			t.Errorf("%s: got %+v, close code %d; want the error %s with id %s", x.name, got, code, x.code, x.id)
		}
		if code != 0 {
			return
		}
	}
	// Not open: ignored, as the pong that follows shows.
	c.send(`{"type":"unsubscribe","id":5000}`)
	c.send(`{"type":"ping","n":[1,"x"]}`)
	if got, _ := c.next(); got.Type != wire.TypePong || string(got.N) != `[1,"x"]` {
		t.Errorf("got %+v, want a pong with n", got)
	}
	c.send(`{"type":"ping"}`)
	if got, _ := c.next(); got.Type != wire.TypePong || got.N != nil {
		t.Errorf("got %+v, want a pong", got)
	}
	// The largest id is one; and then there is no further one.
	c.send(`{"type":"subscribe","id":9007199254740991,"table":"public.unknown"}`)
	if got, _ := c.next(); got.Type != wire.TypeWaiting || got.Reason != wire.WaitNotFound || string(got.ID) != "9007199254740991" {
		t.Errorf("got %+v, want waiting", got)
	}
	c.send(`{"type":"unsubscribe","id":9007199254740991}`)
	if got, _ := c.next(); got.Type != wire.TypeClosed || got.Code != wire.CodeUnsubscribed {
		t.Errorf("got %+v, want closed", got)
	}
	// The subscription that was there goes on, until it is left.
	d.exec(`insert into other values (2)`)
	if got, _ := c.next(); got.Type != wire.TypeChanges {
		t.Errorf("got %+v, want the change", got)
	}
	c.send(`{"type":"unsubscribe","id":10}`)
	if got, _ := c.next(); got.Type != wire.TypeClosed || got.Code != wire.CodeUnsubscribed || string(got.ID) != "10" {
		t.Errorf("got %+v, want closed", got)
	}
	d.exec(`insert into other values (3); update people set name = 'x' where id = 1`)
	m.has(d, id, "people")
	c.send(`{"type":"ping"}`)
	if got, _ := c.next(); got.Type != wire.TypePong {
		t.Errorf("got %+v after unsubscribe", got)
	}
}

// TestLimits: subscriptions and messages per second.
func TestLimits(t *testing.T) {
	_, r := protocolDatabase(t, func(c *serve.Config) { c.Limits.Subscriptions, c.Limits.MessagesPerSecond = 2, 50 })
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello"}`)
	if got, _ := c.next(); got.Limits == nil || got.Limits.Subscriptions != 2 || got.Limits.MessagesPerSecond != 50 || got.HeartbeatMS != 25000 {
		t.Errorf("got %+v", got)
	}
	for id := 1; id <= 3; id++ {
		c.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"table":"public.unknown"}`, id))
		got, _ := c.next()
		if id < 3 && got.Type != wire.TypeWaiting || id == 3 && (got.Code != wire.CodeLimit || !strings.Contains(got.Message, "subscriptions")) {
			t.Errorf("subscription %d: got %+v", id, got)
		}
	}
	// A client may be as fast as it likes for a moment, not for long.
	for range 500 {
		if ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"ping"}`)))) != nil {
			break // closed already
		}
	}
	for {
		got, code := c.next()
		if code != 0 {
			if code != wire.CloseLimitExceeded {
				t.Errorf("closed with %d", code)
			}
			return
		}
		if got.Type != wire.TypePong {
			t.Errorf("got %+v", got)
		}
	}
}

// TestNoHello: who doesn't say hello in time is gone.
func TestNoHello(t *testing.T) {
	t.Parallel() // it takes the protocol's ten seconds
	_, r := protocolDatabase(t)
	c := dialRaw(t, r.url, nil)
	began := time.Now()
	c.closes(wire.CloseNoSign)
	if took := time.Since(began); took < 9*time.Second || took > 13*time.Second {
		t.Errorf("closed after %s", took)
	}
}

// TestNoSignOfLife: a client of which nothing is heard is gone after two heartbeats; until then it hears one at least.
func TestNoSignOfLife(t *testing.T) {
	t.Parallel()
	_, r := protocolDatabase(t, func(c *serve.Config) { c.Heartbeat = 3 * time.Second })
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello"}`)
	c.next()
	began, texts := time.Now(), 0
	for {
		f, err := ws.ReadFrame(c.conn) // pings stay unanswered
		must(t, err)
		switch f.Header.OpCode {
		case ws.OpText:
			if took := time.Since(began); took > time.Duration(texts+1)*3*time.Second+time.Second {
				t.Errorf("the heartbeat %d came after %s", texts, took)
			}
			texts++
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			if took := time.Since(began); code != wire.CloseNoSign || took < 6*time.Second-100*time.Millisecond || took > 9*time.Second {
				t.Errorf("closed with %d after %s", code, took)
			}
			if texts == 0 {
				t.Error("no heartbeat came")
			}
			return
		}
	}
}

// TestTokens: what tokens are taken and until when.
func TestTokens(t *testing.T) {
	t.Parallel()
	d, r := protocolDatabase(t, withSecret)
	day := 24 * time.Hour
	expired, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(-time.Minute).Unix()}).SignedString(secret)
	must(t, err)
	good := token(t, day, map[string]any{"sub": "u1", "role": "editor"})
	foreign, err := auth.Mint([]byte(strings.Repeat("z", 32)), map[string]any{"sub": "u1"}, day)
	must(t, err)
	for name, bad := range map[string]string{
		"expired": expired, "of another key": foreign, "nonsense": "x", "cut": good[:len(good)-2],
		"unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSJ9.", "very long": strings.Repeat("a", 20000),
	} {
		if _, err := client.Dial(d.ctx, r.url, client.Options{Token: bad}); !closedWith(err, wire.CloseUnauthorized) {
			t.Errorf("%s: %v, want 4401", name, err)
		}
		if log := r.log.String(); len(bad) > 2 && strings.Contains(log, bad) {
			t.Errorf("%s: the token is in the log", name)
		}
	}
	c := dialRaw(t, r.url, http.Header{"Authorization": {"Bearer " + good}})
	c.send(`{"type":"hello"}`)
	if got, _ := c.next(); got.Role != "editor" || got.Sub != "u1" || got.Expires == "" {
		t.Errorf("the Authorization header: got %+v", got)
	}
	c = dialRaw(t, r.url, http.Header{"Authorization": {"Bearer " + foreign}})
	c.send(`{"type":"hello"}`)
	c.closes(wire.CloseUnauthorized)
	c = dialRaw(t, r.url, nil)
	c.send(`{"type":"hello"}`)
	if got, _ := c.next(); got.Role != "anon" || got.Sub != "" || got.Expires != "" {
		t.Errorf("no token: got %+v", got)
	}
	// A token that ends while its connection is open ends it.
	short := dialRaw(t, r.url, nil)
	short.send(`{"type":"hello","token":"` + token(t, 2*time.Second, map[string]any{"sub": "u1"}) + `"}`)
	if got, _ := short.next(); got.Type != wire.TypeWelcome || got.Role != "authenticated" {
		t.Fatalf("got %+v", got)
	}
	began := time.Now()
	short.closes(wire.CloseUnauthorized)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closed %s after a token of 2 s", took)
	}
}

// TestRenewal: a token is replaced by another one of the same person, and by nobody else's.
func TestRenewal(t *testing.T) {
	t.Parallel()
	d, r := protocolDatabase(t, withSecret)
	d.exec(`insert into web_socket_event_system_events.rules (name, relation, roles) values ('editors', 'public.other', '{editor}')`)
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello","token":"` + token(t, time.Hour, map[string]any{"sub": "u1", "role": "editor"}) + `"}`)
	welcome, _ := c.next()
	for name, bad := range map[string]string{
		"somebody else's": token(t, time.Hour, map[string]any{"sub": "u2", "role": "editor"}),
		"none":            "", "nonsense": "x",
	} {
		c.send(`{"type":"token","token":"` + bad + `"}`)
		if got, _ := c.next(); got.Type != wire.TypeError || got.Code != wire.CodeBadToken {
			t.Errorf("%s: got %+v, want bad_token", name, got)
		}
	}
	c.send(`{"type":"token","token":"` + token(t, 2*time.Hour, map[string]any{"sub": "u1", "role": "guest"}) + `"}`)
	got, _ := c.next()
	if got.Type != wire.TypeWelcome || got.Session != welcome.Session || got.Role != "guest" || got.Expires <= welcome.Expires {
		t.Errorf("got %+v after %+v", got, welcome)
	}
}

// TestForbidAnon: a relay may ask everybody for a token.
func TestForbidAnon(t *testing.T) {
	_, r := protocolDatabase(t, withSecret, func(c *serve.Config) { c.Auth.AnonForbidden = true })
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello"}`)
	c.closes(wire.CloseUnauthorized)
}

// TestHandshake: what is refused before there is a WebSocket.
func TestHandshake(t *testing.T) {
	d, r := protocolDatabase(t, func(c *serve.Config) { c.MaxConnections = 2 })
	host := r.Addr().String()
	open := func(header map[string]string, protocols ...string) (net.Conn, int) {
		h := http.Header{}
		for k, v := range header {
			h.Set(k, v)
		}
		dialer := ws.Dialer{Protocols: protocols, Header: ws.HandshakeHeaderHTTP(h)}
		conn, _, _, err := dialer.Dial(d.ctx, r.url)
		if status := ws.StatusError(0); errors.As(err, &status) {
			return nil, int(status)
		}
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn, 101
	}
	dial := func(header map[string]string, protocols ...string) int {
		conn, status := open(header, protocols...)
		if conn != nil {
			_ = conn.Close()
		}
		return status
	}
	for _, c := range []struct {
		name      string
		header    map[string]string
		protocols []string
		want      int
	}{
		{"our own page", map[string]string{"Origin": "http://" + host}, []string{wire.Subprotocol}, 101},
		{"another page", map[string]string{"Origin": "http://evil.example"}, []string{wire.Subprotocol}, 403},
		{"a page of no origin", map[string]string{"Origin": "null"}, []string{wire.Subprotocol}, 403},
		{"another subprotocol", nil, []string{"graphql-ws"}, 400},
		{"several subprotocols", nil, []string{"graphql-ws", wire.Subprotocol}, 101},
	} {
		await(t, func() (string, bool) { // a connection that was closed a moment ago counts still
			got := dial(c.header, c.protocols...)
			return fmt.Sprintf("%s: status %d, the last was %d", c.name, c.want, got), got == c.want
		})
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/ws": 400, "/metrics": 404, "/": 404} {
		await(t, func() (string, bool) {
			response, err := http.Get("http://" + host + path)
			must(t, err)
			_ = response.Body.Close()
			return fmt.Sprintf("%s: status %d, the last was %d", path, want, response.StatusCode), response.StatusCode == want
		})
	}
	http.DefaultClient.CloseIdleConnections()
	var two []net.Conn
	await(t, func() (string, bool) {
		if conn, status := open(nil, wire.Subprotocol); status == 101 {
			two = append(two, conn)
		}
		return "two connections", len(two) == 2
	})
	if got := dial(nil, wire.Subprotocol); got != 429 {
		t.Errorf("a connection too many: status %d, want 429", got)
	}
	_ = two[0].Close()
	await(t, func() (string, bool) { return "a free place", dial(nil, wire.Subprotocol) == 101 })
}

// TestGoingAway: a relay that ends says so to everybody.
func TestGoingAway(t *testing.T) {
	_, r := protocolDatabase(t)
	c := dialRaw(t, r.url, nil)
	c.send(`{"type":"hello"}`)
	c.next()
	silent := dialRaw(t, r.url, nil)
	go r.stop()
	c.closes(wire.CloseGoingAway)
	silent.closes(wire.CloseGoingAway)
}

// TestShared: a second subscription of a shape shares its stream; leaving one leaves the other alone.
func TestShared(t *testing.T) {
	d, r := protocolDatabase(t)
	m := newMirror(t, r.url, client.Options{})
	first, second := m.subscribe("public.people"), m.subscribe("public.people")
	m.live(first, second)
	third := m.subscribe("public.people", "name")
	m.live(third)
	if a, b, c := m.Status(first).Shape, m.Status(second).Shape, m.Status(third).Shape; a != b || a == c {
		t.Errorf("the shapes are %s, %s and %s", a, b, c)
	}
	must(t, m.Unsubscribe(first))
	d.exec(`update people set name = 'again' where id < 4; delete from people where id = 7`)
	m.has(d, second, "people")
	if m.Stats().Snapshots != 2 {
		t.Errorf("%d snapshots", m.Stats().Snapshots)
	}
	again, err := m.Subscribe(client.Subscription{Table: "public.people", From: first})
	must(t, err)
	m.has(d, again, "people")
	if !slices.Equal(slices.Sorted(maps.Keys(count(m.Rows(again)))), slices.Sorted(maps.Keys(count(m.Rows(second))))) {
		t.Error("ids that share a shape differ")
	}
}
