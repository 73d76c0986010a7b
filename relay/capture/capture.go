package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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

// Capture follows one source by logical replication.
type Capture struct {
	base
	slots *wal.Slots
	// publications are the oids of those that the slots were made for.
	publications []uint32
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
	warned bool

	// Guarded by mu.
	journal   *journal.Journal
	identity  string
	published *publication.State
	afresh    bool          // the slots can't be used any more
	reference uint64        // a recent full transaction id
	unseen    []uint64      // transactions that the stream brought and no snapshot is known to see
	committed chan struct{} // closed at the next commit
	waiters   int           // how many wait for it
}

// New is a capture of source, whose changes go into h.
func New(source *warehouse.Source, h *hub.Source, cfg Config) *Capture {
	c := &Capture{committed: make(chan struct{})}
	c.base.init(source, h, cfg, replaysAtATime)
	return c
}

// replaysAtATime bounds the memory that resuming connections take after a restart.
const replaysAtATime = 32

// Run follows the source until ctx ends.
func (c *Capture) Run(ctx context.Context) error { return c.follow(ctx, c.session, c.giveUp) }

// giveUp has the slot made anew where what it failed with would come again and again.
func (c *Capture) giveUp(err error) {
	if undefined(err) || c.stuck(err) {
		c.log.Error().Err(err).Msg("the slot cannot be decoded any more: a new one is made, and clients start over")
		c.mu.Lock()
		c.afresh = true
		c.mu.Unlock()
	}
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

// Journal is the window; nil before the source was first reached.
func (c *Capture) Journal() *journal.Journal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal
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
