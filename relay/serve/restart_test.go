package serve_test

import (
	"fmt"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/journal"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

const items = `
create table items (id bigint primary key, n int not null, note text);
insert into items select i, 0, 'row ' || i from generate_series(1, 500) i;
create table heap (n int, note text);
alter table heap replica identity full;
insert into heap select i % 10, 'equal' from generate_series(1, 50) i`

// churn is a transaction of a writer that repeats nothing and leaves rows to others.
func churn(w, n int) string {
	id := 1000 + w*1_000_000 + n
	return fmt.Sprintf(`begin; insert into items values (%d, %d, 'new'); update items set n = n + 1 where id = %d;
		delete from items where id = %d; insert into heap values (%d, 'equal'); commit`, id, n, 1+(w*97+n)%500, id-20, n%10)
}

// TestRestart: whatever ends meanwhile, the relay or Postgres, each client goes on after its cursor.
func TestRestart(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		server := c.own(t, map[string]string{"fsync": "on", "synchronous_commit": "on"})
		d := newDatabase(t, server, items, "public.items", "public.heap")
		c.take(d, "items", "heap")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(keyed, bag)
		stop := d.load(2, churn)
		moved := func() {
			t.Helper()
			was := m.Stats().Transactions
			m.until("transactions", func() bool { return m.Stats().Transactions > was+50 })
		}
		moved()
		restart := func() { r.stop(); r = d.start(at(r)) }
		for _, step := range []struct {
			what string
			do   func()
		}{
			{"the relay restarts", restart},
			{"Postgres restarts", func() { must(t, server.Restart(d.ctx)) }},
			{"Postgres crashes", func() { server.Crash(); must(t, server.Start(d.ctx)) }},
			{"both, the relay first", func() { r.stop(); server.Crash(); must(t, server.Start(d.ctx)); r = d.start(at(r)) }},
			{"both, Postgres first", func() { server.Crash(); restart(); must(t, server.Start(d.ctx)) }},
		} {
			t.Log(step.what)
			step.do()
			moved()
		}
		t.Log(stop(), "transactions")
		m.has(d, keyed, "items")
		m.has(d, bag, "heap")
		stats := m.Stats()
		t.Logf("%+v", stats)
		if stats.Refused+stats.Resyncs > 0 || stats.Snapshots != 2 {
			t.Errorf("%d cursors were refused, %d shapes resynced, %d snapshots came; each connection should have resumed", stats.Refused, stats.Resyncs, stats.Snapshots)
		}
	}, logical15, logical18, trigger15)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// since subscribes on a connection of its own and returns the answer and the cursor of its live.
func (r *relay) since(t *testing.T, cursor, table string, columns ...string) (subscribed, live wire.ServerMessage) {
	t.Helper()
	c, err := client.Dial(t.Context(), r.url, client.Options{Strict: true})
	must(t, err)
	defer c.Drop()
	must(t, c.Send(wire.ClientMessage{Type: wire.TypeSubscribe, ID: []byte("1"), Table: table, Columns: columns, Since: cursor}))
	for {
		_, msg, err := c.Receive()
		must(t, err)
		switch msg.Type {
		case wire.TypeSubscribed:
			subscribed = *msg
		case wire.TypeLive:
			return subscribed, *msg
		case wire.TypeSnapshot, wire.TypeChanges:
		default:
			t.Fatalf("got %+v", msg)
		}
	}
}

// TestCursors: a cursor that can't be continued is answered with a snapshot.
func TestCursors(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.heap")
	small := func(c *serve.Config) { c.Capture.Journal = journal.Config{Bytes: 32 << 10} }
	r := d.start(small)
	r.ready(t)

	since := func(cursor, table string, columns ...string) (subscribed, live wire.ServerMessage) {
		t.Helper()
		return r.since(t, cursor, table, columns...)
	}
	_, live := since("", "public.items")
	cursor := live.Cursor
	if len(cursor) == 0 || len(cursor) > 64 {
		t.Fatalf("the cursor %q has %d characters", cursor, len(cursor))
	}
	check := func(what string, want bool, cursor, table string, columns ...string) {
		t.Helper()
		if got, _ := since(cursor, table, columns...); got.Resumed != want {
			t.Errorf("%s: resumed is %t, want %t", what, got.Resumed, want)
		}
	}
	check("the cursor as it is", true, cursor, "public.items")
	check("of another table", false, cursor, "public.heap")
	check("of other columns", false, cursor, "public.items", "n")
	check("every column listed is another shape", false, cursor, "public.items", "id", "n", "note")
	last := cursor[:len(cursor)-11] + "________" + cursor[len(cursor)-3:]
	check("ahead of the stream", false, last, "public.items")
	check("cut", false, cursor[:len(cursor)-1], "public.items")
	check("no cursor at all", false, "nonsense", "public.items")
	check("very long", false, fmt.Sprintf("%04096d", 1), "public.items")
	check("empty bytes", false, fmt.Sprintf("%044d", 0), "public.items")

	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.items")
	m.live(id)
	d.exec(`insert into items select i, 0, repeat('x', 1000) from generate_series(1000, 1099) i`)
	m.has(d, id, "items")
	check("older than the journal", false, cursor, "public.items")
	check("the present one", true, m.Status(id).Cursor, "public.items")

	// A cursor of before a restart counts; one of another epoch doesn't.
	old := m.Status(id).Cursor
	m.stop()
	r.stop()
	r = d.start(small)
	r.ready(t)
	check("after a restart", true, old, "public.items")
	r.stop()
	d.counted(`select (not bool_or(active))::int::text from pg_replication_slots where database = current_database()`, 1)
	d.exec(`select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
	r = d.start(small)
	r.ready(t)
	check("after the slots were dropped", false, old, "public.items")

	// Another timeline, system or database can't have the same fingerprint: a second database with the same table.
	other := newDatabase(t, sharedServer(t, 15), items, "public.items")
	r.stop()
	r = other.start()
	r.ready(t)
	check("of another database", false, old, "public.items")
}

// TestUnread: what was committed while the relay was away arrives before anything newer, also over an idle time.
func TestUnread(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), items, "public.items")
		c.take(d, "items")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		m.live(id)
		r.stop()
		began := time.Now()
		for i := range 20 {
			d.exec(fmt.Sprintf(`update items set n = %d; insert into items values (%d, 0, 'away')`, i, 2000+i))
		}
		d.start(at(r))
		m.has(d, id, "items")
		stats := m.Stats()
		if stats.Resumed != 1 || stats.Snapshots != 1 || stats.Transactions != 20 {
			t.Errorf("%+v: want one snapshot, one resume, 20 transactions", stats)
		}
		t.Logf("back after %s", time.Since(began).Round(time.Millisecond))
	}, logical15, trigger15)
}
