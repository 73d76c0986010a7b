package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// errBell: a statement of the doorbell failed, and the look that followed it did not.
var errBell = errors.New("the doorbell's lock was not taken")

const (
	// linger is how long after a change the reader stays awake: under load nobody rings.
	linger = time.Millisecond
	// lockWait bounds the wait for writers that are looking at the lock; awake bounds the pauses between looks while it isn't
	// enough to be rung for.
	lockWait = "100ms"
	awake    = 50 * time.Millisecond
)

// rest waits for something to do: it falls asleep and returns when it was woken or has found something.
func (r *Reader) rest(ctx context.Context, d *deliverer) error {
	if !r.rings {
		if r.asleep { // the doorbell was switched off meanwhile
			r.asleep = false
			_, err := r.look(ctx, d, wakeName)
			return err
		}
		return r.wait(ctx, r.cfg.PollUnrung)
	}
	if !r.asleep {
		if err := r.wait(ctx, linger); err != nil {
			return err
		}
		if found, err := r.look(ctx, d); err != nil || found {
			return err
		}
		if slept, err := r.fallAsleep(ctx, d); err != nil || !slept {
			return err
		}
	}
	pause := r.cfg.Poll
	heard := r.border.xmin >= r.silent
	if !heard {
		pause = min(pause, r.nap)
		r.nap = min(2*r.nap, awake)
	}
	rung, err := r.listen(ctx, pause)
	if err != nil {
		return err
	}
	if !rung {
		// Awake or not, a look costs the same; who finds something asleep wasn't rung for.
		found, err := r.look(ctx, d)
		if err != nil || !found {
			return err
		}
		if heard {
			r.noteUnrung()
		}
	} else {
		r.unrung = 0
	}
	r.asleep = false
	_, err = r.look(ctx, d, wakeName)
	return err
}

// fallAsleep takes the doorbell's lock and looks once more. It returns false where there was something after all, or where
// somebody holds the lock.
func (r *Reader) fallAsleep(ctx context.Context, d *deliverer) (bool, error) {
	r.rung.Store(false)
	found, err := r.look(ctx, d, sleepName)
	switch {
	case errors.Is(err, errBell) && isCode(err, "55P03"):
		return false, r.wait(ctx, awake)
	case err != nil:
		return false, err
	case found:
		_, err := r.look(ctx, d, wakeName)
		return false, err
	}
	r.asleep, r.nap = true, linger
	return true, nil
}

// unrungMost is how many changes in a row may come without a notification: one may be on its way when the poll finds it.
const unrungMost = 3

func (r *Reader) noteUnrung() {
	if r.unrung++; r.unrung == unrungMost {
		r.cfg.Logger.Warn().Msg("changes come without a notification: something between the relay and the server swallows them")
	}
}

// waiting makes a context that ends after pause or when Fence is called; at once where that was already.
func (r *Reader) waiting(ctx context.Context, pause time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, pause)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakeUp = cancel
	if r.fence >= r.next {
		cancel()
	}
	return ctx, cancel
}

func (r *Reader) wait(ctx context.Context, pause time.Duration) error {
	waiting, cancel := r.waiting(ctx, pause)
	defer cancel()
	<-waiting.Done()
	return context.Cause(ctx)
}

// listen waits for a notification.
func (r *Reader) listen(ctx context.Context, pause time.Duration) (rung bool, err error) {
	if r.rung.Swap(false) {
		return true, nil // it came with the answer to the last look
	}
	waiting, cancel := r.waiting(ctx, pause)
	defer cancel()
	err = r.conn.PgConn().WaitForNotification(waiting)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case waiting.Err() != nil && !r.conn.PgConn().IsClosed():
		return false, nil
	}
	return false, fmt.Errorf("wait for a notification: %w", err)
}

func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
