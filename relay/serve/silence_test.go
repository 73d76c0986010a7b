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

// hole is a way to a server on which replication connections can be made to lead nowhere, as a firewall that forgets
// them does: nothing arrives any more, and nobody is told.
type hole struct {
	net.Listener
	to   string
	open atomic.Bool

	mu        sync.Mutex
	swallowed []net.Conn
	all       []net.Conn
	group     sync.WaitGroup
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
		h.mu.Lock()
		closeAll(h.all)
		h.mu.Unlock()
		h.group.Wait()
	})
	return h
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// pass forwards both ways until one of them ends.
func (h *hole) pass(from net.Conn) {
	to, err := net.Dial("tcp", h.to)
	if err != nil {
		_ = from.Close()
		return
	}
	defer closeAll([]net.Conn{from, to})
	start := make([]byte, 4096)
	n, err := from.Read(start)
	if err != nil {
		return
	}
	replicates := bytes.Contains(start[:n], []byte("replication\x00database"))
	h.mu.Lock()
	h.all = append(h.all, from, to)
	if replicates {
		h.swallowed = append(h.swallowed, from, to)
	}
	h.mu.Unlock()
	if _, err := to.Write(start[:n]); err != nil {
		return
	}
	var way sync.WaitGroup
	for _, ends := range [][2]net.Conn{{to, from}, {from, to}} {
		way.Go(func() {
			defer closeAll([]net.Conn{from, to})
			_, _ = io.Copy(writer{ends[0], h, replicates}, ends[1])
		})
	}
	way.Wait()
}

// writer writes unless the connection leads nowhere.
type writer struct {
	net.Conn
	hole       *hole
	replicates bool
}

func (w writer) Write(b []byte) (int, error) {
	if w.replicates && w.hole.open.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// mend lets new connections through and ends those that led nowhere.
func (h *hole) mend() {
	h.open.Store(false)
	h.mu.Lock()
	defer h.mu.Unlock()
	closeAll(h.swallowed)
	h.swallowed = nil
}

// TestSilentStream: a stream that brings nothing any more, without an end, brings no edits of the rules either. Nothing
// is served by rules that may have changed, and when the stream is back nothing is lacking.
func TestSilentStream(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.heap")
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

	h.open.Store(true)
	d.exec(`update ` + rules + ` set enabled = false where relation = 'public.items'`)
	began := time.Now()
	m.phase(id, client.Waiting, "unavailable")
	m.phase(heap, client.Waiting, "unavailable")
	if took := time.Since(began); took > 5*timeout {
		t.Errorf("waiting after %s, want about %s", took, timeout)
	}
	r.reason(t, "rules: edits are not being heard")
	d.exec(`insert into heap values (7, 'meanwhile')`)
	h.mend()
	m.phase(id, client.Waiting, "not_found")
	m.has(d, heap, "heap")
	if s := m.Status(heap); s.Phase != client.Live || m.Stats().Resyncs > 0 {
		t.Errorf("want it to go on: %+v, %+v", s, m.Stats())
	}
	r.ready(t)
}
