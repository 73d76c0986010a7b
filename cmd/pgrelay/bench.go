package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/rs/zerolog"

	"pgrelay/relay/bench"
	"pgrelay/relay/pgserver"
)

// benchCmd measures the relay on a private server.
type benchCmd struct {
	JSON     bool   `name:"json" help:"Print JSON instead of a table."`
	Rows     int    `default:"200000" help:"Rows of a backlog."`
	Pairs    int    `default:"3" help:"Runs of each figure, in turn with the limit's."`
	Only     string `help:"Measure the figures whose name contains this." placeholder:"TEXT"`
	Postgres int    `default:"15" help:"Major version of the private server." placeholder:"VERSION"`
	Profile  string `help:"Write a CPU profile of the run to this file." placeholder:"FILE"`
}

// Run measures and prints.
func (c *benchCmd) Run(ctx context.Context, logger zerolog.Logger) (err error) {
	server, err := pgserver.New(pgserver.Config{Version: c.Postgres, Settings: map[string]string{
		"synchronous_commit": "off", "autovacuum": "off", "wal_sender_timeout": "1h", "max_wal_size": "8GB",
		"shared_buffers": "256MB",
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := server.Start(ctx); err != nil {
		return err
	}
	if err := server.CreateDatabase(ctx, "bench"); err != nil {
		return err
	}
	program, err := pgserver.Tool("pg_recvlogical")
	if err != nil {
		fmt.Fprintln(os.Stderr, "without the limit:", err)
	}
	stop, err := profile(c.Profile)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, bench.Config{
		DSN: server.DSN("bench"), RecvLogical: program, Rows: c.Rows, Pairs: c.Pairs, Logger: logger.Level(zerolog.WarnLevel),
		Only:     func(name string) bool { return strings.Contains(name, c.Only) },
		Progress: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	report.Markdown(os.Stdout)
	return nil
}

// profile begins a CPU profile in a file and returns what ends it; without a file both do nothing.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
