package serve_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

// counted is a connection that counts what is read of it.
type counted struct {
	net.Conn
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n += n
	return n, err
}

// queued are the bytes that the kernel has taken from the relay for this connection and that were not read.
// https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
func (c *counted) queued(t *testing.T) (bytes int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	must(t, err)
	mine := fmt.Sprintf("%04X", c.LocalAddr().(*net.TCPAddr).Port)
	theirs := fmt.Sprintf("%04X", c.RemoteAddr().(*net.TCPAddr).Port)
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 || f[3] != "01" {
			continue
		}
		local, remote, queues := f[1][9:], f[2][9:], strings.Split(f[4], ":")
		part := 0 // what the relay has written and the peer hasn't got
		switch {
		case local == mine && remote == theirs:
			part = 1 // what has come and was not read
		case local != theirs || remote != mine:
			continue
		}
		n, err := strconv.ParseInt(queues[part], 16, 64)
		must(t, err)
		bytes += int(n)
	}
	return bytes
}

// stalled says hello and subscribes, and then doesn't read.
func stalled(t *testing.T, url, token, subscribe string) *counted {
	t.Helper()
	c := &counted{}
	dialer := ws.Dialer{Protocols: []string{wire.Subprotocol}}
	conn, early, _, err := dialer.Dial(t.Context(), url)
	must(t, err)
	if early != nil {
		t.Fatal("something came before hello")
	}
	c.Conn = conn
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience*slowness)))
	must(t, conn.(*net.TCPConn).SetReadBuffer(16<<10))
	must(t, ws.WriteFrame(c, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"hello","token":"`+token+`"}`)))))
	must(t, ws.WriteFrame(c, ws.MaskFrame(ws.NewTextFrame([]byte(subscribe)))))
	return c
}

// next is the next text message and its size on the wire.
func (c *counted) next(t *testing.T) (raw []byte, m wire.ServerMessage, size int) {
	t.Helper()
	before := c.n
	for {
		f, err := ws.ReadFrame(c)
		if errors.Is(err, io.EOF) {
			t.Fatal("the relay hung up")
		}
		must(t, err)
		if f.Header.OpCode == ws.OpText {
			must(t, json.Unmarshal(f.Payload, &m))
			return f.Payload, m, c.n - before
		}
		if f.Header.OpCode == ws.OpClose {
			t.Fatalf("the relay closed: %s", f.Payload)
		}
	}
}

// TestFilterBacklog: a client isn't reading while the rules change. What the kernel has taken reaches it, and the rest of
// a frame that is half written; after that comes the resync, and nothing that the new rule hides.
func TestFilterBacklog(t *testing.T) {
	const secretMark, unsubscribe = "SECRET", "unsubscribe"
	for name, c := range map[string]struct {
		before, edit string
		gone         bool
	}{
		"tightened":         {``, `update ` + rules + ` set predicate = 'n % 2 = 0'`, false},
		"fewer columns":     {``, `update ` + rules + ` set columns = '{id,n}'`, false},
		"withdrawn":         {``, `update ` + rules + ` set enabled = false`, true},
		"no longer valid":   {``, `update ` + rules + ` set predicate = 'nonsense +'`, true},
		"after unsubscribe": {unsubscribe, `update ` + rules + ` set predicate = 'n % 2 = 0'`, true},
		// The shape ends by itself before the rule changes: its frames go all the same.
		"after a truncate of a partition": {`truncate parts_9`, `update ` + rules + ` set predicate = 'n % 2 = 0'`, false},
		"after the table was altered":     {`alter table parts rename column extra to more`, `update ` + rules + ` set predicate = 'n % 2 = 0'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t, sharedServer(t, 15), `
				create table parts (id int, n int, region int, body text, extra int, primary key (id, region)) partition by list (region);
				create table parts_0 partition of parts for values in (0);
				create table parts_9 partition of parts for values in (9);
				alter table parts_0 replica identity full; alter table parts_9 replica identity full;
				insert into parts select i, i, 0, 'x' from generate_series(1, 10) i`, "public.parts")
			r := d.start(func(c *serve.Config) { c.Admin = "127.0.0.1:0" })
			r.ready(t)
			watcher := newMirror(t, r.url, client.Options{})
			watch := watcher.ask(client.Subscription{Table: "public.parts"})
			watcher.live(watch)
			s := stalled(t, r.url, "", `{"type":"subscribe","id":1,"table":"public.parts"}`)
			for _, m, _ := s.next(t); m.Type != wire.TypeLive; _, m, _ = s.next(t) {
			}
			// Odd rows are what the new rule hides, and they say so.
			fill := `update parts set n = n, body = case when n %% 2 = 1 then '` + secretMark + `' else 'plain' end || repeat('x', 500) where id = 1 + mod(%d, 10)`
			writer := d.connect()
			write := func(i int) {
				_, err := writer.Exec(d.ctx, fmt.Sprintf(fill, i))
				must(t, err)
			}
			last := -1
			await(t, func() (string, bool) {
				for i := range 400 {
					write(i)
				}
				queued := s.queued(t)
				full := queued == last
				last = queued
				return "a full socket", full
			})
			for i := range 400 {
				write(i)
			}
			position := watcher.Stats().Transactions
			write(1)
			watcher.until("the backlog", func() bool { return watcher.Stats().Transactions > position })
			switch {
			case c.before == unsubscribe:
				must(t, ws.WriteFrame(s, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"unsubscribe","id":1}`)))))
				await(t, func() (string, bool) { return "the subscription's end", r.metric(t, "pgrelay_subscriptions") == "1" })
			case c.before != "":
				lives := watcher.Status(watch).Lives
				d.exec(c.before)
				watcher.until("the watcher's new stream", func() bool { return watcher.Status(watch).Lives > lives })
			}
			taken := s.queued(t)
			d.exec(c.edit)
			r.inForce(t)
			d.exec(`update parts set body = case when n % 2 = 1 then '` + secretMark + `' else 'after' end`)

			read, over := 0, false
			for !over {
				raw, m, size := s.next(t)
				switch m.Type {
				case wire.TypeChanges:
					if read >= taken {
						t.Fatalf("a frame that was unwritten at the edit came, %d bytes behind what was written (%d): %.200s", read-taken, taken, raw)
					}
				case wire.TypeResync, wire.TypeWaiting, wire.TypeClosed:
					over = true
				}
				read += size
			}
			t.Logf("%d bytes were written at the edit, %d came before the resync", taken, read)
			if c.gone {
				return
			}
			hides := func(raw []byte) bool { return bytes.Contains(raw, []byte(secretMark)) }
			for done := false; !done; {
				raw, m, _ := s.next(t)
				if hides(raw) {
					t.Fatalf("after the edit: %.300s", raw)
				}
				done = m.Type == wire.TypeLive
			}
		})
	}
}

// inForce waits until the edits that are committed hold on every connection.
func (r *relay) inForce(t *testing.T) {
	t.Helper()
	response, err := http.Post("http://"+r.AdminAddr().String()+"/rules/wait", "", nil)
	must(t, err)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("wait for the rules: %s", response.Status)
	}
}

// metric is the value of one of the relay's figures.
func (r *relay) metric(t *testing.T, name string) string {
	t.Helper()
	response, err := http.Get("http://" + r.AdminAddr().String() + "/metrics")
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
