package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestOrder has eight writers on few rows, with subtransactions, rollbacks and statements of many rows, beside a transaction
// that is idle with an id in another database. What is delivered has to lead from each row's state to the next.
func TestOrder(t *testing.T) {
	for _, level := range []string{"statement", "row"} {
		t.Run(level, func(t *testing.T) {
			on(t, rung, func(t *testing.T, d *db) {
				if err := d.server.CreateDatabase(t.Context(), d.name+"_elsewhere"); err != nil {
					t.Fatal(err)
				}
				idle, err := d.server.Connect(t.Context(), d.name+"_elsewhere")
				if err != nil {
					t.Fatal(err)
				}
				defer idle.Close(t.Context())
				d.execOn(idle, `begin; select pg_current_xact_id()`)
				s := newSink()
				r, _ := d.start(d.config(), s)
				d.exec(`create table a (id int primary key, n int not null, who int)`)
				d.exec(`select relay.enable_table('a', level => $1)`, level)
				s.names.set(scan[uint32](d, `select 'a'::regclass::oid`), "a")
				d.exec(`insert into a select i, 0, -1 from generate_series(1, 20) i`)
				var all sync.WaitGroup
				for w := range 8 {
					conn := d.connect()
					all.Go(func() { write(t, conn, w, 60) })
				}
				all.Wait()
				s.passed(t, r)
				checkOrder(t, d, s)
			})
		})
	}
}

// write makes transactions. Each takes its rows in the order of their ids, so that none deadlocks.
func write(t *testing.T, conn *pgx.Conn, who, rounds int) {
	for i := range rounds {
		id := 1 + rand.IntN(5)
		var sql string
		switch rand.IntN(7) {
		case 0:
			sql = fmt.Sprintf(`begin; update a set n = n + 1, who = %[1]d where id = %[2]d; savepoint s; update a set n = n + 1 where id = %[2]d + 5;
				rollback to s; update a set n = n + 1, who = %[1]d where id = %[2]d + 6; commit`, who, id)
		case 1:
			sql = fmt.Sprintf(`begin; savepoint s; update a set n = n + 1, who = %d where id = %d; release s; commit`, who, id)
		case 2:
			sql = fmt.Sprintf(`begin; update a set n = n + 1 where id = %d; rollback`, id)
		case 3:
			sql = fmt.Sprintf(`begin; select from a where id <= 10 order by id for update; update a set n = n + 1, who = %d where id <= 10; commit`, who)
		case 4:
			sql = fmt.Sprintf(`insert into a values (%d, 0, %d)`, 1000+who*1000+i, who)
		case 5:
			// The row comes and goes between writers.
			sql = fmt.Sprintf(`insert into a values (500, 0, %d) on conflict (id) do update set n = a.n + 1`, who)
		case 6:
			sql = `delete from a where id = 500`
		}
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Errorf("%v in %s", err, sql)
			return
		}
	}
}

// checkOrder applies what was delivered, one change after the other, and compares the result with table a.
func checkOrder(t *testing.T, d *db, s *sink) {
	t.Helper()
	rows := map[string]string{}
	wrong := 0
	for _, what := range s.whats() {
		kind, rest, _ := strings.Cut(what, " a ")
		tuples := strings.Split(strings.Trim(rest, "()"), ") (")
		key := func(tuple string) string { id, _, _ := strings.Cut(tuple, ","); return id }
		old, new := tuples[0], tuples[len(tuples)-1]
		have, there := rows[key(old)]
		switch {
		case kind == "I" && there, kind != "I" && have != old:
			wrong++
			if wrong < 5 {
				t.Errorf("%s where the row was (%s)", what, have)
			}
		}
		if kind == "D" {
			delete(rows, key(old))
		} else {
			rows[key(new)] = new
		}
	}
	if wrong > 0 {
		t.Errorf("%d changes lost, repeated or out of order", wrong)
	}
	var got []string
	for _, row := range rows {
		got = append(got, row)
	}
	slices.Sort(got)
	want := scan[[]string](d, `select array_agg(format('''%s'', ''%s'', ''%s''', id, n, who) order by format('''%s'', ''%s'', ''%s''', id, n, who) collate "C") from a`)
	if !slices.Equal(got, want) {
		t.Errorf("got rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLargestID has the transaction that began to write first commit last: each row's order is that of the commits.
func TestLargestID(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r := d.open(d.config())
		s.names.set(d.table("public.a", "id int primary key, n int"), "a")
		d.exec(`insert into a values (1, 0), (2, 0)`)
		early, late := d.connect(), d.connect()
		d.execOn(early, `begin; insert into a values (3, 0)`)
		d.execOn(late, `begin; update a set n = 1 where id = 1; commit`)
		d.execOn(early, `update a set n = 2 where id = 1; commit`)
		from, _ := r.Window()
		d.run(r, from, s)
		s.passed(t, r)
		d.execOn(late, `begin; update a set n = 1 where id = 2`)
		d.execOn(early, `begin; update a set n = 5 where id = 3; commit`)
		d.execOn(late, `update a set n = 6 where id = 3; commit`)
		s.passed(t, r)
		s.want(t, "I a ('1', '0')", "I a ('2', '0')", "U a ('1', '0') ('1', '1')", "I a ('3', '0')", "U a ('1', '1') ('1', '2')",
			"U a ('3', '0') ('3', '5')", "U a ('2', '0') ('2', '1')", "U a ('3', '5') ('3', '6')")
	})
}
