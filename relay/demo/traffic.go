package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// mostBehind bounds the actions that are made up for when the databases were slower than the rate.
	mostBehind = time.Second
	// retryAfter is the pause after an action that failed: a service may be restarting.
	retryAfter = 500 * time.Millisecond
)

// Traffic does what people and clerks do in the services, Rate actions a second, until ctx ends; then it returns nil.
// A service that can't be reached is tried again until it can.
func (d *Demo) Traffic(ctx context.Context) error {
	conns := map[string]*pgx.Conn{}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close(context.WithoutCancel(ctx)) // nothing is lost with it
		}
	}()
	due := time.Now()
	for d.await(ctx, due) {
		rate := d.Rate()
		if rate == 0 {
			due = time.Now()
			continue
		}
		due = due.Add(time.Duration(float64(time.Second) / rate))
		if earliest := time.Now().Add(-mostBehind); due.Before(earliest) {
			due = earliest
		}
		a := pick()
		if err := d.do(ctx, conns, a); err != nil && ctx.Err() == nil {
			d.log.Warn().Err(err).Str("action", a.name).Msg("traffic failed, trying again")
			due = time.Now().Add(retryAfter)
		}
	}
	return nil
}

// await waits until the next action is due; false tells that ctx ended. A changed rate, or with rate 0 nothing else,
// ends the wait early.
func (d *Demo) await(ctx context.Context, due time.Time) bool {
	if d.Rate() == 0 {
		select {
		case <-d.changed:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.changed:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// do carries an action out, on the connection to its service that is kept in conns.
func (d *Demo) do(ctx context.Context, conns map[string]*pgx.Conn, a action) error {
	conn := conns[a.service]
	if conn == nil {
		var err error
		if conn, err = pgx.Connect(ctx, d.dsn(d.services, a.service, a.service)); err != nil {
			return fmt.Errorf("connect to %s: %w", a.service, err)
		}
		conns[a.service] = conn
	}
	if _, err := conn.Exec(ctx, a.sql); err != nil {
		if conn.IsClosed() {
			delete(conns, a.service)
		}
		return fmt.Errorf("%s: %w", a.name, err)
	}
	return nil
}
