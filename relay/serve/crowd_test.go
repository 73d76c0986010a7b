package serve_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
)

// paced is load with a period for the statements of each writer, which must go well.
func (d *database) paced(writers int, period time.Duration, statement func(writer, n int) string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for w := range writers {
		conn := d.connect()
		group.Go(func() {
			tick := time.NewTicker(period)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := conn.Exec(d.ctx, statement(w, n)); err != nil {
					d.t.Error(err)
					return
				}
				<-tick.C
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	d.t.Cleanup(stop)
	return stop
}

// TestSnapshotsUnderLoad: however long a look at a large catalog takes, and however much is written meanwhile, a
// snapshot joins the stream at its first attempt or soon after.
func TestSnapshotsUnderLoad(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		const limit = 5 * time.Second // a snapshot that never joins gives up after 10
		d := newDatabase(t, c.server(t), items+`;
			do $$ begin for i in 1..400 loop
				execute format('create table w%s (id bigint primary key, a int, b text, c text, d text, e text, f text, g text)', i);
			end loop; end $$`, "public.items")
		c.take(d, "items")
		r := d.start()
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		first := m.subscribe("public.items")
		m.live(first)
		stop := d.paced(8, 2*time.Millisecond, func(w, n int) string { return fmt.Sprintf(`update items set n = n + 1 where id = %d`, 1+(n*8+w)%500) })
		m.until("the writers' transactions", func() bool { return m.Stats().Transactions > 200 })
		var sum, worst time.Duration
		const clients = 12
		var mirrors []*mirror
		for range clients {
			c := newMirror(t, r.url, client.Options{})
			c.until("a connection", c.Connected)
			began := time.Now()
			c.live(c.subscribe("public.items"))
			took := time.Since(began)
			sum, worst = sum+took, max(worst, took)
			mirrors = append(mirrors, c)
		}
		stop()
		t.Logf("%d transactions; live after %s on average, %s at worst", m.Stats().Transactions, sum/clients, worst)
		if worst > limit {
			t.Errorf("live after %s, want %s at most", worst, limit)
		}
		for _, c := range append(mirrors, m) {
			c.has(d, 1, "items")
			if s := c.Stats(); s.Resyncs > 0 || s.Snapshots != 1 {
				t.Errorf("want one snapshot: %+v", s)
			}
		}
	}, logical15, trigger18)
}

// TestLockedTable: snapshots that wait for a table's lock keep no places from others', and don't hold up the relay's end.
func TestLockedTable(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items+`; create table locked (id int primary key, a int, b int, c int)`, "public.items", "public.locked")
	r := d.start(func(c *serve.Config) { c.Capture.Snapshots = 2 })
	r.ready(t)
	owner := d.connect()
	_, err := owner.Exec(d.ctx, `begin; lock table locked in access exclusive mode`)
	must(t, err)
	m := newMirror(t, r.url, client.Options{})
	var blocked []uint64
	for _, columns := range [][]string{nil, {"a"}, {"b"}, {"c"}} {
		blocked = append(blocked, m.subscribe("public.locked", columns...))
	}
	d.counted(`select count(*)::text from pg_locks where relation = 'locked'::regclass and not granted`, 2)
	other := newMirror(t, r.url, client.Options{})
	began := time.Now()
	other.has(d, other.subscribe("public.items"), "items")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("another table was live after %s", took)
	}
	_, err = owner.Exec(d.ctx, `insert into locked values (1, 2, 3, 4); commit`)
	must(t, err)
	m.live(blocked...)
	m.has(d, blocked[0], "locked")

	_, err = owner.Exec(d.ctx, `begin; lock table locked in access exclusive mode`)
	must(t, err)
	last := newMirror(t, r.url, client.Options{})
	last.subscribe("public.locked", "a", "b")
	d.counted(`select count(*)::text from pg_locks where relation = 'locked'::regclass and not granted`, 1)
	began = time.Now()
	r.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the relay ended after %s", took)
	}
}

// TestStandbyAbsentForLong: a commit that waits for a synchronous standby stays in mind however many transactions pass
// meanwhile: whoever comes then is not live without it.
func TestStandbyAbsentForLong(t *testing.T) {
	t.Parallel()
	server := pgserver.ForTest(t, pgserver.Config{Version: 15})
	d := newDatabase(t, server, items, "public.items")
	r := d.start()
	first := newMirror(t, r.url, client.Options{})
	one := first.subscribe("public.items")
	first.live(one)
	writer := d.connect()
	setting(t, d, writer, "absent")
	committed := make(chan error, 1)
	go func() {
		_, err := writer.Exec(d.ctx, `insert into items values (9001, 1, 'hangs')`)
		committed <- err
	}()
	first.until("the change that hangs", func() bool { _, ok := first.Find(one, client.Row{"id": []byte(`"9001"`)}); return ok })
	const passing = 17000
	was := first.Stats().Transactions
	d.exec(fmt.Sprintf(`do $$ begin for i in 1..%d loop update items set n = n + 1 where id = 1; commit; end loop; end $$`, passing))
	first.until("the transactions that pass", func() bool { return first.Stats().Transactions >= was+passing })
	late := newMirror(t, r.url, client.Options{})
	two := late.subscribe("public.items")
	late.until("subscribed", func() bool { return len(late.seen("subscribed")) > 0 })
	d.counted(`select count(*)::text from pg_stat_activity where application_name = 'pgrelay' and datname = current_database() and query like '%rollback%'`, 1)
	if late.Live(two) {
		t.Error("a snapshot that lacks what the stream has brought was taken for complete")
	}
	setting(t, d, writer, "")
	must(t, <-committed)
	d.exec(`update items set n = n + 1 where id in (1, 9001)`)
	first.has(d, one, "items")
	late.has(d, two, "items")
}
