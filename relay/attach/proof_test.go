package attach

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

func open(t *testing.T, s *pgserver.Server, user string) *pgx.Conn {
	t.Helper()
	conf, err := pgx.ParseConfig(s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		conf.User, conf.Password = user, "secret"
	}
	conn, err := connect(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func do(t *testing.T, conn *pgx.Conn, script string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatalf("%.200s: %v", script, err)
	}
}

func scan(t *testing.T, conn *pgx.Conn, query string, args ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// identityOf makes the step that gives a table an identity.
func identityOf(t *testing.T, conn *pgx.Conn, name, clause string) *Step {
	t.Helper()
	one := table{name: name}
	if err := conn.QueryRow(t.Context(), `select $1::text::regclass::oid`, name).Scan(&one.oid); err != nil {
		t.Fatal(err)
	}
	w := &work{plan: &Plan{}, conn: conn}
	if err := w.identityStep(t.Context(), one, clause, "pgrelay", nil); err != nil {
		t.Fatal(err)
	}
	return &w.plan.Steps[0]
}

func record(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	step := recordStep()
	if err := step.run(t.Context(), conn, func(int, string) {}); err != nil {
		t.Fatal(err)
	}
}

// TestProofRefuses: an identity with which the application's writes would fail is undone, with the reason, and nothing of it is
// remembered.
func TestProofRefuses(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 18})
	conn := open(t, s, "")
	record(t, conn)
	do(t, conn, `create publication pgrelay; create table public.v (id int primary key, n int generated always as (id * 2) virtual); insert into public.v values (1);
		create table public.s (id int primary key, n int generated always as (id * 2) stored)`)
	for _, name := range []string{"public.v", "public.s"} {
		step := identityOf(t, conn, name, "full")
		err := step.run(t.Context(), conn, func(int, string) {})
		if !errors.Is(err, errProof) || code(err) != "55000" && code(err) != "42P10" {
			t.Errorf("%s: got %v, want that the proof fails", name, err)
		}
		if got := scan(t, conn, `select relreplident::text || (select count(*) from relay.attached) || (select count(*) from pg_publication_rel) from pg_class where oid = $1::text::regclass`, name); got != "d00" {
			t.Errorf("%s: identity, notes and members are %s", name, got)
		}
	}
	do(t, conn, `update public.v set id = 2; delete from public.v`)
}

// TestProofDisturbsNothing: neither triggers nor foreign keys nor rows notice a proof, as a superuser and as the tables' owner.
func TestProofDisturbsNothing(t *testing.T) {
	for _, version := range []int{15, 18} {
		s := pgserver.ForTest(t, pgserver.Config{Version: version})
		admin := open(t, s, "")
		do(t, admin, `create role owner login password 'secret'; grant create on database postgres to owner; grant usage, create on schema public to owner`)
		for _, user := range []string{"owner", ""} {
			conn := open(t, s, user)
			if user != "" {
				record(t, conn)
			}
			do(t, conn, `set search_path = public; drop table if exists b; drop table if exists a; drop sequence if exists fired; drop publication if exists pgrelay; create publication pgrelay;
				create sequence fired; create table a (id int primary key, n int); create table b (id int primary key, a int not null references a on delete cascade);
				create or replace function fire() returns trigger language plpgsql as $$ begin perform nextval('public.fired'); raise exception 'no %', tg_op; end $$;
				insert into a select n, n from generate_series(1, 3) n; insert into b select n, n from generate_series(1, 3) n;
				create trigger every_row before update or delete on a for each row execute function fire();
				create trigger every_statement before update or delete on a for each statement execute function fire();
				create table plain (id int primary key); insert into plain values (1); set search_path = pg_catalog`)
			for _, name := range []string{"public.a", "public.b", "public.plain"} {
				step := identityOf(t, conn, name, "full")
				r := step.proof.pick(t.Context(), conn)
				if tried := user == "" || name == "public.plain"; (r != nil) != tried {
					t.Errorf("%d %q: a row of %s is tried: %v, want %v", version, user, name, r != nil, tried)
				}
				if err := step.run(t.Context(), conn, func(int, string) {}); err != nil {
					t.Errorf("%d %q %s: %v", version, user, name, err)
				}
			}
			got := scan(t, conn, `select concat_ws(' ', (select is_called from public.fired), (select count(*) from public.a), (select count(*) from public.b), (select count(*) from public.plain),
				(select sum(n) from public.a), (select count(*) from pg_publication_rel), (select count(*) from pg_class where relreplident = 'f'), (select count(*) from relay.attached where made = 'f'))`)
			if want := "f 3 3 1 6 0 3 3"; got != want {
				t.Errorf("%d %q: got %s, want %s", version, user, got, want)
			}
			do(t, conn, `drop table public.plain; delete from relay.attached`)
		}
	}
}

// TestProofOfWhatFailsAnyway: writes that fail before the change say nothing about it.
func TestProofOfWhatFailsAnyway(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	conn := open(t, s, "")
	record(t, conn)
	do(t, conn, `create publication pgrelay; create publication other; create table public.t (n int); alter publication other add table public.t`)
	step := identityOf(t, conn, "public.t", "nothing")
	step.proof.into = ""
	if err := step.run(t.Context(), conn, func(int, string) {}); err != nil {
		t.Errorf("got %v for a table whose writes fail as it is", err)
	}
	if got := scan(t, conn, `select relreplident::text from pg_class where relname = 't'`); got != "n" {
		t.Errorf("got the identity %s", got)
	}
}

func TestVerifier(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 18})
	admin := open(t, s, "")
	verifier, err := scramVerifier("secret")
	if err != nil || strings.Contains(verifier, "secret") {
		t.Fatal(verifier, err)
	}
	do(t, admin, "create role one login password "+relay.Literal(verifier))
	open(t, s, "one") // with the password secret
	if _, err := scramVerifier("größer"); err == nil {
		t.Error("a password that would have to be prepared is taken")
	}
}

func TestEstimate(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	conn := open(t, s, "")
	do(t, conn, `create table public.t (id int primary key, n int, doc text); alter table public.t alter doc set storage external;
		insert into public.t select n, 0, repeat('x', 100000) from generate_series(1, 50) n; create table public.small (id int primary key); insert into public.small select generate_series(1, 1000)`)
	one := func(name string) cost {
		var oid uint32
		if err := conn.QueryRow(t.Context(), `select $1::text::regclass::oid`, name).Scan(&oid); err != nil {
			t.Fatal(err)
		}
		c, err := estimate(t.Context(), conn, oid)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := one("public.t"); c.analyzed || !strings.Contains(c.String(), "analyze the table") {
		t.Errorf("before analyze: %s", c)
	}
	do(t, conn, `analyze public.t, public.small`)
	before := scan(t, conn, `select pg_current_wal_insert_lsn()::text`)
	do(t, conn, `alter table public.t replica identity full`)
	do(t, conn, `update public.t set n = n + 1`)
	var written float64
	if err := conn.QueryRow(t.Context(), `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::float8 / 50`, before).Scan(&written); err != nil {
		t.Fatal(err)
	}
	if c := one("public.t"); c.toast+c.row < 0.8*written || c.toast+c.row > 1.5*written {
		t.Errorf("estimated %.0f bytes a row, written were %.0f", c.toast+c.row, written)
	}
	if c := one("public.small"); c.toast != 0 || c.row < 30 || c.row > 60 {
		t.Errorf("a row of one integer: %+v", c)
	}
	day := cost{row: 50, toast: 950, writes: 2000, analyzed: true, counted: true}
	if got, want := day.String(), "about 1.0 kB each, 950 B of it TOASTed, about 2000 a day by pg_stat_user_tables: 2.0 MB a day"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
