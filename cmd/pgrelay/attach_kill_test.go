package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// begins is the line of a step.
var begins = regexp.MustCompile(`^\S+ [0-9]+/[0-9]+ \S`)

// interrupted runs a command with --apply and kills it when it has begun so many steps; false where it ended before.
func interrupted(t *testing.T, path, command, dsn string, lines int) bool {
	t.Helper()
	cmd := exec.Command(path, command, "--apply")
	cmd.Env = append(os.Environ(), "PGRELAY_WAREHOUSE="+dsn, "PGRELAY_ROLE_PASSWORD=of the role")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	killed := false
	for scanner.Scan() {
		if begins.MatchString(scanner.Text()) {
			lines--
		}
		if lines == 0 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed, or something is left: the server distant
	return killed
}

// TestAttachKilled: attach and detach that are killed after every few steps do the rest when they are run again, and in the end
// everything is as it was.
func TestAttachKilled(t *testing.T) {
	path := binary(t)
	server, dsn := attachWarehouse(t, 15)
	dump := func(database string) string {
		file := filepath.Join(t.TempDir(), "dump")
		tool(t, "pg_dump", "--schema-only", "--restrict-key=x", "--file="+file, "--dbname="+server.DSN(database))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := map[string]string{}
	for _, database := range []string{"profiles", "orders", "warehouse"} {
		before[database] = dump(database)
	}
	kills := 0
	for n := 1; interrupted(t, path, "attach", dsn, n); n = n%4 + 1 {
		kills++
	}
	if kills < 5 {
		t.Errorf("it was killed only %d times", kills)
	}
	out := runAttach(t, "attach", "--warehouse", dsn)
	if n := strings.Count(out, "nothing to do"); n != 3 {
		t.Errorf("after all of them something is left:\n%s", out)
	}
	slots := 0
	conn, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_replication_slots`).Scan(&slots); err != nil || slots != 3 {
		t.Errorf("%d slots, %v", slots, err)
	}
	for n := 1; interrupted(t, path, "detach", dsn, n); n = n%4 + 1 {
		kills++
	}
	for database, want := range before {
		if got := dump(database); got != want {
			t.Errorf("%s isn't as it was:\n%s", database, got)
		}
	}
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_replication_slots`).Scan(&slots); err != nil || slots != 0 {
		t.Errorf("%d slots are left, %v", slots, err)
	}
	t.Log(fmt.Sprint(kills, " kills"))
}
