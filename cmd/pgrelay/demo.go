package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pgrelay/react"
	"pgrelay/relay/demo"
	"pgrelay/relay/serve"
)

// demoCmd runs everything on one machine.
type demoCmd struct {
	Dir  string  `help:"Folder for the private servers; by default a temporary one." placeholder:"DIR"`
	Rate float64 `default:"8" help:"Actions per second of the live traffic."`
	relayFlags
}

// Run runs the sample until a signal comes, and removes it.
func (c *demoCmd) Run(ctx context.Context, logger zerolog.Logger) (err error) {
	page, err := react.Page()
	if err != nil {
		return err
	}
	fmt.Println("starting two private Postgres servers …")
	d, err := demo.Start(ctx, demo.Config{Dir: c.Dir, Rate: c.Rate, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	fmt.Printf("edit the rules: psql '%s'\n", d.SystemDSN())
	r := &restarter{restart: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.Handle("/demo/rate", d.Handler())
	mux.HandleFunc("POST /demo/restart", r.handle)
	mux.HandleFunc("GET /demo/rows", func(w http.ResponseWriter, req *http.Request) { rows(w, req, d.WarehouseDSN()) })
	mux.Handle("/", http.FileServerFS(page))
	cfg, err := c.config(d.WarehouseDSN(), logger)
	if err != nil {
		return err
	}
	cfg.Page = mux
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.Traffic(ctx) })
	group.Go(func() error { return r.run(ctx, cfg, c.Listen) })
	return group.Wait()
}

// restarter runs the relay and, when asked to, ends it without a farewell and runs another in its place.
type restarter struct {
	restart chan struct{}
	once    sync.Once
}

func (r *restarter) handle(w http.ResponseWriter, _ *http.Request) {
	select {
	case r.restart <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusAccepted)
}

func (r *restarter) run(ctx context.Context, cfg serve.Config, _ string) error {
	for {
		s, err := serve.New(cfg)
		if err != nil {
			return err
		}
		cfg.Listen = s.Addr().String() // the same port after a restart
		if a := s.AdminAddr(); a != nil {
			cfg.Admin = a.String()
		}
		once, cancel := context.WithCancel(ctx)
		go func() {
			if s.Ready(once) == nil {
				r.once.Do(func() { fmt.Printf("the page is live: http://%s\n", cfg.Listen) })
			}
		}()
		go func() {
			select {
			case <-r.restart:
				cancel()
			case <-once.Done():
			}
		}()
		err = s.Run(once)
		cancel()
		if ctx.Err() != nil || err != nil {
			return err
		}
	}
}

// rows answers with a table's rows as Postgres' to_json gives them, for comparison with what the page shows.
func rows(w http.ResponseWriter, r *http.Request, dsn string) {
	schema, table, _ := strings.Cut(r.URL.Query().Get("table"), ".")
	conn, err := pgx.Connect(r.Context(), dsn)
	if err != nil {
		http.Error(w, "the warehouse cannot be reached", http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(r.Context())) }()
	found, err := conn.Query(r.Context(), "select pg_catalog.to_json(t) from "+pgx.Identifier{schema, table}.Sanitize()+" t")
	if err != nil {
		http.Error(w, "no such table", http.StatusNotFound)
		return
	}
	all, err := pgx.CollectRows(found, pgx.RowTo[json.RawMessage])
	if err != nil {
		http.Error(w, "no such table", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}
