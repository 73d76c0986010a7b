package serve_test

import (
	"fmt"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
)

// service makes the database s a foreign server of the warehouse d, its table items included as <server>.items.
func (d *database) service(s *database, server string) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`create extension if not exists postgres_fdw; create schema %[1]s;
		create server %[1]s foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[2]d', dbname '%[3]s');
		create user mapping for current_user server %[1]s options (user '%[4]s', password '%[5]s');
		create foreign table %[1]s.items (id bigint, n int, note text) server %[1]s options (schema_name 'public', table_name 'items')`,
		server, s.server.Port(), s.name, s.server.Superuser(), s.server.Password()))
}

// TestRulesUnheard: when the rules can't be heard for longer than the option says, nothing is served by them any more;
// when they are heard again, clients go on where they were.
func TestRulesUnheard(t *testing.T) {
	t.Parallel()
	system := pgserver.ForTest(t, pgserver.Config{Version: 15})
	s := newDatabase(t, system, items)
	d := newDatabase(t, sharedServer(t, 18), items)
	d.exec(`drop schema web_socket_event_system_events cascade`)
	d.service(s, "system")
	d.exec(`create schema web_socket_event_system_events; create type web_socket_event_system_events.event_label as enum ('update_user_profile');
		import foreign schema web_socket_event_system_events from server system into web_socket_event_system_events`)
	s.allow("public.items")
	r := d.start(func(c *serve.Config) { c.RulesTimeout = 2 * time.Second })
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.items")
	m.live(id)
	must(t, system.Stop(d.ctx, pgserver.Fast))
	began := time.Now()
	m.phase(id, client.Waiting, "unavailable")
	if took := time.Since(began); took < 1500*time.Millisecond || took > 10*time.Second {
		t.Errorf("waiting after %s", took)
	}
	r.reason(t, "rules: edits are not being heard")
	d.exec(`update items set n = 3 where id < 100`)
	must(t, system.Start(d.ctx))
	m.has(d, id, "items")
	if st := m.Stats(); st.Resumed != 1 || st.Snapshots != 1 {
		t.Errorf("want one snapshot and one resume: %+v", st)
	}
	// A rule that went while nobody heard it is not in force afterwards.
	must(t, system.Stop(d.ctx, pgserver.Fast))
	m.phase(id, client.Waiting, "unavailable")
	r.stop()
	must(t, system.Start(d.ctx))
	s.exec(`delete from web_socket_event_system_events.rules`)
	d.exec(`update items set n = 4 where id < 100`)
	d.start(at(r))
	m.phase(id, client.Waiting, "not_found")
}

// TestSnapshotTimeout: a snapshot that takes too long ends its subscriptions, and no others.
func TestSnapshotTimeout(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.heap")
	r := d.start(func(c *serve.Config) { c.Capture.SnapshotTimeout = 500 * time.Millisecond })
	m := newMirror(t, r.url, client.Options{})
	bag := m.subscribe("public.heap")
	m.live(bag)
	conn := d.connect()
	_, err := conn.Exec(d.ctx, `begin; lock table items in access exclusive mode`)
	must(t, err)
	id := m.subscribe("public.items")
	m.phase(id, client.Closed, "")
	if s := m.Status(id); s.Code != "limit" {
		t.Errorf("got %+v, want the code limit", s)
	}
	d.exec(`insert into heap values (1, 'meanwhile')`)
	m.has(d, bag, "heap")
	_, err = conn.Exec(d.ctx, `rollback`)
	must(t, err)
	m.has(d, m.subscribe("public.items"), "items")
}

// rollBackPrepared ends what a test that failed has left prepared, which no other's slot would get past.
func (d *database) rollBackPrepared() {
	var left []string
	d.scan(`select coalesce(array_agg(gid), '{}') from pg_prepared_xacts where database = current_database()`, &left)
	for _, gid := range left {
		d.exec(`rollback prepared '` + gid + `'`)
	}
}

// TestPrepared: a prepared transaction is there once it is committed, by the stream or by the snapshot.
func TestPrepared(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), items, "public.items")
		c.take(d, "items")
		t.Cleanup(d.rollBackPrepared)
		d.exec(fmt.Sprintf(`begin; update items set n = 1 where id = 1; prepare transaction '%s before'`, d.name))
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		r.reason(t, "waits for prepared transaction", d.name+" before")
		d.exec(fmt.Sprintf(`commit prepared '%s before'`, d.name))
		m.has(d, id, "items")
		d.exec(fmt.Sprintf(`begin; update items set n = 2 where id = 2; savepoint a; delete from items where id = 3; rollback to a; prepare transaction '%s under'`, d.name))
		n := newMirror(t, r.url, client.Options{})
		columns := n.subscribe("public.items")
		n.live(columns)
		d.exec(fmt.Sprintf(`update items set n = 5 where id = 5; begin; delete from items where id = 4; prepare transaction '%s gone'`, d.name))
		d.exec(fmt.Sprintf(`commit prepared '%s under'`, d.name))
		d.exec(fmt.Sprintf(`rollback prepared '%s gone'`, d.name))
		m.has(d, id, "items")
		n.has(d, columns, "items")
	}, logical15, logical18, trigger18)
}

// TestWarehouseChanges: foreign tables and whole services come, change and go while the relay runs.
func TestWarehouseChanges(t *testing.T) {
	t.Parallel()
	a := newDatabase(t, sharedServer(t, 15), items)
	b := newDatabase(t, sharedServer(t, 18), items+`; update items set note = 'of the other'`)
	d := newDatabase(t, sharedServer(t, 15), `create table own (id int primary key); insert into own values (1)`, "public.own", "svc.items", "svc.renamed", "more.items")
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	own, svc, more, renamed := m.subscribe("public.own"), m.subscribe("svc.items"), m.subscribe("more.items"), m.subscribe("svc.renamed")
	m.live(own)
	m.phase(svc, client.Waiting, "not_found")
	d.service(a, "svc")
	m.has(a, svc, "items")
	d.service(b, "more")
	m.has(b, more, "items")
	a.exec(`update items set n = n + 1`)
	b.exec(`delete from items where id > 100`)
	m.has(a, svc, "items")
	m.has(b, more, "items")
	// A foreign column's name is what clients see.
	d.exec(`create foreign table svc.renamed (key bigint options (column_name 'id'), n int) server svc options (schema_name 'public', table_name 'items')`)
	m.live(renamed)
	if s := m.Status(renamed); len(s.Key) != 1 || s.Key[0] != "key" || len(s.Columns) != 2 || s.Server != "svc" {
		t.Errorf("got %+v", s)
	}
	if n := len(m.Rows(renamed)); n != 500 {
		t.Errorf("%d rows of svc.renamed, want 500", n)
	}
	// A service that moves: another database under the same name.
	d.exec(fmt.Sprintf(`alter server svc options (set port '%d', set dbname '%s')`, b.server.Port(), b.name))
	d.exec(fmt.Sprintf(`alter user mapping for current_user server svc options (set password '%s')`, b.server.Password()))
	m.has(b, svc, "items")
	d.exec(`drop foreign table svc.items`)
	m.phase(svc, client.Waiting, "not_found")
	d.exec(`drop server more cascade`)
	m.phase(more, client.Waiting, "not_found")
	m.live(renamed)
	if s := m.Status(own); s.Lives != 1 {
		t.Errorf("the warehouse's own table started over: %+v", s)
	}
}

// TestOddNames: names that need quotes, and names that look like something else.
func TestOddNames(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), `
		create schema "My ""Schema"; create table "My ""Schema"."a.b c" ("Key" int primary key, "select" text, "ä""" int, "json""x" text);
		insert into "My ""Schema"."a.b c" values (1, 'x', 2, E'\u2028\t"\\');
		create table "Rules" (id int primary key)`)
	d.exec(`insert into ` + rules + ` (name, relation, roles) values ('odd', 'My "Schema.a.b c', '{anon}'), ('upper', 'public.Rules', '{anon}')`)
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	id, upper, lower := m.subscribe(`My "Schema.a.b c`), m.subscribe("public.Rules"), m.subscribe("public.rules")
	m.live(id, upper)
	m.phase(lower, client.Waiting, "not_found")
	d.exec(`update "My ""Schema"."a.b c" set "Key" = 2, "select" = '</script>'; insert into "My ""Schema"."a.b c" values (3)`)
	m.until("both rows", func() bool { return len(m.Rows(id)) == 2 })
	m.has(d, id, `"My ""Schema"."a.b c"`)
}
