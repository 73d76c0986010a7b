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

// lockPause is how long a snapshot whose table is locked leaves its place to others.
const lockPause = 500 * time.Millisecond

// joint is where a snapshot's rows and the stream join: what the snapshot saw, and the position at which the stream has
// brought all of that.
type joint struct {
	visible *hub.Visibility
	fence   relay.LSN
}

// bringIn reads a load's rows on a connection. dirty tells that the connection can't be used again.
type bringIn func(ctx context.Context, conn *pgx.Conn) (j joint, dirty bool, err error)

// snapshot runs a load by bringIn.
func (c *base) snapshot(load *hub.Load, bring bringIn) {
	c.run(load, func() {
		ctx, cancel := c.context(load)
		defer cancel()
		j, err := c.patiently(ctx, bring)
		load.Finish(j.visible, j.fence, c.verdict(load, err))
	})
}

// replaying runs a load by a replay, which takes a place among those that run.
func (c *base) replaying(load *hub.Load, replay func(ctx context.Context) error) {
	c.run(load, func() {
		ctx, cancel := c.context(load)
		defer cancel()
		select {
		case c.replays <- struct{}{}:
			defer func() { <-c.replays }()
			load.Finish(nil, 0, c.verdict(load, replay(ctx)))
		case <-ctx.Done():
			load.Finish(nil, 0, c.verdict(load, context.Cause(ctx)))
		}
	})
}

// patiently tries again while the table is locked, and leaves its place to others meanwhile.
func (c *base) patiently(ctx context.Context, bring bringIn) (joint, error) {
	for {
		j, err := c.attempt(ctx, bring)
		if ctx.Err() != nil && err != nil {
			return joint{}, context.Cause(ctx)
		}
		if !errors.Is(err, snapshot.ErrLocked) {
			return j, err
		}
		if err := pause(ctx, lockPause); err != nil {
			return joint{}, err
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

// attempt takes a place among the snapshots that run, and a connection.
func (c *base) attempt(ctx context.Context, bring bringIn) (joint, error) {
	select {
	case c.loads <- struct{}{}:
	case <-ctx.Done():
		return joint{}, context.Cause(ctx)
	}
	defer func() { <-c.loads }()
	defer c.cfg.SnapshotStarted()()
	conn, err := c.acquire(ctx)
	if err != nil {
		return joint{}, err
	}
	j, dirty, err := bring(ctx, conn.Conn())
	if dirty {
		_ = conn.Hijack().PgConn().Conn().Close()
	} else {
		conn.Release()
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what came of it on the connection says less
	}
	if errors.Is(err, snapshot.ErrChanged) {
		// What the watch then says of the table is what the connections are told.
		_ = c.awaitInspection(ctx)
	}
	return j, err
}

// readRows reads a load's rows in one snapshot. streamed is asked whether the snapshot sees all that the stream has brought.
func (c *base) readRows(ctx context.Context, conn *pgx.Conn, load *hub.Load, streamed func(string) (bool, error)) (snapshot.Result, error) {
	encoder, relation, columns := load.RowEncoder()
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

func (c *base) unchanged(ctx context.Context, conn *pgx.Conn, r *relay.Relation) (bool, error) {
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
