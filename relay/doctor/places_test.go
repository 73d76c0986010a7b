package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgrelay/triggers"
)

// behind makes database far a source of d, as server name, with far.items over its items.
func (d *database) behind(name string, far *database, port int, user, secret string) {
	d.t.Helper()
	far.exec("alter publication pgrelay drop table only web_socket_event_system_events.rules")
	d.exec(fmt.Sprintf(`create extension if not exists postgres_fdw; create schema if not exists %[1]s;
		create server %[1]s foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[2]d', dbname '%[3]s');
		create user mapping for relay_role server %[1]s options (user '%[4]s', password '%[5]s');
		grant usage on foreign server %[1]s to relay_role; grant usage on schema %[1]s to relay_role;
		create foreign table %[1]s.items (id bigint, owner bigint, n int) server %[1]s options (schema_name 'public', table_name 'items');
		insert into web_socket_event_system_events.rules (name, relation, predicate) values ('far %[1]s', '%[1]s.items', 'true')`,
		name, port, far.name, user, secret))
}

// far are conditions of a warehouse with one source behind it, named shop.
var far = map[string]struct {
	sick
	source string
	sqlFar string // in the source
	there  bool   // the remedy is for the source
}{
	"drifted type": {source: "shop", sick: sick{check: "drift", severity: Error, object: "table shop.items", says: "n is text in the warehouse and integer",
		sql: "alter foreign table shop.items alter column n type text;", undo: "alter foreign table shop.items alter column n type integer;"}},
	"drifted column": {source: "shop", sick: sick{check: "drift", severity: Error, object: "table shop.items", says: "public.items has no column n",
		undo: "alter foreign table shop.items drop column n;\nalter foreign table shop.items add column amount int;"}, sqlFar: "alter table items rename n to amount;"},
	"drifted away": {source: "shop", sick: sick{check: "drift", severity: Error, object: "table shop.items", says: "has no table public.items",
		undo: "alter foreign table shop.items options (set table_name 'things');"}, sqlFar: "alter table items rename to things;"},
	"several": {source: "shop", sick: sick{check: "several_foreign_tables", severity: Info, object: "table public.items", says: "2 foreign tables lead to it (shop.again, shop.items)",
		sql: "create foreign table shop.again (id bigint) server shop options (schema_name 'public', table_name 'items');", undo: "drop foreign table shop.again;"}},
	"remote privileges": {source: "shop", sick: sick{check: "privileges_lacking", severity: Error, object: "table public.items", says: "role relay_role may not read it"},
		sqlFar: "revoke select on items from relay_role;", there: true},
	"remote outbox": {source: "shop", sick: sick{check: "privileges_lacking", severity: Error, object: "schema relay", says: "may not read the outbox"},
		sqlFar: triggers.Install(""), there: true},
	"remote view": {source: "shop", sick: sick{check: "refused", severity: Error, object: "table shop.items", says: "a view", undo: "alter foreign table shop.items options (set table_name 'things');"},
		sqlFar: "alter table items rename to things;\ncreate view items as select * from things;\ngrant select on items to relay_role;"},
	"mapping without rights": {source: "shop", sick: sick{check: "privileges_lacking", severity: Error, object: "role mapped", says: "no REPLICATION",
		sql: "drop user mapping for relay_role server shop;\ncreate user mapping for relay_role server shop options (user 'mapped', password '" + password + "');"},
		sqlFar: "do $$ begin create role mapped login password '" + password + "'; exception when duplicate_object then alter role mapped noreplication; end $$;\n" +
			"grant select on items to mapped; grant usage on schema public to mapped; grant pg_read_all_stats to mapped;", there: true},
	"mapping that reads nothing": {source: "shop", sick: sick{check: "privileges_lacking", severity: Error, object: "table public.items", says: "role blind may not read it",
		sql: "drop user mapping for relay_role server shop;\ncreate user mapping for relay_role server shop options (user 'blind', password '" + password + "');"},
		sqlFar: "do $$ begin create role blind login replication password '" + password + "'; exception when duplicate_object then null; end $$;", there: true},
	"no mapping": {source: "shop", sick: sick{check: "user_mapping", severity: Error, object: "foreign server shop", says: "no user mapping for role",
		sql: "drop user mapping for relay_role server shop;", undo: "create user mapping for relay_role server shop options (user 'relay_role', password '" + password + "');"}},
	"hidden mapping": {source: "shop", sick: sick{check: "user_mapping", severity: Error, object: "foreign server shop", says: "can't be read by role",
		sql: "revoke usage on foreign server shop from relay_role;"}},
	"wrong password": {source: "shop", sick: sick{check: "unreachable", severity: Error, object: "source shop", says: "password authentication failed",
		sql: "alter user mapping for relay_role server shop options (set password 'wrong');", undo: "alter user mapping for relay_role server shop options (set password '" + password + "');"}},
	"nobody there": {source: "shop", sick: sick{check: "unreachable", severity: Error, object: "source shop", says: "127.0.0.1:1/",
		sql: "alter server shop options (set port '1');", undo: "drop server shop cascade;"}},
	"another wrapper": {source: WarehousePlace, sick: sick{check: "not_published", severity: Info, object: "table public.file", says: `wrapper "odd"`,
		sql: "create foreign data wrapper odd;\ncreate server odd foreign data wrapper odd;\ncreate foreign table file (n int) server odd;", undo: "drop foreign table file;"}},
	"captured at the warehouse": {source: "local", sick: sick{check: "captured_at_warehouse", captured: true, severity: Warning, object: "table shop.items", says: "none that are made at its source",
		sql: "select relay.enable_table('shop.items', key => '{id}');", undo: "select relay.disable_table('shop.items');"}},
	"slot elsewhere": {source: "local", sick: sick{check: "slot_elsewhere", severity: Info, object: "slot pgrelay_77_1_live", says: "in database postgres", undo: "select pg_drop_replication_slot('pgrelay_77_1_live');"}},
}

func TestFar(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		for _, name := range sorted(far) {
			s := far[name]
			t.Run(name, func(t *testing.T) {
				source, d := newDatabase(t, server), newDatabase(t, server)
				d.behind("shop", source, server.Port(), "relay_role", password)
				if report := examine(t, d.dsn(), nil); len(report.Findings) > 0 {
					t.Errorf("before\n%s", show(report.Findings))
				}
				if s.captured {
					d.exec(triggers.Install("relay_role"))
				}
				d.lines(s.sql)
				source.run(s.sqlFar)
				if name == "slot elsewhere" {
					must(t, server.Exec(t.Context(), "postgres", "select pg_create_logical_replication_slot('pgrelay_77_1_live', 'pgoutput')"))
				}
				there := d
				if s.there {
					there = source
				}
				for _, f := range examine(t, d.dsn(), nil).of(s.check) {
					if f.Source != s.source {
						t.Errorf("got source %s, want %s", f.Source, s.source)
					}
				}
				s.find(t, d, there)
			})
		}
	})
}

// TestRemote: what lacks at a source is found from the warehouse, under the source's name.
func TestRemote(t *testing.T) {
	server := sharedServer(t, 15)
	source, d := newDatabase(t, server), newDatabase(t, server)
	d.behind("shop", source, server.Port(), "relay_role", password)
	source.exec("revoke select on items from relay_role; alter publication pgrelay drop table only items")
	report := examine(t, d.dsn(), nil)
	got := report.of("privileges_lacking")
	if len(got) != 1 || got[0].Source != "shop" || got[0].Object != "table public.items" {
		t.Errorf("got\n%s", show(report.Findings))
	}
	source.exec(got[0].Remedy)
	got = examine(t, d.dsn(), nil).of("publication_tables")
	if len(got) != 1 || got[0].Source != "shop" {
		t.Errorf("got\n%s", show(got))
	}
}

// TestWarehouseAlone: a warehouse without a table of its own is looked at too.
func TestWarehouseAlone(t *testing.T) {
	server := sharedServer(t, 18)
	source, d := newDatabase(t, server), newDatabase(t, server)
	d.behind("shop", source, server.Port(), "relay_role", password)
	d.exec(triggers.Install("relay_role"))
	d.exec(`drop table items; drop schema web_socket_event_system_events cascade; update relay.state set version = 0`)
	report := examine(t, d.dsn(), nil)
	var got []string
	for _, f := range report.Findings {
		got = append(got, f.Source+" "+f.Check)
	}
	if want := []string{"warehouse rules_unread", "warehouse outbox_version"}; !slices.Equal(got, want) || !slices.Equal(report.Sources, []string{"shop"}) {
		t.Errorf("got sources %q and\n%s", report.Sources, show(report.Findings))
	}
}

// TestLocked: a table that somebody holds exclusively keeps the doctor from nothing; an outbox that somebody holds is said
// soon, as is the transaction that does, and its remedy ends it.
func TestLocked(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		source, d := newDatabase(t, server), newDatabase(t, server)
		d.behind("shop", source, server.Port(), "relay_role", password)
		source.exec(triggers.Install("relay_role"))
		source.lines(captureItems + "select relay.doorbell('off');")
		conn := source.open()
		defer func() { _ = conn.Close(context.Background()) }()
		hold := func(tables string) *Report {
			t.Helper()
			for _, text := range []string{"rollback", "begin", "lock table " + tables + " in access exclusive mode"} {
				if _, err := conn.Exec(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			return examine(t, d.dsn(), func(c *Config) { c.LongTransaction = 1 })
		}
		got := hold("items")
		if long := got.of("long_transaction"); len(long) != 1 || len(got.Findings) != 1 {
			t.Errorf("a locked table: got\n%s", show(got.Findings))
		}
		got = hold("relay.outbox_0")
		if unread := got.of("unread"); len(unread) != 1 || unread[0].Source != "shop" ||
			!strings.Contains(unread[0].Problem, string(factCapture)+" couldn't be looked at: canceling statement due to lock timeout") {
			t.Errorf("a locked outbox: got\n%s", show(got.Findings))
		}
		long := got.of("long_transaction")
		if len(long) != 1 || long[0].Object != fmt.Sprintf("process %d", conn.PgConn().PID()) || len(got.Findings) != 2 {
			t.Fatalf("got\n%s", show(got.Findings))
		}
		d.lines(first(long[0].Remedy))
		if got := examine(t, d.dsn(), func(c *Config) { c.LongTransaction = 1 }); len(got.Findings) > 0 {
			t.Errorf("after the remedy: got\n%s", show(got.Findings))
		}
	})
}
