package outbox

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
)

// TestPooler reads through PgBouncer in transaction mode: nobody can ring through it, and the outbox is polled.
func TestPooler(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		conn, err := pgx.ParseConfig(pgserver.PoolerForTest(t, d.server.DSN(d.name)))
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Conn: conn}
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
