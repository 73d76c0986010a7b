package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"pgrelay/relay"
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
	// Only, where given, chooses the figures by name.
	Only func(name string) bool
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
	if c.Only == nil {
		c.Only = func(string) bool { return true }
	}
	d, err := open(ctx, c.DSN)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b := &bench{config: c, database: d, report: &Report{Machine: machine(d.conn.PgConn().ParameterStatus("server_version")), Rows: c.Rows}}
	for _, form := range []struct {
		name     string
		rowsEach int
	}{{"single-row transactions", 1}, {"1,000-row transactions", 1000}} {
		for _, figure := range []struct {
			name    string
			measure func(ctx context.Context, name string, rowsEach int) error
		}{{"drain to a client", b.toClient}, {"decode only", b.toHub}, {"tuple to frame", b.tuplesToFrames}} {
			name := figure.name + ", " + form.name
			if !c.Only(name) {
				continue
			}
			if err := figure.measure(ctx, name, form.rowsEach); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
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
func (b *bench) toClient(ctx context.Context, name string, rowsEach int) (err error) {
	s, err := startServed(ctx, b.config.DSN, b.config.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return b.drain(ctx, name, s, rowsEach)
}

// toHub drains backlogs to frames that nobody reads.
func (b *bench) toHub(ctx context.Context, name string, rowsEach int) (err error) {
	d, err := startDecoding(ctx, b.config.DSN, relay.CaptureLogical, b.config.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return b.drain(ctx, name, d, rowsEach)
}
