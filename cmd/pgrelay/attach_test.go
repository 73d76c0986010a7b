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
		Detach detachCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("it ended by itself") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if args[0] == "attach" {
		err = cli.Attach.run(t.Context(), &b)
	} else {
		err = cli.Detach.run(t.Context(), &b)
	}
	return outcome(b.String(), err)
}

// varying are figures that depend on the time of day.
var varying = regexp.MustCompile(`(about [0-9]+ a day by pg_stat_user_tables: [0-9.]+ \w+ a day|about [0-9]+ a day by pg_stat_user_tables|an unknown number a day \([^)]*\))`)

// compareAttach compares an output with a file, and writes that where -update is given.
func compareAttach(t *testing.T, server *pgserver.Server, name, got string) {
	t.Helper()
	got = dialled.ReplaceAllString(strings.ReplaceAll(got, fmt.Sprint(server.Port()), "PORT"), `as "somebody": DRIVER`)
	got = varying.ReplaceAllString(got, "WRITES")
	golden(t, *update, "attach", name, got)
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

// TestAttachApplies compares what is said while it is done, by name of the file.
func TestAttachApplies(t *testing.T) {
	server, dsn := attachWarehouse(t, 15)
	if err := server.Exec(t.Context(), "orders", "create role reader login replication password 'reader'; grant usage on schema orders to reader; grant select on all tables in schema orders to reader"); err != nil {
		t.Fatal(err)
	}
	const password = "of the role"
	for _, c := range []struct {
		name string
		args []string
	}{
		{"apply_refused.txt", []string{"attach", "--apply", "--credentials", "orders=reader:reader", "--table", "orders.orders", "--role-password", password}},
		{"apply.txt", []string{"attach", "--apply", "--role-password", password}},
		{"apply_again.txt", []string{"attach", "--apply", "--role-password", password}},
		{"detach_print.txt", []string{"detach", "--drop-role"}},
		{"detach.txt", []string{"detach", "--apply"}},
		{"detach_role.txt", []string{"detach", "--apply", "--drop-role"}},
		{"detach_again.txt", []string{"detach", "--apply", "--drop-role"}},
		{"unknown.txt", []string{"attach", "--table", "profiles.user"}},
		{"unknown_schema.txt", []string{"attach", "--schema", "nowhere"}},
	} {
		out := runAttach(t, append([]string{c.args[0], "--warehouse", dsn}, c.args[1:]...)...)
		compareAttach(t, server, c.name, slotNames.ReplaceAllString(out, "pgrelay_OID_"))
	}
}

// slotNames hold the publication's oid.
var slotNames = regexp.MustCompile(`pgrelay_[0-9]+_`)
