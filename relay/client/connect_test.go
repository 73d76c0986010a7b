package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"pgrelay/relay/wire"
)

func TestResumeOverANewConnection(t *testing.T) {
	s := newStub(t)
	m := NewMirror(Hooks{})
	for range 2 {
		if _, err := m.Subscribe(Subscription{Table: "a.t"}); err != nil {
			t.Fatal(err)
		}
	}
	p := s.connect(m, Options{Strict: true})
	if err := p.settle(m, begun+subscribedAs(2, "x", shared)+whole("x", "5", insert2)+part("x", "6", 0, insert3)); err != nil {
		t.Fatal(err)
	}
	m.Drop()
	if got := m.Stats().Abandoned; got != 1 {
		t.Errorf("got %d abandoned transactions, want 1", got)
	}
	p = s.connect(m, Options{Strict: true})
	first, second := p.message(), p.message()
	if first.Since != "c5" || second.Since != "" {
		t.Fatalf("got since %q and %q; the shared rows are lent once, to the first", first.Since, second.Since)
	}
	if err := p.settle(m, subscribedAs(1, "y", resumed)+whole("y", "6", insert3)+subscribedAs(2, "y", shared)); err != nil {
		t.Fatal(err)
	}
	const two = `[{"id":1,"name":"a"},{"id":2,"name":"b"}]`
	const three = `[{"id":1,"name":"a"},{"id":2,"name":"b"},{"id":3,"name":"c"}]`
	if got := show(t, m, 1); got != three {
		t.Errorf("the resumed id: got %s, want %s", got, three)
	}
	if got := show(t, m, 2); got != two {
		t.Errorf("the shared id before live: got %s, want its old rows %s", got, two)
	}
	if err := p.settle(m, live("y", "d")); err != nil {
		t.Fatal(err)
	}
	if got := show(t, m, 2); got != three {
		t.Errorf("the shared id after live: got %s, want %s", got, three)
	}
}

func TestAnUnfinishedSetIsThrownAway(t *testing.T) {
	m, p, err := play(t, 1, Subscription{}, begun+`{"type":"resync","shape":"x","reason":"table_changed"}`+"\n"+
		subscribedAs(1, "y", fresh)+snapshotOf("y", `[{"id":9,"name":"z"}]`)+whole("y", "7", insert2))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Status(1); got.Building != 2 || got.Cursor != "c0" || got.Rows != 1 {
		t.Errorf("got %+v, want 2 rows being built beside 1 on show at c0", got)
	}
	p.conn.Close()
	if err := m.Await(testContext(t), func(m *Mirror) bool { return !m.Connected() }); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(1); got.Phase != Asked || got.Cursor != "c0" || got.Rows != 1 {
		t.Errorf("got %+v, want the old row at c0", got)
	}
}

func TestUnsubscribeFreezesAndHandsOn(t *testing.T) {
	m, p, err := play(t, 2, Subscription{}, begun+subscribedAs(2, "x", shared))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unsubscribe(1); err != nil {
		t.Fatal(err)
	}
	if err := p.settle(m, whole("x", "5", insert2)+`{"type":"closed","id":1,"code":"unsubscribed","message":"m"}`+"\n"+whole("x", "6", insert3)); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(1); got.Phase != Closed || got.Rows != 2 || got.Cursor != "c5" {
		t.Errorf("got %+v, want closed with 2 rows at c5", got)
	}
	if got := m.Status(2); got.Rows != 3 {
		t.Errorf("got %+v, want 3 rows", got)
	}
	id, err := m.Subscribe(Subscription{Table: "a.t", From: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.message()
	p.message()
	p.message()
	if got := p.message(); string(got.ID) != "3" || got.Since != "c5" || id != 3 {
		t.Errorf("got %+v, want subscribe 3 since c5", got)
	}
	if row, there := m.Find(2, Row{"id": []byte("3")}); !there || string(row["name"]) != `"c"` {
		t.Errorf("found %v, want row 3", row)
	}
	if got := m.Status(1).Rows; got != 0 {
		t.Errorf("the old id still has %d rows", got)
	}
}

func TestRowsOfAChangedRuleAreWithdrawn(t *testing.T) {
	m, _, err := play(t, 1, Subscription{}, begun+`{"type":"resync","shape":"x","reason":"rule_changed"}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Status(1).Rows; got != 1 {
		t.Errorf("got %d rows right after the resync, want 1", got)
	}
	m.mu.Lock()
	m.subs[1].withdraw = time.Now()
	m.mu.Unlock()
	if got := m.Status(1); got.Rows != 0 || got.Cursor != "" {
		t.Errorf("got %+v after the delay, want nothing", got)
	}
}

func TestCutInAHookAppliesNothingMore(t *testing.T) {
	s := newStub(t)
	var m *Mirror
	m = NewMirror(Hooks{Message: func(_ []byte, msg *wire.ServerMessage) {
		if msg.Type == wire.TypeLive {
			m.Cut()
		}
	}})
	if _, err := m.Subscribe(Subscription{Table: "a.t"}); err != nil {
		t.Fatal(err)
	}
	p := s.connect(m, Options{})
	p.send(begun + whole("x", "5", insert2))
	if err := m.Await(testContext(t), func(m *Mirror) bool { return !m.Connected() }); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(1); got.Rows != 1 || got.Cursor != "c0" {
		t.Errorf("got %+v, want 1 row at c0", got)
	}
}

func TestTransactionHook(t *testing.T) {
	type got struct {
		id uint64
		t  *Transaction
	}
	var seen []got
	s := newStub(t)
	m := NewMirror(Hooks{Transaction: func(id uint64, t *Transaction) { seen = append(seen, got{id, t}) }})
	if _, err := m.Subscribe(Subscription{Table: "a.t", ChangesOnly: true}); err != nil {
		t.Fatal(err)
	}
	p := s.connect(m, Options{})
	err := p.settle(m, subscribedAs(1, "x", fresh)+live("x", "c")+part("x", "5", 0, insert2)+last("x", "5", 1, delete1)+`{"type":"pong"}`)
	if err != nil {
		t.Fatal(err)
	}
	m.Drop()
	if len(seen) != 1 || seen[0].id != 1 || len(seen[0].t.Changes) != 2 || seen[0].t.Tx != "5" || seen[0].t.Cursor != "c5" {
		t.Errorf("got %+v, want one transaction of two changes", seen)
	}
}

func TestFramesOfAllKinds(t *testing.T) {
	m, p, err := play(t, 1, Subscription{}, begun)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"type":"cursor","shape":"x","cursor":"ä"}`)
	cut := len(text) - 3 // within the two bytes of ä
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpText, false, text[:cut]),
		ws.NewPingFrame([]byte("are you there")),
		ws.NewFrame(ws.OpContinuation, true, text[cut:]),
	} {
		if err := ws.WriteFrame(p.conn, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Await(testContext(t), func(m *Mirror) bool { return m.Status(1).Cursor == "ä" }); err != nil {
		t.Fatal(err)
	}
	p.message() // the subscribe
	f, err := ws.ReadFrame(p.read)
	if err != nil {
		t.Fatal(err)
	}
	if f = ws.UnmaskFrame(f); f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there" {
		t.Errorf("got %v %q, want the pong", f.Header.OpCode, f.Payload)
	}
}

func TestBadFrames(t *testing.T) {
	cases := map[string]ws.Frame{
		"binary":         ws.NewBinaryFrame([]byte("{}")),
		"bad UTF-8":      ws.NewTextFrame([]byte("{\"type\":\"\xff\"}")),
		"masked":         ws.MaskFrame(ws.NewTextFrame([]byte("{}"))),
		"a reserved bit": {Header: ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpText, Length: 2}, Payload: []byte("{}")},
		"continuation":   ws.NewFrame(ws.OpContinuation, true, []byte("{}")),
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			m := NewMirror(Hooks{})
			p := newStub(t).connect(m, Options{})
			// In one write: the peer may be gone after the header.
			whole, err := ws.CompileFrame(f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.conn.Write(whole); err != nil {
				t.Fatal(err)
			}
			err = m.Await(testContext(t), func(*Mirror) bool { return false })
			if !errors.As(err, new(*Violation)) {
				t.Errorf("got %v, want a violation", err)
			}
		})
	}
}

func TestCloseAndSilence(t *testing.T) {
	m := NewMirror(Hooks{})
	p := newStub(t).connect(m, Options{})
	if err := ws.WriteFrame(p.conn, ws.NewCloseFrame(ws.NewCloseFrameBody(4409, "too slow"))); err != nil {
		t.Fatal(err)
	}
	if err := m.Await(testContext(t), func(m *Mirror) bool { return !m.Connected() }); err != nil {
		t.Fatal(err)
	}
	var closed *CloseError
	if !errors.As(m.Lost(), &closed) || closed.Code != 4409 || closed.Reason != "too slow" {
		t.Errorf("got %v, want 4409", m.Lost())
	}
	s := newStub(t)
	s.welcome = strings.Replace(welcome, "60000", "10", 1)
	s.connect(m, Options{})
	if err := m.Await(testContext(t), func(m *Mirror) bool { return !m.Connected() }); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(m.Lost(), ErrSilent) {
		t.Errorf("got %v, want %v", m.Lost(), ErrSilent)
	}
}

func TestStall(t *testing.T) {
	m, p, err := play(t, 1, Subscription{}, begun)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Conn()
	c.Stall()
	// The receiver may be reading already: it takes one more message at the most.
	p.send(whole("x", "5", insert2))
	p.send(whole("x", "6", insert3))
	if got := m.Status(1).Rows; got > 2 {
		t.Errorf("got %d rows while stalled, want 2 at the most", got)
	}
	c.Unstall()
	if err := m.Await(testContext(t), func(m *Mirror) bool { return m.Status(1).Rows == 3 }); err != nil {
		t.Fatal(err)
	}
	c.Stall()
	m.Drop() // returns although the receiver is stalled
}

func TestDialIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		upgrader := ws.Upgrader{OnRequest: func([]byte) error {
			return ws.RejectConnectionError(ws.RejectionStatus(403), ws.RejectionReason("origin not allowed"))
		}}
		_, _ = upgrader.Upgrade(conn)
	}()
	_, err = Dial(testContext(t), "ws://"+listener.Addr().String()+wire.Path, Options{})
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 403 || !strings.Contains(status.Error(), "origin not allowed") || !Permanent(err) {
		t.Errorf("got %v, want 403 with its reason", err)
	}
}

func TestRun(t *testing.T) {
	s := newStub(t)
	m := NewMirror(Hooks{})
	if _, err := m.Subscribe(Subscription{Table: "a.t"}); err != nil {
		t.Fatal(err)
	}
	peers := make(chan *peer)
	go func() {
		for range 2 {
			peers <- s.accept()
		}
	}()
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	losses := make(chan error, 1)
	go func() { ended <- m.Run(ctx, s.url(), Options{}, func(err error, _ time.Duration) { losses <- err }) }()
	p := <-peers
	if err := p.settle(m, begun); err != nil {
		t.Fatal(err)
	}
	p.conn.Close()
	if err := <-losses; err == nil {
		t.Error("a lost connection without a cause")
	}
	p = <-peers
	if got := p.message(); got.Since != "c0" {
		t.Errorf("got %+v, want since c0", got)
	}
	p.conn.Close()
	<-losses
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v at the context's end", err)
	}
}
