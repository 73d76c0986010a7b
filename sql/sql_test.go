package sql_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

func eachVersion(t *testing.T, test func(t *testing.T, s *pgserver.Server)) {
	for _, version := range []int{18, 15} {
		if _, err := pgserver.Find(version); err == nil {
			t.Run(strconv.Itoa(version), func(t *testing.T) { test(t, pgserver.ForTest(t, pgserver.Config{Version: version})) })
		}
	}
}

func run(t *testing.T, s *pgserver.Server, database, name string, variables sql.Variables) {
	t.Helper()
	script, err := sql.Read(name, variables)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(t.Context(), database, script); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// code is the SQLSTATE of running a statement, "" for success.
func code(ctx context.Context, t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	_, err := conn.PgConn().Exec(ctx, statement).ReadAll()
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.Code
	}
	t.Fatalf("%s: %v", statement, err)
	return ""
}

func TestReadNeedsEveryVariable(t *testing.T) {
	_, err := sql.Read(sql.Warehouse, sql.Variables{"system_password": "secret"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without values", err)
	}
	got, err := sql.Read(sql.RelayRole, sql.Variables{"relay_role": "o'hara", "relay_password": `a\b`, "schemas": ""})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "'o''hara'") || strings.Contains(got, "\\if") {
		t.Errorf("got\n%s", got)
	}
}

func TestRulesTable(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		ctx := t.Context()
		run(t, s, "postgres", sql.System, nil)
		run(t, s, "postgres", sql.System, nil)
		conn, err := s.Admin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		const insert = "insert into web_socket_event_system_events.rules "
		for _, c := range []struct{ values, want string }{
			{"(name, relation) values ('a', 'profiles.users')", ""},
			{"(name, event, payload_schema) values ('b', 'update_user_profile', '{}')", ""},
			{"(name, relation, columns, roles) values ('c', 'x.y', '{}', '{anon}')", ""},
			{"(name, relation) values ('a', 'profiles.users')", "23505"},
			{"(name, relation) values (' ', 'profiles.users')", "23514"},
			{"(name, relation) values (null, 'profiles.users')", "23502"},
			{"(name) values ('d')", "23514"},
			{"(name, relation, event) values ('d', 'x.y', 'update_user_profile')", "23514"},
			{"(name, event) values ('d', 'unknown')", "22P02"},
			{"(name, relation) values ('d', 'unqualified')", "23514"},
			{"(name, relation, predicate) values ('d', 'x.y', '')", "23514"},
			{"(name, relation, roles) values ('d', 'x.y', '{null}')", "23514"},
			{"(name, relation, columns) values ('d', 'x.y', '{\"\"}')", "23514"},
			{"(name, event, columns) values ('d', 'update_user_profile', '{a}')", "23514"},
			{"(name, relation, payload_schema) values ('d', 'x.y', '{}')", "23514"},
			{"(name, event, payload_schema) values ('d', 'update_user_profile', '1')", "23514"},
		} {
			if got := code(ctx, t, conn, insert+c.values); got != c.want {
				t.Errorf("%s: got %q, want %q", c.values, got, c.want)
			}
		}
		var defaults string
		err = conn.QueryRow(ctx, `select concat_ws(' ', enabled, roles::text, predicate, columns is null, payload_schema is null)
			from web_socket_event_system_events.rules where name = 'a'`).Scan(&defaults)
		if err != nil || defaults != "t {} true t t" {
			t.Errorf("defaults: got %q, %v", defaults, err)
		}
	})
}

func TestOnlyTheOperatorWritesRules(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		ctx := t.Context()
		run(t, s, "postgres", sql.System, nil)
		conn, err := s.Admin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		const setup = `create role operator in role pgrelay_operator; create role reader`
		if got := code(ctx, t, conn, setup); got != "" {
			t.Fatal(got)
		}
		const insert = "insert into web_socket_event_system_events.rules (name, relation) values (current_user, 'x.y')"
		const read = "select * from web_socket_event_system_events.rules"
		for _, c := range []struct{ role, statement, want string }{
			{"operator", insert, ""},
			{"reader", insert, "42501"},
			{"reader", "delete from web_socket_event_system_events.rules", "42501"},
			{"reader", read, ""},
		} {
			if got := code(ctx, t, conn, "set role "+c.role+";"+c.statement); got != c.want {
				t.Errorf("%s: %s: got %q, want %q", c.role, c.statement, got, c.want)
			}
		}
	})
}

func TestWarehouseSeesTheRules(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		ctx := t.Context()
		for _, name := range []string{"web_socket_event_system", "warehouse"} {
			if err := s.CreateDatabase(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, "web_socket_event_system", sql.System, nil)
		run(t, s, "web_socket_event_system", sql.DemoRules, nil)
		if err := s.Exec(ctx, "postgres", "create role relay login password 'it''s \\ secret'"); err != nil {
			t.Fatal(err)
		}
		variables := sql.Variables{
			"system_host": "127.0.0.1", "system_port": strconv.Itoa(s.Port()), "system_dbname": "web_socket_event_system",
			"system_user": "relay", "system_password": `it's \ secret`, "mapped_role": "relay",
		}
		run(t, s, "warehouse", sql.Warehouse, variables)
		run(t, s, "warehouse", sql.Warehouse, variables)

		config, err := pgx.ParseConfig(s.DSN("warehouse"))
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Password = "relay", `it's \ secret`
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		var rules int
		if err := conn.QueryRow(ctx, "select count(*) from web_socket_event_system_events.rules").Scan(&rules); err != nil || rules != 5 {
			t.Errorf("rules: got %d, %v, want 5", rules, err)
		}
		if got := code(ctx, t, conn, "delete from web_socket_event_system_events.rules"); got != "42501" {
			t.Errorf("delete: got %q, want 42501", got)
		}
	})
}

func TestRelayRoleReadsAndReplicatesOnly(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		ctx := t.Context()
		const tables = `create schema shop; create table shop.a (id int primary key); create schema other; create table other.b (id int)`
		if err := s.Exec(ctx, "postgres", tables); err != nil {
			t.Fatal(err)
		}
		variables := sql.Variables{"relay_role": "pgrelay", "relay_password": "secret", "schemas": "shop, absent"}
		run(t, s, "postgres", sql.RelayRole, variables)
		run(t, s, "postgres", sql.RelayRole, variables)
		if err := s.Exec(ctx, "postgres", "create table shop.later (id int)"); err != nil {
			t.Fatal(err)
		}
		config, err := pgx.ParseConfig(s.DSN("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Password = "pgrelay", "secret"
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		for statement, want := range map[string]string{
			"select from shop.a, shop.later":  "",
			"select from other.b":             "42501",
			"insert into shop.a values (1)":   "42501",
			"create table shop.mine (id int)": "42501",
			"select pg_create_logical_replication_slot('pgrelay_test', 'pgoutput', true)": "",
		} {
			if got := code(ctx, t, conn, statement); got != want {
				t.Errorf("%s: got %q, want %q", statement, got, want)
			}
		}
	})
}

// TestScriptsWithPsql runs the scripts as a DBA does.
func TestScriptsWithPsql(t *testing.T) {
	psql, err := pgserver.Tool("psql")
	if err != nil {
		t.Fatal(err)
	}
	s := pgserver.ForTest(t, pgserver.Config{})
	for _, name := range []string{"web_socket_event_system", "warehouse"} {
		if err := s.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		database, script string
		variables        []string
	}{
		{"web_socket_event_system", sql.System, nil},
		{"web_socket_event_system", sql.DemoRules, nil},
		{"warehouse", sql.Warehouse, []string{"system_host=127.0.0.1", fmt.Sprintf("system_port=%d", s.Port()), "system_user=postgres", "system_password=" + s.Password()}},
		{"warehouse", sql.RelayRole, []string{"relay_password=secret"}},
	} {
		args := []string{"--no-psqlrc", "--dbname=" + s.DSN(c.database), "--file=" + filepath.FromSlash(c.script)}
		for _, v := range c.variables {
			args = append(args, "--set="+v)
		}
		cmd := exec.Command(psql, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "ERROR") || strings.Contains(string(out), s.Password()) {
			t.Errorf("%s: %v\n%s", c.script, err, out)
		}
	}
	conn, err := s.Connect(t.Context(), "warehouse")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var rules int
	if err := conn.QueryRow(t.Context(), "select count(*) from web_socket_event_system_events.rules").Scan(&rules); err != nil || rules != 5 {
		t.Errorf("rules in the warehouse: got %d, %v, want 5", rules, err)
	}
}

// TestHeaders holds every script to the five lines that a DBA reads first.
func TestHeaders(t *testing.T) {
	for _, pattern := range []string{"*.sql", "demo/*.sql"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: got %v, %v", pattern, files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(string(content), "\n\n")
			for _, word := range []string{"-- Purpose:", "-- Run as:", "-- Locks:", "-- Undo:", "-- Prints:"} {
				if !strings.Contains(head, word) {
					t.Errorf("%s: its header lacks %q", file, word)
				}
			}
		}
	}
}
