package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
)

// binary builds the command once for the tests that run it as a process.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgrelay")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// process is a relay in a process of its own.
type process struct {
	*exec.Cmd
	url string
}

var listens = regexp.MustCompile(`listens on http://(\S+)`)

// serve starts a relay and returns when it listens.
func startServe(t *testing.T, path, dsn, listen string, flags ...string) *process {
	t.Helper()
	cmd := exec.Command(path, append([]string{"serve", "--listen", listen, "--admin", ""}, flags...)...)
	cmd.Env = append(os.Environ(), "PGRELAY_WAREHOUSE="+dsn)
	cmd.Stderr = testWriter{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listens.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() { // the listing of what was found
				}
			}()
			return &process{cmd, "ws://" + m[1] + "/v1/ws"}
		}
	}
	t.Fatal("the relay ended before it listened")
	return nil
}

// crash ends the process as a power cut would.
func (p *process) crash() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// tool runs a client program of Postgres.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := pgserver.Tool(name)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func envInt(name string, is int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return is
}

// tableRows counts a table's rows by their JSON.
func tableRows(ctx context.Context, t *testing.T, dsn, table string) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, "select to_jsonb(t)::text from "+table+" t")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for rows.Next() {
		counts[string(rows.RawValues()[0])]++
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return counts
}

// mirrorRows counts a mirror's rows by their JSON, as jsonb prints it: shorter keys first.
func mirrorRows(rows []client.Row) map[string]int {
	counts := map[string]int{}
	for _, row := range rows {
		keys := slices.SortedFunc(maps.Keys(row), func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		})
		parts := make([]string, len(keys))
		for i, k := range keys {
			parts[i] = strconv.Quote(k) + ": " + string(row[k])
		}
		counts["{"+strings.Join(parts, ", ")+"}"]++
	}
	return counts
}

// TestPgbenchMirrored attaches a database that pgbench made with nothing but its DSN, and mirrors its tables while
// pgbench runs, the relay is killed three times and Postgres restarted once. PGRELAY_PGBENCH_SCALE and
// PGRELAY_PGBENCH_SECONDS make it longer.
func TestPgbenchMirrored(t *testing.T) {
	scale, seconds := envInt("PGRELAY_PGBENCH_SCALE", 1), envInt("PGRELAY_PGBENCH_SECONDS", 12)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second+3*time.Minute)
	defer cancel()
	path := binary(t)
	server := pgserver.ForTest(t, pgserver.Config{Version: 15})
	if err := server.CreateDatabase(ctx, "bench"); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("bench")
	tool(t, "pgbench", "-q", "-i", "-s", strconv.Itoa(scale), dsn)
	tool(t, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", filepath.Join("..", "..", "sql", "system.sql"))
	if err := server.Exec(ctx, "bench", `
		insert into web_socket_event_system_events.rules (name, relation, roles)
		select 'all of ' || t, 'public.' || t, '{anon}' from unnest(array['pgbench_accounts', 'pgbench_branches', 'pgbench_tellers', 'pgbench_history']) t;
		alter table public.pgbench_history replica identity full`); err != nil {
		t.Fatal(err)
	}
	relay := startServe(t, path, dsn, "127.0.0.1:0")
	listen := strings.TrimSuffix(strings.TrimPrefix(relay.url, "ws://"), "/v1/ws")

	mirror := client.NewMirror(client.Hooks{})
	tables := map[string]uint64{}
	for _, name := range []string{"pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"} {
		id, err := mirror.Subscribe(client.Subscription{Table: "public." + name})
		if err != nil {
			t.Fatal(err)
		}
		tables["public."+name] = id
	}
	running := make(chan error, 1)
	go func() { running <- mirror.Run(ctx, relay.url, client.Options{}, nil) }()
	awaitLive := func() {
		t.Helper()
		if err := mirror.Await(ctx, func(m *client.Mirror) bool {
			for _, id := range tables {
				if !m.Live(id) {
					return false
				}
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	awaitLive()

	for phase := range 4 {
		load := make(chan error, 1)
		go func() {
			path, err := pgserver.Tool("pgbench")
			if err == nil {
				// A restart of the server ends pgbench with an error; what it committed counts.
				_ = exec.Command(path, "-n", "-c", "8", "-T", strconv.Itoa(max(seconds/4, 2)), dsn).Run()
			}
			load <- err
		}()
		written := mirror.Stats().Transactions
		if err := mirror.Await(ctx, func(m *client.Mirror) bool { return m.Stats().Transactions > written+200 }); err != nil {
			t.Fatal(err)
		}
		if phase < 3 {
			relay.crash()
			relay = startServe(t, path, dsn, listen)
		} else if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-load; err != nil {
			t.Fatal(err)
		}
		awaitLive()
	}

	if err := server.Exec(ctx, "bench", `insert into pgbench_history (tid, bid, aid, delta, filler) values (-1, 0, 0, 0, 'last')`); err != nil {
		t.Fatal(err)
	}
	if err := mirror.Await(ctx, func(m *client.Mirror) bool {
		return m.Live(tables["public.pgbench_history"]) && slices.ContainsFunc(m.Rows(tables["public.pgbench_history"]),
			func(r client.Row) bool { return string(r["tid"]) == "-1" })
	}); err != nil {
		t.Fatal(err)
	}
	awaitLive()
	for table, id := range tables {
		want, got := tableRows(ctx, t, dsn, table), mirrorRows(mirror.Rows(id))
		if !maps.Equal(got, want) {
			t.Errorf("%s: the mirror has %d different rows, the table %d\n%s", table, len(got), len(want), difference(got, want))
		}
		t.Logf("%s: %d different rows are equal", table, len(want))
	}
	stats := mirror.Stats()
	t.Logf("%+v", stats)
	// A machine that pgbench saturates may leave the client too little: then it lags, which costs no row.
	if stats.Refused > 0 || stats.Resyncs > stats.Reasons["lagged"] {
		t.Errorf("%d cursors were refused and shapes resynced for %v; each connection should have resumed", stats.Refused, stats.Reasons)
	}
	cancel()
	<-running
}

func difference(got, want map[string]int) string {
	var lines []string
	for row, n := range want {
		if got[row] != n {
			lines = append(lines, fmt.Sprintf("missing %d× %s", n-got[row], row))
		}
	}
	for row, n := range got {
		if want[row] == 0 {
			lines = append(lines, fmt.Sprintf("too many %d× %s", n, row))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(len(lines), 10)], "\n")
}
