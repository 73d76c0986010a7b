package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/wire"
)

// above is how much resident memory, in MB, a relay may take above what it has when idle.
const above = 200

// resident is one of a process' figures of memory, in MB: VmRSS, or VmHWM for the highest so far.
func (p *process) resident(t *testing.T, which string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, which+":"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kb >> 10
		}
	}
	t.Fatalf("no %s in the process' status", which)
	return 0
}

// forget makes VmHWM begin anew at VmRSS. https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
func (p *process) forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// attached is a server with one database, the rules' table, and what script makes.
func attached(ctx context.Context, t *testing.T, script string) (*pgserver.Server, string) {
	t.Helper()
	server := pgserver.ForTest(t, pgserver.Config{Version: 15})
	if err := server.CreateDatabase(ctx, "bench"); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("bench")
	tool(t, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", filepath.Join("..", "..", "sql", "system.sql"))
	if err := server.Exec(ctx, "bench", script); err != nil {
		t.Fatal(err)
	}
	return server, dsn
}

// frames reads a connection's messages without decoding what is in them.
type frames struct {
	conn interface {
		Read([]byte) (int, error)
		Write([]byte) (int, error)
	}
	reader *bufio.Reader
	buf    []byte
}

// open connects, says hello and subscribes to one table.
func openFrames(ctx context.Context, t *testing.T, url, table string) *frames {
	t.Helper()
	dialer := ws.Dialer{Protocols: []string{wire.Subprotocol}}
	conn, _, _, err := dialer.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &frames{conn: conn, reader: bufio.NewReaderSize(conn, 1<<20)}
	for _, text := range []string{`{"type":"hello"}`, `{"type":"subscribe","id":1,"table":"` + table + `"}`} {
		if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(text)))); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// next is the next message's text, good until the next call.
func (f *frames) next() ([]byte, error) {
	for {
		h, err := ws.ReadHeader(f.reader)
		if err != nil {
			return nil, err
		}
		if int64(cap(f.buf)) < h.Length {
			f.buf = make([]byte, h.Length)
		}
		f.buf = f.buf[:h.Length]
		for n := 0; n < len(f.buf); {
			k, err := f.reader.Read(f.buf[n:])
			if n += k; err != nil {
				return nil, err
			}
		}
		switch h.OpCode {
		case ws.OpText:
			return f.buf, nil
		case ws.OpPing:
			if err := ws.WriteFrame(f.conn, ws.MaskFrame(ws.NewPongFrame(bytes.Clone(f.buf)))); err != nil {
				return nil, err
			}
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.buf)
			return nil, &client.CloseError{Code: int(code), Reason: reason}
		}
	}
}

// liveMirror is a strict client that has all rows of one table.
func liveMirror(ctx context.Context, t *testing.T, url, table string, o client.Options) (m *client.Mirror, id uint64) {
	t.Helper()
	o.Strict = true
	m = client.NewMirror(client.Hooks{})
	id, err := m.Subscribe(client.Subscription{Table: table})
	if err == nil {
		err = m.Connect(ctx, url, o)
	}
	if err == nil {
		err = m.Await(ctx, func(m *client.Mirror) bool { return m.Live(id) })
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Drop)
	return m, id
}

// awaitN returns when the mirror's row of that key has this n.
func awaitN(ctx context.Context, t *testing.T, m *client.Mirror, id uint64, key, n int) {
	t.Helper()
	want := json.RawMessage(strconv.Itoa(n))
	if err := m.Await(ctx, func(m *client.Mirror) bool {
		row, ok := m.Find(id, client.Row{"id": json.RawMessage(strconv.Itoa(key))})
		return ok && bytes.Equal(row["n"], want)
	}); err != nil {
		t.Fatal(err)
	}
}

func kind(message []byte) string {
	rest, _ := bytes.CutPrefix(message, []byte(`{"type":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}

// TestLargeTransaction: a transaction of a million rows reaches a client, and the relay's memory stays bounded.
func TestLargeTransaction(t *testing.T) {
	rows := envInt("PGRELAY_LARGE_ROWS", 1_000_000)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	server, dsn := attached(ctx, t, `create table big (id bigint primary key, n int, note text);
		insert into web_socket_event_system_events.rules (name, relation, roles) values ('big', 'public.big', '{anon}')`)
	relay := startServe(t, binary(t), dsn, "127.0.0.1:0")
	f := openFrames(ctx, t, relay.url, "public.big")
	for message := []byte(nil); kind(message) != wire.TypeLive; {
		var err error
		if message, err = f.next(); err != nil {
			t.Fatal(err)
		}
	}
	idle := relay.resident(t, "VmRSS")
	relay.forget(t)
	written := make(chan error, 1)
	began := time.Now()
	go func() {
		written <- server.Exec(ctx, "bench", fmt.Sprintf(`insert into big select i, i, 'a note of some length about row ' || i from generate_series(1, %d) i`, rows))
	}()
	got, parts, bytesRead, resyncs := 0, 0, 0, 0
	for done := false; !done; {
		message, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		bytesRead += len(message)
		switch kind(message) {
		case wire.TypeChanges:
			got += bytes.Count(message, []byte(`"op":"insert"`))
			parts++
			done = !bytes.HasSuffix(message, []byte(`"more":true}`))
		case wire.TypeResync: // fell behind what is kept: the rows come by a snapshot
			got, resyncs = 0, resyncs+1
		case wire.TypeSnapshot:
			got += bytes.Count(message, []byte(`{"id":`))
		case wire.TypeLive:
			done = true
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got != rows {
		t.Errorf("%d rows came, want %d", got, rows)
	}
	high := relay.resident(t, "VmHWM")
	t.Logf("%d rows in %d parts, %d MB of frames, %d resyncs, after %s; the relay took %d MB at the most, %d MB when idle",
		got, parts, bytesRead>>20, resyncs, time.Since(began).Round(time.Millisecond), high, idle)
	if high-idle > above {
		t.Errorf("the relay took %d MB above idle, want %d at the most", high-idle, above)
	}
}

// TestStalledClients: while two clients take nothing, 200 MB of changes pass to another; the relay's memory stays
// bounded; and then the one is resynced, the other, which asked for it, closed.
func TestStalledClients(t *testing.T) {
	megabytes := envInt("PGRELAY_STALLED_MB", 200)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	server, dsn := attached(ctx, t, `create table wide (id int primary key, n int, note text);
		alter table wide alter note set storage plain;
		insert into wide select i, 0, repeat('x', 2000) from generate_series(1, 500) i;
		insert into web_socket_event_system_events.rules (name, relation, roles) values ('wide', 'public.wide', '{anon}')`)
	relay := startServe(t, binary(t), dsn, "127.0.0.1:0", "--heartbeat", "3m", "--log-level", "warn",
		"--journal-bytes", strconv.Itoa(16<<20), "--frame-bytes", strconv.Itoa(8<<20))
	resynced, one := liveMirror(ctx, t, relay.url, "public.wide", client.Options{})
	closed, _ := liveMirror(ctx, t, relay.url, "public.wide", client.Options{Lagged: wire.LaggedClose})
	brisk, id := liveMirror(ctx, t, relay.url, "public.wide", client.Options{})
	resynced.Conn().Stall()
	closed.Conn().Stall()
	idle := relay.resident(t, "VmRSS")
	relay.forget(t)
	slowest := time.Duration(0)
	for n := range megabytes {
		if err := server.Exec(ctx, "bench", fmt.Sprintf(`update wide set n = %d, note = repeat('%d', 2000)`, n+1, n%10)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		awaitN(ctx, t, brisk, id, 500, n+1)
		slowest = max(slowest, time.Since(began))
	}
	high := relay.resident(t, "VmHWM")
	t.Logf("%d MB of changes passed, the slowest of them %s after its commit; the relay took %d MB at the most, %d MB when idle",
		megabytes, slowest.Round(time.Millisecond), high, idle)
	if most := above / 2; high-idle > most { // 24 MB are kept, and the collector lets the heap double
		t.Errorf("the relay took %d MB above idle, want %d at the most", high-idle, most)
	}
	if s := brisk.Stats(); s.Resyncs > 0 || s.Connections > 1 || slowest > 5*time.Second {
		t.Errorf("the client that keeps up was held up: %+v", s)
	}
	if c := resynced.Conn(); c != nil {
		c.Unstall()
	}
	want := tableRows(ctx, t, dsn, "wide")
	if err := resynced.Await(ctx, func(m *client.Mirror) bool {
		return !m.Connected() || m.Live(one) && maps.Equal(mirrorRows(m.Rows(one)), want)
	}); err != nil {
		t.Fatal(err)
	}
	if s := resynced.Stats(); !resynced.Connected() || s.Reasons[wire.ReasonLagged] != 1 {
		t.Errorf("the stalled client: %v, %+v; want one resync, lagged", resynced.Lost(), s)
	}
	if c := closed.Conn(); c != nil {
		c.Unstall()
	}
	if err := closed.Await(ctx, func(m *client.Mirror) bool { return !m.Connected() }); err != nil {
		t.Fatal(err)
	}
	var end *client.CloseError
	if !errors.As(closed.Lost(), &end) || end.Code != wire.CloseTooSlow {
		t.Errorf("the stalled client that asked to be closed: %v, want 4409", closed.Lost())
	}
}
