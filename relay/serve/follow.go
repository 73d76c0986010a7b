package serve

import (
	"context"
	"maps"
	"slices"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/capture"
	"pgrelay/relay/hub"
	"pgrelay/relay/warehouse"
)

// follow discovers the warehouse, and again whenever it changes or could not be read.
func (s *Server) follow(ctx context.Context) error {
	pause := 200 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := s.followOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil || time.Since(began) > time.Minute {
			pause = 200 * time.Millisecond
		}
		if err == nil {
			continue
		}
		s.mu.Lock()
		s.failure = relay.Explain(err)
		s.mu.Unlock()
		s.log.Warn().Err(err).Str("remedy", relay.Remedy(err)).Dur("retry_in", pause).Msg("warehouse cannot be read")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 10*time.Second)
	}
	return nil
}

// followOnce discovers the warehouse and returns nil when it has changed.
func (s *Server) followOnce(ctx context.Context) error {
	found, err := warehouse.Discover(ctx, s.cfg.Warehouse)
	if err != nil {
		return err
	}
	s.adopt(ctx, found)
	conn, err := s.cfg.Warehouse.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		now, err := warehouse.Watch(ctx, conn)
		if err != nil {
			return err
		}
		if now != found.Fingerprint || s.retryDiscovery(found) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// retryDiscovery tells that a source could not be reached at discovery and enough time has passed.
func (s *Server) retryDiscovery(found *warehouse.Warehouse) bool {
	for _, source := range found.Sources {
		if source.Err != nil {
			return time.Since(s.discovered) > 5*time.Second
		}
	}
	return false
}

// adopt starts captures of new sources, tells those that go on, and stops those that are gone.
func (s *Server) adopt(ctx context.Context, found *warehouse.Warehouse) {
	s.mu.Lock()
	s.warehouse, s.failure, s.discovered = found, "", time.Now()
	sources := map[string]*warehouse.Source{}
	for _, source := range found.Sources {
		sources[source.Name] = source
	}
	var gone []*running
	for name, r := range s.captures {
		if sources[name] == nil {
			gone = append(gone, r)
			delete(s.captures, name)
			if r := s.outboxes[name]; r != nil {
				gone = append(gone, r)
				delete(s.outboxes, name)
			}
		}
	}
	for name, source := range sources {
		if r := s.captures[name]; r != nil {
			// A source that streams is not given up because discovery could not reach it just now.
			ok, _ := r.Available()
			if !r.source.Same(source) && (source.Err == nil || !ok) {
				r.source = source
				r.SetSource(source)
				if r := s.outboxes[name]; r != nil {
					r.source = source
					r.SetSource(source)
				}
			}
			continue
		}
		if source.Err != nil && s.held(source) {
			continue // another name of a source that streams, which could not be reached just now
		}
		s.captures[name] = s.start(ctx, source)
	}
	s.mu.Unlock()
	for _, r := range gone {
		r.stop()
		<-r.done
		s.metrics.DropSource(r.series)
		s.log.Info().Str("source", r.name).Msg("source is no longer in the warehouse")
	}
	s.nudge()
}

// held tells that a capture follows the database behind one of the source's servers.
func (s *Server) held(source *warehouse.Source) bool {
	for _, r := range s.captures {
		for _, server := range source.Servers {
			if slices.Contains(r.source.Servers, server) {
				return true
			}
		}
	}
	return false
}

// followOutboxes starts to follow the outboxes of sources some of whose tables triggers capture by now, and stops where
// none are any more.
func (s *Server) followOutboxes(ctx context.Context) {
	s.mu.Lock()
	var gone []*running
	for name, r := range s.captures {
		triggered := len(r.Triggered()) > 0
		switch outbox := s.outboxes[name]; {
		case triggered && outbox == nil:
			s.outboxes[name] = s.run(ctx, name+"/trigger", r.source, func(h *hub.Source, cfg capture.Config) follower { return capture.NewOutbox(r.source, h, cfg) })
		case !triggered && outbox != nil:
			gone = append(gone, outbox)
			delete(s.outboxes, name)
		}
	}
	s.mu.Unlock()
	for _, r := range gone {
		r.stop()
		<-r.done
		s.metrics.DropSource(r.series)
	}
}

func (s *Server) start(ctx context.Context, source *warehouse.Source) *running {
	return s.run(ctx, source.Name, source, func(h *hub.Source, cfg capture.Config) follower { return capture.New(source, h, cfg) })
}

func (s *Server) run(ctx context.Context, series string, source *warehouse.Source, follow func(*hub.Source, capture.Config) follower) *running {
	cfg := s.cfg.Capture
	cfg.Logger, cfg.Metrics, cfg.Changed = s.cfg.Logger, s.metrics.Source(series), s.nudge
	cfg.SnapshotStarted = s.metrics.Snapshot
	cfg.Watch = rulesRelation
	if cfg.Heartbeat <= 0 || cfg.Heartbeat > s.cfg.RulesTimeout/3 {
		cfg.Heartbeat = min(10*time.Second, s.cfg.RulesTimeout/3)
	}
	cfg.Touched = s.rulesTouched
	h := hub.NewSource(source.Name, s.cfg.FrameBytes, s.handler)
	ctx, stop := context.WithCancel(ctx)
	r := &running{follower: follow(h, cfg), name: source.Name, series: series, source: source, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_ = r.Run(ctx) // it ends with ctx alone
	}()
	return r
}

func (s *Server) stopAll() {
	s.mu.Lock()
	all := append(slices.Collect(maps.Values(s.captures)), slices.Collect(maps.Values(s.outboxes))...)
	s.captures, s.outboxes = map[string]*running{}, map[string]*running{}
	s.mu.Unlock()
	for _, r := range all {
		r.stop()
		<-r.done
	}
}
