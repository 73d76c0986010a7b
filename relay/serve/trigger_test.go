package serve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/wire"
	"pgrelay/triggers"
)

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

// TestWarehouseCapture: a foreign table whose remote isn't followed is captured in the warehouse: what is written through
// it arrives, what is written behind its back is in the next snapshot.
func TestWarehouseCapture(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		d := newDatabase(t, server, "", "public.things")
		must(t, server.CreateDatabase(d.ctx, d.name+"_service"))
		must(t, server.Exec(d.ctx, d.name+"_service", `create table things (id bigint primary key, name text); insert into things values (1, 'one')`))
		d.exec(fmt.Sprintf(`create extension postgres_fdw; create server service foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%d', dbname '%s');
			create user mapping for current_user server service options (user '%s', password '%s');
			create foreign table things (id bigint, name text) server service`, server.Port(), d.name+"_service", server.Superuser(), server.Password()))
		d.exec(triggers.Install("") + triggers.Enable(triggers.Table{Name: "things", Key: []string{"id"}}))
		r := d.start()
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.things")
		m.live(id)
		if got := m.seen(wire.TypeSubscribed)[0]; got.Capture != "warehouse" || len(got.Key) != 1 || got.Key[0] != "id" {
			t.Errorf("got capture %s by key %v, want warehouse by id", got.Capture, got.Key)
		}
		stop := d.load(4, func(writer, n int) string {
			return fmt.Sprintf(`insert into things values (%[1]d, 'x'); update things set name = 'y' where id = %[1]d; delete from things where id = %[1]d - 1`, 1000*writer+n+10)
		})
		for range 5 {
			other := newMirror(t, r.url, client.Options{})
			o := other.subscribe("public.things")
			other.live(o)
		}
		if stop() == 0 {
			t.Fatal("nobody wrote")
		}
		m.has(d, id, "things")
		must(t, server.Exec(d.ctx, d.name+"_service", `insert into things values (2, 'behind its back')`))
		d.exec(`update things set name = 'seen' where id = 1`)
		m.until("the change", func() bool { return strings.Contains(fmt.Sprint(count(m.Rows(id))), "seen") })
		if strings.Contains(fmt.Sprint(count(m.Rows(id))), "behind") {
			t.Error("a write that nobody captured arrived")
		}
		other := newMirror(t, r.url, client.Options{})
		o := other.subscribe("public.things")
		other.has(d, o, "things")
		if !slices.ContainsFunc(r.listed(), func(line string) bool { return strings.Contains(line, "isn't atomic with the remote write") }) {
			t.Error("the limits of the capture aren't said")
		}
	})
}

// TestRowTriggersOfTheApplication: a trigger for each row that writes to its own table, made after the table was enabled,
// has its changes captured before those of the statement that it fires in. Nobody is shown that order.
func TestRowTriggersOfTheApplication(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 18), `create table m (id bigint primary key, n int)`, "public.m")
	d.install("m")
	r := d.start()
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.m")
	m.live(id)
	d.exec(`create function again() returns trigger language plpgsql as 'begin update m set n = n + 10 where id = new.id and n < 10; return null; end';
		create trigger again after insert on m for each row execute function again()`)
	d.exec(`insert into m select i, i from generate_series(1, 5) i`)
	m.has(d, id, "m")
	if m.seen(wire.TypeResync) == nil {
		t.Error("want that the table is loaded anew")
	}
	d.exec(triggers.Enable(triggers.Table{Name: "m"}))
	m.has(d, id, "m")
	d.exec(`insert into m values (6, 6); insert into m values (7, 7)`)
	m.has(d, id, "m")
}

// TestSomeTablesByTrigger: a server without logical replication serves the tables that triggers capture, and is ready with
// them, though it has others that nobody has a rule for.
func TestSomeTablesByTrigger(t *testing.T) {
	server := pgserver.ForTest(t, pgserver.Config{Version: 15, Settings: map[string]string{"wal_level": "replica"}})
	d := newDatabase(t, server, people, "public.people")
	d.install("people", "web_socket_event_system_events.rules")
	r := d.start()
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.people")
	d.exec(`insert into people values (100, 'new')`)
	m.has(d, id, "people")
	d.allow("public.other")
	r.reason(t, "wal_level is replica")
}

// TestAttachedPartition: a table that is captured becomes a partition of one that is, and is captured once.
func TestAttachedPartition(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 18), `create table p (id bigint, k int, primary key (id, k)) partition by list (k);
		create table p1 partition of p for values in (1); create table spare (id bigint, k int, primary key (id, k))`, "public.p")
	d.install("p", "spare")
	r := d.start()
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.p")
	m.live(id)
	d.exec(`insert into p values (1, 1); insert into spare values (2, 2)`)
	d.exec(`alter table p attach partition spare for values in (2); insert into spare values (3, 2); insert into p values (4, 2)`)
	m.has(d, id, "p")
	d.exec(`update spare set id = 30 where id = 3; delete from spare where id = 2`)
	m.has(d, id, "p")
}
