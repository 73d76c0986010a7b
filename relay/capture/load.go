package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/snapshot"
)

// inspectWait bounds how long a snapshot that found the table changed waits for the watch to see it too.
const inspectWait = 5 * time.Second

// Snapshot runs a load by reading the shape's rows.
func (c *Capture) Snapshot(load *hub.Load) {
	c.running.Go(func() {
		visible, fence, err := c.snapshot(load)
		load.Finish(visible, fence, c.verdict(load, err))
	})
}

// verdict is what the connections are told of an error.
func (c *Capture) verdict(load *hub.Load, err error) error {
	switch {
	case err == nil, errors.Is(err, hub.ErrAbandoned), errors.Is(err, hub.ErrLagged), errors.Is(err, hub.ErrUnavailable),
		errors.Is(err, hub.ErrSchema):
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

func (c *Capture) snapshot(load *hub.Load) (*hub.Visibility, relay.LSN, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.SnapshotTimeout)
	defer cancel()
	if err := c.slot(ctx, load); err != nil {
		return nil, 0, err
	}
	defer func() { <-c.loads }()
	defer c.cfg.SnapshotStarted()()
	c.mu.Lock()
	pool := c.pool
	c.mu.Unlock()
	if pool == nil {
		return nil, 0, hub.ErrUnavailable
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("connect for a snapshot: %w", err)
	}
	old := c.keepLog(ctx, conn.Conn(), load.Shape.Relation())
	visible, fence, err := c.bringIn(ctx, conn.Conn(), load, old)
	if err != nil || old != nil {
		// The connection may be in the middle of a result, or hold a copy of the slot.
		_ = conn.Hijack().PgConn().Conn().Close()
	} else {
		conn.Release()
	}
	if errors.Is(err, snapshot.ErrChanged) {
		c.awaitInspection(ctx)
	}
	return visible, fence, err
}

// bringIn reads the rows, and what the ring has lost meanwhile.
func (c *Capture) bringIn(ctx context.Context, conn *pgx.Conn, load *hub.Load, old *oldLog) (*hub.Visibility, relay.LSN, error) {
	if err := load.Register(); err != nil {
		return nil, 0, err
	}
	result, err := c.read(ctx, conn, load)
	if err != nil {
		return nil, 0, err
	}
	if _, err := mark(ctx, conn, "0/0"); err != nil {
		return nil, 0, err
	}
	visible, err := hub.ParseVisibility(result.Snapshot)
	if err != nil {
		return nil, 0, err
	}
	position, _ := load.Registered()
	if behind, err := load.Behind(); err != nil || !behind {
		return &visible, result.Fence, err
	}
	u := catchUp{c: c, load: load, replay: load.Replay(), position: position, visible: &visible, log: old}
	return &visible, result.Fence, u.run(ctx)
}

// slot waits for a place among the snapshots that run; a load that nobody wants any more gives up.
func (c *Capture) slot(ctx context.Context, load *hub.Load) error {
	for {
		select {
		case c.loads <- struct{}{}:
			return nil
		case <-load.Moved():
			if load.Abandoned() {
				return hub.ErrAbandoned
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *Capture) read(ctx context.Context, conn *pgx.Conn, load *hub.Load) (snapshot.Result, error) {
	encoder, relation, columns := load.RowEncoder()
	if err := c.ready(ctx, conn, relation); err != nil {
		return snapshot.Result{}, err
	}
	result, err := snapshot.Read(ctx, conn, snapshot.Request{
		Relation: relation,
		Columns:  columns,
		Unchanged: func(ctx context.Context, tx pgx.Tx) (bool, error) {
			return c.unchanged(ctx, tx.Conn(), relation)
		},
		Streamed: c.streamed,
		Row: func(texts [][]byte) error {
			if payload := encoder.Add(texts); payload != nil {
				return load.PutRows(ctx, payload)
			}
			return nil
		},
	})
	if err != nil {
		return result, err
	}
	if payload := encoder.Rest(); payload != nil {
		err = load.PutRows(ctx, payload)
	}
	return result, err
}

func (c *Capture) unchanged(ctx context.Context, conn *pgx.Conn, r *relay.Relation) (bool, error) {
	c.mu.Lock()
	source := c.source
	c.mu.Unlock()
	now, err := source.Fingerprint(ctx, conn, source.Publications())
	if err != nil {
		return false, fmt.Errorf("compare the catalog: %w", err)
	}
	// The hub's lock comes before the capture's.
	current := c.Hub.Relation(r.Name) == r
	c.mu.Lock()
	defer c.mu.Unlock()
	return current && now[r.OID] == c.fingerprints[r.OID], nil
}

// ready waits until every transaction that ran when the table was added to the publication has ended: rows that
// one of them wrote before are in neither stream nor snapshot.
func (c *Capture) ready(ctx context.Context, conn *pgx.Conn, r *relay.Relation) error {
	for {
		c.mu.Lock()
		published := c.published
		c.mu.Unlock()
		ok, err := published.Ready(ctx, conn, r)
		if err != nil || ok {
			return err
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// awaitInspection waits until the watch has looked at the catalog again.
func (c *Capture) awaitInspection(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, inspectWait)
	defer cancel()
	c.mu.Lock()
	inspected := c.inspected
	c.mu.Unlock()
	c.look()
	select {
	case <-inspected:
	case <-ctx.Done():
	}
}
