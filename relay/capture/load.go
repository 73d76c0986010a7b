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

// inspectWait bounds how long who found a table changed waits for the watch to look at it.
const inspectWait = 30 * time.Second

// Snapshot runs a load by reading the shape's rows.
func (c *Capture) Snapshot(load *hub.Load) {
	c.run(load, func() {
		visible, fence, err := c.snapshot(load)
		load.Finish(visible, fence, c.verdict(load, err))
	})
}

// verdict is what the connections are told of an error.
func (c *Capture) verdict(load *hub.Load, err error) error {
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

// lockPause is how long a snapshot whose table is locked leaves its place to others.
const lockPause = 500 * time.Millisecond

// context bounds a load: by time, by the capture's own life, and by some connection wanting it.
func (c *Capture) context(load *hub.Load) (context.Context, context.CancelFunc) {
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

func (c *Capture) snapshot(load *hub.Load) (*hub.Visibility, relay.LSN, error) {
	ctx, cancel := c.context(load)
	defer cancel()
	for {
		visible, fence, err := c.attempt(ctx, load)
		if ctx.Err() != nil && err != nil {
			return nil, 0, context.Cause(ctx)
		}
		if !errors.Is(err, snapshot.ErrLocked) {
			return visible, fence, err
		}
		if err := pause(ctx, lockPause); err != nil {
			return nil, 0, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt takes a place among the snapshots that run and reads the rows.
func (c *Capture) attempt(ctx context.Context, load *hub.Load) (*hub.Visibility, relay.LSN, error) {
	select {
	case c.loads <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
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
	old, err := c.keepLog(ctx, conn.Conn(), load.Shape.Relation())
	if err != nil {
		conn.Release()
		return nil, 0, err
	}
	visible, fence, err := c.bringIn(ctx, conn.Conn(), load, old)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what came of it on the connection says less
	}
	if err != nil || old != nil {
		// The connection may be in the middle of a result, or hold a copy of the slot.
		_ = conn.Hijack().PgConn().Conn().Close()
	} else {
		conn.Release()
	}
	if errors.Is(err, snapshot.ErrChanged) {
		// What the watch then says of the table is what the connections are told.
		_ = c.awaitInspection(ctx)
	}
	return visible, fence, err
}

// bringIn reads the rows, and what the ring has lost meanwhile.
func (c *Capture) bringIn(ctx context.Context, conn *pgx.Conn, load *hub.Load, old *oldLog) (*hub.Visibility, relay.LSN, error) {
	var streamed func(snapshot string) (bool, error)
	if err := load.Register(func() { streamed = c.streamed() }); err != nil {
		return nil, 0, err
	}
	result, err := c.read(ctx, conn, load, streamed)
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

func (c *Capture) read(ctx context.Context, conn *pgx.Conn, load *hub.Load, streamed func(string) (bool, error)) (snapshot.Result, error) {
	encoder, relation, columns := load.RowEncoder()
	if err := c.ready(ctx, conn, relation); err != nil {
		return snapshot.Result{}, err
	}
	condition, args := load.Condition(1)
	result, err := snapshot.Read(ctx, conn, snapshot.Request{
		Relation: relation, Columns: columns, Condition: condition, Args: args,
		Unchanged: func(ctx context.Context, tx pgx.Tx) (bool, error) {
			return c.unchanged(ctx, tx.Conn(), relation)
		},
		Streamed: streamed,
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
	var standby bool
	var system string
	if err := conn.QueryRow(ctx, `select pg_catalog.pg_is_in_recovery(), (select system_identifier::text from pg_catalog.pg_control_system())`).
		Scan(&standby, &system); err != nil {
		return false, fmt.Errorf("ask which server it is: %w", err)
	}
	now, err := source.Fingerprint(ctx, conn, source.Publications())
	if err != nil {
		return false, fmt.Errorf("compare the catalog: %w", err)
	}
	// The hub's lock comes before the capture's.
	current := c.Hub.Relation(r.Name) == r
	c.mu.Lock()
	defer c.mu.Unlock()
	if standby || system != c.inspection.SystemID {
		return false, errors.New("another server answers than the one that streams: a balancer or a failover in between")
	}
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
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// errUnseen tells that the watch did not look at the catalog in time.
var errUnseen = errors.New("the catalog could not be looked at")

// awaitInspection returns when the watch has looked at the catalog, and began to do so after the call.
func (c *Capture) awaitInspection(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, inspectWait, errUnseen)
	defer cancel()
	c.mu.Lock()
	wanted := c.begun + 1
	c.mu.Unlock()
	c.look()
	for {
		c.mu.Lock()
		inspected, done := c.inspected, c.done
		c.mu.Unlock()
		if done >= wanted {
			return nil
		}
		select {
		case <-inspected:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
