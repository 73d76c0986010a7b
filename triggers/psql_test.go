package triggers_test

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"pgrelay/relay/pgserver"
)

// shell runs scripts with psql as roles of one database.
type shell struct {
	t      *testing.T
	server *pgserver.Server
}

func (s shell) run(role string, args ...string) (string, error) {
	s.t.Helper()
	psql, err := pgserver.Tool("psql")
	if err != nil {
		s.t.Fatal(err)
	}
	dsn, err := url.Parse(s.server.DSN("postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	if role != "" {
		dsn.User = url.UserPassword(role, "x")
	}
	out, err := exec.CommandContext(s.t.Context(), psql, append([]string{"-X", "-q", "-A", "-t", dsn.String()}, args...)...).CombinedOutput()
	return string(out), err
}

// TestPsqlRefuses: what is asked in vain is answered with what to do, without the functions' insides, and changes nothing.
func TestPsqlRefuses(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		conn := as(t, s, "")
		execute(t, conn, `create role dba login password 'x'; create role app login password 'x'; grant create on database postgres to dba; create schema shop authorization dba;
			create table shop.theirs (id int); set role dba; create table shop.orders (id int primary key, "Other ""One""" text); create view shop.v as select 1 as one;
			create table shop.root (id int) partition by list (id); create table shop.leaf partition of shop.root default; reset role`)
		sh := shell{t, s}
		const enable, name = "enable_table.sql", "table=shop.orders"
		refuses := func(role, want string, args ...string) {
			t.Helper()
			out, err := sh.run(role, args...)
			if err == nil || !strings.Contains(out, want) || strings.Contains(out, "CONTEXT") {
				t.Errorf("%q as %s: got %v\n%s\nwant %q", args, role, err, out, want)
			}
		}
		for _, script := range []string{enable, "status.sql"} {
			refuses("dba", "HINT:  psql -f install.sql", "-v", name, "-f", script)
		}
		refuses("dba", "there is no role nobody", "-v", "reader=nobody", "-f", "install.sql")
		refuses("app", "permission denied for database", "-f", "install.sql")
		if out, err := sh.run("dba", "-f", "install.sql"); err != nil || !strings.Contains(out, "Next, for each table") {
			t.Fatalf("%v: %s", err, out)
		}
		refuses("dba", "HINT:  psql -v table=shop.orders -f enable_table.sql", "-f", enable)
		refuses("dba", "no table is named", "-f", "disable_table.sql")
		refuses("dba", `relation "shop.nope" does not exist`, "-v", "table=shop.nope", "-f", enable)
		refuses("dba", "HINT:  Of a view, enable the tables that it reads.", "-v", "table=shop.v", "-f", enable)
		refuses("dba", "HINT:  select relay.enable_table('shop.root');", "-v", "table=shop.leaf", "-f", enable)
		refuses("dba", "shop.theirs belongs to role", "-v", "table=shop.theirs", "-f", enable)
		refuses("dba", "has no column nope", "-v", name, "-v", "exclude=nope", "-f", enable)
		refuses("dba", "level is statement or row, not both", "-v", name, "-v", "level=both", "-f", enable)
		refuses("dba", "HINT:  Leave key out.", "-v", name, "-v", "key=id", "-f", enable)
		for _, script := range []string{enable, "disable_table.sql", "uninstall.sql", "install.sql", "status.sql"} {
			refuses("app", "HINT:  Run it as dba", "-v", name, "-f", script)
		}
		if got := scan[int](t, conn, `select count(*)::int from relay.captured`); got != 0 {
			t.Errorf("%d tables are captured", got)
		}
		for exclude, want := range map[string]string{`Other "One"`: `{"Other \"One\""}`, `{"Other \"One\""}`: `{"Other \"One\""}`, `{}`: `{}`} {
			if out, err := sh.run("dba", "-v", name, "-v", "exclude="+exclude, "-f", enable); err != nil || strings.TrimSpace(out) != "statement" {
				t.Errorf("exclude %s: %v: %s", exclude, err, out)
			}
			if got := scan[string](t, conn, `select excluded::text from relay.captured`); got != want {
				t.Errorf("exclude %s: got %s, want %s", exclude, got, want)
			}
		}
		if out, err := sh.run("", "-f", "install.sql"); err != nil {
			t.Errorf("a superuser brings it up to date: %v: %s", err, out)
		}
		if got := scan[string](t, conn, `select string_agg(distinct proowner::regrole::text, ', ') from pg_proc where pronamespace = 'relay'::regnamespace`); got != "dba" {
			t.Errorf("functions belong to %s", got)
		}
		for range 2 {
			if out, err := sh.run("dba", "-f", "uninstall.sql"); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	})
}
