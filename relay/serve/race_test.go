package serve_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
)

// TestStreamBeforeSnapshot: a commit that waits for a synchronous standby is in the stream and in no snapshot. Whoever
// subscribes meanwhile must get it once, whether by the stream or by the snapshot.
func TestStreamBeforeSnapshot(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := pgserver.ForTest(t, pgserver.Config{Version: version})
		d := newDatabase(t, server, items, "public.items")
		r := d.start()
		first := newMirror(t, r.url, client.Options{})
		one := first.subscribe("public.items")
		first.live(one)
		d.has(1000)

		// The writer's session waits for a standby that nobody is; all others don't.
		writer := d.connect()
		setting(t, d, writer, "absent")
		committed := make(chan error, 1)
		go func() {
			_, err := writer.Exec(d.ctx, `begin; insert into items values (9001, 1, 'hangs'); update items set n = 99 where id = 1; delete from items where id = 2; commit`)
			committed <- err
		}()
		first.until("the change that hangs", func() bool { _, ok := first.Find(one, client.Row{"id": []byte(`"9001"`)}); return ok })
		if got := d.value(`select count(*)::text from items where id = 9001`); got != "0" {
			t.Fatalf("the commit doesn't hang: %s rows", got)
		}

		// Those that come now, one after another, by the same shape and by others.
		var mirrors []*mirror
		for i := range 6 {
			m := newMirror(t, r.url, client.Options{})
			m.subscribe("public.items", [][]string{nil, {"n"}, {"note"}}[i%3]...)
			mirrors = append(mirrors, m)
		}
		for _, m := range mirrors {
			m.until("subscribed", func() bool { return len(m.seen("subscribed")) > 0 })
		}
		d.awaitSnapshots()
		for _, m := range append(mirrors, first) {
			if m != first && m.Live(1) {
				t.Error("a snapshot that lacks what the stream has brought was taken for complete")
			}
		}
		setting(t, d, writer, "")
		must(t, <-committed)
		d.exec(`update items set n = n + 1 where id in (1, 9001)`)
		first.has(d, one, "items")
		for i, m := range mirrors {
			if i%3 == 0 {
				m.has(d, 1, "items")
				continue
			}
			m.live(1)
			want := d.value(`select count(*)::text from items`)
			m.until("every row", func() bool { return fmt.Sprint(len(m.Rows(1))) == want })
		}
	})
}

// has inserts and deletes a row, which shows that writes go through.
func (d *database) has(id int) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`insert into items values (%[1]d, 0, ''); delete from items where id = %[1]d`, id))
}

// setting names a synchronous standby, or none, to the whole server: only sessions with synchronous_commit on wait.
func setting(t *testing.T, d *database, writer *pgx.Conn, standby string) {
	t.Helper()
	if standby != "" {
		_, err := writer.Exec(d.ctx, `set synchronous_commit = on`)
		must(t, err)
		d.exec(`alter system set synchronous_commit = local`)
	}
	d.exec(fmt.Sprintf(`alter system set synchronous_standby_names = '%s'`, standby))
	d.exec(`select pg_reload_conf()`)
	await(t, func() (string, bool) {
		return "the setting", d.value(`show synchronous_standby_names`) == standby && d.value(`show synchronous_commit`) == "local"
	})
	// The checkpointer is who tells sessions that they have to wait.
	// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/replication/syncrep.c
	d.exec(`checkpoint`)
}

// awaitSnapshots waits until each of two sessions of the relay has tried a snapshot.
func (d *database) awaitSnapshots() {
	d.t.Helper()
	d.counted(`select count(*)::text from pg_stat_activity where application_name = 'pgrelay' and datname = current_database() and query like '%rollback%'`, 2)
}

func (d *database) counted(query string, least int) {
	d.t.Helper()
	await(d.t, func() (string, bool) {
		n := 0
		_, _ = fmt.Sscan(d.value(query), &n)
		return fmt.Sprintf("%d at least of: %s", least, query), n >= least
	})
}

// TestAddedUnderTransaction: a table becomes part of the publication while a transaction that has written to it is
// open. Its rows are in neither snapshot nor stream until it ends; a subscription waits for it.
func TestAddedUnderTransaction(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), items+`; create table late (id bigint primary key, n int)`, "public.items", "public.late")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		m.live(m.subscribe("public.items"))
		// The table leaves the publication for the moment that a transaction takes to write to it; the watch adds it again.
		writer := d.connect()
		_, err := writer.Exec(d.ctx, `begin; alter publication pgrelay drop table late`)
		must(t, err)
		open := d.connect()
		_, err = open.Exec(d.ctx, `begin; insert into late select i, 1 from generate_series(1, 100) i`)
		must(t, err)
		_, err = writer.Exec(d.ctx, `commit`)
		must(t, err)
		d.counted(`select count(*)::text from pg_publication_rel where prrelid = 'late'::regclass`, 1)
		d.exec(`insert into late values (1001, 1)`)
		id := m.subscribe("public.late")
		m.until("subscribed", func() bool { return len(m.seen("subscribed")) >= 2 })
		d.exec(`insert into late values (1002, 1)`)
		d.counted(`select count(*)::text from pg_stat_activity where application_name = 'pgrelay' and query like '%pg_xact_status%'`, 1)
		if m.Live(id) {
			t.Error("live before the transaction that had written to the table before it was added has ended")
		}
		_, err = open.Exec(d.ctx, `insert into late select i, 2 from generate_series(101, 200) i; update late set n = 3 where id <= 10; commit`)
		must(t, err)
		d.exec(`insert into late values (1003, 1)`)
		m.has(d, id, "late")
	})
}

// TestNewTableUnderTransaction: the same for a table that is new to the warehouse, made by the transaction that fills it.
func TestNewTableUnderTransaction(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.fresh")
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	m.live(m.subscribe("public.items"))
	id := m.subscribe("public.fresh")
	m.phase(id, client.Waiting, "not_found")
	d.exec(`create table fresh (id bigint primary key, n int)`)
	open := d.connect()
	_, err := open.Exec(d.ctx, `begin; insert into fresh select i, 1 from generate_series(1, 100) i`)
	must(t, err)
	d.counted(`select count(*)::text from pg_publication_rel where prrelid = 'fresh'::regclass`, 1)
	m.until("subscribed", func() bool { return m.Status(id).Phase == client.Building })
	d.exec(`insert into fresh values (1000, 1)`)
	_, err = open.Exec(d.ctx, `update fresh set n = 2 where id < 50; commit`)
	must(t, err)
	m.has(d, id, "fresh")
}

// TestRewriteUnderSnapshot: tables are rewritten again and again while clients subscribe anew all the time.
func TestRewriteUnderSnapshot(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), items, "public.items")
		c.take(d, "items")
		r := d.start()
		r.ready(t)
		stop := d.load(2, churn)
		ctx, cancel := context.WithCancel(d.ctx)
		var group sync.WaitGroup
		mirrors := make([]*mirror, 4)
		var lives atomic.Int64
		for i := range mirrors {
			m := newMirror(t, r.url, client.Options{})
			mirrors[i] = m
			group.Go(func() {
				for ctx.Err() == nil {
					id, err := m.Subscribe(client.Subscription{Table: "public.items"})
					if err != nil {
						continue // the connection is being made
					}
					if m.Await(ctx, func(c *client.Mirror) bool { return c.Live(id) }) == nil {
						lives.Add(1)
					}
					if m.Unsubscribe(id) == nil && m.Await(ctx, func(c *client.Mirror) bool { return c.Status(id).Phase == client.Closed }) == nil {
						m.Forget(id)
					}
				}
			})
		}
		for i := range 6 {
			was := lives.Load()
			d.exec(fmt.Sprintf(`alter table items alter column n type %s using n::int`, []string{"bigint", "int"}[i%2]))
			d.exec(`alter table items alter column note type text using note || ''`)
			d.exec(`vacuum full items`)
			await(t, func() (string, bool) { return "subscriptions to become live", lives.Load() > was })
		}
		cancel()
		group.Wait()
		stop()
		for _, m := range mirrors {
			id := m.subscribe("public.items")
			m.has(d, id, "items")
		}
		t.Logf("%d subscriptions became live while the table was rewritten 18 times", lives.Load())
	}, logical15, logical18, trigger15)
}

// fastStop is the longest that a fast shutdown may take.
const fastStop = 10 * time.Second

// TestFastStop: a relay that streams doesn't hold up a fast shutdown of a server under load.
func TestFastStop(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		server := c.own(t, nil)
		d := newDatabase(t, server, items, "public.items", "public.heap")
		c.take(d, "items", "heap")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		stop := d.load(4, churn)
		for range 5 {
			m.live(id)
			was := m.Stats().Transactions
			m.until("load", func() bool { return m.Stats().Transactions > was+500 })
			began := time.Now()
			must(t, server.Stop(d.ctx, pgserver.Fast))
			took := time.Since(began)
			t.Logf("stopped after %s", took.Round(time.Millisecond))
			if took > fastStop {
				t.Errorf("the fast shutdown took %s", took)
			}
			must(t, server.Start(d.ctx))
			r.ready(t)
		}
		stop()
		m.has(d, id, "items")
	}, logical15, logical18, trigger18)
}

// TestOutOfPublication: a table that somebody takes out of the publication and puts back between two looks of the watch
// has changed unseen: its mirrors start over, others go on. The same while the relay is away.
func TestOutOfPublication(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), items, "public.items", "public.heap")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id, other := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(id, other)
		edit := `alter publication pgrelay drop table items; update items set n = n + 1 where id <= %d; alter publication pgrelay add table only items`
		script := func(n int) {
			for _, statement := range strings.Split(fmt.Sprintf(edit, n), "; ") {
				d.exec(statement)
			}
		}
		script(10)
		m.has(d, id, "items")
		if s := m.Stats(); s.Resyncs != 1 {
			t.Errorf("%d shapes were resynced, want one", s.Resyncs)
		}
		r.stop()
		script(20)
		d.start(at(r))
		m.has(d, id, "items")
		m.has(d, other, "heap")
		if s := m.Stats(); s.Snapshots != 4 || s.Resumed != 1 {
			t.Errorf("got %+v, want two snapshots at first, one after the resync, and after the restart one beside one resume", s)
		}
	})
}
