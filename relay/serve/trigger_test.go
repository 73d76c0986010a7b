package serve_test

import (
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
	"pgrelay/triggers"
)

// install makes the outbox and captures tables by triggers.
func (d *database) install(tables ...string) {
	d.t.Helper()
	d.exec(triggers.Install(""))
	for _, table := range tables {
		d.exec(triggers.Enable(triggers.Table{Name: table}))
	}
}

// TestTriggerCapture: a table that triggers capture is live beside one of logical replication, and goes over from one to
// the other while it is.
func TestTriggerCapture(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), people, "public.people", "public.other")
		d.install("people")
		r := d.start()
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		id, other := m.subscribe("public.people"), m.subscribe("public.other")
		m.live(id, other)
		way := func(n int) string { all := m.seen(wire.TypeSubscribed); return all[len(all)-1-n].Capture }
		if a, b := way(1), way(0); a+b != "triggerlogical" && a+b != "logicaltrigger" {
			t.Errorf("got capture %s and %s, want one of each", a, b)
		}
		d.exec(`insert into people values (100, 'new', 'mail', 'secret'); update people set name = 'other' where id < 5;
			update people set id = 200 where id = 100; delete from people where id = 7; insert into other values (2)`)
		m.has(d, id, "people")
		m.has(d, other, "other")
		d.exec(`truncate people; insert into people values (1, 'one')`)
		m.has(d, id, "people")
		d.exec(triggers.Disable("people"))
		d.exec(`update people set name = 'two'`)
		m.until("logical", func() bool { return way(0) == "logical" })
		m.has(d, id, "people")
		d.exec(`alter table people add column n int default 3`)
		d.exec(triggers.Enable(triggers.Table{Name: "people"}))
		d.exec(`insert into people values (2, 'two')`)
		m.until("trigger", func() bool { return way(0) == "trigger" })
		m.has(d, id, "people")
	})
}
