package outbox

import (
	"fmt"
	"strings"
	"testing"
)

// TestPartitions: rows of partitions come under the partition's oid, a row that moves is a delete and an insert, and what is
// attached later is captured, too.
func TestPartitions(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		d.exec(`create table root (id int, region text, primary key (id, region)) partition by list (region);
			create table eu partition of root for values in ('eu');
			create table us (region text, id int, primary key (id, region));
			alter table root attach partition us for values in ('us')`)
		if got := scan[string](d, `select relay.enable_table('root')`); got != "row" {
			t.Errorf("got level %q, want row", got)
		}
		d.exec(`create table asia partition of root for values in ('asia')`)
		for _, name := range []string{"root", "eu", "us", "asia"} {
			s.names.set(scan[uint32](d, `select $1::text::regclass::oid`, name), name)
		}
		d.exec(`set session_replication_role = replica`)
		d.exec(`insert into root values (1, 'eu'), (2, 'us'), (3, 'asia')`)
		d.exec(`update root set region = 'us' where id = 1`)
		d.exec(`insert into eu values (4, 'eu')`)
		d.exec(`truncate us`)
		d.exec(`reset session_replication_role`)
		if got := scan[string](d, `select problem from relay.status() where name = 'public.root'`); !strings.Contains(got, "public.asia") {
			t.Errorf("got problem %q, want that TRUNCATE of asia is noticed late", got)
		}
		d.exec(`select relay.enable_table('root')`)
		if got := scan[*string](d, `select problem from relay.status() where name = 'public.root'`); got != nil {
			t.Errorf("got problem %q, want none", *got)
		}
		d.exec(`truncate root`)
		s.passed(t, r)
		got := s.whats()
		s.want(t, "I eu ('1', 'eu')", "I us ('us', '2')", "I asia ('3', 'asia')", "D eu ('1', 'eu')", "I us ('us', '1')", "I eu ('4', 'eu')", "T us", got[len(got)-1])
		for _, name := range []string{"T", "root", "eu", "us", "asia"} {
			if last := got[len(got)-1]; !strings.Contains(last, name) {
				t.Errorf("got %q, want one TRUNCATE of all", last)
			}
		}
	})
}

// TestInheritance: each table is itself.
func TestInheritance(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		d.exec(`create table parent (id int primary key, n int); create table child (extra text, primary key (id)) inherits (parent)`)
		for _, name := range []string{"parent", "child"} {
			if got := scan[string](d, `select relay.enable_table($1::text::regclass)`, name); got != "row" {
				t.Errorf("got level %q, want row", got)
			}
			s.names.set(scan[uint32](d, `select $1::text::regclass::oid`, name), name)
		}
		d.exec(`insert into parent values (1, 1); insert into child values (2, 2, 'x')`)
		d.exec(`update parent set n = 3`)
		s.passed(t, r)
		s.want(t, "I parent ('1', '1')", "I child ('2', '2', 'x')", "U parent ('1', '1') ('1', '3')", "U child ('2', '2', 'x') ('2', '3', 'x')")
	})
}

// TestForeignTable: writes through it are captured.
func TestForeignTable(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		if err := d.server.CreateDatabase(t.Context(), d.name+"_service"); err != nil {
			t.Fatal(err)
		}
		if err := d.server.Exec(t.Context(), d.name+"_service", `create table public.a (id int primary key, at timestamptz)`); err != nil {
			t.Fatal(err)
		}
		d.exec(fmt.Sprintf(`create extension postgres_fdw; create server service foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%d', dbname '%s');
			create user mapping for current_user server service options (user '%s', password '%s');
			create foreign table a (id int, at timestamptz) server service`, d.server.Port(), d.name+"_service", d.server.Superuser(), d.server.Password()))
		d.exec(`select relay.enable_table('a', key => '{id}')`)
		s.names.set(scan[uint32](d, `select 'a'::regclass::oid`), "a")
		d.exec(`set timezone = 'Asia/Tokyo'`)
		d.exec(`insert into a values (1, '2024-01-01 00:00:00+00'), (2, null)`)
		d.exec(`update a set id = 3 where id = 2`)
		d.exec(`delete from a where id = 1`)
		want := []string{"I a ('1', '2024-01-01 00:00:00+00')", "I a ('2', null)", "U a ('2', null) ('3', null)", "D a ('1', '2024-01-01 00:00:00+00')"}
		if d.server.Version() >= 16 {
			d.exec(`truncate a`)
			want = append(want, "T a")
		}
		s.passed(t, r)
		s.want(t, want...)
		if got := scan[*string](d, `select problem from relay.status() where name = 'public.a'`); got != nil {
			t.Errorf("got problem %q, want none", *got)
		}
	})
}

// TestOptions: columns that are left out, and updates that change nothing.
func TestOptions(t *testing.T) {
	for _, level := range []string{"statement", "row"} {
		t.Run(level, func(t *testing.T) {
			on(t, rung, func(t *testing.T, d *db) {
				s := newSink()
				r, _ := d.start(d.config(), s)
				d.exec(`create table a (id int primary key, secret json, "Other ""One""" text, g int generated always as (id * 2) stored, n text)`)
				d.exec(`select relay.enable_table('a', exclude => '{secret,"Other \"One\""}', suppress_redundant => true, level => $1)`, level)
				s.names.set(scan[uint32](d, `select 'a'::regclass::oid`), "a")
				d.exec(`insert into a (id, secret, "Other ""One""", n) values (1, '{"hidden": 1}', 'hidden', 'x'), (2, '[]', 'hidden', 'y')`)
				d.exec(`update a set n = n`)
				d.exec(`update a set secret = '"hidden"'`)
				d.exec(`update a set n = case when id = 2 then 'z' else n end`)
				d.exec(`delete from a where id = 1`)
				s.passed(t, r)
				s.want(t, "I a ('1', '2', 'x')", "I a ('2', '4', 'y')", "U a ('2', '4', 'y') ('2', '4', 'z')", "D a ('1', '2', 'x')")
				if scan[bool](d, `select exists (select from relay.outbox where old::text ~ 'hidden' or new::text ~ 'hidden')`) {
					t.Error("an excluded value is in the outbox")
				}
				// Again with the same options changes nothing, with others it does.
				before := scan[int](d, `select count(*)::int from relay.outbox where kind = 'X'`)
				d.exec(`select relay.enable_table('a', exclude => '{secret,"Other \"One\""}', suppress_redundant => true, level => $1)`, level)
				if got := scan[int](d, `select count(*)::int from relay.outbox where kind = 'X'`); got != before {
					t.Errorf("enabling again left %d marks, want %d", got, before)
				}
				d.exec(`select relay.enable_table('a', exclude => '{secret}', level => $1)`, level)
				s.passed(t, r)
				d.exec(`update a set n = n`)
				s.passed(t, r)
				got := s.whats()
				if last := got[len(got)-1]; last != `U a ('2', 'hidden', '4', 'z') ('2', 'hidden', '4', 'z')` {
					t.Errorf("got %q last", last)
				}
			})
		})
	}
}

// TestRefused: what can't be captured, with the reason.
func TestRefused(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		d.exec(`create table deferred (id int, constraint deferred_key primary key (id) deferrable);
			create table unlogged_ (id int primary key); alter table unlogged_ set unlogged;
			create view v as select 1;
			create domain d as text not null;
			create table a (id int primary key, domained d);
			create table root (id int primary key) partition by range (id);
			create table part partition of root default;
			create temporary table t (id int primary key)`)
		for statement, want := range map[string]string{
			`select relay.enable_table('deferred')`:                           "deferrable (deferred_key)",
			`select relay.enable_table('unlogged_')`:                          "not permanent",
			`select relay.enable_table('t')`:                                  "not permanent",
			`select relay.enable_table('v')`:                                  "not a table",
			`select relay.enable_table('part')`:                               "captured with its root",
			`select relay.enable_table('relay.layout')`:                       "belongs to the server or to the relay",
			`select relay.enable_table('a', exclude => '{id}')`:               "belongs to the key",
			`select relay.enable_table('a', exclude => '{nope}')`:             "has no column nope",
			`select relay.enable_table('a', exclude => '{domained}')`:         "domain",
			`select relay.enable_table('a', level => 'both')`:                 "statement or row",
			`select relay.enable_table('root', level => 'statement')`:         "partitioned",
			`select relay.doorbell('loud')`:                                   "auto, on or off",
			`update relay.state set budget = 0`:                               "state_budget",
			`select relay.enable_table('deferred'::regclass, level => 'row')`: "deferrable",
		} {
			_, err := d.conn.Exec(t.Context(), statement)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", statement, err, want)
			}
		}
		if scan[bool](d, `select exists (select from pg_trigger where tgname ~ '^!relay')`) {
			t.Error("a refused table has triggers")
		}
		// An index that isn't deferrable as identity makes it possible.
		d.exec(`alter table deferred add column n int not null; create unique index other on deferred (n); alter table deferred replica identity using index other`)
		d.exec(`select relay.enable_table('deferred')`)
	})
}

// TestNestedWrites: a trigger of the application that writes the row again comes after what set it off.
func TestNestedWrites(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		d.exec(`create table a (id int primary key, n int, total int);
			create function again() returns trigger language plpgsql as 'begin update a set total = new.n * 10 where id = new.id; return null; end';
			create trigger "again" after insert or update of n on a for each row execute function again()`)
		if got := scan[string](d, `select relay.enable_table('a')`); got != "row" {
			t.Errorf("got level %q, want row", got)
		}
		s.names.set(scan[uint32](d, `select 'a'::regclass::oid`), "a")
		d.exec(`insert into a values (1, 1)`)
		d.exec(`update a set n = 2`)
		s.passed(t, r)
		s.want(t, "I a ('1', '1', null)", "U a ('1', '1', null) ('1', '1', '10')", "U a ('1', '1', '10') ('1', '2', '10')", "U a ('1', '2', '10') ('1', '2', '20')")
	})
}

// TestColumnsChange: each row is read by the columns that it was written with.
func TestColumnsChange(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r := d.open(d.config())
		s.names.set(d.table("public.a", "id int primary key, n int"), "a")
		d.exec(`insert into a values (1, 1)`)
		from, _ := r.Window()
		stop := d.run(r, from, s)
		s.passed(t, r)
		_ = stop()
		d.gone()
		// All of it in one delivery: before and after can be told by the number of columns.
		d.exec(`insert into a values (2, 2)`)
		d.exec(`alter table a add column t text default 'old'`)
		d.exec(`insert into a values (3, 3, 'new')`)
		r = d.open(d.config())
		stop = d.run(r, s.end, s)
		s.passed(t, r)
		// A new name doesn't change their number; what follows is read by it again.
		d.exec(`alter table a rename n to m`)
		d.exec(`insert into a values (4, 4, '')`)
		s.passed(t, r)
		d.exec(`insert into a values (5, 5, '')`)
		s.passed(t, r)
		if got := strings.Join(s.columns[scan[uint32](d, `select 'a'::regclass::oid`)], " "); got != "id m t" {
			t.Errorf("got columns %q, want the renamed one", got)
		}
		_ = stop()
		d.gone()
		// Neither by their number nor by the order.
		d.exec(`insert into a values (50, 5, '')`)
		d.exec(`alter table a drop column t, add column u text`)
		d.exec(`insert into a values (6, 6, '')`)
		last := s.end
		r = d.open(d.config())
		d.run(r, last, s)
		s.passed(t, r)
		d.exec(`insert into a values (7, 7, 'u')`)
		s.passed(t, r)
		want := []string{"I a ('1', '1')", "I a ('2', '2')", "I a ('3', '3', 'new')", "X a its columns changed while it was written to", "I a ('5', '5', '')",
			"X a its columns changed while it was written to", "I a ('7', '7', 'u')"}
		got := s.whats()
		if start := len(got) - len(want); start < 0 || fmt.Sprint(got[start:]) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q at the end", got, want)
		}
		// The same again from the record.
		again := newSink()
		again.names = s.names
		if err := d.replay(r, from, again); err != nil {
			t.Fatal(err)
		}
		again.want(t, want...)
	})
}

// TestDroppedTable: the rest of its changes is read, and what can't be is said.
func TestDroppedTable(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		s.names.set(d.table("public.a", "id int primary key, n int"), "a")
		d.exec(`insert into a values (1, 1)`)
		s.passed(t, r)
		d.exec(`begin; insert into a values (2, 1); drop table a; commit`)
		s.passed(t, r)
		s.want(t, "I a ('1', '1')", "I a ('2', '1')")
		if got := scan[string](d, `select problem from relay.status() where name = 'public.a'`); got != "the table is gone" {
			t.Errorf("got problem %q", got)
		}
	})
}

// TestLargeTransaction: neither the writer nor the reader holds it as a whole.
func TestLargeTransaction(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		s.discard = true
		r, _ := d.start(d.config(), s)
		d.table("public.a", "id int primary key, n text")
		const rows = 20_000
		d.exec(fmt.Sprintf(`insert into a select g, repeat('x', 100) from generate_series(1, %d) g`, rows))
		d.exec(`update a set n = n || 'y'`)
		s.passed(t, r)
		if s.rows != 2*rows {
			t.Errorf("got %d changes, want %d", s.rows, 2*rows)
		}
		if most := scan[int](d, `select max(cardinality(new)) from relay.outbox`); most > 128 {
			t.Errorf("%d rows in one of the outbox, want at most 128", most)
		}
	})
}

// TestWideRows: values of a megabyte each.
func TestWideRows(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		s.discard = true
		r, _ := d.start(d.config(), s)
		d.table("public.a", "id int primary key, n text")
		d.exec(`insert into a select g, repeat('x', 1000000) from generate_series(1, 5) g`)
		d.exec(`update a set n = n || 'y'`)
		s.passed(t, r)
		if s.rows != 10 {
			t.Errorf("got %d changes, want 10", s.rows)
		}
		if most := scan[int](d, `select max(octet_length(new::text)) from relay.outbox`); most > 1_300_000 {
			t.Errorf("%d bytes in one row of the outbox", most)
		}
	})
}

// TestSavepoints: the mark of a transaction's first write is undone with it.
func TestSavepoints(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.Poll = neverPolls
		r, _ := d.start(cfg, s)
		s.names.set(d.table("public.a", "id int primary key"), "a")
		s.passed(t, r)
		d.asleep()
		conn := d.connect()
		d.execOn(conn, `begin; savepoint s; insert into a values (1); rollback to s; insert into a values (2); insert into a values (3); commit`)
		s.await(t, func() bool { return s.rows == 2 })
		if got := scan[int](d, `select count(*)::int from relay.outbox where bell and kind = 'I'`); got != 1 {
			t.Errorf("%d rows ring, want the first alone", got)
		}
	})
}
