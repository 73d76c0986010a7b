package serve_test

import (
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/journal"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

// TestSnapshotOutlastsTheJournal stalls a client within the snapshot of a large table while more is written than
// rings and journal hold: the relay goes on from a copy of the slot, and nothing is resynced.
func TestSnapshotOutlastsTheJournal(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), `
			create table public.large (id int primary key, n int not null default 0, filler text);
			alter table public.large alter filler set storage external;
			insert into public.large select i, 0, repeat(md5(i::text), 1500) from generate_series(1, 1600) i;
			create table public.other (id int primary key, filler text)`, "public.large", "public.other")
		c.take(d, "large", "other")
		r := d.start(func(c *serve.Config) {
			c.FrameBytes, c.Capture.Journal = 64<<10, journal.Config{Bytes: 64 << 10}
		})
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		m.until("a connection", m.Connected)
		id := m.subscribe("public.large")
		m.until("the snapshot's first rows", func() bool { return len(m.seen(wire.TypeSnapshot)) > 0 })
		m.Conn().Stall()
		stalled := m.Stats().Snapshots
		for range 20 {
			d.exec(`update public.large set n = n + 1 where id % 10 = 0;
				insert into public.other select coalesce(max(id), 0) + 1, repeat('x', 20000) from public.other;
				delete from public.large where id = (select min(id) from public.large)`)
		}
		m.Conn().Unstall()
		m.has(d, id, "public.large")
		d.exec(`update public.large set n = -1 where id = 100`)
		m.has(d, id, "public.large")
		if s := m.Stats(); s.Resyncs > 0 || s.Snapshots != stalled || len(m.seen(wire.TypeSubscribed)) != 1 {
			t.Errorf("the snapshot was taken again: %+v", s)
		}
		if left := d.value(`select count(*)::text from pg_replication_slots where slot_name like 'pgrelay_snapshot_%' and database = current_database()`); left != "0" {
			t.Errorf("%s copies of the slot are left", left)
		}
	}, logical15, logical18)
}
