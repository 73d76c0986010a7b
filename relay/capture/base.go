package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/snapshot"
	"pgrelay/relay/warehouse"
)

// base is what every way of capture has: a source that comes and goes, looks at its catalog, and loads that are read
// from it.
type base struct {
	Name string
	// Hub is the source's shapes.
	Hub *hub.Source

	cfg     Config
	log     zerolog.Logger
	loads   chan struct{} // places of snapshots
	replays chan struct{} // places of replays
	looks   chan struct{} // one place: look at the catalog now
	running sync.WaitGroup
	refused map[string]string // of the looks alone
	took    time.Duration     // of the watch alone: the last comparison

	// mu is taken after the hub's lock where both are held, never before it.
	mu           sync.Mutex
	source       *warehouse.Source
	rediscovered chan struct{} // closed when source was replaced
	pool         *pgxpool.Pool
	inspection   *warehouse.Inspection
	fingerprints map[uint32]string
	triggered    []string      // names of the tables that triggers capture
	idle         bool          // there is nothing to capture this way
	inspected    chan struct{} // closed when the catalog was looked at
	begun, done  int           // how many looks at the catalog have begun and ended
	ctx          context.Context
	ended        bool // Run is over
	available    bool
	reason       string
	lives        int // how often the source came alive
	lifeBegan    time.Time
	heard        time.Time // when all had been committed that has been brought since
	mark         relay.LSN // a position asked for at marked, which was not seen to have been passed; 0 for none
	marked       time.Time
}

func (c *base) init(source *warehouse.Source, h *hub.Source, cfg Config, replays int) {
	c.Name, c.Hub, c.cfg, c.source = source.Name, h, cfg.withDefaults(), source
	c.log = c.cfg.Logger.With().Str("component", "capture").Str("source", source.Name).Logger()
	c.loads, c.looks = make(chan struct{}, c.cfg.Snapshots), make(chan struct{}, 1)
	c.replays = make(chan struct{}, replays)
	c.inspected, c.rediscovered = make(chan struct{}), make(chan struct{})
	c.ctx, c.reason = context.Background(), NotConnected
}

// Heard is when all had been committed at the source that has been brought since.
func (c *base) Heard() time.Time {
	position := c.Hub.Position()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mark != 0 && position >= c.mark {
		c.heard, c.mark = c.marked, 0
	}
	return c.heard
}

// due tells that it is time for another mark, whose passing will be heard of.
func (c *base) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mark == 0 && time.Since(c.marked) >= c.cfg.Heartbeat
}

// marks notes a mark that was asked for at a time.
func (c *base) marks(at relay.LSN, when time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark, c.marked = at, when
}

// Shapes are what is published of the source.
func (c *base) Shapes() *hub.Source { return c.Hub }

// follow runs sessions with the source, one after the other, until ctx ends; failed is told how each ended.
func (c *base) follow(ctx context.Context, session func(context.Context) error, failed func(error)) error {
	defer c.end()
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	pause := first
	for {
		began := time.Now()
		err := session(ctx)
		c.closePool()
		failed(err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, errSuperseded) {
			c.log.Info().Str("reason", err.Error()).Msg("connecting anew")
			continue
		}
		if c.lived(began) {
			pause = first
		}
		c.cfg.Metrics.SetUp(false)
		c.cfg.Metrics.Reconnected()
		c.lost(err)
		c.logLost(err, pause)
		if !c.wait(ctx, pause/2+rand.N(pause)) {
			return context.Cause(ctx)
		}
		pause = min(2*pause, longest)
	}
}

// Triggered are the names of the source's tables that triggers capture, sorted.
func (c *base) Triggered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.triggered
}

func (c *base) setTriggered(names []string) {
	c.mu.Lock()
	news := !slices.Equal(c.triggered, names)
	c.triggered = names
	c.mu.Unlock()
	if news {
		c.cfg.Changed()
	}
}

// Idle tells that the source has no table to be captured this way.
func (c *base) Idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

func (c *base) setIdle(idle bool) {
	c.mu.Lock()
	c.idle, c.reason = idle, ""
	c.mu.Unlock()
	c.cfg.Changed()
}

// alive says that the source answers.
func (c *base) alive() {
	c.mu.Lock()
	c.available, c.reason = true, ""
	c.lives++
	c.lifeBegan = time.Now()
	c.mu.Unlock()
	c.cfg.Metrics.SetUp(true)
	c.cfg.Changed()
}

// end waits for the loads that run; no other begins.
func (c *base) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.running.Wait()
}

// run starts a load's work, unless the capture has ended.
func (c *base) run(load *hub.Load, work func()) {
	c.mu.Lock()
	ended := c.ended
	if !ended {
		c.running.Add(1)
	}
	c.mu.Unlock()
	if ended {
		load.Finish(nil, 0, hub.ErrUnavailable)
		return
	}
	go func() {
		defer c.running.Done()
		work()
	}()
}

// lived tells that the source has come alive since.
func (c *base) lived(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.available && c.lifeBegan.After(since)
}

// wait pauses; a source that was discovered anew cuts it short.
func (c *base) wait(ctx context.Context, pause time.Duration) bool {
	c.mu.Lock()
	rediscovered := c.rediscovered
	c.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-rediscovered:
	}
	return true
}

// SetSource replaces what discovery found; the relations are looked at anew.
func (c *base) SetSource(source *warehouse.Source) {
	c.mu.Lock()
	c.source = source
	close(c.rediscovered)
	c.rediscovered = make(chan struct{})
	c.mu.Unlock()
}

// Available tells whether subscriptions can be served, and if not, why.
func (c *base) Available() (ok bool, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.available, c.reason
}

// Lives is how often the source has come alive.
func (c *base) Lives() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives
}

// Inspection is what the last look at the catalog found; nil before the first.
func (c *base) Inspection() *warehouse.Inspection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inspection
}

// lost says why the source is gone; after the grace it counts as not available.
func (c *base) lost(err error) {
	c.mu.Lock()
	c.reason = relay.Explain(err)
	lives := c.lives
	c.mu.Unlock()
	c.cfg.Changed()
	time.AfterFunc(c.cfg.Grace, func() {
		c.mu.Lock()
		gone := c.available && c.lives == lives
		if gone {
			c.available = false
		}
		c.mu.Unlock()
		if gone {
			c.cfg.Changed()
		}
	})
}

func (c *base) logLost(err error, pause time.Duration) {
	entry := c.log.Warn().Err(err).Dur("retry_in", pause)
	if remedy := relay.Remedy(err); remedy != "" {
		entry = entry.Str("remedy", remedy)
	}
	entry.Msg("source lost")
}

func (c *base) closePool() {
	c.mu.Lock()
	pool := c.pool
	c.pool = nil
	c.mu.Unlock()
	if pool != nil {
		go pool.Close() // waits for the snapshots, whose queries fail now or end
	}
}

// openPool makes the pool of so many snapshots and replays, with one connection more.
func (c *base) openPool(ctx context.Context, conn *pgx.ConnConfig, loads int) error {
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		return fmt.Errorf("make the pool: %w", err)
	}
	cfg.ConnConfig = conn
	cfg.MaxConns = int32(loads) + 1
	cfg.MinConns = 0
	cfg.MaxConnIdleTime = time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("make the pool: %w", err)
	}
	c.mu.Lock()
	c.pool = pool
	c.mu.Unlock()
	return nil
}

// acquire takes a connection of the pool, which the caller releases.
func (c *base) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	c.mu.Lock()
	pool := c.pool
	c.mu.Unlock()
	if pool == nil {
		return nil, hub.ErrUnavailable
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// verdict is what the connections are told of an error.
func (c *base) verdict(load *hub.Load, err error) error {
	switch {
	case err == nil, errors.Is(err, hub.ErrAbandoned), errors.Is(err, hub.ErrLagged), errors.Is(err, hub.ErrUnavailable),
		errors.Is(err, hub.ErrSchema), errors.Is(err, hub.ErrTable):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return hub.ErrLimit
	case errors.Is(err, snapshot.ErrChanged):
		return hub.ErrSchema
	case errors.Is(err, context.Canceled): // the source was lost, which is logged
		return hub.ErrUnavailable
	}
	c.log.Warn().Err(err).Str("table", load.Shape.Relation().Name).Msg("rows could not be read")
	return hub.ErrUnavailable
}

// context bounds a load: by time, by the capture's own life, and by some connection wanting it.
func (c *base) context(load *hub.Load) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	parent := c.ctx
	c.mu.Unlock()
	abandoned, abandon := context.WithCancelCause(parent)
	load.OnAbandoned(func() { abandon(hub.ErrAbandoned) })
	ctx, cancel := context.WithTimeout(abandoned, c.cfg.SnapshotTimeout)
	return ctx, func() {
		cancel()
		abandon(nil)
	}
}
