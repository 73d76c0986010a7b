package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

// attachWarehouse is a warehouse with two services behind foreign tables, one that is down, and the rules.
func attachWarehouse(t *testing.T, version int) (server *pgserver.Server, dsn string) {
	t.Helper()
	server = pgserver.ForTest(t, pgserver.Config{Version: version})
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"profiles", "orders", "warehouse"} {
		text, err := os.ReadFile(filepath.Join("testdata", "attach", database+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		script := strings.NewReplacer(":port", fmt.Sprint(server.Port()), ":user", server.Superuser(), ":password", server.Password()).Replace(string(text))
		if database == "warehouse" {
			script = system + script
		}
		if err := server.CreateDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
		if err := server.Exec(t.Context(), database, script); err != nil {
			t.Fatal(err)
		}
	}
	return server, server.DSN("warehouse")
}

// runAttach runs the command line as main does, and returns what it prints: on success, and for an error.
func runAttach(t *testing.T, args ...string) string {
	t.Helper()
	var cli struct {
		Attach attachCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("it ended by itself") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = cli.Attach.run(t.Context(), &b)
	return outcome(b.String(), err)
}

// varying are figures that depend on the time of day.
var varying = regexp.MustCompile(`(about [0-9]+ a day by pg_stat_user_tables: [0-9.]+ \w+ a day|about [0-9]+ a day by pg_stat_user_tables|an unknown number a day \([^)]*\))`)

// compareAttach compares an output with a file, and writes that where -update is given.
func compareAttach(t *testing.T, server *pgserver.Server, name, got string) {
	t.Helper()
	got = dialled.ReplaceAllString(strings.ReplaceAll(got, fmt.Sprint(server.Port()), "PORT"), `as "somebody": DRIVER`)
	got = varying.ReplaceAllString(got, "WRITES")
	path := filepath.Join("testdata", "attach", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant, as in %s:\n%s", got, path, want)
	}
	for _, secret := range []string{server.Password(), "of-distant", "of the role"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is in the output", secret)
		}
	}
}

// TestAttachPrints compares whole plans on the oldest and the newest server.
func TestAttachPrints(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint("postgres ", version), func(t *testing.T) {
			server, dsn := attachWarehouse(t, version)
			out := runAttach(t, "attach", "--warehouse", dsn, "--role-password", "of the role")
			compareAttach(t, server, fmt.Sprintf("print_%d.txt", version), out)
			out = runAttach(t, "attach", "--warehouse", dsn, "--capture", "trigger", "--table", "profiles.users", "--table", "profiles.log", "--no-slot")
			compareAttach(t, server, fmt.Sprintf("print_triggers_%d.txt", version), out)
		})
	}
}
