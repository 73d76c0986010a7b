package attach_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/attach"
	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
)

const (
	profiles = `
create table users (id bigint primary key, owner text not null, body text);
create table keyless (n int);
create table notes (id bigint primary key, tenant bigint not null, body text);
create unique index notes_by_tenant on notes (tenant, id);
insert into users select n, 'o' || n % 3, repeat('x', 100) from generate_series(1, 100) n`
	orders = `
create table orders (id bigint, part int, customer text, primary key (id, part)) partition by list (part);
create table orders1 partition of orders for values in (1);
create table orders2 partition of orders for values in (2);
insert into orders values (1, 1, 'a'), (2, 2, 'b')`
)

// shop is a house with two services, whose rules read more than keys.
func shop(t *testing.T, version int) *house {
	h := newHouse(t, version, nil)
	h.database("profiles", profiles)
	h.database("orders", orders)
	h.warehouse(`create table local (id int primary key)`, "profiles", "orders")
	h.rule("own", "profiles.users", `owner = 'o1'`)
	h.rule("keyless", "profiles.keyless", "n > 1")
	h.rule("tenant", "profiles.notes", "tenant = 1")
	h.rule("customer", "orders.orders", "customer <> 'c'")
	h.rule("local", "public.local", "true")
	return h
}

var databases = []string{"profiles", "orders", "warehouse"}

func (h *house) dumps() map[string]string {
	all := map[string]string{}
	for _, d := range databases {
		all[d] = h.dump(d)
	}
	return all
}

func (h *house) sameDumps(want map[string]string) {
	h.t.Helper()
	for name, dump := range want {
		same(h.t, name, h.dump(name), dump)
	}
}

// serve runs a relay as its role until stop.
func (h *house) relay(role string) (url string, stop func()) {
	h.t.Helper()
	log := &strings.Builder{}
	var mu sync.Mutex
	s, err := serve.New(serve.Config{Warehouse: warehouse.Config{DSN: h.as(role, rolePassword)}, Listen: "127.0.0.1:0",
		Logger: zerolog.New(writer(func(b []byte) { mu.Lock(); defer mu.Unlock(); log.Write(b) }))})
	must(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the relay ended with %v", err)
		}
	})
	h.t.Cleanup(func() {
		stop()
		if h.t.Failed() {
			h.t.Log(log.String())
		}
	})
	ready, done := context.WithTimeout(h.ctx, patience)
	defer done()
	if err := s.Ready(ready); err != nil {
		h.t.Fatalf("the relay isn't ready: %q", s.Reasons())
	}
	return "ws://" + s.Addr().String() + wire.Path, stop
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// mirror subscribes to tables and returns how to wait for a number of rows of each.
func (h *house) mirror(url string, tables ...string) (rows func(table string, want int), stop func()) {
	h.t.Helper()
	m := client.NewMirror(client.Hooks{})
	ids := map[string]uint64{}
	for _, table := range tables {
		id, err := m.Subscribe(client.Subscription{Table: table})
		must(h.t, err)
		ids[table] = id
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, url, client.Options{Strict: true}, nil) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the mirror ended with %v", err)
		}
	})
	h.t.Cleanup(stop)
	return func(table string, want int) {
		h.t.Helper()
		ctx, cancel := context.WithTimeout(h.ctx, patience)
		defer cancel()
		if err := m.Await(ctx, func(m *client.Mirror) bool { return m.Live(ids[table]) && len(m.Rows(ids[table])) == want }); err != nil {
			h.t.Fatalf("%s: %d rows, want %d: %v; %+v", table, len(m.Rows(ids[table])), want, err, m.Status(ids[table]))
		}
	}, stop
}

// TestAttachServeDetach: after attach a role that owns nothing serves rows by rules over more than keys, from the slots that
// attach made; after detach everything is as it was.
func TestAttachServeDetach(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := shop(t, version)
		before := h.dumps()
		h.attach()
		h.told = nil
		if again := h.attach(); len(h.told) > 0 {
			t.Errorf("a second attach does %q", steps([]*attach.Plan{again[0].Plan, again[1].Plan, again[2].Plan}))
		}
		for _, part := range strings.SplitAfter(h.plan(), "-- =====") {
			if strings.Contains(part, " at ") && !strings.Contains(part, "nothing to do") {
				t.Errorf("after attach it prints\n%s", part)
			}
		}
		h.leastPrivileged()
		slots := h.value("postgres", `select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots`)
		if n := strings.Count(slots, "_1_live"); n != 3 {
			t.Errorf("slots after attach: %s", slots)
		}
		h.exec("profiles", `insert into users values (1001, 'o1', 'written between attach and serve')`)

		url, stop := h.relay("pgrelay")
		rows, leave := h.mirror(url, "profiles.users", "profiles.keyless", "profiles.notes", "orders.orders", "public.local")
		rows("profiles.users", 35)
		rows("orders.orders", 2)
		h.exec("profiles", `insert into users values (1002, 'o1', ''); update users set owner = 'o2' where id = 1001; update users set owner = 'o1' where id <= 2; delete from users where id = 4;
			insert into keyless values (1), (2), (3); update keyless set n = 1 where n = 2; insert into notes values (1, 1), (2, 2); update notes set tenant = 1 where id = 2`)
		h.exec("orders", `update orders set customer = 'c' where id = 1; insert into orders values (3, 2, 'd'), (4, 1, 'e')`)
		h.exec("warehouse", `insert into local values (1)`)
		rows("profiles.users", 35)
		rows("profiles.keyless", 1)
		rows("profiles.notes", 2)
		rows("orders.orders", 3)
		rows("public.local", 1)
		if now := h.value("postgres", `select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots where slot_name ~ '_live$'`); now != slots {
			t.Errorf("the relay's slots are %s, want those that attach made: %s", now, slots)
		}
		refusedWhileConnected(t, h)
		leave()
		stop()
		h.letGo()
		h.detach(func(c *attach.Config) { c.DropRole = true })
		h.sameDumps(before)
		if left := h.value("postgres", `select (select count(*) from pg_replication_slots) || ' slots, ' || (select count(*) from pg_roles where rolname = 'pgrelay') || ' roles'`); left != "0 slots, 0 roles" {
			t.Errorf("left: %s", left)
		}
		h.told = nil
		if h.detach(); len(h.told) > 0 {
			t.Errorf("a second detach does something: %+v", h.told)
		}
		h.sameDumps(before)
	})
}

// leastPrivileged: the role owns nothing, and may do no more than it needs.
func (h *house) leastPrivileged() {
	h.t.Helper()
	for _, d := range databases {
		h.leastPrivilegedIn(d)
	}
}

func (h *house) leastPrivilegedIn(database string) {
	h.t.Helper()
	got := h.value(database, `select concat_ws(' ', rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication, rolcanlogin,
		(select count(*) from pg_class where relowner = r.oid), (select count(*) from pg_shdepend where refobjid = r.oid and deptype = 'o' and classid <> 'pg_user_mapping'::regclass),
		(select count(*) from pg_class c where relkind in ('r', 'p') and c.oid >= 16384 and has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')),
		has_database_privilege(r.oid, current_database(), 'CREATE')) from pg_roles r where rolname = 'pgrelay'`)
	if want := "f f f f t t 0 0 0 f"; got != want {
		h.t.Errorf("%s: the role is %s, want %s", database, got, want)
	}
}

// letGo waits until the server has noticed that the relay's sessions have ended.
func (h *house) letGo() {
	h.t.Helper()
	await(h.t, func() (string, bool) {
		n := h.value("postgres", `select count(*)::text from pg_stat_activity where application_name = 'pgrelay'`)
		return n + " sessions of the relay to end", n == "0"
	})
}

// refusedWhileConnected: detach changes nothing under a relay, and names its process.
func refusedWhileConnected(t *testing.T, h *house) {
	t.Helper()
	pids := h.value("postgres", `select string_agg(pid::text, ' ') from (select active_pid as pid from pg_replication_slots union select pid from pg_locks where locktype = 'advisory' and granted) p`)
	before := h.dumps()
	outcomes, err := attach.ApplyDetach(h.ctx, h.config(), h.tell)
	must(t, err)
	for _, o := range outcomes {
		var p *relay.Problem
		if !errors.As(o.Err, &p) || !strings.Contains(p.Remedy, "--force") || len(o.Done) > 0 {
			t.Errorf("%s: got %v, done %q", o.Name, o.Err, o.Done)
			continue
		}
		named := false
		for pid := range strings.FieldsSeq(pids) {
			named = named || strings.Contains(p.What, "process "+pid+" of role pgrelay (pgrelay)")
		}
		if !named {
			t.Errorf("%s: %q names none of the processes %s", o.Name, p.What, pids)
		}
	}
	h.sameDumps(before)
}

// TestDetachForce ends the relay's connections and takes everything back from under it.
func TestDetachForce(t *testing.T) {
	h := shop(t, 18)
	before := h.dumps()
	h.attach()
	_, stop := h.relay("pgrelay")
	h.detach(func(c *attach.Config) { c.Force = true })
	stop()
	h.sameDumps(before)
}

// TestPooler: through PgBouncer nothing is made, since a lock_timeout would be lost in it.
func TestPooler(t *testing.T) {
	h := shop(t, 18)
	through := h.config(func(c *attach.Config) { c.Warehouse.DSN = pgserver.PoolerForTest(t, c.Warehouse.DSN) })
	_, attached := attach.Attach(h.ctx, through)
	_, applied := attach.ApplyAttach(h.ctx, through, nil)
	_, detached := attach.Detach(h.ctx, through)
	for name, err := range map[string]error{"attach": attached, "attach --apply": applied, "detach": detached} {
		if err == nil || !strings.Contains(err.Error(), "there is a pooler at 127.0.0.1") || !strings.Contains(relay.Remedy(err), "name the server itself") {
			t.Errorf("%s: got %v, remedy %q", name, err, relay.Remedy(err))
		}
	}
}

// TestOddNames: names with quotes, of other scripts, of 63 bytes, with line breaks and keywords.
func TestOddNames(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		names := []string{`Weird "Name"`, "größer – 表", strings.Repeat("x", 63), "table", "it's $1; drop", "two\nlines", `back\slash`, "%s %d"}
		var script strings.Builder
		for i, n := range names {
			q := pgx.Identifier{n}.Sanitize()
			fmt.Fprintf(&script, "create schema %[1]s; create table %[1]s.%[1]s (%[1]s int primary key, %[2]s text, unique (%[1]s, %[2]s)); create table %[1]s.k (%[1]s int);", q, pgx.Identifier{"other " + n[:min(len(n), 20)]}.Sanitize())
			_ = i
		}
		h.warehouse(script.String())
		for i, n := range names {
			h.rule(fmt.Sprint("a", i), n+"."+n, pgx.Identifier{"other " + n[:min(len(n), 20)]}.Sanitize()+" = 'x'")
			if !strings.Contains(n, "\n") {
				h.rule(fmt.Sprint("b", i), n+".k", "true")
			}
		}
		role := `the "relay's" rôle`
		h.exec("warehouse", "create role "+pgx.Identifier{role}.Sanitize()+" login password "+literal(rolePassword))
		before := h.dump("warehouse")
		odd := func(c *attach.Config) { c.Role = role; c.Warehouse.Publication = `Odd "publication"` }
		h.attach(odd)
		if full := h.value("warehouse", `select count(*)::text from pg_class where relreplident = 'f'`); full != fmt.Sprint(2*len(names)-1) {
			t.Errorf("%s tables are FULL", full)
		}
		h.detach(odd)
		same(t, "warehouse", h.dump("warehouse"), before)
		if n := h.value("warehouse", `select count(*)::text from pg_roles where rolname = $1 and not rolreplication`, role); n != "1" {
			t.Error("the role isn't as it was")
		}
	})
}

// TestHardened: where nobody may do anything by default, the role gets what it needs, and with it a relay serves; then it is
// taken back.
func TestHardened(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		hard := `revoke all on database %s from public; revoke all on schema public from public;
			revoke execute on function pg_control_system(), pg_current_snapshot(), pg_logical_emit_message(boolean, text, text), pg_current_wal_insert_lsn(), pg_copy_logical_replication_slot(name, name, boolean) from public`
		if version >= 17 {
			hard = strings.Replace(hard, "text, text)", "text, text, boolean)", 1)
		}
		h.database("profiles", `create table users (id int primary key, owner text); insert into users values (1, 'o1'), (2, 'o2'); alter table users enable row level security;
			create policy none on users using (false);`+fmt.Sprintf(hard, "profiles"))
		h.warehouse(fmt.Sprintf(hard, "warehouse")+`; revoke all on web_socket_event_system_events.rules from public; revoke all on schema web_socket_event_system_events from public`, "profiles")
		h.rule("own", "profiles.users", "owner = 'o1'")
		before := map[string]string{"profiles": h.dump("profiles"), "warehouse": h.dump("warehouse")}
		h.attach()
		url, stop := h.relay("pgrelay")
		rows, leave := h.mirror(url, "profiles.users")
		rows("profiles.users", 1)
		h.exec("profiles", `update users set owner = 'o1'`)
		rows("profiles.users", 2)
		leave()
		stop()
		h.letGo()
		h.detach(func(c *attach.Config) { c.DropRole = true })
		h.sameDumps(before)
	})
}
