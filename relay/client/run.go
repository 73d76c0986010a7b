package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// The waits between two attempts: the first, and the longest.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 15 * time.Second
)

// Run keeps the mirror connected until the context ends, with waits that double and a jitter of a half, so that the
// clients of a relay that restarts don't come all at once. lost, which may be nil, hears why there is no connection and
// how long the wait is. Run returns nil at the context's end, else the error that another attempt wouldn't mend.
func (m *Mirror) Run(ctx context.Context, url string, o Options, lost func(err error, wait time.Duration)) error {
	defer m.Close()
	wait := firstWait
	for {
		err := m.Connect(ctx, url, o)
		if err == nil {
			wait = firstWait
			err = m.stay(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if Permanent(err) {
			return err
		}
		pause := wait/2 + rand.N(wait/2)
		if lost != nil {
			lost(err, pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, longestWait)
	}
}

// stay returns when the connection has ended, with its cause.
func (m *Mirror) stay(ctx context.Context) error {
	m.mu.Lock()
	l := m.link
	m.mu.Unlock()
	if l == nil {
		return m.Lost()
	}
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
