package outbox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// Reader reads the outbox of one database, as the only one that does. Run is called once; Fence, Window,
// Keep, Replay and Close from any goroutine.
type Reader struct {
	// Epoch tells apart what the positions of one reader and of another mean; it belongs into the source's identity.
	Epoch int64
	// New tells that Open has begun the epoch, and Reason why.
	New    bool
	Reason string

	cfg     Config
	conn    *pgx.Conn
	pooled  bool // another process may serve each transaction
	layouts layouts
	// Of Run alone.
	border border
	rings  bool          // writers ring
	asleep bool          // the doorbell's lock is held
	silent uint64        // transactions before this one may have written without ringing
	nap    time.Duration // how long to wait for them before the next look
	tended time.Time
	unrung int // how many changes in a row came without a notification
	pace   pace

	rung atomic.Bool // a notification came

	mu      sync.Mutex
	base    relay.LSN
	last    relay.LSN
	next    int64 // the next delivery's number
	looking bool  // a look is under way, which may record it
	fence   int64 // the delivery that has to be recorded also if it is empty; 0 for none
	wakeUp  context.CancelFunc
	// What is kept is what the generations are of that Keep was called in, and how often.
	generation int64
	kept       map[int64]int
	closing    sync.Once
	closeErr   error
}

// Window returns the positions between which one can go on: from start on, and up to the last delivery that was recorded.
func (r *Reader) Window() (start, end relay.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.base, r.last
}

// Fence returns a position that the reader passes soon, and not before everything has been handed over that is committed now.
func (r *Reader) Fence() relay.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.next
	if r.looking { // what it records may not hold everything
		n++
	}
	n = max(n, r.fence) // the next look takes that number where one before it has found nothing
	r.fence = n
	if r.wakeUp != nil {
		r.wakeUp()
	}
	return wholly(n)
}

// Close ends the connection. Run returns then.
func (r *Reader) Close() error {
	r.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r.closeErr = r.conn.PgConn().Close(ctx)
	})
	return r.closeErr
}

// Run hands over what follows from, at first what was delivered already, then what comes, until ctx ends or something
// fails. It returns ErrGone where from is not in the window, and ErrGap where changes may be missing: the caller closes the
// reader then and opens another, with a new epoch. The connection is used up when Run returns.
func (r *Reader) Run(ctx context.Context, from relay.LSN, h Handler) error {
	defer func() { _ = r.Close() }()
	d := newDeliverer(h, r.layouts)
	last, err := r.replay(ctx, r.conn, d, from, 0)
	if err != nil {
		return fmt.Errorf("read what was delivered: %w", err)
	}
	r.border = last
	for ctx.Err() == nil {
		if err := r.step(ctx, d); err != nil {
			return r.gap(ctx, err)
		}
	}
	return context.Cause(ctx)
}

func (r *Reader) step(ctx context.Context, d *deliverer) error {
	if err := r.tend(ctx); err != nil {
		return err
	}
	if r.asleep {
		return r.rest(ctx, d)
	}
	began := time.Now()
	found, err := r.look(ctx, d)
	switch {
	case err != nil:
		return err
	case found:
		return r.wait(ctx, r.pace.pause(time.Since(began)))
	}
	return r.rest(ctx, d)
}
