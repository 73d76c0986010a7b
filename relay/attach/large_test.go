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
)

// largeScript makes a database as they grow: 200 tables and more in odd names, views, partitions, inheritance, identity and
// generated columns, extensions, policies, triggers, keys of all kinds and none.
func largeScript() string {
	var b strings.Builder
	b.WriteString(`create extension citext; create extension hstore; create extension pg_trgm; create extension btree_gin;
create type mood as enum ('sad', 'happy'); create domain positive as int check (value > 0);
create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
create role app; comment on schema public is 'of the application';
alter default privileges grant select on tables to app;
`)
	names := []string{`Weird "Name"`, "größe – 表", strings.Repeat("n", 63), "select", "it's", "UPPER", "a.b", " space "}
	for s := range 4 {
		schema := pgx.Identifier{names[s]}.Sanitize()
		fmt.Fprintf(&b, "create schema %s; grant usage on schema %[1]s to app;\n", schema)
		for i := range 50 {
			table := schema + "." + pgx.Identifier{fmt.Sprintf("%.50s %d", names[(s+i)%len(names)], i)}.Sanitize()
			owner := pgx.Identifier{names[(i+1)%len(names)]}.Sanitize()
			switch i % 10 {
			case 0:
				fmt.Fprintf(&b, "create table %s (id bigint generated always as identity primary key, %s citext, tags hstore, m public.mood default 'sad');\n", table, owner)
			case 1:
				fmt.Fprintf(&b, "create table %s (id uuid primary key default gen_random_uuid(), %s text not null, n int, twice int generated always as (n * 2) stored);\n", table, owner)
			case 2:
				fmt.Fprintf(&b, "create table %s (id int, part int, %s text, primary key (id, part)) partition by list (part);\n", table, owner)
				for p := range 3 {
					fmt.Fprintf(&b, "create table %s.%s partition of %s for values in (%d);\n", schema, pgx.Identifier{fmt.Sprintf("leaf %d of %d", p, i)}.Sanitize(), table, p)
				}
			case 3:
				fmt.Fprintf(&b, "create table %s (n int, %s text); grant insert, update on %[1]s to app;\n", table, owner)
			case 4:
				fmt.Fprintf(&b, "create table %s (id int primary key deferrable, %s text);\n", table, owner)
			case 5:
				fmt.Fprintf(&b, "create table %s (id int not null, %s text not null, v public.positive, constraint %s unique (id, %[2]s)); alter table %[1]s replica identity using index %[3]s;\n", table, owner,
					pgx.Identifier{fmt.Sprint("key ", i)}.Sanitize())
			case 6:
				fmt.Fprintf(&b, "create table %s (id int primary key, %s text) with (fillfactor = 70); create table %s.%s (more int, primary key (id)) inherits (%[1]s);\n", table, owner, schema, pgx.Identifier{fmt.Sprint("child ", i)}.Sanitize())
			case 7:
				fmt.Fprintf(&b, "create table %s (id int primary key, %s text); alter table %[1]s enable row level security; create policy p on %[1]s using (id > 0);\n", table, owner)
			case 8:
				fmt.Fprintf(&b, "create table %s (id int primary key, %s text, doc jsonb); create trigger t before update on %[1]s for each row execute function public.touch(); alter table %[1]s replica identity full;\n", table, owner)
			case 9:
				fmt.Fprintf(&b, "create unlogged table %s (id int primary key, %s text); create view %s.%s as select 1 as one; create materialized view %[3]s.%[5]s as select 2 as two;\n", table, owner, schema,
					pgx.Identifier{fmt.Sprint("view ", i)}.Sanitize(), pgx.Identifier{fmt.Sprint("matview ", i)}.Sanitize())
			}
		}
	}
	return b.String()
}

// TestLargeDatabase: a database of 200 tables is attached and detached, and is byte for byte what it was.
func TestLargeDatabase(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		h.warehouse("")
		h.exec("warehouse", largeScript())
		database := "warehouse"
		if version == 15 { // as a restored one
			dump, err := pgserver.Tool("pg_dump")
			must(t, err)
			psql, err := pgserver.Tool("psql")
			must(t, err)
			text, err := exec.CommandContext(h.ctx, dump, "--dbname="+h.server.DSN(database)).Output()
			must(t, err)
			database = "restored"
			must(t, h.server.CreateDatabase(h.ctx, database))
			restore := exec.CommandContext(h.ctx, psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname="+h.server.DSN(database))
			restore.Stdin = strings.NewReader(string(text))
			if out, err := restore.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		conn := h.connect(database)
		_, err := conn.Exec(h.ctx, `insert into web_socket_event_system_events.rules (name, relation, roles, predicate)
			select c.oid::text, n.nspname || '.' || c.relname, '{anon}', case when c.relreplident = 'i' then 'true' else quote_ident(a.attname) || ' is not null' end
			from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum = 2 + (c.relkind = 'p')::int
			where c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition and n.nspname !~ '^(pg_|information_schema|web_socket)'
			  and not exists (select from pg_inherits i where i.inhrelid = c.oid)`)
		must(t, err)
		before := h.dump(database)
		here := func(c *attach.Config) { c.Warehouse.DSN = h.server.DSN(database) }
		o := h.attach(here)[0]
		t.Logf("%d steps, %d notes", len(o.Done), len(o.Notes))
		if members := h.value(database, `select count(*)::text from pg_publication_rel`); members < "2" {
			t.Errorf("%s members", members)
		}
		h.told = nil
		if h.attach(here); len(h.told) > 0 {
			t.Errorf("again does %+v", h.told)
		}
		h.detach(here)
		same(t, database, h.dump(database), before)

		byTrigger := func(c *attach.Config) { here(c); c.Capture = relay.CaptureTrigger }
		outcomes, err := attach.ApplyAttach(h.ctx, h.config(byTrigger), h.tell)
		must(t, err)
		if o := outcomes[0]; o.Err != nil || slices.ContainsFunc(o.Undone(), func(n attach.Note) bool { return !strings.Contains(n.Text, "deferrable") }) {
			t.Errorf("by triggers: %v, undone %v", o.Err, o.Undone())
		}
		if n := h.value(database, `select count(*)::text from relay.captured`); len(n) < 3 {
			t.Errorf("%s tables are captured by triggers", n)
		}
		h.detach(here)
		same(t, database+", by triggers", h.dump(database), before)
	})
}

// TestPgbench: the tables of pgbench, in every form.
func TestPgbench(t *testing.T) {
	pgbench, err := pgserver.Tool("pgbench")
	must(t, err)
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		h.warehouse("")
		out, err := exec.CommandContext(h.ctx, pgbench, "--initialize", "--quiet", "--partitions=3", "--foreign-keys", h.server.DSN("warehouse")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		h.rule("accounts", "public.pgbench_accounts", "bid = 1")
		h.rule("history", "public.pgbench_history", "tid > 5")
		before := h.dump("warehouse")
		for _, capture := range []relay.Capture{relay.CaptureLogical, relay.CaptureTrigger} {
			h.attach(func(c *attach.Config) { c.Capture = capture })
			out, err = exec.CommandContext(h.ctx, pgbench, "--transactions=50", "--client=2", h.server.DSN("warehouse")).CombinedOutput()
			if err != nil || strings.Contains(string(out), "ERROR") {
				t.Fatalf("%s: %v\n%s", capture, err, out)
			}
			h.detach()
			same(t, string(capture), h.dump("warehouse"), before)
		}
	})
}
