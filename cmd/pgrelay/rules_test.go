package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

var update = flag.Bool("update", false, "write the outputs that are compared instead of comparing them")

// rulesWarehouse is a warehouse with a table of its own, a service behind foreign tables, one that is down, and the rules.
func rulesWarehouse(t *testing.T, version int) (server *pgserver.Server, dsn string) {
	t.Helper()
	server = pgserver.ForTest(t, pgserver.Config{Version: version})
	script := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata", "rules", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(":port", fmt.Sprint(server.Port()), ":user", server.Superuser(), ":password", server.Password()).Replace(string(text))
	}
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	for database, text := range map[string]string{"profiles": script("profiles.sql"), "warehouse": system} {
		if err := server.CreateDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
		if err := server.Exec(t.Context(), database, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Exec(t.Context(), "warehouse", script("warehouse.sql")); err != nil {
		t.Fatal(err)
	}
	return server, server.DSN("warehouse")
}

// runRules runs the command line as main does, and returns what it prints: on success, and for an error.
func runRules(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var cli struct {
		Rules rulesCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("it ended by itself") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"rules"}, args...)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if args[0] == "check" {
		err = cli.Rules.Check.run(t.Context(), &b)
	} else {
		err = cli.Rules.Explain.run(t.Context(), &b)
	}
	return b.String(), err
}

// dialled is what the driver says of a server that is down, in words of its own.
var dialled = regexp.MustCompile(`as "somebody": [^"\n]* refused`)

// compareFile compares an output with a file, and writes that where -update is given.
func compareFile(t *testing.T, server *pgserver.Server, name, got string) {
	t.Helper()
	got = dialled.ReplaceAllString(strings.ReplaceAll(got, fmt.Sprint(server.Port()), "PORT"), `as "somebody": DRIVER`)
	golden(t, *update, "rules", name, got)
	if strings.Contains(got, server.Password()) {
		t.Error("the password is in the output")
	}
}

// outcome is an output and, behind it, what main prints of an error.
func outcome(out string, err error) string {
	if err == nil {
		return out
	}
	out += "pgrelay: " + err.Error() + "\n"
	if remedy := relay.Remedy(err); remedy != "" {
		out += "  remedy: " + remedy + "\n"
	}
	return out
}

const (
	ada = `{"sub": "00000000-0000-0000-0000-00000000000a"}`
	bo  = `{"sub": "00000000-0000-0000-0000-00000000000b", "role": "editor", "tenants": [1, 2]}`
)

// explainCases are command lines by the file that has their output.
var explainCases = map[string][]string{
	"anon":           {"profiles.users"},
	"owner":          {"profiles.users", "--as", ada, "--key", `{"id": 1}`},
	"stranger":       {"profiles.users", "--as", ada, "--columns", "id,email", "--key", `{"id": 2}`},
	"other_role":     {"profiles.users", "--as", bo, "--row", `{"id": "7", "name": "Cy", "owner": null, "status": "active", "balance": 12.5, "tags": ["x", null]}`},
	"hidden_column":  {"profiles.users", "--as", ada, "--columns", "email,profile"},
	"where":          {"profiles.users", "--as", bo, "--where", "balance > $1 and name like $2", "--params", `["10.00", "A%"]`, "--key", `{"id": 1}`},
	"bad_where":      {"profiles.users", "--as", bo, "--where", "balance > 1 and\n  nme = 'x'"},
	"bad_params":     {"profiles.users", "--as", bo, "--where", "balance > $1", "--params", `["much"]`},
	"unknown_values": {"profiles.users", "--as", ada, "--row", `{"id": 5, "name": "Di"}`},
	"fault":          {"public.log", "--as", bo, "--row", `{"id": 1, "tenant": 1, "level": 0, "n": 0}`},
	"lookups":        {"public.log", "--as", `{"role": "viewer", "tenants": [1, 2]}`, "--row", `{"id": 1, "tenant": 3, "level": 2, "n": 1}`},
	"all":            {"public.log", "--as", `{"role": "auditor"}`, "--row", `{"id": 1}`},
	"broken":         {"profiles.users", "--role", "boss", "--row", `{"id": 4}`},
	"no_rule":        {"profiles.heap", "--as", ada, "--row", `{"n": 1}`},
}

// TestRules compares whole outputs of both commands on the oldest and the newest server.
func TestRules(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint("postgres ", version), func(t *testing.T) {
			server, dsn := rulesWarehouse(t, version)
			out, err := runRules(t, "check", "--warehouse", dsn)
			if err == nil {
				t.Error("problems are no error, so the exit status would be 0")
			}
			compareFile(t, server, "check.txt", outcome(out, err))
			for name, args := range explainCases {
				t.Run(name, func(t *testing.T) {
					out, err := runRules(t, append([]string{"explain", "--warehouse", dsn}, args...)...)
					compareFile(t, server, "explain_"+name+".txt", outcome(out, err))
				})
			}
			t.Run("json", func(t *testing.T) { testRulesJSON(t, server, dsn) })
			t.Run("errors", func(t *testing.T) { testRulesErrors(t, server, dsn) })
			t.Run("mended", func(t *testing.T) { testRulesMended(t, server, dsn) })
		})
	}
}

// TestRulesNotes: a rule that reads a column which the stream can't carry is told why the column doesn't exist for it.
func TestRulesNotes(t *testing.T) {
	server, dsn := rulesWarehouse(t, 15)
	if err := server.Exec(t.Context(), "warehouse", `
		delete from web_socket_event_system_events.rules;
		alter table public.log add size integer generated always as (length(line)) stored;
		insert into web_socket_event_system_events.rules (name, relation, roles, predicate) values
			('size', 'public.log', '{anon}', 'size > 1'), ('line', 'public.log', '{anon}', 'line is not null')`); err != nil {
		t.Fatal(err)
	}
	out, err := runRules(t, "check", "--warehouse", dsn)
	compareFile(t, server, "check_notes.txt", outcome(out, err))
	out, err = runRules(t, "explain", "--warehouse", dsn, "public.log")
	compareFile(t, server, "explain_notes.txt", outcome(out, err))
}

// testRulesJSON: both outputs are one JSON object that says the same.
func testRulesJSON(t *testing.T, server *pgserver.Server, dsn string) {
	for name, args := range map[string][]string{
		"check.json":         {"check", "--warehouse", dsn, "--json"},
		"explain_owner.json": append([]string{"explain", "--warehouse", dsn, "--json"}, explainCases["owner"]...),
		"explain_where.json": append([]string{"explain", "--warehouse", dsn, "--json"}, explainCases["where"]...),
	} {
		out, _ := runRules(t, args...)
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, []byte(out), "", "  "); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		compareFile(t, server, name, pretty.String())
	}
}

// testRulesErrors: what can't be answered is said with a way out.
func testRulesErrors(t *testing.T, server *pgserver.Server, dsn string) {
	var all strings.Builder
	for _, args := range [][]string{
		{"check", "--warehouse", "postgres://a:secret@[bad"},
		{"check", "--warehouse", strings.Replace(dsn, server.Password(), "wrong", 1)},
		{"check", "--warehouse", strings.Replace(dsn, "/warehouse", "/profiles", 1)},
		{"explain", "--warehouse", dsn, "profiles.user"},
		{"explain", "--warehouse", dsn, "users"},
		{"explain", "--warehouse", dsn, "profiles.nothing_like_it"},
		{"explain", "--warehouse", dsn, "profiles.keyless"},
		{"explain", "--warehouse", dsn, "profiles.summary"},
		{"explain", "--warehouse", dsn, "distant.things"},
		{"explain", "--warehouse", dsn, "profiles.users", "--as", "{sub: 1}"},
		{"explain", "--warehouse", dsn, "profiles.users", "--as", `{"role": "anon"}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--as", `{"sub": 1}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--as", ada, "--role", "anon"},
		{"explain", "--warehouse", dsn, "profiles.users", "--params", `{"a": 1}`, "--where", "true"},
		{"explain", "--warehouse", dsn, "profiles.users", "--row", `[1]`},
		{"explain", "--warehouse", dsn, "profiles.users", "--row", `{"id": 1, "emial": "x"}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--row", `{"balance": "much"}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--row", `{"status": "gone"}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--key", `{}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--key", `{"id": 99}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--key", `{"status": "active"}`},
		{"explain", "--warehouse", dsn, "profiles.users", "--key", `{"id": "one"}`},
	} {
		out, err := runRules(t, args...)
		if out != "" {
			t.Errorf("%q prints %q before it fails", args, out)
		}
		if err == nil || relay.Remedy(err) == "" {
			t.Errorf("%q: got the error %v, want one with a remedy", args, err)
		}
		asked := strings.Join(append(args[:1:1], args[3:]...), " ")
		fmt.Fprintf(&all, "$ %s\n%s", asked, outcome("", err))
	}
	compareFile(t, server, "errors.txt", all.String())
}

// testRulesMended: without the rules that have problems there is none.
func testRulesMended(t *testing.T, server *pgserver.Server, dsn string) {
	out, _ := runRules(t, "check", "--warehouse", dsn, "--json")
	var found checked
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	for _, line := range found.Lines {
		if line.Kind == checkDisabled {
			continue
		}
		if err := server.Exec(t.Context(), "warehouse", fmt.Sprintf(`delete from web_socket_event_system_events.rules where name = %s`, relay.Literal(line.Rule))); err != nil {
			t.Fatal(err)
		}
	}
	out, err := runRules(t, "check", "--warehouse", dsn)
	if err != nil {
		t.Errorf("got the error %v, want none", err)
	}
	compareFile(t, server, "check_mended.txt", out)
}

func TestCaret(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		text     string
		position int
		want     string
	}{
		"begin":      {"a = b", 0, "> a = b\n> ^"},
		"middle":     {"a = b", 4, "> a = b\n>     ^"},
		"end":        {"a = ", 4, "> a =\n>     ^"},
		"characters": {"'äö' = b", 9, "> 'äö' = b\n>        ^"},
		"a line":     {"a and\n\tb or\nc", 7, "> line 2:  b or\n>          ^"},
		"beyond":     {"a", 9, "> a\n>  ^"},
		"long":       {long + "y" + long, 200, "> …" + strings.Repeat("x", 50) + "y" + strings.Repeat("x", 49) + "…\n> " + strings.Repeat(" ", 51) + "^"},
		"long's end": {long + "y", 200, "> …" + strings.Repeat("x", 50) + "y\n> " + strings.Repeat(" ", 51) + "^"},
	} {
		if got := caret(c.text, c.position, "> "); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestRulesPrincipal(t *testing.T) {
	for name, c := range map[string]struct {
		command rulesExplainCmd
		want    relay.Principal
	}{
		"nobody":       {rulesExplainCmd{}, relay.Anon()},
		"empty":        {rulesExplainCmd{As: " "}, relay.Anon()},
		"signed in":    {rulesExplainCmd{As: `{"sub": "a", "n": 9007199254740993}`}, relay.Principal{Subject: "a", Role: "authenticated", Claims: []byte(`{"n":9007199254740993,"sub":"a"}`)}},
		"a role":       {rulesExplainCmd{As: `{"role": "editor"}`}, relay.Principal{Role: "editor", Claims: []byte(`{"role":"editor"}`)}},
		"another":      {rulesExplainCmd{As: `{"role": "editor"}`, Role: "boss"}, relay.Principal{Role: "boss", Claims: []byte(`{"role":"editor"}`)}},
		"an old token": {rulesExplainCmd{As: `{"exp": 1, "nbf": 99999999999, "iat": 1, "jti": "x"}`}, relay.Principal{Role: "authenticated", Claims: []byte(`{}`)}},
		"its claim":    {rulesExplainCmd{As: `{"app": {"role": "x"}}`, RoleClaim: "app.role"}, relay.Principal{Role: "x", Claims: []byte(`{"app":{"role":"x"}}`)}},
	} {
		got, err := c.command.principal()
		got.Expires = c.want.Expires
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}
