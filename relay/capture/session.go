package capture

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/journal"
	"pgrelay/relay/publication"
	"pgrelay/relay/wal"
	"pgrelay/relay/warehouse"
)

// connectTimeout bounds one attempt to connect.
const connectTimeout = 10 * time.Second

// session connects, makes ready, and streams until something fails.
func (c *Capture) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	source := c.source
	c.mu.Unlock()
	if source.Err != nil {
		return source.Err
	}
	conn, err := connect(ctx, source)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	triggered, err := source.Triggered(ctx, conn)
	if err != nil {
		if other := source.Check(ctx, conn); other != nil {
			return other
		}
		return err
	}
	c.setTriggered(triggered)
	if !source.Others(triggered) {
		return c.rest(ctx, conn, source)
	}
	if err := source.Check(ctx, conn); err != nil {
		return err
	}
	published, err := c.inspect(ctx, conn, source)
	if err != nil {
		return err
	}
	stream, err := c.start(ctx, conn, source, published)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	conf := source.Conn.Copy()
	conf.RuntimeParams["lock_timeout"] = "2s" // nothing that is asked before a snapshot begins waits for long
	if err := c.openPool(ctx, conf, c.cfg.Snapshots); err != nil {
		return err
	}
	fence, err := c.fence(ctx, conn)
	if err != nil {
		return err
	}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		// Whatever ends first takes the other along: an ordinary session that is told of a shutdown, too.
		cancel(c.watch(ctx, conn, source))
		_ = stream.Close()
	}()
	err = c.stream(ctx, stream, fence)
	cancel(err) // nothing, where the watch ended first
	<-watching
	return context.Cause(ctx)
}

// rest waits while triggers capture every table of the source: it needs no slot then, and need not be able to have one.
func (c *Capture) rest(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) error {
	c.setIdle(true)
	defer c.setIdle(false)
	return c.watching(ctx, source, func(ctx context.Context, source *warehouse.Source, _ bool) error {
		triggered, err := source.Triggered(ctx, conn)
		if err != nil {
			return err
		}
		c.setTriggered(triggered)
		if source.Others(triggered) {
			return errSuperseded
		}
		return nil
	})
}

func connect(ctx context.Context, source *warehouse.Source) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, source.Conn.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect to source %s: %w", source.Name, err)
	}
	return conn, nil
}

// start makes the slots ready and opens the stream: from the window's start after the relay's own start, from
// its own position after a break.
func (c *Capture) start(ctx context.Context, conn *pgx.Conn, source *warehouse.Source, published *publication.State) (*wal.Stream, error) {
	waiting := func(reason string) {
		c.log.Info().Str("reason", reason).Msg("waiting")
		c.mu.Lock()
		c.reason = reason
		c.mu.Unlock()
	}
	position := c.Hub.Position()
	goOn := false
	c.mu.Lock()
	afresh := c.afresh
	c.mu.Unlock()
	if c.slots != nil && !afresh && slices.Equal(c.publications, published.OIDs) {
		var err error
		if goOn, err = c.slots.Continue(ctx, conn, published.OID, position, waiting); err != nil {
			return nil, err
		}
	}
	inspection := c.Inspection()
	if goOn && c.identityOf(inspection, c.slots.Epoch) != c.identity {
		goOn = false
	}
	if !goOn {
		slots, err := wal.Prepare(ctx, conn, published.OID, c.lastEpoch(afresh), waiting)
		if err != nil {
			return nil, err
		}
		c.publications = published.OIDs
		if slots.Anchored == 0 {
			// Before anybody has a cursor: no restart finds a window that is shorter than theirs.
			c.moveAnchor(ctx, conn, slots, slots.Start)
		} else {
			c.noteAnchor(slots.Anchored)
		}
		position = slots.Start
		c.mu.Lock()
		c.slots, c.afresh = slots, false
		c.journal = journal.New(c.cfg.Journal, position)
		c.unseen = nil
		c.identity = c.identityOf(inspection, slots.Epoch)
		c.mu.Unlock()
		if slots.Lost {
			c.log.Warn().Str("remedy", keepRemedy).Bool("new", slots.Gap).Msg("the server had dropped WAL that the relay still needed: its slots were lost")
		}
		c.log.Info().Str("slot", slots.Live()).Stringer("from", position).Bool("new", slots.Gap).Msg("slot ready")
	}
	c.Hub.Reset(c.identity, position, "journal_gap")
	return wal.Start(ctx, source.Conn, c.slots.Live(), position, published.Names)
}

// lastEpoch is the epoch that can't be gone on with; 0 at the relay's start.
func (c *Capture) lastEpoch(afresh bool) uint64 {
	switch {
	case c.slots != nil:
		return c.slots.Epoch
	case afresh:
		return 1
	}
	return 0
}

// fence is a position that the stream must have passed before the relay answers for the source: what a cursor
// of an earlier life may name lies before it.
func (c *Capture) fence(ctx context.Context, conn *pgx.Conn) (relay.LSN, error) {
	var text string
	if err := conn.QueryRow(ctx, `select pg_catalog.pg_current_wal_insert_lsn()::text`).Scan(&text); err != nil {
		return 0, fmt.Errorf("read the WAL position: %w", err)
	}
	return mark(ctx, conn, text)
}

// mark writes an empty message so that the stream passes lsn soon, also when nobody else writes.
func mark(ctx context.Context, conn *pgx.Conn, lsn string) (relay.LSN, error) {
	if _, err := conn.Exec(ctx, `select pg_catalog.pg_logical_emit_message(true, 'pgrelay', '')`); err != nil {
		return 0, fmt.Errorf("write a mark: %w", err)
	}
	return relay.ParseLSN(lsn)
}
