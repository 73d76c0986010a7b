package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pgrelay/relay/capture"
	"pgrelay/relay/journal"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
)

// serveCmd runs the relay.
type serveCmd struct {
	Warehouse string `required:"" help:"The warehouse: a URL or keywords as libpq takes them. The environment keeps the password out of the process list." placeholder:"DSN"`
	relayFlags
}

// relayFlags are the relay's settings, with safe defaults.
type relayFlags struct {
	Listen string `default:"127.0.0.1:7070" help:"Address of the WebSocket."`
	Admin  string `default:"127.0.0.1:7071" help:"Operator's address: /metrics, /readyz with reasons, /debug/pprof; empty for none."`
	authFlags
	Origins         []string          `help:"Origins that browsers may come from, separated by commas; by default the relay's own host alone." placeholder:"URL"`
	Publication     string            `default:"pgrelay" help:"Name of the publication in each source."`
	InsertOnly      []string          `help:"Tables without a key that are published for inserts alone." placeholder:"SCHEMA.TABLE"`
	Hosts           map[string]string `help:"What the relay dials for a foreign server's host (host or host:port)." placeholder:"HOST=ADDRESS"`
	Credentials     map[string]string `help:"user:password by foreign server, where user mappings don't give them." placeholder:"SERVER=USER:PASSWORD"`
	JournalBytes    int               `default:"67108864" help:"Bytes of recent transactions that a source keeps in memory."`
	JournalWAL      uint64            `name:"journal-wal" default:"268435456" help:"Bytes of WAL at the source that the window may span."`
	JournalAge      time.Duration     `default:"10m" help:"Age of the oldest transaction in the window."`
	FrameBytes      int               `default:"33554432" help:"Bytes of ready frames that a source keeps in memory for connections."`
	Snapshots       int               `default:"4" help:"Snapshots at a time in each source."`
	SnapshotTimeout time.Duration     `default:"10m" help:"How long one snapshot may take."`
	RulesTimeout    time.Duration     `default:"30s" help:"After how long without hearing of rule edits every subscription waits."`
	Heartbeat       time.Duration     `default:"25s" help:"A text frame comes at least that often."`
	DrainTimeout    time.Duration     `default:"5s" help:"How long a shutdown writes what is due."`
	MaxConnections  int               `default:"0" help:"Connections in all; 0: as many as descriptors allow."`
	MaxPerAddress   int               `default:"0" help:"Connections of one address; 0: no bound."`
	MaxMessage      int               `default:"65536" help:"Largest message of a client in bytes."`
	MessageRate     int               `default:"200" help:"Messages per second of a client."`
	MaxSubs         int               `name:"max-subscriptions" default:"500" help:"Subscriptions of a connection."`
}

func (f *relayFlags) config(dsn string, logger zerolog.Logger) (serve.Config, error) {
	credentials, err := parseCredentials(f.Credentials)
	if err != nil {
		return serve.Config{}, err
	}
	tokens, err := f.authFlags.config(logger)
	if err != nil {
		return serve.Config{}, err
	}
	return serve.Config{
		Warehouse: warehouse.Config{DSN: dsn, Credentials: credentials, Hosts: f.Hosts, InsertOnly: f.InsertOnly},
		Listen:    f.Listen, Admin: f.Admin,
		Auth: tokens,
		Capture: capture.Config{Publication: f.Publication, Snapshots: f.Snapshots, SnapshotTimeout: f.SnapshotTimeout,
			Journal: journal.Config{Bytes: f.JournalBytes, WAL: f.JournalWAL, Age: f.JournalAge}},
		FrameBytes: f.FrameBytes, Heartbeat: f.Heartbeat, RulesTimeout: f.RulesTimeout, DrainTimeout: f.DrainTimeout,
		Limits:  wire.Limits{MessageBytes: f.MaxMessage, MessagesPerSecond: f.MessageRate, Subscriptions: f.MaxSubs},
		Origins: f.Origins, MaxConnections: f.MaxConnections, MaxPerAddress: f.MaxPerAddress,
		Version: version(), Logger: logger,
	}, nil
}

// Run serves until a signal comes.
func (c *serveCmd) Run(ctx context.Context, logger zerolog.Logger) error {
	cfg, err := c.config(c.Warehouse, logger)
	if err != nil {
		return err
	}
	s, err := serve.New(cfg)
	if err != nil {
		return err
	}
	fmt.Printf("pgrelay %s listens on http://%s\n", version(), s.Addr())
	if a := s.AdminAddr(); a != nil {
		fmt.Printf("operator's port: http://%s\n", a)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error {
		if s.Listed(ctx) == nil {
			s.List(os.Stdout)
		}
		return nil
	})
	return group.Wait()
}

// parseCredentials reads user:password by foreign server.
func parseCredentials(given map[string]string) (map[string]warehouse.Credential, error) {
	credentials := make(map[string]warehouse.Credential, len(given))
	for server, text := range given {
		user, password, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("credentials of server %s: want user:password", server)
		}
		credentials[server] = warehouse.Credential{User: user, Password: password}
	}
	return credentials, nil
}
