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

// TestChangesWhileAway: what changes in the catalog while the relay is away is in no stream. Mirrors of what changed
// start over, the others go on.
func TestChangesWhileAway(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		t.Parallel()
		d := newDatabase(t, c.server(t), items+`;
			create type state as enum ('open', 'paid');
			create table labels (id int primary key, s state); insert into labels values (1, 'open');
			create table parts (id int, r int, primary key (id, r)) partition by list (r);
			create table parts1 partition of parts for values in (1); create table parts2 partition of parts for values in (2);
			insert into parts values (1, 1), (2, 2);
			create table prices (id int primary key, price numeric(12, 2)); insert into prices values (1, 1);
			create table grows (id int primary key); insert into grows values (1);
			create table again (id int primary key, n int); insert into again values (1, 1)`,
			"public.items", "public.labels", "public.parts", "public.prices", "public.grows", "public.again")
		c.take(d, "items", "labels", "parts", "prices", "grows", "again")
		changed := map[string]uint64{"labels": 0, "parts": 0, "prices": 0, "grows": 0, "again": 0}
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		calm := m.subscribe("public.items")
		m.live(calm)
		for table := range changed {
			changed[table] = m.subscribe("public." + table)
			m.live(changed[table])
		}
		r.stop()
		d.exec(`alter type state rename value 'open' to 'offen';
			alter table parts detach partition parts2;
			alter table prices alter price type numeric(12, 2) using price * 100;
			alter table grows add n int default 7;
			drop table again; create table again (id int primary key, n int); insert into again values (2, 2);
			update items set n = 1 where id = 1`)
		d.start(at(r))
		m.has(d, calm, "items")
		for table, id := range changed {
			m.has(d, id, table)
		}
		if s := m.Stats(); s.Resumed != 1 || s.Snapshots != 1+2*len(changed) {
			t.Errorf("want one resume, and two snapshots for each table that changed: %+v", s)
		}
	}, logical15, logical18, trigger18)
}

// TestPartitionTruncatedWhileAway: what a TRUNCATE of one partition has taken can't be told by a replay. A client that
// comes back with a cursor from before starts over, once, also one that would rather be closed than lag.
func TestPartitionTruncatedWhileAway(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), `create table p (id int, r int, primary key (id, r)) partition by list (r);
			create table p1 partition of p for values in (1); create table p2 partition of p for values in (2);
			insert into p values (1, 1), (2, 2)`, "public.p")
		c.take(d, "p")
		r := d.start()
		witness := newMirror(t, r.url, client.Options{})
		id := witness.subscribe("public.p")
		witness.live(id)
		cursor := witness.Status(id).Cursor
		d.exec(`insert into p values (3, 1)`)
		d.exec(`truncate p2`)
		witness.has(d, id, "p")
		for _, lagged := range []string{wire.LaggedClose, wire.LaggedResync} {
			conn, err := client.Dial(d.ctx, r.url, client.Options{Strict: true, Lagged: lagged})
			must(t, err)
			must(t, conn.Send(wire.ClientMessage{Type: wire.TypeSubscribe, ID: []byte("1"), Table: "public.p", Since: cursor}))
			resyncs, rows, live := 0, 0, false
			for !live {
				_, m, err := conn.Receive()
				if err != nil {
					t.Fatalf("%s: %v", lagged, err)
				}
				switch m.Type {
				case wire.TypeResync:
					resyncs++
					if m.Reason != wire.ReasonTableChanged {
						t.Errorf("%s: resync for %s, want %s", lagged, m.Reason, wire.ReasonTableChanged)
					}
				case wire.TypeSubscribed:
					rows = 0
				case wire.TypeSnapshot:
					rows += len(m.Rows)
				case wire.TypeLive:
					live = true
				}
			}
			if resyncs != 1 || rows != 2 {
				t.Errorf("%s: %d resyncs and %d rows, want one and the two that are left", lagged, resyncs, rows)
			}
			conn.Drop()
		}
	}, logical15, trigger15)
}

// TestWritesWhileCatchingUp: while a snapshot that has outlasted the journal catches up from a copy of the slot, others
// write on. Nothing comes twice where the copy has brought more than was asked for.
func TestWritesWhileCatchingUp(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		// Large on disk, which is what counts, and not so large for the client.
		d := newDatabase(t, c.server(t), `
			create table large (id int primary key, n int not null default 0, line text, filler text) with (autovacuum_enabled = false, toast.autovacuum_enabled = false);
			alter table large alter line set storage external, alter filler set storage external;
			insert into large select i, 0, repeat(md5(i::text), 300), repeat(md5(i::text), 1500) from generate_series(1, 1600) i;
			update large set filler = null`, "public.large")
		c.take(d, "large")
		r := d.start(func(c *serve.Config) {
			c.FrameBytes, c.Capture.Journal = 1<<20, journal.Config{Bytes: 64 << 10}
		})
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		m.until("a connection", m.Connected)
		id := m.subscribe("public.large")
		m.until("the snapshot's first rows", func() bool { return len(m.seen(wire.TypeSnapshot)) > 0 })
		m.Conn().Stall()
		d.exec(`do $$ begin for i in 1..4000 loop insert into large values (10000 + i, i, repeat('x', 300)); commit; end loop; end $$`)
		stop := d.paced(4, 4*time.Millisecond, func(w, n int) string { // within what the ring holds, for two seconds
			return fmt.Sprintf(`insert into large values (%d, %d, repeat('y', 300))`, 1_000_000*(w+1)+n, n)
		})
		d.counted(`select count(*)::text from large where id >= 1000000`, 100)
		m.Conn().Unstall()
		m.live(id)
		stop()
		m.has(d, id, "large")
	}, logical15, trigger15)
}
