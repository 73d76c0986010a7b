package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
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
	Capture  bool   `help:"Measure instead what capture costs those who write, with pgbench and fsync."`
	Rounds   int    `default:"4" help:"With --capture: runs of each form of capture."`
	Seconds  int    `default:"3" help:"With --capture: how long each takes."`
	Postgres int    `default:"15" help:"Major version of the private server." placeholder:"VERSION"`
	Profile  string `help:"Write a CPU profile of the run to this file." placeholder:"FILE"`

	names  []string // those that there are
	chosen bool     // one of them was
}

// measured is what a benchmark found.
type measured interface{ Markdown(w io.Writer) }

// Run measures and prints.
func (c *benchCmd) Run(ctx context.Context, logger zerolog.Logger) error {
	measure := c.backlogs
	if c.Capture {
		measure = c.writers
	}
	stop, err := profile(c.Profile)
	if err != nil {
		return err
	}
	found, err := measure(ctx, logger.Level(zerolog.WarnLevel))
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if !c.chosen {
		return fmt.Errorf("--only: no figure's name contains %q; they are: %s", c.Only, strings.Join(c.names, "; "))
	}
	if c.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(found)
	}
	found.Markdown(os.Stdout)
	return nil
}

// backlogs measures how fast a source is drained.
func (c *benchCmd) backlogs(ctx context.Context, logger zerolog.Logger) (_ measured, err error) {
	server, err := c.server(ctx, pgserver.Config{Settings: map[string]string{"synchronous_commit": "off", "shared_buffers": "256MB"}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := server.CreateDatabase(ctx, "bench"); err != nil {
		return nil, err
	}
	program, err := pgserver.Tool("pg_recvlogical")
	if err != nil {
		fmt.Fprintln(os.Stderr, "without the limit:", err)
	}
	return bench.Run(ctx, bench.Config{DSN: server.DSN("bench"), RecvLogical: program, Rows: c.Rows, Pairs: c.Pairs, Logger: logger,
		Only: c.only, Progress: sayProgress})
}

// writers measures what capture costs those who write. The server's folder is on a disk, as far as that is where temporary
// files are.
func (c *benchCmd) writers(ctx context.Context, logger zerolog.Logger) (_ measured, err error) {
	program, err := pgserver.Tool("pgbench")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(os.TempDir(), "pgrelay-bench-*")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the server: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the server may run as another user
		return nil, fmt.Errorf("make a folder for the server: %w", err)
	}
	server, err := c.server(ctx, pgserver.Config{Dir: filepath.Join(dir, "server"), Settings: map[string]string{
		"fsync": "on", "full_page_writes": "on", "max_prepared_transactions": "0", "shared_buffers": "512MB", "checkpoint_timeout": "1h"}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return bench.Writers(ctx, bench.WritersConfig{DSN: server.DSN, Pgbench: program, Rounds: c.Rounds, Seconds: c.Seconds, Logger: logger,
		Only: c.only, Progress: sayProgress})
}

// server starts a private one.
func (c *benchCmd) server(ctx context.Context, config pgserver.Config) (*pgserver.Server, error) {
	config.Version = c.Postgres
	maps.Copy(config.Settings, map[string]string{"autovacuum": "off", "wal_sender_timeout": "1h", "max_wal_size": "8GB"})
	server, err := pgserver.New(config)
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

func (c *benchCmd) only(name string) bool {
	is := strings.Contains(name, c.Only)
	c.names, c.chosen = append(c.names, name), c.chosen || is
	return is
}

func sayProgress(line string) { fmt.Fprintln(os.Stderr, line) }

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
