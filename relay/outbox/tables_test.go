package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/triggers"
)

// captured is a line of relay.tables().
type captured struct {
	OID uint32
	// Name is as SQL writes it.
	Name string
	// Level is statement or row.
	Level string
	// Excluded columns are not in its tuples.
	Excluded          []string
	SuppressRedundant bool
	// Problem keeps changes from being seen; "" where nothing does. select relay.enable_table(Name) mends it.
	Problem string
	// Stamp differs whenever its triggers were touched, also if they were disabled and enabled again meanwhile: changes may
	// have gone unseen.
	Stamp string
}

// tables lists what is captured, by name.
func tables(ctx context.Context, conn *pgx.Conn) ([]captured, error) {
	rows, err := conn.Query(ctx, `select relation, name, level, excluded, suppress_redundant, coalesce(problem, ''), coalesce(stamp, '') from relay.tables()`,
		pgx.QueryExecModeExec)
	if err != nil {
		return nil, fmt.Errorf("list captured tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t captured, err error) {
		err = row.Scan(&t.OID, &t.Name, &t.Level, &t.Excluded, &t.SuppressRedundant, &t.Problem, &t.Stamp)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list captured tables: %w", err)
	}
	return tables, nil
}

// TestTables: what was done to the triggers shows, also where it was undone.
func TestTables(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		d.exec(`create table a (id int primary key, n int)`)
		d.exec(`select relay.enable_table('a', exclude => '{n}', suppress_redundant => true)`)
		table := func() captured {
			t.Helper()
			all, err := tables(t.Context(), d.conn)
			if err != nil || len(all) != 1 {
				t.Fatalf("got %v, %v", all, err)
			}
			return all[0]
		}
		first := table()
		want := captured{OID: first.OID, Name: "public.a", Level: "statement", Excluded: []string{"n"}, SuppressRedundant: true, Stamp: first.Stamp}
		if fmt.Sprint(first) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", first, want)
		}
		for sql, problem := range map[string]string{
			`alter table a disable trigger "!relay_update"`:                                                                       "is disabled",
			`alter table a disable trigger all; alter table a enable trigger all`:                                                 "session_replication_role",
			`drop trigger "!relay_delete" on a`:                                                                                   "is missing",
			`alter table a drop constraint a_pkey; alter table a add primary key (id) deferrable`:                                 "deferrable",
			`create table child () inherits (a)`:                                                                                  "inherits",
			`create or replace trigger "!relay_truncate" after truncate on a for each statement execute function relay.capture()`: "trigger",
		} {
			d.exec(`begin; ` + sql)
			if got := table(); !strings.Contains(got.Problem, problem) {
				t.Errorf("%s: got problem %q, want %q", sql, got.Problem, problem)
			}
			d.exec(`rollback`)
		}
		d.exec(`alter table a disable trigger "!relay_update"; alter table a enable always trigger "!relay_update"`)
		if got := table(); got.Problem != "" || got.Stamp == first.Stamp {
			t.Errorf("got %v, want no problem and another stamp than %s", got, first.Stamp)
		}
		d.exec(`alter table a disable trigger "!relay_update"`)
		d.exec(`select relay.enable_table('a', exclude => '{n}', suppress_redundant => true)`)
		if got := table(); got.Problem != "" {
			t.Errorf("got problem %q after the table was enabled again", got.Problem)
		}
	})
}

// TestLeastPrivilege runs a reader whose role has what grant_reader gives and nothing else.
func TestLeastPrivilege(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		role := d.name + "_reader"
		d.exec(fmt.Sprintf(`create role %s login password 'x'`, role))
		d.exec(triggers.Install(role))
		cfg := d.config()
		cfg.Conn.User, cfg.Conn.Password = role, "x"
		cfg.RetainBytes, cfg.tendEvery = 1<<16, 1
		s := newSink()
		r, stop := d.start(cfg, s)
		s.names.set(d.table("public.a", "id bigserial primary key"), "a")
		for scan[int64](d, `select generation from relay.state`) < 4 {
			d.exec(`insert into a default values`)
			s.passed(t, r)
		}
		_ = stop()
		start := scan[int64](d, `select base from relay.state`) // the reader may have been stopped before it heard of it
		if err := d.replay(r, position(start>>placeBits, int(start&lastPlace)), newSink()); err != nil {
			t.Error(err)
		}
		d.exec(`select relay.close()`)
		if other := d.open(cfg); !other.New {
			t.Error("no new epoch was begun")
		}
	})
}

// TestVersion: the scripts and the reader are of one version.
func TestVersion(t *testing.T) {
	if version != triggers.Version {
		t.Errorf("got version %d, and %d of the scripts", version, triggers.Version)
	}
}
