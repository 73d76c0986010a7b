package capture

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/outbox"
	"pgrelay/relay/warehouse"
)

// Outbox follows the tables of one source that triggers capture. Its positions are those of package outbox: they have
// nothing to do with the source's WAL.
type Outbox struct {
	base
	watched atomic.Pointer[[]uint32]
	brought atomic.Int64 // when the reader brought something, in ns since 1970

	// Of Run alone: how often the reader's window was left, which no cursor of before outlives.
	gone int

	// Guarded by mu.
	reader   *outbox.Reader
	identity string
}

// NewOutbox is a capture of what triggers capture at source, whose changes go into h.
func NewOutbox(source *warehouse.Source, h *hub.Source, cfg Config) *Outbox {
	c := &Outbox{}
	c.base.init(source.ByTrigger(), h, cfg, cfg.withDefaults().Snapshots) // each replay takes a connection
	c.log = c.log.With().Str("capture", string(relay.CaptureTrigger)).Logger()
	return c
}

// SetSource replaces what discovery found; the relations are looked at anew.
func (c *Outbox) SetSource(source *warehouse.Source) { c.base.SetSource(source.ByTrigger()) }

// Run follows the outbox until ctx ends.
func (c *Outbox) Run(ctx context.Context) error {
	return c.follow(ctx, c.session, func(err error) {
		if errors.Is(err, outbox.ErrGone) {
			c.gone++
		}
	})
}

// session connects, makes ready, and reads until something fails.
func (c *Outbox) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	source, _ := c.described()
	if source.Err != nil {
		return source.Err
	}
	conn, err := connect(ctx, source)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := source.Check(ctx, conn); err != nil {
		return err
	}
	reader, err := outbox.Open(ctx, outbox.Config{Conn: source.Conn, RetainBytes: int64(c.cfg.Journal.WAL), RetainAge: c.cfg.Journal.Age,
		Logger: c.cfg.Logger.With().Str("source", c.Name).Logger(), Waiting: c.waiting})
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	c.mu.Lock()
	c.reader, c.heard, c.mark = reader, time.Time{}, 0
	c.mu.Unlock()
	if err := c.inspect(ctx, conn, source); err != nil {
		return err
	}
	from := c.resume(reader)
	if err := c.openPool(ctx, source.Conn.Copy(), cap(c.loads)+cap(c.replays)); err != nil {
		return err
	}
	asked := time.Now()
	fence := reader.Fence()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		cancel(c.watch(ctx, conn, source))
	}()
	err = reader.Run(ctx, from, &delivery{c: c, ctx: ctx, fence: fence, asked: asked})
	cancel(err) // nothing, where the watch ended first
	<-watching
	return context.Cause(ctx)
}

func (c *Outbox) waiting(reason string) {
	c.mu.Lock()
	c.reason = reason
	c.mu.Unlock()
}

// resume tells the hub which stream this is, and returns the position to read from: its own where the stream goes on,
// else the end of what was delivered. What is older is good for cursors, and replayed from the source for who has one.
func (c *Outbox) resume(reader *outbox.Reader) relay.LSN {
	start, end := reader.Window()
	in := c.Inspection()
	identity := fmt.Sprintf("%s/%s/%s/trigger/%d/%d", c.Name, in.SystemID, in.Database, reader.Epoch, c.gone)
	from := c.Hub.Position()
	c.mu.Lock()
	goesOn := identity == c.identity && from >= start && from <= end
	c.identity = identity
	c.mu.Unlock()
	if goesOn {
		c.Hub.Reset(identity, from, "journal_gap")
		return from
	}
	c.Hub.Reset(identity, start, "journal_gap")
	c.Hub.Lock()
	c.Hub.Advance(end)
	c.Hub.Unlock()
	return end
}

// inspect looks at the catalog and tells the hub.
func (c *Outbox) inspect(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) error {
	number := c.beginLook()
	inspection, err := source.Inspect(ctx, conn)
	if err != nil {
		return fmt.Errorf("look at the catalog: %w", err)
	}
	watched := leavesOf(inspection, c.cfg.Watch)
	c.watched.Store(&watched)
	c.mu.Lock()
	reader := c.reader
	c.mu.Unlock()
	_, end := reader.Window()
	c.noteTriggered(inspection)
	c.Hub.SetRelations(inspection.Relations, end)
	c.endLook(number, inspection, inspection.Fingerprints)
	return nil
}

// watch compares the catalog once a second, and asks the reader now and then for a sign of life.
func (c *Outbox) watch(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) error {
	return c.watching(ctx, source, func(ctx context.Context, source *warehouse.Source, force bool) error {
		same, err := c.compare(ctx, conn, source)
		if err == nil && (force || !same) {
			err = c.inspect(ctx, conn, source)
		}
		c.beat()
		if err == nil && c.silent() {
			err = errSilent
		}
		return err
	})
}

// silence is how many heartbeats long the reader may bring nothing although a fence was asked for.
const silence = 6

var errSilent = errors.New("the connection that reads the outbox is silent")

// silent tells that a fence was asked for and neither it nor anything else came.
func (c *Outbox) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := silence * c.cfg.Heartbeat
	return c.mark != 0 && time.Since(c.marked) > most && time.Since(time.Unix(0, c.brought.Load())) > most
}

// beat asks for a fence where the last one was passed a while ago.
func (c *Outbox) beat() {
	c.Heard()
	if !c.due() {
		return
	}
	now := time.Now()
	c.marks(c.open().Fence(), now)
}

// Passed returns when everything has been handed over that was committed at the source before the call.
func (c *Outbox) Passed(ctx context.Context) error {
	c.mu.Lock()
	reader, available := c.reader, c.available
	c.mu.Unlock()
	if reader == nil || !available {
		return hub.ErrUnavailable
	}
	return c.passes(ctx, reader.Fence())
}

// Refresh is the position before which a cursor should be renewed: it may leave the window soon.
func (c *Outbox) Refresh() relay.LSN {
	reader := c.open()
	if reader == nil {
		return 0
	}
	start, end := reader.Window()
	return start + (end-start)/2
}

// Covers tells that a stream can go on after position.
func (c *Outbox) Covers(position relay.LSN) bool {
	reader := c.open()
	if reader == nil {
		return false
	}
	start, end := reader.Window()
	return position >= start && position <= end
}

func (c *Outbox) open() *outbox.Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reader
}

// Snapshot runs a load by reading the shape's rows; meanwhile the outbox keeps what it has to go on with. What the reader has handed over, a later snapshot sees: both are
// asked of the same server, and the reader's own snapshot came first.
func (c *Outbox) Snapshot(load *hub.Load) {
	c.snapshot(load, func(ctx context.Context, conn *pgx.Conn) (j joint, dirty bool, err error) {
		reader := c.open()
		defer reader.Keep()()
		if err := load.Register(func() {}); err != nil {
			return j, false, err
		}
		result, err := c.readRows(ctx, conn, load, func(string) (bool, error) { return true, nil })
		if err != nil {
			return j, true, err
		}
		visible, err := hub.ParseVisibility(result.Snapshot)
		if err != nil {
			return j, true, err
		}
		if load.Shape.Relation().Capture == relay.CaptureWarehouse {
			if err := settled(ctx, conn); err != nil {
				return j, true, err
			}
		}
		j = joint{&visible, reader.Fence()}
		position, _ := load.Registered()
		behind, err := load.Behind()
		if err == nil && behind {
			err = c.replay(ctx, conn, load, load.Replay(), position, &visible)
		}
		return j, err != nil, err
	})
}

// settled waits until every transaction has ended that runs now. The rows of a foreign table may show what one of them has
// committed in the remote database already: its changes come again, and must come before the rows count as live.
func settled(ctx context.Context, conn *pgx.Conn) error {
	var next string
	if err := conn.QueryRow(ctx, `select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text`).Scan(&next); err != nil {
		return fmt.Errorf("look at the transactions that run: %w", err)
	}
	for {
		var ended bool
		err := conn.QueryRow(ctx, `select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= $1::text::xid8`, next).Scan(&ended)
		if err != nil || ended {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// Replay runs a load by replaying what came after since.
func (c *Outbox) Replay(load *hub.Load, replay *hub.Replay, since relay.LSN) {
	c.replaying(load, func(ctx context.Context) error {
		conn, err := c.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		return c.replay(ctx, conn.Conn(), load, replay, since, nil)
	})
}

// replay brings a load from a position to its registration, and on to a newer one for as long as the ring has left the
// registration behind meanwhile. What visible sees is left out.
func (c *Outbox) replay(ctx context.Context, conn *pgx.Conn, load *hub.Load, replay *hub.Replay, from relay.LSN, visible *hub.Visibility) error {
	reader := c.open()
	var brought uint64 // what was open at the registration of before; its end may lie behind the newer one
	for {
		to, open := load.Registered()
		switch {
		case brought != 0 && from > to:
			load.Delivered(brought)
		case from < to || open != 0:
			r := newRedelivery(ctx, replay, visible, from, to, open)
			err := reader.Replay(ctx, conn, from, r.until(), r)
			if err = r.outcome(err); err != nil {
				return err
			}
			from, brought = max(to, r.end), open
		}
		if behind, err := load.Behind(); err != nil || !behind {
			return err
		}
	}
}
