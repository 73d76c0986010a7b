package serve_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
)

// remedy waits for a reason with all of the texts, and looks that neither it nor the log holds the password.
func (r *relay) remedy(t *testing.T, password string, texts ...string) {
	t.Helper()
	t.Log(r.reason(t, texts...))
	if password != "" && (strings.Contains(r.log.String(), password) || strings.Contains(strings.Join(r.Reasons(), " "), password)) {
		t.Error("the password is in a reason or the log")
	}
}

// as is the database's DSN for another role.
func (d *database) as(user, password string) string {
	u, err := url.Parse(d.dsn())
	must(d.t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

// TestWarehouseUnreachable: what is wrong with a DSN is said in one line, and the relay waits for it to become right.
func TestWarehouseUnreachable(t *testing.T) {
	server := pgserver.ForTest(t, pgserver.Config{Version: 15})
	d := newDatabase(t, server, items, "public.items")
	for name, c := range map[string]struct {
		dsn  string
		want []string
	}{
		"password": {d.as("postgres", "wrong-Password-1"), []string{"password authentication failed", "check user and password in the DSN"}},
		"role":     {d.as("nobody", "wrong-Password-1"), []string{`"nobody"`, "check user and password in the DSN"}},
		"database": {strings.Replace(d.dsn(), "/"+d.name, "/nowhere", 1), []string{`"nowhere"`, "check the database's name"}},
		"port":     {strings.Replace(d.dsn(), fmt.Sprint(":", server.Port()), ":1", 1), []string{"refused", "check host and port"}},
		"host":     {"postgres://postgres@nowhere.invalid/x", []string{"nowhere.invalid", "check host and port"}},
		"form":     {"postgres://a:wrong-Password-1@[bad", []string{"DSN", "postgres://user:password@host:5432/database"}},
	} {
		t.Run(name, func(t *testing.T) { start(t, c.dsn).remedy(t, "wrong-Password-1", c.want...) })
	}
	must(t, server.Stop(d.ctx, pgserver.Fast))
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.items")
	r.remedy(t, server.Password(), "refused", "check host and port")
	m.phase(id, client.Waiting, "unavailable")
	must(t, server.Start(d.ctx))
	m.has(d, id, "items")
}

// TestConditions: what keeps a server from being a source is named with what mends it, and mending it is all that it takes.
func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string
	}{
		"wal_level":        {map[string]string{"wal_level": "replica", "max_wal_senders": "5"}, []string{"wal_level is replica", "alter system set wal_level = logical;"}},
		"too few slots":    {map[string]string{"max_replication_slots": "2"}, []string{"2 of 2 replication slots", "alter system set max_replication_slots = "}},
		"no senders":       {map[string]string{"max_wal_senders": "0"}, []string{"max_wal_senders is 0", "alter system set max_wal_senders = 10;"}},
		"synchronous to *": {map[string]string{"synchronous_standby_names": "*", "synchronous_commit": "local"}, []string{"synchronous_standby_names", "alter system set"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgserver.ForTest(t, pgserver.Config{Version: 15, Settings: c.settings})
			d := newDatabase(t, server, items, "public.items")
			r := d.start()
			m := newMirror(t, r.url, client.Options{})
			id := m.subscribe("public.items")
			r.remedy(t, server.Password(), c.want...)
			if phase := m.Status(id).Phase; phase != client.Waiting && phase != client.Asked {
				t.Errorf("the subscription is %s", phase)
			}
			for setting := range c.settings {
				// pgserver's own file comes before postgresql.auto.conf.
				d.exec(fmt.Sprintf(`alter system set %s = '%s'`, setting, map[string]string{"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "20", "synchronous_commit": "on"}[setting]))
			}
			must(t, server.Restart(d.ctx))
			m.has(d, id, "items")
		})
	}
}

// TestPrivileges: each privilege that a role lacks is named with the statement that grants it; running what is printed,
// one after the other, ends with rows.
func TestPrivileges(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items")
	role := "poor_" + d.name
	d.exec(fmt.Sprintf(`create role %s login password 'poor-Password-1'`, role))
	r := start(t, d.as(role, "poor-Password-1"))
	r.remedy(t, "poor-Password-1", "has no REPLICATION", "alter role "+role+" replication;")
	d.exec(fmt.Sprintf(`alter role %s replication`, role))
	r.remedy(t, "poor-Password-1", "may not create publication", "create publication")
	d.exec(fmt.Sprintf(`grant create on database %s to %s`, d.name, role))
	m := newMirror(t, r.url, client.Options{})
	id := m.subscribe("public.items")
	await(t, func() (string, bool) {
		text := strings.Join(r.listed(), "\n")
		return "the grant in the listing:\n" + text, strings.Contains(text, fmt.Sprintf("grant select on table public.items to %s;", role))
	})
	d.exec(fmt.Sprintf(`grant select on table public.items to %s`, role))
	await(t, func() (string, bool) {
		text := strings.Join(r.listed(), "\n")
		return "the statement in the listing:\n" + text, strings.Contains(text, "alter publication pgrelay add table only public.items;")
	})
	if m.Live(id) {
		t.Error("a table that is not in the publication is live")
	}
	for _, table := range []string{"public.items", "web_socket_event_system_events.rules"} {
		d.exec(fmt.Sprintf(`alter publication pgrelay add table only %s`, table))
	}
	m.has(d, id, "items")
}

// TestSlotInUse: a second relay on the same database says so, leaves the first alone, and takes over when that ends.
func TestSlotInUse(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items")
	first := d.start()
	m := newMirror(t, first.url, client.Options{})
	id := m.subscribe("public.items")
	m.live(id)
	second := d.start()
	second.remedy(t, d.server.Password(), "in use by process")
	d.exec(`update items set n = 1 where id = 1`)
	m.has(d, id, "items")
	if s := m.Status(id); s.Lives != 1 {
		t.Errorf("the first relay was disturbed: %+v", s)
	}
	first.stop()
	second.ready(t)
	n := newMirror(t, second.url, client.Options{})
	n.has(d, n.subscribe("public.items"), "items")
}

// TestTwoRelays: two relays with publications of their own share a database.
func TestTwoRelays(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), items, "public.items")
	name := func(name string) func(*serve.Config) {
		return func(c *serve.Config) { c.Capture.Publication = name }
	}
	first := d.start(name("one"))
	m := newMirror(t, first.url, client.Options{})
	id := m.subscribe("public.items")
	m.live(id)
	d.counted(`select count(*)::text from pg_replication_slots where database = current_database() and slot_name like '%anchor%'`, 1)
	second := d.start(name("two"))
	second.ready(t)
	n := newMirror(t, second.url, client.Options{})
	other := n.subscribe("public.items")
	n.live(other)
	d.exec(`update items set n = 1 where id = 1`)
	first.stop()
	d.exec(`update items set n = 2 where id = 2`)
	d.start(name("one"), at(first))
	m.has(d, id, "items")
	n.has(d, other, "items")
	if s := m.Stats(); s.Resumed != 1 || s.Refused != 0 {
		t.Errorf("the first relay's clients didn't resume: %+v", s)
	}
}

// TestSlotLost: a server that gave up the relay's WAL is followed from a new slot; clients start over.
func TestSlotLost(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Parallel()
		server := pgserver.ForTest(t, pgserver.Config{Version: version, Settings: map[string]string{"max_slot_wal_keep_size": "16MB", "max_wal_size": "48MB", "min_wal_size": "32MB"}})
		d := newDatabase(t, server, items, "public.items")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		m.live(id)
		d.counted(`select count(*)::text from pg_replication_slots where slot_name like '%anchor%'`, 1)
		r.stop()
		d.exec(`create table filler (line text)`)
		for d.value(`select count(*)::text from pg_replication_slots where wal_status = 'lost'`) != "2" {
			d.exec(`insert into filler select repeat('x', 1000) from generate_series(1, 16000)`)
			d.exec(`select pg_switch_wal()`)
			d.exec(`checkpoint`)
		}
		d.exec(`drop table filler; update items set n = 5 where id < 100`)
		r = d.start(at(r))
		m.has(d, id, "items")
		if s := m.Stats(); s.Snapshots != 2 || s.Resumed != 0 {
			t.Errorf("want a second snapshot: %+v", s)
		}
		if got := d.value(`select count(*)::text from pg_replication_slots where wal_status = 'lost'`); got != "0" {
			t.Errorf("%s lost slots stay", got)
		}
		if !strings.Contains(r.log.String(), "max_slot_wal_keep_size") {
			t.Error("the log doesn't say what keeps slots from being lost")
		}
	})
}

// TestSourceUnreachable: a service that is down at the start is named, its tables wait, the others are live, and it comes
// by itself; and so after it went and came again.
func TestSourceUnreachable(t *testing.T) {
	t.Parallel() // the relay tries again after seconds
	service := pgserver.ForTest(t, pgserver.Config{Version: 15})
	s := newDatabase(t, service, items)
	d := newDatabase(t, sharedServer(t, 18), `create table own (id int primary key); insert into own values (1)`, "public.own", "far.items")
	d.exec(fmt.Sprintf(`create extension postgres_fdw; create schema far;
		create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%d', dbname '%s');
		create user mapping for current_user server distant options (user '%s', password '%s');
		create foreign table far.items (id bigint, n int, note text) server distant options (schema_name 'public', table_name 'items')`,
		service.Port(), s.name, service.Superuser(), service.Password()))
	must(t, service.Stop(d.ctx, pgserver.Fast))
	r := d.start()
	m := newMirror(t, r.url, client.Options{})
	far, own := m.subscribe("far.items"), m.subscribe("public.own")
	m.live(own)
	m.phase(far, client.Waiting, "unavailable")
	r.remedy(t, service.Password(), "distant", "map it in pgrelay.yaml")
	must(t, service.Start(d.ctx))
	m.has(s, far, "items")
	r.ready(t)
	must(t, service.Stop(d.ctx, pgserver.Fast))
	d.exec(`insert into own values (2)`)
	m.has(d, own, "own")
	m.phase(far, client.Waiting, "unavailable")
	if n := len(m.Rows(far)); n != 500 {
		t.Errorf("%d rows stay while their source is away, want 500", n)
	}
	must(t, service.Start(d.ctx))
	s.exec(`update items set n = 9 where id < 50`)
	m.has(s, far, "items")
	if st := m.Stats(); st.Resumed != 1 || m.Status(own).Lives != 1 {
		t.Errorf("after the source came again: %+v", st)
	}
}
