package attach_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/attach"
	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// undone are the texts of all plans' notes of what the relay lacks, each with its remedy.
func undone(plans []*attach.Plan) (texts []string) {
	for _, p := range plans {
		for _, n := range p.Undone() {
			texts = append(texts, n.Text+"\n"+n.Remedy)
		}
	}
	return texts
}

// TestFullNotWhereItBreaks: FULL is never proposed where the application's own writes would fail, and is where they don't.
func TestFullNotWhereItBreaks(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		virtual := "stored"
		if version >= 18 {
			virtual = "virtual"
		}
		h.warehouse(fmt.Sprintf(`create table generated (id int primary key, owner text, twice int generated always as (id * 2) %s);
			create table stored (id int primary key, owner text, twice int generated always as (id * 2) stored);
			insert into generated values (1); insert into stored values (1)`, virtual))
		h.rule("generated", "public.generated", "owner = 'x'")
		h.rule("stored", "public.stored", "owner = 'x'")
		plans, err := attach.Attach(h.ctx, h.config())
		must(t, err)
		got := strings.Join(steps(plans), "\n")
		for name, want := range map[string]bool{"generated": version < 18, "stored": true} {
			if is := strings.Contains(got, "replica identity full of public."+name); is != want {
				t.Errorf("%s gets FULL: %v, want %v", name, is, want)
			}
		}
		if left := undone(plans); (len(left) == 1 && strings.Contains(left[0], "public.generated") && strings.Contains(left[0], "--capture trigger --table public.generated")) != (version >= 18) {
			t.Errorf("left to do: %q", left)
		}
		_, err = attach.ApplyAttach(h.ctx, h.config(), h.tell)
		must(t, err)
		h.exec("warehouse", `update generated set owner = 'y'; update stored set owner = 'y'; delete from generated; delete from stored`)

		// Published without its generated columns, the other one's writes would fail on 18, too.
		h.exec("warehouse", `drop publication pgrelay; create publication pgrelay; alter table stored replica identity default`)
		plans, err = attach.Attach(h.ctx, h.config())
		must(t, err)
		if is := strings.Contains(strings.Join(steps(plans), "\n"), "replica identity full of public.stored"); is != (version < 18) {
			t.Errorf("under a publication without generated columns stored gets FULL: %v", is)
		}
	})
}

// TestTriggers: tables go from one way of capture to the other and back, and nothing of it stays.
func TestTriggers(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := shop(t, version)
		before := h.dumps()
		trigger := func(tables ...string) func(*attach.Config) {
			return func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureTrigger, tables }
		}
		h.attach()
		h.attach(trigger("profiles.users", "orders.orders", "profiles.keyless"))
		captured := func(database string) string {
			return h.value(database, `select coalesce((select string_agg(relation::regclass::text, ' ' order by 1) from relay.captured), '') || ' | ' ||
				(select string_agg(prrelid::regclass::text, ' ' order by prrelid::regclass::text) from pg_publication_rel)`)
		}
		if got, want := captured("profiles"), "users keyless | notes"; got != want && got != "keyless users | notes" {
			t.Errorf("captured by triggers | published: %s, want %s", got, want)
		}
		if n := h.value("orders", `select count(*)::text from pg_replication_slots where database = current_database()`); n != "0" {
			t.Errorf("%s slots are left where nothing is captured logically any more", n)
		}
		conn, err := pgx.Connect(h.ctx, strings.Replace(h.as("pgrelay", rolePassword), "/warehouse", "/profiles", 1))
		must(t, err)
		_, err = conn.Exec(h.ctx, `select * from relay.status(); select * from relay.outbox`, pgx.QueryExecModeSimpleProtocol)
		must(t, err)
		must(t, conn.Close(h.ctx))
		url, stop := h.relay("pgrelay")
		rows, leave := h.mirror(url, "profiles.users", "profiles.keyless", "profiles.notes", "orders.orders")
		rows("profiles.users", 34)
		h.exec("profiles", `insert into users values (1001, 'o1', ''); update users set owner = 'o2' where id = 1; insert into keyless values (2), (3), (1); update keyless set n = 0 where n = 3; insert into notes values (1, 1)`)
		h.exec("orders", `update orders set customer = 'c' where id = 1`)
		rows("profiles.users", 34)
		rows("profiles.keyless", 1)
		rows("profiles.notes", 1)
		rows("orders.orders", 1)
		refusedWhileConnected(t, h)
		leave()
		stop()
		h.letGo()
		h.told = nil
		if h.attach(trigger("profiles.users", "orders.orders", "profiles.keyless")); len(h.told) > 0 {
			t.Errorf("again does %+v", h.told)
		}
		if h.attach(); len(h.told) > 0 {
			t.Errorf("without a way of capture it does %+v", h.told)
		}
		h.attach(func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureLogical, []string{"profiles.users"} })
		if got, want := captured("profiles"), "keyless | notes users"; got != want {
			t.Errorf("captured by triggers | published: %s, want %s", got, want)
		}
		h.detach(func(c *attach.Config) { c.DropRole = true })
		h.sameDumps(before)

		// By triggers alone there is neither publication nor slot, and no table's identity changes.
		h.attach(trigger())
		if got := h.value("profiles", `select (select count(*) from pg_publication) || ' ' || (select count(*) from pg_replication_slots) || ' ' || (select count(*) from pg_class where relreplident = 'f')
			|| ' ' || (select rolreplication from pg_roles where rolname = 'pgrelay')`); got != "0 0 0 false" {
			t.Errorf("publications, slots, FULL, REPLICATION: %s", got)
		}
		h.detach(func(c *attach.Config) { c.DropRole = true })
		h.sameDumps(before)
	})
}

// TestSettings: what needs a restart is said and not done; the rest is, and after the restart only the slot is left.
func TestSettings(t *testing.T) {
	h := newHouse(t, 15, map[string]string{"wal_level": "replica", "max_replication_slots": "3"})
	h.warehouse(`create table local (id int primary key)`)
	outcomes, err := attach.ApplyAttach(h.ctx, h.config(), h.tell)
	must(t, err)
	o := outcomes[0]
	text := strings.Join(undone([]*attach.Plan{o.Plan}), "\n")
	for _, want := range []string{"wal_level = logical;", "max_replication_slots = 4;", "slot isn't made before that"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	if o.OK() || o.Err != nil || len(o.Done) < 5 {
		t.Errorf("done %q, %v", o.Done, o.Err)
	}
	h.exec("postgres", `alter system set wal_level = logical`)
	h.exec("postgres", `alter system set max_replication_slots = 10`)
	must(t, h.server.Stop(h.ctx, pgserver.Fast))
	must(t, h.server.Start(h.ctx))
	if done := h.attach()[0].Done; !slices.Equal(done, []string{"replication slot"}) {
		t.Errorf("after the restart it does %q", done)
	}
}

// TestNotKnown: what was there before, or was changed since, is left and said.
func TestNotKnown(t *testing.T) {
	h := newHouse(t, 15, nil)
	h.warehouse(`create table mine (id int primary key, owner text); alter table mine replica identity full;
		create table changed (id int primary key, owner text not null, unique (id, owner)); create table indexed (id int primary key, owner text, n int not null unique);
		alter table indexed replica identity using index indexed_n_key; create table gone (id int primary key, owner text);
		create role pgrelay login noreplication; grant select on mine to pgrelay`)
	for _, table := range []string{"mine", "changed", "indexed", "gone"} {
		h.rule(table, "public."+table, "owner = 'x'")
	}
	h.attach()
	h.exec("warehouse", `alter table changed replica identity nothing; drop table gone`)
	outcomes := h.detach()
	var notes []string
	for _, n := range outcomes[0].Notes {
		notes = append(notes, n.Text)
	}
	for _, want := range []string{"replica identity full of public.mine is left", "identity of public.changed is left: it was changed since", "role pgrelay is left"} {
		if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("%q isn't in %q", want, notes)
		}
	}
	got := h.value("warehouse", `select string_agg(relname || relreplident::text, ' ' order by relname) || ' ' || (select rolreplication from pg_roles where rolname = 'pgrelay') || ' ' ||
		(select string_agg(relname, ' ') from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and has_table_privilege('pgrelay', oid, 'SELECT'))
		from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`)
	if want := "changedn indexedi minef false mine"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestSomebodysSchema: a schema relay that isn't pgrelay's is neither used nor dropped.
func TestSomebodysSchema(t *testing.T) {
	h := newHouse(t, 15, nil)
	h.warehouse(`create table local (id int primary key); create schema relay; create table relay.races (id int primary key)`)
	before := h.dump("warehouse")
	outcomes, err := attach.ApplyAttach(h.ctx, h.config(), h.tell)
	must(t, err)
	if err := outcomes[0].Err; err == nil || !strings.Contains(err.Error(), "relay.races") {
		t.Errorf("attach: got %v", err)
	}
	h.detach()
	same(t, "warehouse", h.dump("warehouse"), before)
	h.exec("warehouse", `drop table relay.races; create function relay.lap() returns int language sql as 'select 1'`)
	if plan := h.plan(); !strings.Contains(plan, "relay.lap()") {
		t.Errorf("with a function in it:\n%s", plan)
	}
	h.exec("warehouse", `drop function relay.lap()`)
	h.attach()
	h.exec("warehouse", `create table relay.races (id int primary key)`)
	h.detach()
	same(t, "warehouse", h.dump("warehouse"), before)
}

// TestPrintedScript: what is printed does the same when psql runs it, and what detach prints takes it back.
func TestPrintedScript(t *testing.T) {
	psql, err := pgserver.Tool("psql")
	must(t, err)
	versions(t, func(t *testing.T, version int) {
		h := shop(t, version)
		before := h.dumps()
		run := func(plans []*attach.Plan, err error) {
			t.Helper()
			must(t, err)
			for _, p := range plans {
				var b strings.Builder
				must(t, p.Print(&b))
				script := strings.ReplaceAll(b.String(), "'…'", literal(rolePassword))
				_, database, _ := strings.Cut(p.Address, "/")
				cmd := exec.CommandContext(h.ctx, psql, "--no-psqlrc", "--quiet", "--dbname="+h.server.DSN(database))
				cmd.Dir, cmd.Stdin = "../..", strings.NewReader(script)
				if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "ERROR") {
					t.Fatalf("%s: %v\n%s\n%s", p.Name, err, out, script)
				}
			}
		}
		both := func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureTrigger, []string{"profiles.users"} }
		run(attach.Attach(h.ctx, h.config()))
		run(attach.Attach(h.ctx, h.config(both)))
		if h.attach(); len(h.told) > 0 {
			t.Errorf("after the script attach does %+v", h.told)
		}
		url, stop := h.relay("pgrelay")
		rows, leave := h.mirror(url, "orders.orders", "profiles.notes")
		h.exec("orders", `insert into orders values (7, 1, 'x')`)
		rows("orders.orders", 3)
		leave()
		stop()
		h.letGo()
		run(attach.Detach(h.ctx, h.config(func(c *attach.Config) { c.DropRole = true })))
		h.sameDumps(before)
	})
}

// TestDistant: a foreign table whose database can't be reached is captured in the warehouse, once its key is named.
func TestDistant(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		h.warehouse(`create schema distant; create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
			create user mapping for current_user server distant options (user 'x', password 'of-distant');
			create foreign table distant.things (id int, note text) server distant`)
		before := h.dump("warehouse")
		change := func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureTrigger, []string{"distant.things"} }
		plans, err := attach.Attach(h.ctx, h.config(change))
		must(t, err)
		if left := undone(plans); len(left) != 1 || !strings.Contains(left[0], "--key distant.things=COLUMN") {
			t.Errorf("without a key: %q", left)
		}
		key := func(c *attach.Config) { change(c); c.Keys = map[string][]string{"distant.things": {"id"}} }
		h.attach(key)
		h.told = nil
		if h.attach(key); len(h.told) > 0 {
			t.Errorf("again does %+v", h.told)
		}
		if got := h.value("warehouse", `select string_agg(relation::regclass || key::text, ' ') || ' ' || has_table_privilege('pgrelay', 'distant.things', 'SELECT') from relay.captured`); got != "distant.things{id} true" {
			t.Errorf("captured: %s", got)
		}
		h.detach(key, func(c *attach.Config) { c.DropRole = true })
		same(t, "warehouse", h.dump("warehouse"), before)
	})
}

// TestMendsTriggers: triggers that were altered are made anew, with the options that they had.
func TestMendsTriggers(t *testing.T) {
	h := newHouse(t, 15, nil)
	h.warehouse(`create table local (id int primary key, secret text)`)
	h.attach(func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureTrigger, []string{"public.local"} })
	h.exec("warehouse", `select relay.enable_table('public.local', exclude => '{secret}'); alter table local disable trigger "!relay_insert"`)
	if done := h.attach()[0].Done; !slices.Equal(done, []string{"triggers of public.local anew"}) {
		t.Errorf("it does %q", done)
	}
	if got := h.value("warehouse", `select excluded::text || (select tgenabled::text from pg_trigger where tgname = '!relay_insert') from relay.captured`); got != "{secret}A" {
		t.Errorf("got %s", got)
	}
	h.exec("warehouse", `create or replace function relay.ring() returns void language plpgsql as 'begin end'`)
	if done := h.attach()[0].Done; len(done) != 1 || !strings.HasPrefix(done[0], "schema relay") {
		t.Errorf("where a function was altered it does %q", done)
	}
}

// TestUninstalledByHand: uninstall.sql leaves what attach remembers, so that detach still takes everything back.
func TestUninstalledByHand(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		h.warehouse(`create table local (id int primary key, owner text); create table other (id int primary key, owner text)`)
		h.rule("local", "public.local", "owner = 'x'")
		h.rule("other", "public.other", "owner = 'x'")
		before := h.dump("warehouse")
		h.attach()
		h.attach(func(c *attach.Config) { c.Capture, c.Tables = relay.CaptureTrigger, []string{"public.local"} })
		h.exec("warehouse", triggers.Uninstall())
		if got := h.value("warehouse", `select string_agg(relname, ' ') from pg_class where relnamespace = 'relay'::regnamespace and relkind = 'r'`); got != "attached" {
			t.Errorf("after uninstall.sql there is %s", got)
		}
		h.detach()
		same(t, "warehouse", h.dump("warehouse"), before)
	})
}
