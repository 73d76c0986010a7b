package outbox

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestPooler reads through something that gives a process number of its own, as poolers do: nobody can ring through it, and
// the outbox is polled.
func TestPooler(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.Conn.Host, cfg.Conn.Port = "127.0.0.1", pooler(t, net.JoinHostPort(cfg.Conn.Host, strconv.Itoa(int(cfg.Conn.Port))))
		cfg.Conn.Fallbacks = nil
		cfg.PollUnrung = 10 * time.Millisecond
		r, stop := d.start(cfg, s)
		if !r.pooled {
			t.Fatal("the pooler isn't recognised")
		}
		s.names.set(d.table("public.a", "id int primary key"), "a")
		count := d.listen()
		for i := range 5 {
			d.exec(`insert into a values ($1)`, i)
			s.await(t, func() bool { return s.rows == i+1 })
		}
		if got := count(); got != 0 {
			t.Errorf("got %d notifications, want none", got)
		}
		_ = stop()
		again := newSink()
		again.names = s.names
		other, _ := d.start(cfg, again)
		again.passed(t, other)
		again.want(t, s.whats()...)
	})
}

// pooler passes connections on to server, but for the number of the process that serves them.
func pooler(t *testing.T, server string) (port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pool(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func pool(client net.Conn, server string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(upstream, client)
		_ = upstream.Close()
	})
	both.Go(func() {
		_ = passOn(client, upstream)
		_ = client.Close()
	})
	both.Wait()
}

// passOn passes messages on, each BackendKeyData with another process number.
func passOn(client io.Writer, server io.Reader) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return err
		}
		var key pgproto3.BackendKeyData
		if head[0] == 'K' && key.Decode(body) == nil {
			binary.BigEndian.PutUint32(body, key.ProcessID+1)
		}
		if _, err := client.Write(append(head[:], body...)); err != nil {
			return err
		}
	}
}
