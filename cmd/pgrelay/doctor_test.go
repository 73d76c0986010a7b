package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pgrelay/relay/doctor"
	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

// runDoctor runs the command line as main does.
func runDoctor(t *testing.T, args ...string) (status int, out, progress string) {
	t.Helper()
	var cli struct {
		Doctor doctorCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("it ended by itself") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"doctor"}, args...)); err != nil {
		t.Fatal(err)
	}
	var b, p bytes.Buffer
	status = cli.Doctor.run(t.Context(), &b, &p)
	return status, b.String(), p.String()
}

const doctorPassword = "doctor-Password-1"

// sickWarehouse is a warehouse that is wrong in many ways.
func sickWarehouse(t *testing.T, version int) (server *pgserver.Server, dsn string) {
	t.Helper()
	server = pgserver.ForTest(t, pgserver.Config{Version: version})
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"warehouse", "shop"} {
		if err := server.CreateDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range [][2]string{{"warehouse", system}, {"warehouse", "sick.sql"}, {"shop", "shop.sql"}} {
		text := s[1]
		if strings.HasSuffix(text, ".sql") && !strings.Contains(text, "\n") {
			read, err := os.ReadFile(filepath.Join("testdata", "doctor", text))
			if err != nil {
				t.Fatal(err)
			}
			text = strings.ReplaceAll(string(read), ":port", fmt.Sprint(server.Port()))
		}
		if s[1] == "sick.sql" {
			// creating a slot has to be a transaction of its own
			text = strings.Replace(text, "select pg_create_logical", "commit; select pg_create_logical", 1)
		}
		if err := server.Exec(t.Context(), s[0], text); err != nil {
			t.Fatal(err)
		}
	}
	return server, doctorDSN(t, server, "doctor", doctorPassword)
}

func doctorDSN(t *testing.T, server *pgserver.Server, user, password string) string {
	t.Helper()
	u, err := url.Parse(server.DSN("warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// doctorVarying is what differs from run to run.
var doctorVarying = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`as "doctor": [^"\n]* refused`), `as "doctor": DRIVER`},
	{regexp.MustCompile(`keeps [0-9.]+ [kMG]?B of WAL`), "keeps SIZE of WAL"},
	{regexp.MustCompile(`with \(publish = 'insert, update, delete, truncate', publish_via_partition_root = false, publish_generated_columns = stored\)`),
		"with (publish = 'insert, update, delete, truncate', publish_via_partition_root = false)"},
}

// TestDoctor compares the whole output of a sick warehouse, and the exit statuses.
func TestDoctor(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			server, dsn := sickWarehouse(t, version)
			status, out, progress := runDoctor(t, "--warehouse", dsn)
			if status != 1 {
				t.Errorf("got status %d (%s), want 1", status, progress)
			}
			got := strings.ReplaceAll(out, fmt.Sprint(server.Port()), "PORT")
			for _, v := range doctorVarying {
				got = v.pattern.ReplaceAllString(got, v.by)
			}
			golden(t, *update && version == 15, "doctor", "sick.txt", got)
			sickJSON(t, dsn, out)
		})
	}
}

// sickJSON wants the findings of the text in the document, under the names that it always has.
func sickJSON(t *testing.T, dsn, text string) {
	t.Helper()
	status, out, _ := runDoctor(t, "--warehouse", dsn, "--json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 1 {
		t.Fatalf("status %d, %v: %s", status, err, out)
	}
	if report.OK || report.Errors == 0 || report.Warnings == 0 || report.Infos == 0 || len(report.Findings) != report.Errors+report.Warnings+report.Infos {
		t.Errorf("got %+v", report)
	}
	for _, f := range report.Findings {
		if !slices.Contains(doctor.Checks(), f.Check) {
			t.Errorf("no check is called %s", f.Check)
		}
		if line := fmt.Sprintf("%s: %s: %s\n", f.Source, f.Object, f.Problem); !strings.Contains(text, line) {
			t.Errorf("the text lacks %q", line)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(out), &fields); err != nil {
		t.Fatal(err)
	}
	finding, _ := fields["findings"].([]any)[0].(map[string]any)
	for got, want := range map[string][]string{
		fmt.Sprint(keysOf(fields)):  {"errors", "findings", "ignored", "infos", "ok", "rules", "sources", "tables", "warnings"},
		fmt.Sprint(keysOf(finding)): {"check", "object", "problem", "remedy", "severity", "source"},
	} {
		if got != fmt.Sprint(want) {
			t.Errorf("got the fields %s, want %s", got, want)
		}
	}
	if all := text + out; strings.Contains(all, doctorPassword) {
		t.Error("the password is in the output")
	}
}

func keysOf(m map[string]any) (keys []string) {
	for _, k := range reflect.ValueOf(m).MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// TestDoctorStatus: 0 with nothing worse than info, 2 where nothing could be looked at.
func TestDoctorStatus(t *testing.T) {
	server, dsn := sickWarehouse(t, 15)
	ignored := "--ignore=" + strings.Join(doctor.Checks(), ",")
	if status, out, progress := runDoctor(t, "--warehouse", dsn, ignored); status != 0 || !strings.Contains(out, "nothing is wrong") || !strings.Contains(out, " ignored") {
		t.Errorf("all ignored: status %d, %s%s", status, out, progress)
	}
	for name, args := range map[string][]string{
		"wrong password": {"--warehouse", doctorDSN(t, server, "doctor", "wr0ng")},
		"no server":      {"--warehouse", "postgres://doctor:wr0ng@127.0.0.1:1/warehouse"},
		"no DSN":         {"--warehouse", "postgres://doctor:wr0ng@127.0.0.1:port/warehouse"},
		"unknown check":  {"--warehouse", dsn, "--ignore", "nonsense"},
		"no time":        {"--warehouse", dsn, "--timeout", "1ns"},
	} {
		status, out, progress := runDoctor(t, args...)
		if status != 2 || out != "" || !strings.HasPrefix(progress, "pgrelay: ") || strings.Contains(progress, "wr0ng") {
			t.Errorf("%s: status %d, %q, %q", name, status, out, progress)
		}
	}
}
