package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/rs/zerolog"
)

// Config says what to measure, and where.
type Config struct {
	// DSN is a superuser's, of an empty database on this machine whose server runs as this user, or which root may halt.
	DSN string
	// RecvLogical is the path of pg_recvlogical; empty: no limit is measured.
	RecvLogical string
	// Rows of a backlog; default 200,000.
	Rows int
	// Pairs of runs of each figure; default 3.
	Pairs int
	// Progress, where given, is told what is being measured.
	Progress func(line string)
	Logger   zerolog.Logger
}

type bench struct {
	config   Config
	database *database
	limit    *limit
	report   *Report
}

// Run measures everything.
func Run(ctx context.Context, c Config) (_ *Report, err error) {
	if c.Rows <= 0 {
		c.Rows = 200_000
	}
	if c.Pairs <= 0 {
		c.Pairs = 3
	}
	d, err := open(ctx, c.DSN)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b := &bench{config: c, database: d, report: &Report{
		Cores: runtime.NumCPU(), CPU: processor(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Postgres: d.conn.PgConn().ParameterStatus("server_version"), Rows: c.Rows,
	}}
	if err := b.toClient(ctx); err != nil {
		return nil, err
	}
	if err := b.toHub(ctx); err != nil {
		return nil, err
	}
	for _, form := range []struct {
		name     string
		rowsEach int
	}{{"tuple to frame, single-row transactions", 1}, {"tuple to frame, 1,000-row transactions", 1000}} {
		if err := b.tuplesToFrames(ctx, form.name, form.rowsEach); err != nil {
			return nil, err
		}
	}
	return b.report, nil
}

func (b *bench) progress(format string, args ...any) {
	if b.config.Progress != nil {
		b.config.Progress(fmt.Sprintf(format, args...))
	}
}

// toClient drains backlogs to a client.
func (b *bench) toClient(ctx context.Context) (err error) {
	s, err := startServed(ctx, b.config.DSN, b.config.Logger)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.close(); err == nil {
			err = e
		}
	}()
	if b.config.RecvLogical != "" { // the relay has made the publication
		if b.limit, err = newLimit(ctx, b.database, b.config.RecvLogical); err != nil {
			return err
		}
	}
	if err := b.drain(ctx, "drain to a client, single-row transactions", s, 1); err != nil {
		return err
	}
	return b.drain(ctx, "drain to a client, 1,000-row transactions", s, 1000)
}

// toHub drains a backlog to frames that nobody reads.
func (b *bench) toHub(ctx context.Context) (err error) {
	d, err := startDecoding(ctx, b.config.DSN, b.config.Logger)
	if err != nil {
		return err
	}
	defer func() {
		if e := d.close(); err == nil {
			err = e
		}
	}()
	if err := b.drain(ctx, "decode only, single-row transactions", d, 1); err != nil {
		return err
	}
	return b.drain(ctx, "decode only, 1,000-row transactions", d, 1000)
}

// processor is the CPU's name, where the system tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
