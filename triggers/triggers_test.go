package triggers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

func eachVersion(t *testing.T, test func(t *testing.T, s *pgserver.Server)) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			test(t, pgserver.ForTest(t, pgserver.Config{Version: version}))
		})
	}
}

// as connects as a role with the password "x".
func as(t *testing.T, s *pgserver.Server, role string) *pgx.Conn {
	t.Helper()
	return in(t, s, "postgres", role)
}

// in does so to another database.
func in(t *testing.T, s *pgserver.Server, database, role string) *pgx.Conn {
	t.Helper()
	conf, err := pgx.ParseConfig(s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	if role != "" {
		conf.User, conf.Password = role, "x"
	}
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

func scan[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	return v
}

// listing is every object of the database that isn't Postgres' own, with what it is made of and who may do what.
const listing = `
select array_agg(line order by line collate "C") from (
  select format('schema %s %s', nspname, nspacl) as line from pg_namespace where nspname !~ '^pg_(toast_)?temp'
  union all select format('class %s.%s %s %s %s', relnamespace::regnamespace, relname, relkind, relacl, reloptions) from pg_class
    where relnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast', 'information_schema') and relpersistence <> 't'
  union all select format('column %s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attacl) from pg_attribute a join pg_class c on c.oid = a.attrelid
    where relnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast', 'information_schema') and relpersistence <> 't'
  union all select format('function %s %s', oid::regprocedure, proacl) from pg_proc where pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
  union all select format('trigger %s %s', pg_get_triggerdef(oid), tgenabled) from pg_trigger
  union all select format('constraint %s %s', conname, pg_get_constraintdef(oid)) from pg_constraint
  union all select format('type %s %s', oid::regtype, typacl) from pg_type where typnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast', 'information_schema')
) l`

const oddTables = `
create schema shop;
create table shop.orders (id int primary key, total numeric);
create table shop."Weird ""Name""" (id int primary key, "Ünï" text);
create table shop.root (id int primary key) partition by range (id);
create table shop.part partition of shop.root for values from (0) to (10);
create function shop.mine() returns trigger language plpgsql as 'begin return null; end';
create trigger mine after insert on shop.orders for each row execute function shop.mine()`

// TestLeavesNothing: after the scripts have run in both directions, twice each, the database is what it was.
func TestLeavesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, oddTables)
		before := scan[[]string](t, conn, listing)
		tables := []string{`shop.orders`, `shop."Weird ""Name"""`, `shop.root`}
		for range 2 {
			execute(t, conn, triggers.Install(""))
		}
		for range 2 {
			for _, name := range tables {
				execute(t, conn, triggers.Enable(triggers.Table{Name: name}))
			}
		}
		execute(t, conn, `insert into shop.orders values (1); insert into shop."Weird ""Name""" values (1); insert into shop.root values (1)`)
		if got := scan[int](t, conn, `select count(*)::int from relay.outbox where kind = 'I'`); got != 3 {
			t.Errorf("got %d inserts, want 3", got)
		}
		for range 2 {
			execute(t, conn, triggers.Disable(tables[1]))
		}
		for range 2 {
			execute(t, conn, triggers.Uninstall())
		}
		after := scan[[]string](t, conn, listing)
		for _, line := range before {
			if !slices.Contains(after, line) {
				t.Errorf("gone: %s", line)
			}
		}
		for _, line := range after {
			if !slices.Contains(before, line) {
				t.Errorf("left: %s", line)
			}
		}
	})
}

// TestPrivileges: a DBA who isn't superuser installs, an application that may nothing in schema relay writes, a reader reads.
func TestPrivileges(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		admin := as(t, s, "")
		execute(t, admin, `create role dba login password 'x'; create role app login password 'x'; create role pgrelay login password 'x'; create role other login password 'x';
			grant create on database postgres to dba; create schema shop authorization dba`)
		dba := as(t, s, "dba")
		execute(t, dba, triggers.Install("pgrelay"))
		execute(t, dba, `create table shop.a (id int primary key, secret text); grant usage on schema shop to app; grant select, insert, update, delete on shop.a to app`)
		execute(t, dba, triggers.Enable(triggers.Table{Name: "shop.a", Exclude: []string{"secret"}, SuppressRedundant: true, Level: "statement"}))
		app := as(t, s, "app")
		execute(t, app, `insert into shop.a values (1, 'hidden'); update shop.a set id = 2; delete from shop.a`)
		reader := as(t, s, "pgrelay")
		if got := scan[int](t, reader, `select count(*)::int from relay.outbox where kind in ('I', 'U', 'D')`); got != 3 {
			t.Errorf("got %d changes, want 3", got)
		}
		for role, refused := range map[string][]string{
			"app": {`select * from relay.outbox_0`, `select relay.close()`, `select * from relay.status()`, `select relay.put(1, 'X', null, null, true)`},
			"other": {`select * from relay.outbox`, `create table mine (id int); create trigger t after insert on mine for each row execute function relay.capture_row()`,
				`select relay.turn()`},
			"pgrelay": {`insert into relay.outbox_0 select * from relay.outbox_1`, `delete from relay.outbox_0`, `truncate relay.outbox_0`, `update relay.state set budget = 1`,
				`select relay.close()`, `select relay.put(1, 'X', null, null, true)`, `select setval('relay.outbox_id', 1)`, `select * from shop.a`},
		} {
			conn := as(t, s, role)
			for _, sql := range refused {
				if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err == nil || !strings.Contains(err.Error(), "permission denied") {
					t.Errorf("%s as %s: got %v, want that it is refused", sql, role, err)
				}
			}
		}
		// Of what runs as its owner, nothing is found through the caller's search_path.
		if got := scan[int](t, admin, `select count(*)::int from pg_proc where pronamespace = 'relay'::regnamespace and prosecdef
			and not exists (select from unnest(proconfig) c where c ~ '^search_path=pg_catalog, pg_temp')`); got != 0 {
			t.Errorf("%d functions run as their owner with a search_path of the caller's", got)
		}
	})
}

// TestPsql runs the scripts as their heads say.
func TestPsql(t *testing.T) {
	const psql = "/usr/lib/postgresql/15/bin/psql"
	if _, err := os.Stat(psql); err != nil {
		t.Fatalf("%v: install postgresql-client-15", err)
	}
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, oddTables+`; create role pgrelay`)
		run := func(args ...string) string {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), psql, append([]string{"-X", "-q", "-A", "-t", s.DSN("postgres")}, args...)...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return strings.TrimSpace(string(out))
		}
		run("-v", "reader=pgrelay", "-f", "install.sql")
		sameAsFresh(t, s, conn)
		if got := run("-v", "table=shop.orders", "-v", `exclude={total}`, "-v", "suppress_redundant=true", "-v", "level=row", "-f", "enable_table.sql"); got != "row" {
			t.Errorf("got %q, want how it is captured", got)
		}
		if got := run("-v", `table=shop."Weird ""Name"""`, "-f", "enable_table.sql"); got != "statement" {
			t.Errorf("got %q, want how it is captured", got)
		}
		status := run("-f", "status.sql")
		for _, want := range []string{"outbox|version 2", "doorbell|auto|", "shop.orders|by row, without total, redundant updates suppressed|", `shop."Weird ""Name"""|by statement|`} {
			if !strings.Contains(status, want) {
				t.Errorf("got status\n%s\nwant %q in it", status, want)
			}
		}
		if got := run("-v", "table=shop.orders", "-f", "disable_table.sql"); got != "t" {
			t.Errorf("got %q, want t", got)
		}
		if got := run("-v", "table=shop.orders", "-f", "disable_table.sql"); got != "f" {
			t.Errorf("got %q, want f", got)
		}
		run("-f", "uninstall.sql")
		run("-f", "uninstall.sql")
	})
}

// TestHeads: every script that a DBA runs opens with the five lines.
func TestHeads(t *testing.T) {
	scripts, err := filepath.Glob("*.sql")
	if err != nil || len(scripts) < 5 {
		t.Fatalf("got %v, %v", scripts, err)
	}
	for _, name := range scripts {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rest := string(script)
		for _, want := range []string{"-- Purpose: ", "-- Run as:  ", "-- Locks:   ", "-- Undo:    ", "-- Prints:  "} {
			_, after, found := strings.Cut(rest, want)
			if rest = after; !found {
				t.Errorf("%s lacks %q, or has it out of order", name, want)
			}
		}
	}
}
