package triggers_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// older is install.sql of an older version, for a reader.
func older(t *testing.T, reader string) string {
	t.Helper()
	script, err := os.ReadFile("testdata/older.sql")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(script), ":'reader'", relay.Literal(reader))
}

// made is what install.sql has made: functions with what they take, return and are made of, and columns.
const made = `
select array_agg(line order by line collate "C") from (
  select format('function %s %s %s %s', p.oid::regprocedure, pg_get_function_result(p.oid), p.proconfig, md5(p.prosrc)) as line from pg_proc p where p.pronamespace = 'relay'::regnamespace
  union all select format('column %s %s %s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attnotnull) from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'relay'::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0) l`

// TestInstallOverOlder: a role that isn't superuser brings an older version up to date while a transaction writes. What was
// captured before is read, nobody starts over, and everybody may do what they might.
func TestInstallOverOlder(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		admin := as(t, s, "")
		execute(t, admin, `create role dba login password 'x'; create role pgrelay login password 'x'; create role monitor login password 'x';
			grant create on database postgres to dba; create schema shop authorization dba`)
		dba, writer := as(t, s, "dba"), as(t, s, "")
		execute(t, dba, older(t, "pgrelay"))
		execute(t, dba, `select relay.doorbell('on'); grant usage on schema relay to monitor; grant execute on function relay.status() to monitor;
			create view shop.status as select * from relay.status();
			create table shop.a (id int primary key, secret text); create table shop.b (id int primary key); create table shop.root (id int primary key) partition by range (id);
			create table shop.part partition of shop.root default;
			select relay.enable_table('shop.a', array['secret'], true), relay.enable_table('shop.b', level => 'row'), relay.enable_table('shop.root');
			select relay.begin_epoch('test'); select relay.finish_epoch('1', 1)`)
		epoch := scan[int64](t, dba, `select epoch from relay.state`)
		execute(t, writer, `insert into shop.a values (1); insert into shop.b values (1); insert into shop.root values (1)`)
		execute(t, writer, `begin; insert into shop.a values (2); insert into shop.b values (2); insert into shop.root values (2)`)
		for range 2 {
			execute(t, dba, triggers.Install(""))
		}
		execute(t, writer, `insert into shop.a values (3); commit; insert into shop.a values (4); insert into shop.b values (4); insert into shop.root values (4)`)

		reader := as(t, s, "pgrelay")
		if got := scan[string](t, reader, `select (ready and base > 0) || ' ' || (epoch = $1) || ' ' || doorbell from relay.state`, epoch); got != "true true on" {
			t.Errorf("after it the epoch goes on, and the doorbell is on: got %s", got)
		}
		if got, want := delivered(t, reader), []string{"a 1", "a 2", "a 3", "a 4", "b 1", "b 2", "b 4", "part 1", "part 2", "part 4"}; !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
		if got := scan[*string](t, reader, `select string_agg(problem, ', ') from relay.tables()`); got != nil {
			t.Errorf("not served: %s", *got)
		}
		monitor := as(t, s, "monitor")
		scan[int](t, monitor, `select count(*)::int from relay.status()`)
		for _, sql := range []string{`select relay.turn()`, `select * from relay.state`, `select relay.disable_table('shop.a')`} {
			if _, err := monitor.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s as monitor: got %v", sql, err)
			}
		}
		execute(t, dba, triggers.Install("")) // nobody uses the outbox any more
		sameAsFresh(t, s, dba)
		mend(t, dba)
		if got := scan[string](t, dba, `select string_agg(format('%s %s %s %s', name, level, excluded, suppress_redundant), ', ' order by name) from relay.captured`); got != "shop.a statement {secret} t, shop.b row {} f, shop.root row {} f" {
			t.Errorf("captured: %s", got)
		}
		execute(t, dba, `drop view shop.status`)
		execute(t, dba, triggers.Uninstall())
	})
}

// delivered records what there is to deliver, and returns it.
func delivered(t *testing.T, reader *pgx.Conn) []string {
	t.Helper()
	var s0, s1 string
	if err := reader.QueryRow(t.Context(), `select s.base_snapshot::text, r.s1::text from relay.state s, relay.record((s.base >> 24) + 1, s.base_snapshot, false) r where r.recorded`).Scan(&s0, &s1); err != nil {
		t.Fatal(err)
	}
	return scan[[]string](t, reader, `select array_agg(c.relname || ' ' || substring(n from '\d+') order by c.relname, n) from relay.outbox o join pg_class c on c.oid = o.relation, unnest(o.new) n
		where o.kind = 'I' and not pg_visible_in_snapshot(o.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(o.xid, $2::text::pg_snapshot)`, s0, s1)
}

// sameAsFresh wants of a database what install.sql makes of an empty one.
func sameAsFresh(t *testing.T, s *pgserver.Server, conn *pgx.Conn) {
	t.Helper()
	if err := s.CreateDatabase(t.Context(), "fresh"); err != nil {
		t.Fatal(err)
	}
	fresh := in(t, s, "fresh", "")
	execute(t, fresh, triggers.Install(""))
	got, want := scan[[]string](t, conn, made), scan[[]string](t, fresh, made)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("left: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("lacking: %s", line)
		}
	}
}

// TestNames: install.sql replaces, and uninstall.sql drops, each function that there is.
func TestNames(t *testing.T) {
	install, uninstall := triggers.Install(""), triggers.Uninstall()
	_, dropped, _ := strings.Cut(install, "p.proname in (")
	dropped, _, _ = strings.Cut(dropped, ") loop")
	for _, m := range regexp.MustCompile(`create or replace function relay\.(\w+)\([^$]*? returns (\w+)|create or replace function relay\.(\w+)\(`).FindAllStringSubmatch(install, -1) {
		name := m[1] + m[3]
		if !strings.Contains(uninstall, "'"+name+"'") {
			t.Errorf("uninstall.sql leaves %s", name)
		}
		ran := m[2] == "trigger" || slices.Contains([]string{"ring", "asleep", "put", "close", "keep_budget", "fault", "writes_itself"}, name)
		if strings.Contains(dropped, "'"+name+"'") == ran {
			t.Errorf("install.sql drops %s: %t", name, !ran)
		}
	}
}

// TestOneTransaction: everything may be done in one transaction, with writes in between.
func TestOneTransaction(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, triggers.Install("")+`create table a (id int primary key)`)
		execute(t, conn, `begin; select relay.enable_table('a'); insert into a values (1); select relay.doorbell('off'); insert into a values (2);
			select relay.doorbell('on'); insert into a values (3); select relay.doorbell('auto'); select relay.disable_table('a'); select relay.enable_table('a', level => 'row');
			insert into a values (4); commit`)
		if got, _ := changes(t, conn, 0); !slices.Equal(got, []string{"a I 1", "a I 2", "a I 3", "a I 4"}) {
			t.Errorf("captured %q", got)
		}
	})
}

// TestStrangers: what isn't pgrelay's in schema relay is neither taken over nor dropped.
func TestStrangers(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, `create schema relay; create table relay.races (id int)`)
		if _, err := conn.PgConn().Exec(t.Context(), triggers.Install("")).ReadAll(); err == nil || !strings.Contains(err.Error(), "somebody else's") {
			t.Errorf("install.sql into another's schema: got %v", err)
		}
		execute(t, conn, `rollback; drop table relay.races`)
		execute(t, conn, triggers.Install("")+`create table relay.notes (id int)`)
		execute(t, conn, triggers.Uninstall())
		if got := scan[string](t, conn, `select string_agg(oid::regclass::text, ', ') from pg_class where relnamespace = 'relay'::regnamespace`); got != "relay.notes" {
			t.Errorf("uninstall.sql left %s", got)
		}
		execute(t, conn, `drop table relay.notes`)
		execute(t, conn, triggers.Uninstall())
		if got := scan[*string](t, conn, `select to_regnamespace('relay')::text`); got != nil {
			t.Error("uninstall.sql left the schema")
		}
	})
}

// TestInstallUnderLoad: install.sql again while applications write: no statement fails, and no change is missed.
func TestInstallUnderLoad(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, triggers.Install("")+`create table a (n int); create table b (n int);
			select relay.enable_table('a'), relay.enable_table('b', level => 'row'); update relay.state set budget = 1::bigint << 40`)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for _, table := range []string{"a", "b", "a", "b"} {
			writer := as(t, s, "")
			group.Go(func() {
				for ctx.Err() == nil {
					if _, err := writer.Exec(t.Context(), `insert into `+table+` select generate_series(1, 200)`); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 20 {
			execute(t, conn, triggers.Install(""))
		}
		stop()
		group.Wait()
		const missed = `select (select count(*) from a) + (select count(*) from b) - (select count(*) from relay.outbox, unnest(new) where kind = 'I')`
		if got := scan[int](t, conn, missed); got != 0 || scan[int](t, conn, `select count(*)::int from relay.outbox where kind = 'X'`) != 2 {
			t.Errorf("%d changes are missed, or marked as such", got)
		}
	})
}
