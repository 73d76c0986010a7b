package capture

import (
	"context"
	"time"

	"pgrelay/relay"
)

// passedEvery is how often Passed looks where the stream is.
const passedEvery = 2 * time.Millisecond

// Passed returns when the stream has brought everything that was committed at the source before the call.
func (c *Capture) Passed(ctx context.Context) error {
	lsn, err := c.markNow(ctx)
	if err != nil {
		return err
	}
	return c.passes(ctx, lsn)
}

// passes waits until the stream has come to a position.
func (c *base) passes(ctx context.Context, lsn relay.LSN) error {
	tick := time.NewTicker(passedEvery)
	defer tick.Stop()
	for c.Hub.Position() < lsn {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// markNow returns a position behind all that was committed, which the stream passes soon.
func (c *Capture) markNow(ctx context.Context) (relay.LSN, error) {
	conn, err := c.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	return c.fence(ctx, conn.Conn())
}
