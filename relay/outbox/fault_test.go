package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgrelay/triggers"
)

// TestFaults breaks relay's own objects in every way. The application's statements go through, and a reader that goes on
// knows what it may have missed: the table, or everything.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt, mend string
		gap           bool
	}{
		"table dropped":        {breakIt: `drop table relay.outbox_0 cascade`, gap: true},
		"all tables dropped":   {breakIt: `drop view relay.outbox; drop table relay.outbox_0, relay.outbox_1, relay.outbox_2`, gap: true},
		"state dropped":        {breakIt: `drop table relay.state cascade; drop table relay.outbox_0 cascade`, gap: true},
		"sequence dropped":     {breakIt: `drop sequence relay.outbox_id cascade`, gap: true},
		"permission lost":      {breakIt: `revoke all on relay.outbox_0 from current_user`, mend: `grant all on relay.outbox_0 to current_user`, gap: true},
		"all permissions lost": {breakIt: `revoke all on all tables in schema relay from current_user`, mend: `grant all on all tables in schema relay to current_user`, gap: true},
		"column dropped":       {breakIt: `alter table relay.outbox_0 drop column at cascade`, gap: true, mend: `drop table relay.outbox_0 cascade`},
		"column added":         {breakIt: `alter table relay.outbox_0 add column more int not null default 1; alter table relay.outbox_0 alter more drop default`, mend: `alter table relay.outbox_0 drop column more`, gap: true},
		"constraint added":     {breakIt: `alter table relay.outbox_0 add constraint no check (kind = 'X') not valid`, mend: `alter table relay.outbox_0 drop constraint no`},
		"functions dropped":    {breakIt: `drop function relay.put, relay.fault, relay.close, relay.keep_budget cascade; alter table relay.outbox_0 add constraint no check (false) not valid`, mend: `alter table relay.outbox_0 drop constraint no`, gap: true},
		"locked":               {breakIt: ``, gap: true},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, rung, func(t *testing.T, d *db) {
				// Not the superuser, whom no permission is lost to.
				d.exec(fmt.Sprintf(`create role %[1]s_dba; drop schema relay cascade; grant create on database %[1]s to %[1]s_dba; create schema app authorization %[1]s_dba`, d.name))
				dba := d.connect()
				d.execOn(dba, `set role `+d.name+`_dba`)
				d.execOn(dba, triggers.Install(""))
				d.execOn(dba, `create table app.a (id int primary key); select relay.enable_table('app.a')`)
				r := d.open(d.config())
				from, _ := r.Window()
				s := newSink()
				stop := d.run(r, from, s)
				d.execOn(dba, `insert into app.a values (1)`)
				s.passed(t, r)
				_ = stop()
				d.gone()
				if name == "locked" {
					holder := d.connect()
					d.execOn(holder, `begin; lock table relay.outbox_0`)
					d.execOn(dba, `set lock_timeout = '10ms'`)
				}
				if c.breakIt != "" {
					d.execOn(dba, c.breakIt)
				}
				for i, sql := range []string{
					`insert into app.a values (2)`, `insert into app.a select g from generate_series(3, 500) g`, `update app.a set id = id + 1000`,
					`begin; insert into app.a values (1); savepoint s; insert into app.a values (2); rollback to s; delete from app.a where id = 1; commit`, `truncate app.a`,
				} {
					if _, err := dba.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
						t.Fatalf("statement %d fails: %v", i, err)
					}
				}
				if name == "locked" {
					d.execOn(d.conn, `select pg_terminate_backend(pid) from pg_locks where relation = 'relay.outbox_0'::regclass and mode = 'AccessExclusiveLock'`)
					d.execOn(dba, `set lock_timeout = 0`)
				}
				if c.mend != "" {
					d.execOn(dba, c.mend)
				}
				d.execOn(dba, triggers.Install(""))
				other := d.open(d.config())
				if other.New != c.gap {
					t.Errorf("got a new epoch %t (%s), want %t", other.New, other.Reason, c.gap)
				}
				again := newSink()
				from, _ = other.Window()
				d.run(other, from, again)
				d.execOn(dba, `insert into app.a values (7)`)
				again.passed(t, other)
				got := strings.Join(again.whats(), "\n")
				if !strings.HasSuffix(got, "('7')") {
					t.Errorf("got %q, want what comes after the repair", got)
				}
				if !c.gap && !strings.Contains(got, "X ") {
					t.Errorf("got %q, want the table to be marked", got)
				}
			})
		})
	}
}

// TestEncodingFails: a value that its type's output function doesn't take, since the catalog lost what it needs.
func TestEncodingFails(t *testing.T) {
	for _, level := range []string{"statement", "row"} {
		t.Run(level, func(t *testing.T) {
			on(t, rung, func(t *testing.T, d *db) {
				s := newSink()
				r, _ := d.start(d.config(), s)
				d.exec(`create type mood as enum ('good', 'bad'); create table a (id int primary key, m mood); insert into a values (1, 'bad')`)
				d.exec(`select relay.enable_table('a', level => $1)`, level)
				d.exec(`delete from pg_enum where enumlabel = 'bad'`)
				s.names.set(scan[uint32](d, `select 'a'::regclass::oid`), "a")
				d.exec(`insert into a values (2, 'good')`)
				d.exec(`update a set id = 3 where id = 1`)
				d.exec(`insert into a values (4, 'good')`)
				s.passed(t, r)
				got := s.whats()
				if len(got) != 3 || got[0] != "I a ('2', 'good')" || !strings.HasPrefix(got[1], "X a invalid internal value for enum") || got[2] != "I a ('4', 'good')" {
					t.Errorf("got %v, want a mark between two inserts", got)
				}
			})
		})
	}
}

// TestPolicyError: the operator may have the application fail rather than lose a change.
func TestPolicyError(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		d.table("public.a", "id int primary key")
		d.exec(`update relay.state set policy = 'error'`)
		d.exec(`alter table relay.outbox_0 add constraint no check (kind <> 'I')`)
		_, err := d.conn.Exec(t.Context(), `insert into a values (1)`)
		if err == nil || !strings.Contains(err.Error(), "could not be captured") {
			t.Errorf("got %v, want the policy's error", err)
		}
		d.exec(`update relay.state set policy = 'skip'`)
		d.exec(`insert into a values (1)`)
		d.exec(`alter table relay.outbox_0 drop constraint no; update relay.state set policy = 'error', budget = 1`)
		for i := 2; i < 600 && err == nil || i == 2; i++ {
			_, err = d.conn.Exec(t.Context(), `insert into a values ($1)`, i)
		}
		if err == nil || !strings.Contains(err.Error(), "larger than its budget") {
			t.Errorf("got %v, want that the budget is exceeded", err)
		}
	})
}

// TestBudget: while the relay is away the outbox grows to its budget and not beyond it, nothing fails, and the relay that comes
// back begins a new epoch, in which everything is captured again.
func TestBudget(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		r := d.open(d.config())
		first := r.Epoch
		_ = r.Close()
		s := newSink()
		s.names.set(d.table("public.a", "id bigserial primary key, n text"), "a")
		const budget = 1 << 20
		d.exec(`update relay.state set budget = $1`, budget)
		for range 600 {
			d.exec(`insert into a (n) select repeat('x', 100) from generate_series(1, 100)`)
		}
		size := scan[int64](d, `select sum(pg_total_relation_size(format('relay.outbox_%s', k)))::int8 from generate_series(0, 2) k`)
		if size < budget || size > 5*budget {
			t.Errorf("the outbox has %d bytes, with a budget of %d", size, budget)
		}
		if got := scan[string](d, `select problem from relay.status() where name = 'outbox'`); !strings.Contains(got, "closed") {
			t.Errorf("got problem %q, want that it is closed", got)
		}
		// Whoever wrote while it was closed, and hasn't committed, is waited for.
		idle := d.connect()
		d.execOn(idle, `begin; insert into a (n) values ('missed')`)
		reasons := make(chan string, 1000)
		opened := make(chan *Reader, 1)
		go func() {
			cfg := d.config()
			cfg.Waiting = func(reason string) { reasons <- reason }
			other, err := Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			opened <- other
		}()
		for reason := ""; !strings.Contains(reason, "waits for process "+fmt.Sprint(idle.PgConn().PID())); {
			select {
			case reason = <-reasons:
			case <-opened:
				t.Fatal("the epoch began though a transaction that wasn't captured was open")
			}
		}
		d.exec(`insert into a (n) values ('before')`)
		d.execOn(idle, `commit`)
		other := <-opened
		t.Cleanup(func() { _ = other.Close() })
		if !other.New || other.Epoch <= first || !strings.Contains(other.Reason, "closed") {
			t.Errorf("got epoch %d after %d, new %t, %s", other.Epoch, first, other.New, other.Reason)
		}
		from, _ := other.Window()
		d.run(other, from, s)
		d.exec(`insert into a (n) values ('after')`)
		s.passed(t, other)
		if got := s.whats(); len(got) != 1 || !strings.Contains(got[0], "'after'") {
			t.Errorf("got %v, want what came after the epoch's beginning", got)
		}
	})
}

// TestClosedWhileRunning: the reader stops before it hands over what may be incomplete.
func TestClosedWhileRunning(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		s.names.set(d.table("public.a", "id int primary key"), "a")
		r := d.open(d.config())
		from, _ := r.Window()
		ended := make(chan error, 1)
		go func() { ended <- r.Run(t.Context(), from, s) }()
		s.passed(t, r)
		d.exec(`begin; insert into a values (1); select relay.close(); insert into a values (2); commit`)
		if err := <-ended; !errors.Is(err, ErrGap) {
			t.Errorf("got %v, want ErrGap", err)
		}
		s.want(t)
		other := d.open(d.config())
		if !other.New {
			t.Error("no new epoch was begun")
		}
	})
}

// TestOtherServer: an outbox that was restored elsewhere can't be gone on with.
func TestOtherServer(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		r := d.open(d.config())
		_ = r.Close()
		d.exec(`update relay.state set timeline = timeline + 1`)
		if other := d.open(d.config()); !other.New || other.Epoch <= r.Epoch {
			t.Errorf("got epoch %d after %d, new %t", other.Epoch, r.Epoch, other.New)
		}
	})
}

// TestNotInstalled names what is missing.
func TestNotInstalled(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		d.exec(fmt.Sprintf(`create role %s_nobody login password 'x'`, d.name))
		cfg := d.config()
		cfg.Conn.User, cfg.Conn.Password = d.name+"_nobody", "x"
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("got %v, want the role that may not read", err)
		}
		d.exec(`update relay.state set version = 99`)
		if _, err := Open(t.Context(), d.config()); err == nil || !strings.Contains(err.Error(), "99") {
			t.Errorf("got %v, want the versions", err)
		}
		d.exec(triggers.Uninstall())
		if _, err := Open(t.Context(), d.config()); err == nil || !strings.Contains(err.Error(), "no outbox") {
			t.Errorf("got %v, want that there is none", err)
		}
	})
}
