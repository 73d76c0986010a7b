package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/journal"
	"pgrelay/relay/metrics"
	"pgrelay/relay/publication"
	"pgrelay/relay/wal"
	"pgrelay/relay/warehouse"
)

// NotConnected is a capture's reason before its first attempt has ended.
const NotConnected = "not connected yet"

// Config says how to follow a source.
type Config struct {
	// Publication's name; default pgrelay.
	Publication string
	// Journal bounds the window.
	Journal journal.Config
	// Snapshots is how many run at a time; default 4.
	Snapshots int
	// SnapshotTimeout is how long one may take, since it holds back vacuum; default 10 minutes.
	SnapshotTimeout time.Duration
	// RetainedBytes of WAL past which the log warns; default 4 GiB.
	RetainedBytes int64
	// Heartbeat is how often something is written at the source, so that an idle one's slot moves and a silent
	// stream is noticed; default 10 s.
	Heartbeat time.Duration
	// Grace is how long a broken source counts as available still; default 2 s.
	Grace   time.Duration
	Logger  zerolog.Logger
	Metrics *metrics.Source
	// Changed is called, from any goroutine, when the relations or the availability have changed.
	Changed func()
	// Touched is called after a transaction that wrote to the relation Watch.
	Watch   string
	Touched func(xid uint64)
	// SnapshotStarted counts a snapshot and returns what is called at its end.
	SnapshotStarted func() (done func())
}

func (c Config) withDefaults() Config {
	if c.Publication == "" {
		c.Publication = "pgrelay"
	}
	if c.Snapshots <= 0 {
		c.Snapshots = 4
	}
	if c.SnapshotTimeout <= 0 {
		c.SnapshotTimeout = 10 * time.Minute
	}
	if c.RetainedBytes <= 0 {
		c.RetainedBytes = 4 << 30
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 10 * time.Second
	}
	if c.Grace <= 0 {
		c.Grace = 2 * time.Second
	}
	return c
}

// Capture follows one source.
type Capture struct {
	Name string
	// Hub is the source's shapes.
	Hub *hub.Source

	cfg   Config
	log   zerolog.Logger
	slots *wal.Slots
	// publications are the oids of those that the slots were made for.
	publications []uint32
	loads        chan struct{} // places of snapshots
	replays      chan struct{} // places of replays
	looks        chan struct{} // one place: look at the catalog now
	running      sync.WaitGroup
	watched      atomic.Pointer[[]uint32]
	// newest is the newest anchor's position: a cursor before it may be too old after a restart.
	newest atomic.Uint64

	// Of the watch alone.
	anchored struct {
		at    relay.LSN
		when  time.Time
		again time.Time // not before, after a failure
	}
	// Of Run alone: where decoding failed last, and how often in a row.
	failed struct {
		at    relay.LSN
		times int
	}
	warned  bool
	refused map[string]string

	// mu is taken after the hub's lock where both are held, never before it.
	mu           sync.Mutex
	source       *warehouse.Source
	rediscovered chan struct{} // closed when source was replaced
	journal      *journal.Journal
	pool         *pgxpool.Pool
	identity     string
	inspection   *warehouse.Inspection
	fingerprints map[uint32]string
	published    *publication.State
	inspected    chan struct{} // closed when the catalog was looked at
	begun, done  int           // how many looks at the catalog have begun and ended
	afresh       bool          // the slots can't be used any more
	ctx          context.Context
	ended        bool      // Run is over
	heard        time.Time // when something was written that the stream has passed since
	mark         relay.LSN // a heartbeat that the stream was not seen to have passed; 0 for none
	marked       time.Time // when the last one was written
	reference    uint64    // a recent full transaction id
	available    bool
	reason       string
	lives        int // how often the source came alive
	lifeBegan    time.Time
	unseen       []uint64      // transactions that the stream brought and no snapshot is known to see
	committed    chan struct{} // closed at the next commit
	waiters      int           // how many wait for it
}

// New is a capture of source, whose changes go into h.
func New(source *warehouse.Source, h *hub.Source, cfg Config) *Capture {
	cfg = cfg.withDefaults()
	return &Capture{
		Name: source.Name, Hub: h, cfg: cfg, source: source,
		log:          cfg.Logger.With().Str("component", "capture").Str("source", source.Name).Logger(),
		loads:        make(chan struct{}, cfg.Snapshots),
		replays:      make(chan struct{}, replaysAtATime),
		ctx:          context.Background(),
		looks:        make(chan struct{}, 1),
		inspected:    make(chan struct{}),
		reason:       NotConnected,
		rediscovered: make(chan struct{}), committed: make(chan struct{}),
	}
}

// replaysAtATime bounds the memory that resuming connections take after a restart.
const replaysAtATime = 32

// Run follows the source until ctx ends.
func (c *Capture) Run(ctx context.Context) error {
	defer c.end()
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	pause := first
	for {
		began := time.Now()
		err := c.session(ctx)
		c.closePool()
		if undefined(err) || c.stuck(err) {
			c.log.Error().Err(err).Msg("the slot cannot be decoded any more: a new one is made, and clients start over")
			c.mu.Lock()
			c.afresh = true
			c.mu.Unlock()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, errSuperseded) {
			c.log.Info().Msg("connecting anew: the warehouse describes the source otherwise")
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

// end waits for the loads that run; no other begins.
func (c *Capture) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.running.Wait()
}

// run starts a load's work, unless the capture has ended.
func (c *Capture) run(load *hub.Load, work func()) {
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
func (c *Capture) lived(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.available && c.lifeBegan.After(since)
}

// wait pauses; a source that was discovered anew cuts it short.
func (c *Capture) wait(ctx context.Context, pause time.Duration) bool {
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
func (c *Capture) SetSource(source *warehouse.Source) {
	c.mu.Lock()
	c.source = source
	close(c.rediscovered)
	c.rediscovered = make(chan struct{})
	c.mu.Unlock()
}

// Available tells whether subscriptions can be served, and if not, why.
func (c *Capture) Available() (ok bool, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.available, c.reason
}

// Lives is how often the source has come alive.
func (c *Capture) Lives() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives
}

// Refresh is the position before which a cursor should be renewed: it may leave the window soon, or has left what
// would be the window after a restart.
func (c *Capture) Refresh() relay.LSN {
	j := c.Journal()
	if j == nil {
		return 0
	}
	start, end := j.Window()
	return max(start+(end-start)/2, relay.LSN(c.newest.Load()))
}

// Heard is when something was written at the source that the stream has brought the relay past since.
func (c *Capture) Heard() time.Time {
	position := c.Hub.Position()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mark != 0 && position >= c.mark {
		c.heard, c.mark = c.marked, 0
	}
	return c.heard
}

// Inspection is what the last look at the catalog found; nil before the first.
func (c *Capture) Inspection() *warehouse.Inspection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inspection
}

// Journal is the window; nil before the source was first reached.
func (c *Capture) Journal() *journal.Journal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal
}

// lost says why the source is gone; after the grace it counts as not available.
func (c *Capture) lost(err error) {
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

func (c *Capture) logLost(err error, pause time.Duration) {
	entry := c.log.Warn().Err(err).Dur("retry_in", pause)
	if remedy := relay.Remedy(err); remedy != "" {
		entry = entry.Str("remedy", remedy)
	}
	entry.Msg("source lost")
}

// live says that the source answers.
func (c *Capture) live() {
	c.mu.Lock()
	c.available, c.reason, c.heard, c.mark = true, "", time.Now(), 0
	c.lives++
	c.lifeBegan = time.Now()
	c.mu.Unlock()
	c.cfg.Metrics.SetUp(true)
	c.cfg.Changed()
}

func (c *Capture) closePool() {
	c.mu.Lock()
	pool := c.pool
	c.pool = nil
	c.mu.Unlock()
	if pool != nil {
		go pool.Close() // waits for the snapshots, whose queries fail now or end
	}
}

// tooManyUnseen is how many transactions that no snapshot sees are kept in mind; past it no snapshot is taken.
const tooManyUnseen = 1 << 20

// streamed returns what tells whether a snapshot sees every transaction that the stream has brought so far. It is
// called with the hub's lock held.
func (c *Capture) streamed() func(snapshot string) (bool, error) {
	c.mu.Lock()
	unseen := slices.Clone(c.unseen)
	c.mu.Unlock()
	return func(snapshot string) (bool, error) {
		v, err := hub.ParseVisibility(snapshot)
		if err != nil {
			return false, fmt.Errorf("read the snapshot %q: %w", snapshot, err)
		}
		seen := !slices.ContainsFunc(unseen, func(xid uint64) bool { return !v.Sees(xid) })
		return seen && len(unseen) < tooManyUnseen, nil
	}
}

// sees drops from what is unseen what a snapshot sees: later ones see it too.
func (c *Capture) sees(snapshot string) error {
	v, err := hub.ParseVisibility(snapshot)
	if err != nil {
		return fmt.Errorf("read the snapshot %q: %w", snapshot, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unseen = slices.DeleteFunc(c.unseen, v.Sees)
	return nil
}

// stuckAfter is how often decoding may fail at one place before the slot is given up.
const stuckAfter = 3

// stuck tells that the server fails to decode the same place again and again, with an error of its own (XX000), such as
// "could not map filenumber to relation OID": no later attempt would pass it.
func (c *Capture) stuck(err error) bool {
	var pg *pgconn.PgError
	at := c.Hub.Position()
	if !errors.As(err, &pg) || pg.Code != "XX000" || at != c.failed.at {
		c.failed.at, c.failed.times = at, 0
	}
	if pg == nil || pg.Code != "XX000" {
		return false
	}
	c.failed.times++
	return c.failed.times%stuckAfter == 0
}

// undefined tells that the stream missed something that the log still speaks of: a publication that was made anew.
func undefined(err error) bool { return hasCode(err, "42704") }

// hasCode tells that the server gave an SQLSTATE.
func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

var errSuperseded = errors.New("the warehouse describes the source otherwise now")

// identity is what a cursor's source must be. Servers that are copies of one another share a system identifier, so
// the source's name is part of it.
func (c *Capture) identityOf(i *warehouse.Inspection, epoch uint64) string {
	return fmt.Sprintf("%s/%s/%s/%d/%d", c.Name, i.SystemID, i.Database, i.Timeline, epoch)
}

// Covers tells that a stream can go on after position.
func (c *Capture) Covers(position relay.LSN) bool {
	j := c.Journal()
	return j != nil && j.Covers(position)
}
