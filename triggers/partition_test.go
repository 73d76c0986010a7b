package triggers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// hierarchy is a table with partitions, one that may become another, and a tree that may become a subtree.
const hierarchy = `
create schema shop;
create table shop.root (id int primary key, n text) partition by range (id);
create table shop.first partition of shop.root for values from (0) to (10);
create table shop.spare (id int primary key, n text);
create table shop.tree (id int primary key, n text) partition by range (id);
create table shop.leaf partition of shop.tree for values from (10) to (15);
create table shop.parent (id int primary key, n text);`

// step is a statement, and what is captured of it: the table, what was done, and by which id.
type step struct {
	sql  string
	want []string
}

// attached are the ways in which what is captured becomes a partition or stops being one. The business statements never fail,
// and what is captured is captured once.
var attached = map[string]struct {
	steps []step
	// problems are what status says afterwards, by table; remedies end them, and leave what is captured as it is.
	problems map[string]string
	after    []step
}{
	"by row, to a captured one": {
		steps: []step{
			{`select relay.enable_table('shop.spare', level => 'row'); select relay.enable_table('shop.root')`, nil},
			{`insert into shop.spare values (11)`, []string{"spare I 11"}},
			{`alter table shop.root attach partition shop.spare for values from (10) to (20)`, nil},
			{`insert into shop.root values (1), (12)`, []string{"first I 1", "spare I 12"}},
			{`update shop.spare set n = 'x' where id = 12; delete from shop.root where id = 12`, []string{"spare U 12", "spare D 12"}},
			{`truncate shop.spare`, []string{"spare T"}},
		},
		problems: map[string]string{"shop.spare": "partition of shop.root, which is captured with its partitions"},
		after: []step{
			{`insert into shop.root values (13); truncate shop.spare`, []string{"spare I 13", "spare T"}},
			{`alter table shop.root detach partition shop.spare; insert into shop.spare values (14); insert into shop.root values (2)`, []string{"first I 2"}},
		},
	},
	"by row, and back": {
		steps: []step{
			{`select relay.enable_table('shop.spare', level => 'row'); select relay.enable_table('shop.root')`, nil},
			{`alter table shop.root attach partition shop.spare for values from (10) to (20); insert into shop.spare values (11)`, []string{"spare I 11"}},
			{`alter table shop.root detach partition shop.spare; insert into shop.spare values (12)`, []string{"spare I 12"}},
			{`alter table shop.root attach partition shop.spare for values from (10) to (20); insert into shop.root values (15)`, []string{"spare I 15"}},
			{`alter table shop.root detach partition shop.spare concurrently`, nil},
			{`insert into shop.spare values (16)`, []string{"spare I 16"}},
		},
		after: []step{{`insert into shop.spare values (13); insert into shop.root values (3)`, []string{"spare I 13", "first I 3"}}},
	},
	"by statement, to a captured one": {
		steps: []step{
			{`select relay.enable_table('shop.spare'); select relay.enable_table('shop.root')`, nil},
			{`alter table shop.root attach partition shop.spare for values from (10) to (20)`, nil},
			{`insert into shop.root values (12); insert into shop.spare values (13); delete from shop.spare where id = 13`, []string{"spare I 12", "spare I 13", "spare D 13"}},
		},
		problems: map[string]string{"shop.spare": "partition of shop.root, which is captured with its partitions"},
		after:    []step{{`insert into shop.spare values (14); update shop.root set n = 'y' where id = 14`, []string{"spare I 14", "spare U 14"}}},
	},
	"by row, to one that isn't captured": {
		steps: []step{
			{`select relay.enable_table('shop.spare', level => 'row')`, nil},
			{`alter table shop.root attach partition shop.spare for values from (10) to (20)`, nil},
			{`insert into shop.root values (12)`, nil},
		},
		problems: map[string]string{"shop.spare": "partition of shop.root, which isn't captured: its changes are missed"},
		after:    []step{{`insert into shop.root values (1), (13); truncate shop.spare`, []string{"first I 1", "spare I 13", "spare T"}}},
	},
	"a captured subtree, to a captured tree": {
		steps: []step{
			{`select relay.enable_table('shop.tree'); select relay.enable_table('shop.root')`, nil},
			{`insert into shop.tree values (11)`, []string{"leaf I 11"}},
			{`alter table shop.root attach partition shop.tree for values from (10) to (20)`, nil},
			{`insert into shop.root values (12); insert into shop.tree values (13); insert into shop.leaf values (14)`, []string{"leaf I 12", "leaf I 13", "leaf I 14"}},
			{`create table shop.late partition of shop.tree for values from (15) to (20); insert into shop.root values (16)`, []string{"late I 16"}},
			{`truncate shop.leaf`, []string{"leaf T"}},
		},
		problems: map[string]string{"shop.tree": "partition of shop.root, which is captured with its partitions", "shop.root": "TRUNCATE of a partition that is newer"},
		after: []step{
			{`update shop.root set id = 14 where id = 16`, []string{"late D 16", "leaf I 14"}},
			{`truncate shop.late`, []string{"late T"}},
			{`alter table shop.root detach partition shop.tree; insert into shop.tree values (17)`, nil},
		},
	},
	"a captured subtree, and back": {
		steps: []step{
			{`select relay.enable_table('shop.tree'); select relay.enable_table('shop.root')`, nil},
			{`alter table shop.root attach partition shop.tree for values from (10) to (20); insert into shop.tree values (11)`, []string{"leaf I 11"}},
			{`alter table shop.root detach partition shop.tree; insert into shop.tree values (12); truncate shop.leaf`, []string{"leaf I 12", "leaf T"}},
		},
	},
	"made as a partition, dropped as one": {
		steps: []step{
			{`select relay.enable_table('shop.root')`, nil},
			{`create table shop.late partition of shop.root for values from (30) to (40); insert into shop.late values (31)`, []string{"late I 31"}},
			{`drop table shop.late; insert into shop.root values (1)`, []string{"first I 1"}},
			{`alter table shop.root detach partition shop.first; insert into shop.first values (2)`, nil},
		},
	},
	"dropped": {
		steps: []step{
			{`select relay.enable_table('shop.spare', level => 'row'); select relay.enable_table('shop.root'); drop table shop.spare, shop.root`, nil},
		},
		problems: map[string]string{"shop.spare": "the table is gone", "shop.root": "the table is gone"},
	},
	"inheritance": {
		steps: []step{
			{`select relay.enable_table('shop.parent', level => 'row'); select relay.enable_table('shop.spare', level => 'row')`, nil},
			{`alter table shop.spare inherit shop.parent; insert into shop.spare values (1); insert into shop.parent values (2)`, []string{"spare I 1", "parent I 2"}},
			{`update shop.parent set n = 'x'`, []string{"parent U 2", "spare U 1"}},
			{`alter table shop.spare no inherit shop.parent; insert into shop.spare values (3)`, []string{"spare I 3"}},
		},
	},
	"inheritance, by statement": {
		steps: []step{
			{`select relay.enable_table('shop.parent'); select relay.enable_table('shop.spare')`, nil},
			{`alter table shop.spare inherit shop.parent`, nil},
		},
		problems: map[string]string{"shop.parent": "inherits or is inherited", "shop.spare": "inherits or is inherited"},
		after:    []step{{`insert into shop.parent values (1); insert into shop.spare values (2); delete from shop.parent`, []string{"parent I 1", "spare I 2", "parent D 1", "spare D 2"}}},
	},
}

// changes are what the outbox holds beyond an id, as steps want them, and the largest id.
func changes(t *testing.T, conn *pgx.Conn, beyond int64) (got []string, last int64) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select o.id, c.relname || ' ' || o.kind::text || coalesce(' ' || substring(r from '^\((\d+)'), '')
		from relay.outbox o join pg_class c on c.oid = o.relation left join unnest(coalesce(o.new, o.old)) r on o.kind <> 'X'
		where o.id > $1 and o.kind <> 'X' order by o.id, r`, beyond)
	if err != nil {
		t.Fatal(err)
	}
	var line string
	last = beyond
	if _, err := pgx.ForEachRow(rows, []any{&last, &line}, func() error { got = append(got, line); return nil }); err != nil {
		t.Fatal(err)
	}
	return got, last
}

func TestBecomesPartition(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		n := 0
		for name, c := range attached {
			n++
			database := fmt.Sprint("d", n)
			if err := s.CreateDatabase(t.Context(), database); err != nil {
				t.Fatal(err)
			}
			t.Run(name, func(t *testing.T) {
				conn := in(t, s, database, "")
				execute(t, conn, hierarchy)
				execute(t, conn, triggers.Install(""))
				last := run(t, conn, c.steps, 0)
				for table, problem := range c.problems {
					if got := scan[*string](t, conn, `select problem from relay.status() where name = $1`, table); got == nil || !strings.Contains(*got, problem) {
						t.Errorf("%s: got problem %v, want %q", table, got, problem)
					}
				}
				mend(t, conn)
				run(t, conn, c.after, last)
				for _, table := range scan[[]string](t, conn, `select coalesce(array_agg(relation::regclass::text), '{}') from relay.captured`) {
					execute(t, conn, triggers.Disable(table))
				}
				if got := scan[string](t, conn, `select (select count(*) from pg_trigger where tgname ~ '^!relay') || ' ' || (select count(*) from relay.captured)`); got != "0 0" {
					t.Errorf("after each table was disabled there are %s triggers and captured tables", got)
				}
			})
		}
	})
}

// run makes the steps and compares what is captured of each. It returns the last id.
func run(t *testing.T, conn *pgx.Conn, steps []step, last int64) int64 {
	t.Helper()
	for _, s := range steps {
		var got []string
		execute(t, conn, s.sql)
		if got, last = changes(t, conn, last); !slices.Equal(got, s.want) {
			t.Errorf("%s: got %q, want %q", s.sql, got, s.want)
		}
	}
	return last
}

// mend runs what status says, and wants that it says nothing then.
func mend(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, remedy := range scan[[]string](t, conn, `select coalesce(array_agg(remedy), '{}') from relay.status() where problem is not null`) {
		execute(t, conn, remedy)
	}
	if got := scan[*string](t, conn, `select string_agg(name || ': ' || problem, ', ') from relay.status()`); got != nil {
		t.Errorf("after the remedies: %s", *got)
	}
}

// TestDisablesOthers: the trigger of a table that was detached goes when something is disabled; where it can't, it is said.
func TestDisablesOthers(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn, other := as(t, s, ""), as(t, s, "")
		execute(t, conn, hierarchy+triggers.Install("")+triggers.Enable(triggers.Table{Name: "shop.root"})+`; alter table shop.root detach partition shop.first`)
		execute(t, other, `begin; lock table shop.first in access share mode`)
		execute(t, conn, `set lock_timeout = '10ms'; `+triggers.Disable("shop.root"))
		if got := scan[string](t, conn, `select string_agg(tgname || ' ' || tgrelid::regclass, ', ') from pg_trigger where tgname ~ '^!relay'`); got != "!relay_truncate shop.first" {
			t.Errorf("left: %s", got)
		}
		execute(t, other, `rollback`)
		execute(t, conn, triggers.Disable("shop.root"))
		if got := scan[int](t, conn, `select count(*)::int from pg_trigger where tgname ~ '^!relay'`); got != 0 {
			t.Errorf("%d triggers are left", got)
		}
	})
}

// TestOlderTrigger: a table captured by row with an older version's trigger goes on, is told of, and mended by enabling it again.
func TestOlderTrigger(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, hierarchy+triggers.Install("")+`
			create trigger "!relay_row" after insert or update or delete on shop.root for each row execute function relay.capture_row('', '');
			alter table shop.root enable always trigger "!relay_row";
			create trigger "!relay_truncate" after truncate on shop.root for each statement execute function relay.capture_truncate();
			alter table shop.root enable always trigger "!relay_truncate";
			create trigger "!relay_truncate" after truncate on shop.first for each statement execute function relay.capture_truncate();
			alter table shop.first enable always trigger "!relay_truncate";
			insert into relay.captured (relation, name, level, excluded, suppress_redundant) values ('shop.root'::regclass, 'shop.root', 'row', '{}', false);
			insert into shop.root values (1)`)
		if got := scan[*string](t, conn, `select problem from relay.tables()`); got != nil {
			t.Errorf("its changes are not served, for %s", *got)
		}
		if got := scan[*string](t, conn, `select problem from relay.status() where name = 'shop.root'`); got == nil || !strings.Contains(*got, "older version") {
			t.Errorf("got problem %v", got)
		}
		mend(t, conn)
		execute(t, conn, triggers.Enable(triggers.Table{Name: "shop.tree"})+`; alter table shop.root attach partition shop.tree for values from (10) to (20)`)
		execute(t, conn, `insert into shop.root values (2), (11)`)
		if got, _ := changes(t, conn, 0); !slices.Equal(got, []string{"first I 1", "first I 2", "leaf I 11"}) {
			t.Errorf("captured %q", got)
		}
	})
}
