package serve_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
)

// hole is a way to a server on which the connections that bring changes can be made to lead nowhere, as a firewall that forgets
// them does: nothing arrives any more, and nobody is told.
type hole struct {
	net.Listener
	to    string
	group sync.WaitGroup
	mu    sync.Mutex
	pairs []*pair
}

// pair is a connection on both sides of a hole.
type pair struct {
	from, to  net.Conn
	streams   atomic.Bool // it replicates, or listens for the outbox's doorbell
	swallowed atomic.Bool
}

func newHole(t *testing.T, to string) *hole {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h := &hole{Listener: listener, to: to}
	h.group.Go(func() {
		for {
			from, err := h.Accept()
			if err != nil {
				return
			}
			h.group.Go(func() { h.pass(from) })
		}
	})
	t.Cleanup(func() {
		_ = h.Close()
		h.each(func(p *pair) { p.close() })
		h.group.Wait()
	})
	return h
}

func (h *hole) each(do func(*pair)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pairs {
		do(p)
	}
}

// pass forwards both ways until one of them ends.
func (h *hole) pass(from net.Conn) {
	to, err := net.Dial("tcp", h.to)
	if err != nil {
		_ = from.Close()
		return
	}
	p := &pair{from: from, to: to}
	defer p.close()
	start := make([]byte, 4096)
	n, err := from.Read(start)
	if err != nil {
		return
	}
	p.streams.Store(bytes.Contains(start[:n], []byte("replication\x00database")))
	h.mu.Lock()
	h.pairs = append(h.pairs, p)
	h.mu.Unlock()
	if _, err := to.Write(start[:n]); err != nil {
		return
	}
	var way sync.WaitGroup
	way.Go(func() { p.copy(to, from) })
	way.Go(func() { p.copy(from, to) })
	way.Wait()
}

// copy forwards one way; what is swallowed is read and goes nowhere, until the pair is closed.
func (p *pair) copy(to io.Writer, from io.Reader) {
	defer p.close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if bytes.Contains(b[:n], []byte("listen pgrelay")) {
			p.streams.Store(true)
		}
		if !p.swallowed.Load() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *pair) close() {
	_ = p.from.Close()
	_ = p.to.Close()
}

// swallow lets the connections that bring changes lead nowhere, and mend ends them.
func (h *hole) swallow() {
	h.each(func(p *pair) { p.swallowed.Store(p.streams.Load()) })
}

func (h *hole) mend() {
	h.each(func(p *pair) {
		if p.swallowed.Load() {
			p.close()
		}
	})
}

// TestSilentStream: a stream that brings nothing any more, without an end, brings no edits of the rules either. Nothing
// is served by rules that may have changed, and when the stream is back nothing is lacking.
func TestSilentStream(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		t.Parallel()
		const timeout = 4 * time.Second
		d := newDatabase(t, c.server(t), items, "public.items", "public.heap")
		c.take(d, "items", "heap")
		address := strings.Split(strings.SplitN(d.dsn(), "@", 2)[1], "/")[0]
		h := newHole(t, address)
		r := start(t, strings.Replace(d.dsn(), "@"+address, "@"+h.Addr().String(), 1), func(c *serve.Config) { c.RulesTimeout = timeout })
		m := newMirror(t, r.url, client.Options{})
		id, heap := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(id, heap)
		// An idle source is heard of all the same.
		quiet, cancel := context.WithTimeout(d.ctx, timeout+time.Second)
		defer cancel()
		if m.Await(quiet, func(c *client.Mirror) bool { return c.Status(id).Phase == client.Waiting }) == nil {
			t.Fatal("rules at an idle source count as unheard")
		}

		h.swallow()
		d.exec(`update ` + rules + ` set enabled = false where relation = 'public.items'`)
		began := time.Now()
		m.phase(id, client.Waiting, "unavailable")
		m.phase(heap, client.Waiting, "unavailable")
		if took := time.Since(began); took > 5*timeout {
			t.Errorf("waiting after %s, want about %s", took, timeout)
		}
		r.reason(t, "rules: edits are not being heard")
		d.exec(`insert into heap values (7, 'meanwhile')`)
		if !c.trigger { // by triggers the relay gives up itself, after six heartbeats
			h.mend()
		}
		m.phase(id, client.Waiting, "not_found")
		m.has(d, heap, "heap")
		if s := m.Status(heap); s.Phase != client.Live || m.Stats().Resyncs > 0 {
			t.Errorf("want it to go on: %+v, %+v", s, m.Stats())
		}
		r.ready(t)
	}, logical15, trigger15)
}
