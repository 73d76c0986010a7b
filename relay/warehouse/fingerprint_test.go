package warehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// The fingerprint of a table, its relation's own, and whether columns alone were added, after each statement in turn.
func TestFingerprint(t *testing.T) {
	const (
		same    = "" // nothing may change
		table   = "table"
		added   = "added"   // the table's, by columns at its end alone that have one known value in every older row
		trigger = "trigger" // the cheap one may change, the relation's doesn't
		rest    = "rest"    // what is under 0, and the cheap one of tables that join or leave a publication
		refused = "refused" // the table is refused, or there again
	)
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create type mood as enum ('sad', 'ok'); create type pair as (a int, m mood[]);
			create collation sorted from "C";
			create table t (id int primary key, n text, p pair, s text collate sorted);
			create table other (id int primary key);
			create table root (id int primary key) partition by range (id);
			create table leaf1 partition of root for values from (0) to (10);
			insert into t select g, 'x' from generate_series(1, 100) g`)
		source := discover(t, Config{DSN: s.DSN("w")}).source(t, "local")
		conn := dial(t, source.Conn)
		look := func() (*Inspection, map[uint32]string) {
			in, err := source.Inspect(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			prints, err := source.Fingerprint(t.Context(), conn, source.Publications())
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(prints, in.Fingerprints) {
				t.Fatal("Inspect and Fingerprint differ")
			}
			return in, prints
		}
		before, was := look()
		for _, c := range []struct{ change, name, sql string }{
			{same, "t", `insert into t values (1000); update t set n = 'y'; delete from t where id < 10`},
			{same, "t", `vacuum analyze t`},
			{same, "t", `vacuum full t`},
			{same, "t", `truncate t`},
			{same, "root", `truncate leaf1`},
			{same, "t", `create index on t (n)`},
			{same, "t", `grant select on t to public`},
			{same, "t", `create temp table x (id int)`},
			{added, "t", `alter table t add a int`},
			{added, "t", `alter table t add b int default 5`},
			{table, "t", `alter table t add c float default random()`},
			{table, "t", `alter table t alter n type text using n || '!'`}, // a rewrite that the columns don't show
			{table, "t", `alter table t alter n type varchar(10)`},
			{table, "t", `alter table t alter n set not null`},
			{table, "t", `alter table t rename n to nn`},
			{table, "t", `alter table t drop column a`},
			{table, "t", `alter collation sorted rename to "C"`},
			{table, "t", `alter table t alter s type text collate "C"`},
			{table, "t", `alter table t alter s type text`},
			{table, "t", `alter type mood rename value 'sad' to 'gloomy'`},
			{table, "t", `alter type mood add value 'great'`},
			{table, "t", `alter type pair add attribute more int`},
			{table, "t", `alter type mood rename to humour`},
			{table, "t", `alter table t replica identity full`},
			{table, "t", `alter table t replica identity default`},
			{table, "t", `drop table t; create table t (id int primary key, nn varchar(10))`},
			{refused, "t", `alter table t drop constraint t_pkey`},
			{refused, "t", `alter table t add primary key (id)`},
			{table, "root", `create table leaf2 partition of root for values from (10) to (20)`},
			{table, "root", `alter table leaf2 replica identity full`},
			{table, "root", `alter table root detach partition leaf2`},
			{table, "root", `alter table leaf1 rename to leaf_one`},
			{added, "root", `alter table root add a text default 'x'`},
			{rest, "", `create publication pgrelay for table t`},
			{rest, "", `alter publication pgrelay add table other`},
			{rest, "", `alter publication pgrelay set (publish = 'insert')`},
			{rest, "", `drop publication pgrelay; create publication pgrelay for table t, other with (publish = 'insert')`},
			{trigger, "t", `alter table t enable row level security`},
			{rest, "", `alter publication pgrelay drop table t`},
			{refused, "t", `drop table t`},
		} {
			execute(t, s, "w", c.sql)
			after, is := look()
			var changed []string
			for _, name := range []string{"t", "other", "root"} {
				old, now := before.find("public."+name), after.find("public."+name)
				switch {
				case old == nil && now == nil:
				case old == nil || now == nil:
					changed = append(changed, name+" refused")
				case old.Fingerprint == now.Fingerprint:
					if was[old.OID] != is[now.OID] && c.change != trigger && c.change != rest {
						changed = append(changed, name+" trigger")
					}
				default:
					kind := table
					if appended(old, now) == 1 {
						kind = added
					}
					if was[old.OID] == is[now.OID] {
						kind += " unseen"
					}
					changed = append(changed, name+" "+kind)
				}
			}
			if was[0] != is[0] {
				changed = append(changed, "rest")
			}
			var want []string
			switch c.change {
			case same, trigger:
			case rest:
				want = []string{"rest"}
			default:
				want = []string{c.name + " " + c.change}
			}
			if !slices.Equal(changed, want) {
				t.Errorf("%s: changed %q, want %q", c.sql, changed, want)
			}
			before, was = after, is
		}
	})
}

// appended is how many columns were added, each filled with one value, if nothing else differs; else 0.
func appended(old, now *relay.Relation) int {
	was, is := strings.Split(old.Fingerprint, "\n"), strings.Split(now.Fingerprint, "\n")
	if len(is) <= len(was) || !slices.Equal(was, is[:len(was)]) {
		return 0
	}
	later := now.Columns[len(old.Columns):]
	if slices.ContainsFunc(later, func(c relay.Column) bool { return !c.Filled || c.Number <= old.Highest }) {
		return 0
	}
	return len(later)
}

func (in *Inspection) find(name string) *relay.Relation {
	for _, r := range in.Relations {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func TestWatch(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	create(t, s, "w", "service")
	execute(t, s, "service", `create table t (id int primary key, n int)`)
	addServerTo(t, s, "w", "svc", "service")
	execute(t, s, "w", `create foreign table t (id int) server svc; create table mine (id int primary key)`)
	conn, err := s.Connect(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	was := discover(t, Config{DSN: s.DSN("w")}).Fingerprint
	for _, c := range []struct {
		changes bool
		sql     string
	}{
		{false, `create temp table x (id int)`},
		{false, `insert into mine values (1); analyze mine`},
		{false, `truncate mine`},
		{false, `create index on mine (id)`},
		{true, `alter foreign table t add n int`},
		{true, `alter foreign table t alter n options (column_name 'n')`},
		{true, `alter foreign table t alter n type int8`},
		{true, `alter foreign table t options (table_name 't')`},
		{true, `alter server svc options (set port '1')`},
		{true, `alter user mapping for postgres server svc options (set password 'other')`},
		{true, `alter foreign table t rename to u`},
		{true, `create table more (id int)`},
		{true, `create table parted (id int) partition by range (id); create table leaf partition of parted for values from (0) to (1)`},
		{true, `alter table parted detach partition leaf`},
		{true, `alter table more set unlogged`},
		{true, `alter schema public rename to shop`},
		{true, `drop table shop.more`},
		{true, `drop server svc cascade`},
	} {
		execute(t, s, "w", c.sql)
		now, err := Watch(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if (now != was) != c.changes {
			t.Errorf("%s: changed is %v, want %v", c.sql, now != was, c.changes)
		}
		was = now
	}
}

// Discover, Inspect and Fingerprint work whatever the role's search_path, and take no table lock.
func TestWithoutLocks(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create type public.e as enum ('a'); create table public.t (id int primary key, e public.e);
			alter role postgres set search_path = public, pg_catalog; alter role postgres set statement_timeout = '5s'`)
		locker, err := s.Connect(t.Context(), "w")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = locker.Close(context.Background()) }()
		if _, err := locker.Exec(t.Context(), `begin; lock table public.t in access exclusive mode`); err != nil {
			t.Fatal(err)
		}
		r := local(t, Config{DSN: s.DSN("w")}).relation(t, "public.t")
		wantEqual(t, "type", r.Columns[1].TypeName, "public.e")
	})
}

func BenchmarkFingerprint(b *testing.B) {
	for _, tables := range []int{50, 500} {
		b.Run(fmt.Sprint(tables), func(b *testing.B) {
			s := pgserver.ForTest(b, pgserver.Config{Version: 18})
			var sql strings.Builder
			sql.WriteString(`create type e as enum ('a', 'b');`)
			for i := range tables {
				fmt.Fprintf(&sql, "create table t%d (id int primary key, e e, %s);", i, columns(20))
			}
			if err := s.Exec(b.Context(), "postgres", sql.String()); err != nil {
				b.Fatal(err)
			}
			w, err := Discover(b.Context(), Config{DSN: s.DSN("postgres")})
			if err != nil {
				b.Fatal(err)
			}
			conn, err := s.Admin(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			for b.Loop() {
				if _, err := w.Sources[0].Fingerprint(b.Context(), conn, w.Sources[0].Publications()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func columns(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("c%d text", i)
	}
	return strings.Join(list, ", ")
}

// TestTruncatedPartition: TRUNCATE of a partition that is younger than the capture of its root by triggers fires none of
// these, and is found by the partition's file.
func TestTruncatedPartition(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "p")
		execute(t, s, "p", `create table root (id int primary key) partition by range (id);
			create table old partition of root for values from (0) to (10)`)
		execute(t, s, "p", triggers.Install(""))
		execute(t, s, "p", triggers.Enable(triggers.Table{Name: "public.root"}))
		execute(t, s, "p", `create table young partition of root for values from (10) to (20); insert into root values (11)`)
		source := discover(t, Config{DSN: s.DSN("p")}).source(t, "local").ByTrigger()
		conn := dial(t, source.Conn)
		look := func() (root string) {
			in, err := source.Inspect(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			return in.Fingerprints[in.find("public.root").OID]
		}
		was := look()
		execute(t, s, "p", `insert into root values (12)`)
		if look() != was {
			t.Error("a row changes the fingerprint")
		}
		execute(t, s, "p", `truncate young`)
		if look() == was {
			t.Error("truncating a young partition goes unseen")
		}
	})
}
