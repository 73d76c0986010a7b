package capture

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
)

// Snapshot runs a load by reading the shape's rows.
func (c *Capture) Snapshot(load *hub.Load) {
	c.snapshot(load, func(ctx context.Context, conn *pgx.Conn) (j joint, dirty bool, err error) {
		old, err := c.keepLog(ctx, conn, load.Shape.Relation())
		if err != nil {
			return j, false, err
		}
		j.visible, j.fence, err = c.bringIn(ctx, conn, load, old)
		return j, err != nil || old != nil, err // the connection may hold a copy of the slot
	})
}

// bringIn reads the rows, and what the ring has lost meanwhile.
func (c *Capture) bringIn(ctx context.Context, conn *pgx.Conn, load *hub.Load, old *oldLog) (*hub.Visibility, relay.LSN, error) {
	var streamed func(snapshot string) (bool, error)
	if err := load.Register(func() { streamed = c.streamed() }); err != nil {
		return nil, 0, err
	}
	if err := c.ready(ctx, conn, load.Shape.Relation()); err != nil {
		return nil, 0, err
	}
	result, err := c.readRows(ctx, conn, load, streamed)
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
