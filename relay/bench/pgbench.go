package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// protocol is pgbench's -M: its own default, in which a statement is parsed and planned each time.
// https://www.postgresql.org/docs/current/pgbench.html
const protocol = "simple"

// script is a transaction of pgbench: rows as fill makes them. A single one comes without SELECT, as applications write it.
func script(rowsEach int) string {
	const values = `7919, 'open', 123.45, 'eu-west-1',
	'order note with some text, a "quote" and more text 0123456789abcdef0123456789abcdef', 1795490000000000, '2026-11-24 03:13:31.123456+00'`
	insert := "insert into public.bench (user_id, status, amount, region, note, placed, created_at) "
	if rowsEach == 1 {
		return insert + "values (" + values + ");\n"
	}
	return insert + fmt.Sprintf("select %s from generate_series(1, %d);\n", values, rowsEach)
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// pgbench returns transactions a second.
func (w *writers) pgbench(ctx context.Context, dsn string, l load) (float64, error) {
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		return 0, err
	}
	f, err := os.CreateTemp("", "pgrelay-bench-*.sql")
	if err != nil {
		return 0, fmt.Errorf("write pgbench's script: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err := f.WriteString(script(l.rowsEach)); err != nil {
		return 0, fmt.Errorf("write pgbench's script: %w", err)
	}
	if err := f.Close(); err != nil {
		return 0, fmt.Errorf("write pgbench's script: %w", err)
	}
	cmd := exec.CommandContext(ctx, w.config.Pgbench, "-n", "-M", protocol, "-f", f.Name(), "-T", strconv.Itoa(w.config.Seconds),
		"-c", strconv.Itoa(l.clients), "-j", strconv.Itoa(min(l.clients, runtime.NumCPU())),
		"-h", conf.Host, "-p", strconv.Itoa(int(conf.Port)), "-U", conf.User, conf.Database)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+conf.Password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("run pgbench: %w: %s", err, bytes.TrimSpace(out))
	}
	found := tps.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("run pgbench: no rate in %q", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
