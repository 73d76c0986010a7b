package bench

import (
	"context"
	"fmt"
	"time"

	"pgrelay/relay"
)

// drainer is what takes in the relay's stream.
type drainer interface {
	// expect announces the rows of a backlog before they come; await returns when all of them, which lie before end, have.
	expect(rows int)
	await(ctx context.Context, end relay.LSN) error
}

// drain measures a backlog's rows per second, in pairs of the relay and its limit.
func (b *bench) drain(ctx context.Context, name string, d drainer, rowsEach int) error {
	if b.limit == nil && b.config.RecvLogical != "" { // the relay has made the publication
		var err error
		if b.limit, err = newLimit(ctx, b.database, b.config.RecvLogical); err != nil {
			return err
		}
	}
	f := Figure{Name: name, Unit: "rows/s", Bar: "≥ 1.5×"}
	transactions := max(b.config.Rows/rowsEach, 1)
	for pair := range b.config.Pairs {
		b.progress("%s: pair %d of %d", name, pair+1, b.config.Pairs)
		took, limit, err := b.pair(ctx, d, transactions, rowsEach, pair%2 == 0)
		if err != nil {
			return err
		}
		rows := float64(transactions * rowsEach)
		f.Runs = append(f.Runs, rows/took.Seconds())
		if limit > 0 {
			f.LimitRuns = append(f.LimitRuns, rows/limit.Seconds())
		}
	}
	if f.LimitRuns != nil {
		f.Limit = "pg_recvlogical -f /dev/null"
	}
	b.report.add(f)
	return nil
}

// pair has the relay and pg_recvlogical drain the same backlog, one after the other.
func (b *bench) pair(ctx context.Context, d drainer, transactions, rowsEach int, limitFirst bool) (took, limit time.Duration, err error) {
	if b.limit != nil {
		if err := b.database.createSlot(ctx, limitSlot); err != nil {
			return 0, 0, err
		}
		defer func() {
			if err == nil {
				err = b.database.dropSlot(ctx, limitSlot)
			}
		}()
	}
	resume, err := b.database.halt(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resume() }() // whatever happens, no process stays halted
	d.expect(transactions * rowsEach)
	end, err := b.database.fill(ctx, transactions, rowsEach)
	if err != nil {
		return 0, 0, err
	}
	if b.limit != nil && limitFirst {
		if limit, err = b.limit.drain(ctx, end); err != nil {
			return 0, 0, err
		}
	}
	began := time.Now()
	if err := resume(); err != nil {
		return 0, 0, fmt.Errorf("let the relay's walsender go on: %w", err)
	}
	if err := d.await(ctx, end); err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	if b.limit != nil && !limitFirst {
		limit, err = b.limit.drain(ctx, end)
	}
	return took, limit, err
}
