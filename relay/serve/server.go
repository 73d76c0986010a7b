package serve

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pgrelay/relay/auth"
	"pgrelay/relay/hub"
	"pgrelay/relay/metrics"
	"pgrelay/relay/rule"
	"pgrelay/relay/session"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/ws"
)

// Server is a relay.
type Server struct {
	cfg     Config
	log     zerolog.Logger
	metrics *metrics.Metrics
	tokens  *auth.Verifier
	handler *session.Handler
	sockets *ws.Server
	admin   net.Listener
	changed chan struct{} // one place: the directory must be made anew

	edits  edits
	reader rulesReader // of direct alone

	faultsMu sync.Mutex
	faults   map[fault]struct{}

	// mu is never held while a hub is asked for anything.
	mu        sync.Mutex
	warehouse *warehouse.Warehouse
	failure   string              // why the warehouse can't be read; empty when it can
	captures  map[string]*running // by logical replication, by source
	outboxes  map[string]*running // by triggers, of the sources that have any
	rules     *rule.Set
	problems  []rule.Problem
	rulesErr  string
	heardAt   time.Time
	heard     bool
	// readEdits is how many edits the rules in force show, and readLife in which life of their source they were read.
	readEdits  int
	readLife   int
	readFrom   *running
	discovered time.Time
	// directed is how many edits the directory in force shows; serves tells that it is one by which anything is served.
	directed int
	serves   bool
}

// edits are the transactions that have edited the rules. A stream notes them under its hub's lock, so the server's own
// lock is not for them.
type edits struct {
	mu      sync.Mutex
	count   int
	pending []uint64 // not known to be visible to a query
}

// follower is one way of capture at a source.
type follower interface {
	session.Source
	Run(ctx context.Context) error
	SetSource(source *warehouse.Source)
	Inspection() *warehouse.Inspection
	// Triggered are the names of the tables that triggers capture, sorted; Idle tells that there is nothing to do this way.
	Triggered() []string
	Idle() bool
	// Lives is how often the source came alive, Heard when all had been committed that has been brought since.
	Lives() int
	Heard() time.Time
	// Passed returns when all has been brought that was committed before the call.
	Passed(ctx context.Context) error
}

// running is a capture and how to stop it.
type running struct {
	follower
	name   string
	series string // its metrics' label
	source *warehouse.Source
	stop   context.CancelFunc
	done   chan struct{}
}

// New makes a relay and opens its sockets; nothing is served before Run.
func New(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	cfg.Auth.Logger = cfg.Logger
	tokens, err := auth.New(cfg.Auth)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, tokens: tokens, log: cfg.Logger.With().Str("component", "serve").Logger(), metrics: metrics.New(),
		changed: make(chan struct{}, 1), captures: map[string]*running{}, outboxes: map[string]*running{}, faults: map[fault]struct{}{}}
	s.handler = session.NewHandler(session.Config{Verify: tokens.Verify, Retryable: auth.Retryable, Leeway: tokens.Leeway(), Version: cfg.Version, Limits: cfg.Limits,
		Heartbeat: cfg.Heartbeat, Logger: cfg.Logger, Metrics: s.metrics})
	s.sockets, err = ws.Listen("tcp", cfg.Listen, ws.Config{
		Loops: min(runtime.GOMAXPROCS(0), hub.MaxLoops), Origins: cfg.Origins, MaxConnections: cfg.MaxConnections, MaxPerAddress: cfg.MaxPerAddress,
		DrainTimeout: cfg.DrainTimeout, Heartbeat: cfg.Heartbeat, MaxMessage: s.handler.Limits().MessageBytes,
		HTTP: s.http(), Logger: cfg.Logger,
	}, s.handler)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	if cfg.Admin != "" {
		if s.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			s.sockets.Close()
			return nil, fmt.Errorf("listen on the operator's address %s: %w", cfg.Admin, err)
		}
	}
	return s, nil
}

// Addr is where the relay listens.
func (s *Server) Addr() net.Addr { return s.sockets.Addr() }

// AdminAddr is where the operator's port is; nil without one.
func (s *Server) AdminAddr() net.Addr {
	if s.admin == nil {
		return nil
	}
	return s.admin.Addr()
}

// Run serves until ctx ends, then closes every connection with 1001 and returns.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.sockets.Run(ctx) })
	group.Go(func() error { return s.tokens.Run(ctx) })
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error { return s.direct(ctx) })
	if s.admin != nil {
		group.Go(func() error { return s.serveAdmin(ctx) })
	}
	err := group.Wait()
	s.stopAll()
	return err
}

func (s *Server) serveAdmin(ctx context.Context) error {
	server := &http.Server{Handler: s.adminHandler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.admin); ctx.Err() == nil {
		return fmt.Errorf("serve the operator's port: %w", err)
	}
	return nil
}

// nudge asks for a new directory.
func (s *Server) nudge() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// direct makes a directory whenever something that it rests on has changed.
func (s *Server) direct(ctx context.Context) error {
	defer s.reader.close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		case <-tick.C:
			s.count()
			if !s.silenced() {
				continue
			}
		}
		s.followOutboxes(ctx)
		s.refreshRules(ctx)
		d, edits := s.directory()
		s.checkRules(d)
		s.handler.SetDirectory(d)
		s.mu.Lock()
		s.directed, s.serves = edits, d.Heard
		s.mu.Unlock()
	}
}

// count counts the shapes.
func (s *Server) count() {
	n := 0
	for _, r := range s.running() {
		n += r.Shapes().Shapes()
	}
	s.metrics.Shapes.Set(float64(n))
}

// running are the captures as they are now.
func (s *Server) running() []*running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Collect(maps.Values(s.captures)), slices.Collect(maps.Values(s.outboxes))...)
}

// directory is what can be subscribed to now, and how many edits of the rules it shows.
func (s *Server) directory() (d *session.Directory, edits int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d = &session.Directory{Rules: s.rules, Heard: s.heard, Tables: map[string]session.Source{}}
	for _, r := range s.captures {
		for _, t := range r.source.Foreign {
			d.Tables[t.Name] = r.follower
		}
		for _, t := range r.source.Tables {
			d.Tables[t.Name] = r.follower
		}
	}
	for name, r := range s.outboxes {
		for _, table := range s.captures[name].Triggered() {
			d.Tables[table] = r.follower
		}
	}
	return d, s.readEdits
}
