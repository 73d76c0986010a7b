package serve_test

import (
	"slices"
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
)

const shapes = `
create table t (id bigint primary key, n int, note text);
insert into t select i, i, 'row ' || i from generate_series(1, 20) i;
create table p (id bigint, region int, note text, primary key (id, region)) partition by list (region);
create table p0 partition of p for values in (0);
create table p1 partition of p for values in (1);
create table spare (like p);
insert into p select i, i % 2, 'row ' || i from generate_series(1, 20) i;
insert into spare select i, 2, 'spare ' || i from generate_series(100, 110) i;
create table calm (id bigint primary key, n int);
insert into calm values (1, 1)`

// TestSchemaChanges: after each change to a table its mirror ends equal to it, whether it goes on or starts over, and
// no other table's does start over.
func TestSchemaChanges(t *testing.T) {
	const (
		goesOn = "goes on"
		resync = "resync"
		fill   = "fill"
		gone   = "gone" // not_found, until it is there again
	)
	cases := []struct{ name, sql, table, want string }{
		{"a column without default is added", `alter table t add a int`, "t", fill},
		{"a column with a constant default is added", `alter table t add b text not null default 'x'`, "t", fill},
		{"columns are added and used in one transaction", `alter table t add c jsonb default '{"a": [1]}', add d bigint; update t set c = '2', d = 9007199254740993 where id < 5; insert into t (id) values (50)`, "t", fill},
		{"a column with a volatile default is added", `alter table t add e float8 default random()`, "t", resync},
		{"a column with an identity is added", `alter table t add f int generated always as identity`, "t", resync},
		{"a column is renamed", `alter table t rename a to aa`, "t", resync},
		{"a column's type changes", `alter table t alter n type text using 'n' || n`, "t", resync},
		{"a column's type changes in place", `alter table t alter note type varchar`, "t", resync},
		{"a column is dropped", `alter table t drop b`, "t", resync},
		{"a column is dropped and added again", `alter table t drop c, add c text default 'new'`, "t", resync},
		{"an enum's label is renamed", `create type mood as enum ('sad', 'ok'); alter table t add m mood default 'sad'; alter type mood rename value 'sad' to 'blue'`, "t", ""},
		{"the table is truncated", `truncate t; insert into t (id, n) values (1, 'first')`, "t", goesOn},
		{"the table is rewritten", `vacuum full t`, "t", goesOn},
		{"the replica identity becomes full", `alter table t replica identity full`, "t", ""},
		{"the replica identity becomes the key again", `alter table t replica identity default`, "t", ""},
		{"the primary key changes", `alter table t drop constraint t_pkey; alter table t add unique (id); alter table t add primary key (id, f)`, "t", resync},
		{"the table is dropped", `drop table t`, "t", gone},
		{"the table is made again", `create table t (id bigint primary key, z text); insert into t values (1, 'again')`, "t", "back"},
		{"the table is dropped and made again at once", `drop table t; create table t (id bigint primary key, z text); insert into t values (2, 'once more')`, "t", resync},
		{"the table is renamed", `alter table t rename to u`, "t", gone},
		{"another table takes its name", `create table t (id int primary key, note text); insert into t values (7, 'other')`, "t", "back"},
		{"a filled partition is attached", `alter table p attach partition spare for values in (2)`, "p", resync},
		{"a partition is detached", `alter table p detach partition spare`, "p", resync},
		{"a partition is made", `create table p3 partition of p for values in (3); insert into p values (300, 3, 'three')`, "p", resync},
		{"a partition is truncated", `truncate p1`, "p", resync},
		{"a partition is dropped", `drop table p1`, "p", resync},
		{"a row moves between partitions", `update p set region = 3 where id = 2`, "p", goesOn},
		{"the partitioned table is truncated", `truncate p`, "p", ""},
		{"a column is added to the partitioned table", `alter table p add k int default 4; insert into p values (1, 0, 'a', 5)`, "p", ""},
		{"the partitioned table is dropped", `drop table p`, "p", gone},
	}
	captures(t, func(t *testing.T, c capture) {
		t.Parallel() // it mostly waits for the watch's next look
		d := newDatabase(t, c.server(t), shapes, "public.t", "public.p", "public.calm")
		c.take(d, "t", "p", "calm")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		ids := map[string]uint64{"t": m.subscribe("public.t"), "p": m.subscribe("public.p")}
		calm := m.subscribe("public.calm")
		m.live(ids["t"], ids["p"], calm)
		for _, c := range cases {
			was, fills, id := m.Status(ids[c.table]), len(m.seen("schema")), ids[c.table]
			d.exec(c.sql)
			if c.want == resync {
				m.until(c.name, func() bool { return m.Status(id).Lives > was.Lives })
			}
			if c.want == gone {
				m.phase(id, client.Waiting, "not_found")
				if rows := m.Rows(id); len(rows) != 0 {
					t.Errorf("%s: %d rows stay", c.name, len(rows))
				}
			} else {
				m.has(d, id, c.table)
			}
			is := m.Status(id)
			switch {
			case (c.want == goesOn || c.want == fill) && is.Lives != was.Lives:
				t.Errorf("%s: the mirror started over, for %s", c.name, is.Reason)
			case c.want == fill && len(m.seen("schema")) == fills:
				t.Errorf("%s: no schema message came", c.name)
			}
			if s := m.Status(calm); s.Lives != 1 {
				t.Fatalf("%s: another table's mirror started over, for %s", c.name, s.Reason)
			}
			if c.want != gone { // it takes changes still
				d.exec(`update ` + c.table + ` set id = id + 1000; update calm set n = n + 1`)
				m.has(d, id, c.table)
				m.has(d, calm, "calm")
			}
		}
	}, logical15, logical18, trigger18)
}

// TestSchemaChangeUnderLoad: columns come and go while rows are written.
func TestSchemaChangeUnderLoad(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), items, "public.items")
		c.take(d, "items")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		m.live(id)
		stop := d.load(3, churn)
		for _, change := range []string{
			`alter table items add a int default 1`, `alter table items add b text`, `alter table items drop a`,
			`alter table items add c timestamptz default now()`, `alter table items alter n type bigint`, `alter table items add e int; alter table items rename e to f`,
		} {
			was := m.Stats().Transactions
			d.exec(change)
			m.until("transactions", func() bool { return m.Stats().Transactions > was+50 && m.Live(id) })
		}
		stop()
		m.has(d, id, "items")
	}, logical18, trigger15)
}

// TestPublicationMadeAnew: what was committed while there was no publication is in no stream.
func TestPublicationMadeAnew(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), items, "public.items", "public.heap")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id, bag := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(id, bag)
		d.exec(`drop publication pgrelay`)
		d.exec(`update items set n = 77 where id < 10; delete from heap`)
		m.has(d, id, "items")
		m.has(d, bag, "heap")
		if s := m.Status(id); s.Lives < 2 {
			t.Errorf("the mirror went on: %+v", s)
		}
		// By hand, and while the relay is away.
		r.stop()
		d.exec(`update items set n = 78 where id < 5`)
		d.exec(`drop publication pgrelay`)
		d.exec(`update items set n = 79 where id < 3`)
		d.exec(`create publication pgrelay for table only items`)
		d.exec(`update items set n = 80 where id < 2; insert into heap values (1, 'late')`)
		d.start(at(r))
		m.has(d, id, "items")
		m.has(d, bag, "heap")
	})
}

// TestTableAppears: a table that is made while the relay runs is published, for updates and deletes only where the
// application's own would go on to work.
func TestTableAppears(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.young", "public.keyless", "public.log")
	r := d.start(func(c *serve.Config) { c.Warehouse.InsertOnly = []string{"public.log"} })
	m := newMirror(t, r.url, client.Options{})
	young, keyless, log := m.subscribe("public.young"), m.subscribe("public.keyless"), m.subscribe("public.log")
	for _, id := range []uint64{young, keyless, log} {
		m.phase(id, client.Waiting, "not_found")
	}
	d.exec(`create table young (id int primary key); insert into young values (1);
		create table keyless (n int); insert into keyless values (1), (1);
		create table log (line text); insert into log values ('a'), ('a')`)
	m.has(d, young, "young")
	m.has(d, log, "log")
	if s := m.Status(log); s.Bag || len(s.Key) != 0 {
		t.Errorf("insert-only: %+v", s)
	}
	d.exec(`update keyless set n = 2; delete from keyless where n = 3; insert into log values ('b'); delete from log where line = 'a'`)
	m.until("the third line", func() bool { return len(m.Rows(log)) == 3 })
	m.phase(keyless, client.Waiting, "not_found")
	await(t, func() (string, bool) {
		return "the remedy in the listing", slices.Contains(r.listed(), "    alter table public.keyless replica identity full;")
	})
	d.exec(`alter table keyless replica identity full`)
	m.has(d, keyless, "keyless")
	d.exec(`insert into keyless values (2), (5); delete from keyless where ctid = (select min(ctid) from keyless where n = 2)`)
	m.has(d, keyless, "keyless")
	if s := m.Status(keyless); !s.Bag {
		t.Errorf("a table without key isn't a bag: %+v", s)
	}
}
