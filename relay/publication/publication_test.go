package publication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func on(t *testing.T, body func(t *testing.T, s *pgserver.Server)) {
	for _, v := range []int{15, 18} {
		t.Run(fmt.Sprint(v), func(t *testing.T) { body(t, pgserver.ForTest(t, pgserver.Config{Version: v})) })
	}
}

func open(t *testing.T, s *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := s.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

// relation is one with a leaf for each table named.
func relation(t *testing.T, conn *pgx.Conn, tables ...string) *relay.Relation {
	t.Helper()
	r := &relay.Relation{Name: "public." + tables[0], Capture: relay.CaptureLogical}
	for _, name := range tables {
		l := relay.Leaf{Schema: "public", Table: name, Identity: relay.IdentityDefault, Key: []string{"id"}}
		if err := conn.QueryRow(t.Context(), `select oid from pg_class where relname = $1`, name).Scan(&l.OID); err != nil {
			t.Fatal(err)
		}
		r.Leaves = append(r.Leaves, l)
	}
	return r
}

func insertOnly(r *relay.Relation) *relay.Relation {
	r.InsertOnly = true
	for i := range r.Leaves {
		r.Leaves[i].Key = nil
	}
	return r
}

func ensured(t *testing.T, conn *pgx.Conn, relations ...*relay.Relation) *State {
	t.Helper()
	s, err := Ensure(t.Context(), conn, "pgrelay", relations)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ready(t *testing.T, conn *pgx.Conn, s *State, r *relay.Relation) bool {
	t.Helper()
	ok, err := s.Ready(t.Context(), conn, r)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// listing is all that pg_publication_tables and pg_publication say, as one text.
func listing(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var text string
	err := conn.QueryRow(t.Context(), `select coalesce(string_agg(x, e'\n' order by x), '') from (
		select concat_ws(' ', pubname, oid, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot) from pg_publication
		union all select concat_ws(' ', pubname, tablename, rowfilter) from pg_publication_tables) l(x)`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func members(t *testing.T, conn *pgx.Conn, name string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select tablename::text from pg_publication_tables where pubname = $1 order by 1`, name)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

const tables = `
	create table a (id int primary key, n int);
	create table "Weird ""Name""" (id int primary key);
	create table keyless (x int); insert into keyless values (1);
	create table root (id int primary key) partition by range (id);
	create table leaf1 partition of root for values from (0) to (10);
	create table leaf2 partition of root for values from (10) to (20);`

func TestEnsure(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		conn := open(t, server)
		exec(t, conn, tables)
		a, weird, keyless := relation(t, conn, "a"), relation(t, conn, `Weird "Name"`), insertOnly(relation(t, conn, "keyless"))
		root := relation(t, conn, "leaf1", "leaf2")
		s := ensured(t, conn, a, weird, keyless, root)
		want(t, "names", s.Names, []string{"pgrelay", "pgrelay_insert"})
		want(t, "full", members(t, conn, "pgrelay"), []string{`Weird "Name"`, "a", "leaf1", "leaf2"})
		want(t, "insert only", members(t, conn, "pgrelay_insert"), []string{"keyless"})
		exec(t, conn, `update keyless set x = 2; delete from keyless; update a set n = 1; delete from root`)
		for _, r := range []*relay.Relation{a, weird, keyless, root} {
			if !ready(t, conn, s, r) {
				t.Errorf("%s isn't ready, though nothing runs", r.Name)
			}
		}
		before := listing(t, conn)
		again := ensured(t, conn, a, weird, keyless, root)
		if got := listing(t, conn); got != before || again.OID != s.OID {
			t.Errorf("a second Ensure changed\n%s\nto\n%s", before, got)
		}
		// What SQL prints gives the same.
		exec(t, conn, `drop publication pgrelay; drop publication pgrelay_insert`)
		var version int
		if err := conn.QueryRow(t.Context(), `select current_setting('server_version_num')::int`).Scan(&version); err != nil {
			t.Fatal(err)
		}
		for _, statement := range SQL("pgrelay", version, []*relay.Relation{a, weird, keyless, root}) {
			exec(t, conn, statement)
		}
		before = listing(t, conn)
		if ensured(t, conn, a, weird, keyless, root); listing(t, conn) != before {
			t.Errorf("Ensure changed what SQL made:\n%s\nto\n%s", before, listing(t, conn))
		}
	})
}

func TestMendsWhatWasEdited(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		conn := open(t, server)
		exec(t, conn, tables)
		a, root := relation(t, conn, "a"), relation(t, conn, "leaf1", "leaf2")
		s := ensured(t, conn, a, root)
		exec(t, conn, `alter publication pgrelay set table only a where (id > 5), only "Weird ""Name"""`)
		exec(t, conn, `alter publication pgrelay set (publish = 'insert', publish_via_partition_root = true)`)
		exec(t, conn, `create schema other; create table other.t (id int primary key); alter publication pgrelay add tables in schema other`)
		after := ensured(t, conn, a, root)
		want(t, "members", members(t, conn, "pgrelay"), []string{"a", "leaf1", "leaf2"})
		if after.OID != s.OID {
			t.Error("the publication was made anew")
		}
		got := listing(t, conn)
		if !strings.Contains(got, fmt.Sprintf("pgrelay %d f t t t t f", s.OID)) || strings.Contains(got, "id > 5") {
			t.Errorf("got\n%s", got)
		}
		// A table that becomes insert-only moves over.
		ensured(t, conn, insertOnly(relation(t, conn, "a")), root)
		want(t, "full", members(t, conn, "pgrelay"), []string{"leaf1", "leaf2"})
		want(t, "insert only", members(t, conn, "pgrelay_insert"), []string{"a"})
	})
}

// A table that lost its identity between inspection and Ensure must not enter: the application's writes would fail.
func TestNeverAddsWithoutIdentity(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		conn := open(t, server)
		exec(t, conn, tables)
		a, keyless := relation(t, conn, "a"), relation(t, conn, "keyless")
		nothing := relation(t, conn, "leaf1")
		deferred := relation(t, conn, `Weird "Name"`)
		exec(t, conn, `alter table leaf1 replica identity nothing;
			alter table "Weird ""Name""" drop constraint "Weird ""Name""_pkey", add primary key (id) deferrable`)
		keyless.Leaves[0].Key = []string{"x"}
		relations := []*relay.Relation{a, keyless, nothing, deferred}
		if server.Version() == 18 {
			exec(t, conn, `create table gen (id int primary key, v int generated always as (id) virtual); alter table gen replica identity full`)
			relations = append(relations, relation(t, conn, "gen"))
		}
		s, err := Ensure(t.Context(), conn, "pgrelay", relations)
		if p := (*relay.Problem)(nil); !errors.As(err, &p) || !strings.Contains(p.What, "keyless") {
			t.Fatalf("got %v, want a Problem", err)
		}
		want(t, "members", members(t, conn, "pgrelay"), []string{"a"})
		if !s.Holds(a) || s.Holds(keyless) || ready(t, conn, s, keyless) {
			t.Error("keyless counts as published")
		}
		exec(t, conn, `update keyless set x = 3; delete from leaf1; delete from "Weird ""Name"""`)
	})
}

func TestNotPermitted(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		admin := open(t, server)
		exec(t, admin, tables+`create role reader login; grant select on all tables in schema public to reader`)
		conn := open(t, server)
		exec(t, conn, `set session authorization reader`)
		a, keyless := relation(t, conn, "a"), insertOnly(relation(t, conn, "keyless"))
		s, err := Ensure(t.Context(), conn, "pgrelay", []*relay.Relation{a, keyless})
		var p *relay.Problem
		if s != nil || !errors.As(err, &p) {
			t.Fatalf("got %v, %v, want a Problem", s, err)
		}
		for _, statement := range strings.Split(p.Remedy, "\n") {
			exec(t, admin, statement)
		}
		if s := ensured(t, conn, a, keyless); !s.Holds(a) || !s.Holds(keyless) {
			t.Error("the remedy doesn't mend it")
		}
		// The publication is there, a table of another owner is to be added.
		weird := relation(t, conn, `Weird "Name"`)
		s, err = Ensure(t.Context(), conn, "pgrelay", []*relay.Relation{a, keyless, weird})
		if !errors.As(err, &p) || s == nil || !s.Holds(a) || s.Holds(weird) {
			t.Fatalf("got %v, %v, want a Problem beside a State", s, err)
		}
		want(t, "remedy", []string{p.Remedy}, []string{`alter publication pgrelay add table only public."Weird ""Name""";`})
	})
}

func TestForAllTables(t *testing.T) {
	conn := open(t, pgserver.ForTest(t, pgserver.Config{Version: 15}))
	exec(t, conn, `create publication pgrelay for all tables`)
	if s, err := Ensure(t.Context(), conn, "pgrelay", nil); s != nil || err == nil || !strings.Contains(err.Error(), "all tables") {
		t.Errorf("got %v, %v", s, err)
	}
}

// A transaction that wrote before the table was added holds it back; so does one that is prepared.
func TestReady(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		conn, writer, idle := open(t, server), open(t, server), open(t, server)
		exec(t, conn, tables)
		a, root := relation(t, conn, "a"), relation(t, conn, "leaf1", "leaf2")
		exec(t, writer, `begin; insert into a values (1)`)
		s := ensured(t, conn, a)
		if ready(t, conn, s, a) {
			t.Fatal("ready under an open transaction that wrote")
		}
		again := ensured(t, conn, a) // as a restarted relay would
		if ready(t, conn, again, a) {
			t.Fatal("ready for a restarted relay under an open transaction that wrote")
		}
		exec(t, writer, `prepare transaction 'p'`)
		if ready(t, conn, s, a) || ready(t, conn, again, a) {
			t.Fatal("ready under a prepared transaction that wrote")
		}
		exec(t, writer, `commit prepared 'p'`)
		if !ready(t, conn, s, a) || !ready(t, conn, again, a) {
			t.Fatal("not ready once all have ended")
		}
		// A transaction that holds an id and wrote elsewhere: a table added now waits for it, one that is there doesn't.
		exec(t, idle, `begin; select pg_current_xact_id()`)
		s = ensured(t, conn, a, root)
		if !ready(t, conn, s, a) || ready(t, conn, s, root) {
			t.Error("an idle transaction: want a ready and root not")
		}
		exec(t, idle, `savepoint s; insert into leaf1 values (1)`)
		if again = ensured(t, conn, a, root); ready(t, conn, again, root) {
			t.Error("ready under a subtransaction that wrote to a leaf")
		}
		exec(t, idle, `commit`)
		if !ready(t, conn, s, root) || !ready(t, conn, again, root) {
			t.Error("not ready once all have ended")
		}
	})
}

// Application queries don't queue behind a change that waits for a lock, and the change is given up with what is left.
func TestLockedTable(t *testing.T) {
	server := pgserver.ForTest(t, pgserver.Config{Version: 18})
	conn, locker, app := open(t, server), open(t, server), open(t, server)
	exec(t, conn, tables)
	a, root := relation(t, conn, "a"), relation(t, conn, "leaf1", "leaf2")
	exec(t, locker, `begin; lock table a in share update exclusive mode`)
	done := make(chan error, 1)
	var s *State
	go func() {
		var err error
		s, err = Ensure(t.Context(), conn, "pgrelay", []*relay.Relation{a, root})
		done <- err
	}()
	for waiting := false; !waiting; {
		if err := app.QueryRow(t.Context(), `select exists (select from pg_locks where not granted)`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, app, `set statement_timeout = '300ms'; insert into a values (1); update a set n = 2; select * from a`)
	var p *relay.Problem
	if err := <-done; !errors.As(err, &p) {
		t.Fatalf("got %v, want a Problem", err)
	}
	want(t, "remedy", []string{p.Remedy}, []string{"alter publication pgrelay add table only public.a;"})
	if !s.Holds(root) || s.Holds(a) {
		t.Error("want root published and a not")
	}
}
