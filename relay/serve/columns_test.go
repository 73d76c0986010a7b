package serve_test

import (
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// TestOnlySeeminglyAdded: a column that is new in what is shown, while older rows have other values in it or elsewhere
// than one can say, is not filled: the mirror starts over.
func TestOnlySeeminglyAdded(t *testing.T) {
	t.Parallel()
	s := newDatabase(t, sharedServer(t, 18), items)
	d := newDatabase(t, sharedServer(t, 15), `
		create table prices (id int primary key, price numeric(12, 2)); insert into prices values (1, 1);
		create table sums (id int primary key, price numeric(12, 2)); insert into sums values (1, 1);
		create table grows (id int primary key); insert into grows values (1)`,
		"public.prices", "public.sums", "public.grows", "svc.items")
	d.service(s, "svc")
	d.exec(`alter foreign table svc.items drop column note`)
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	foreign, prices, sums, grows := m.subscribe("svc.items"), m.subscribe("public.prices"), m.subscribe("public.sums"), m.subscribe("public.grows")
	m.live(foreign, prices, sums, grows)
	if columns := m.Status(foreign).Columns; len(columns) != 2 {
		t.Fatalf("svc.items has the columns %v", columns)
	}
	d.exec(`alter table grows add n int default 5`)
	m.has(d, grows, "grows")
	await(t, func() (string, bool) {
		return "the schema message of a column that was added", len(m.seen(wire.TypeSchema)) == 1
	})
	for _, c := range []struct {
		what, sql, table string
		id               uint64
		of               *database
	}{
		{"a foreign table shows a column that the source has had", `alter foreign table svc.items add note text`, "items", foreign, s},
		{"another column was rewritten as well", `alter table prices alter price type numeric(12, 2) using price * 100; alter table prices add currency text`, "prices", prices, d},
		{"another column was rewritten by the same statement", `alter table sums alter price type numeric(12, 2) using price * 100, add currency text default 'EUR'`, "sums", sums, d},
	} {
		d.exec(c.sql)
		m.has(c.of, c.id, c.table)
		if st := m.Status(c.id); st.Lives != 2 {
			t.Errorf("%s: want it to start over, once: %+v", c.what, st)
		}
	}
	if s := m.Stats(); s.Resyncs != 3 || s.Reasons[wire.ReasonSchemaChanged] != 3 {
		t.Errorf("want three resyncs for %s: %+v", wire.ReasonSchemaChanged, s)
	}
	if n := len(m.seen(wire.TypeSchema)); n != 1 {
		t.Errorf("%d schema messages, want no more", n)
	}
}
