package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// tendEvery is how often the window is looked after by default.
const tendEvery = 2 * time.Second

// figures are what the window is judged by.
type figures struct {
	generation int64
	bytes      int64 // of the present table
	total      int64 // of all three
	budget     int64
	since      *time.Time // the first delivery of the present table; nil where there is none
	base       int64
	rings      bool // writers ring
}

const figuresSQL = `
select p.generation, pg_catalog.pg_total_relation_size(p.outbox),
  pg_catalog.pg_total_relation_size('relay.outbox_0') + pg_catalog.pg_total_relation_size('relay.outbox_1') + pg_catalog.pg_total_relation_size('relay.outbox_2'),
  s.budget, d.since, s.base,
  s.doorbell = 'on' or s.doorbell = 'auto' and pg_catalog.current_setting('max_prepared_transactions') = '0'
from (select last_value >> 32 as generation, pg_catalog.to_regclass('relay.outbox_' || (last_value >> 32) % 3) as outbox, (last_value >> 32) % 3 as k
  from relay.outbox_id) p
cross join relay.state s
cross join lateral (select pg_catalog.min(at) as since from (
  select 0 as k, at from relay.delivery_0 union all select 1, at from relay.delivery_1 union all select 2, at from relay.delivery_2) d where d.k = p.k) d`

// tend looks after the window now and then: turns to the next table where the present one is large or old enough.
func (r *Reader) tend(ctx context.Context) error {
	if time.Since(r.tended) < r.cfg.tendEvery {
		return nil
	}
	r.tended = time.Now()
	var f figures
	err := r.conn.QueryRow(ctx, figuresSQL, pgx.QueryExecModeExec).Scan(&f.generation, &f.bytes, &f.total, &f.budget, &f.since, &f.base, &f.rings)
	if err != nil {
		return fmt.Errorf("look after the outbox: %w", err)
	}
	r.rings = f.rings && !r.pooled && !r.cfg.NoDoorbell
	r.moveBase(f.base, f.generation)
	// Two tables are the window, so half of it is one.
	if f.since == nil || f.bytes < r.cfg.RetainBytes/2 && time.Since(*f.since) < r.cfg.RetainAge/2 {
		return nil
	}
	switch {
	case !r.holds():
	case f.total < f.budget/2:
		return nil
	default:
		r.cfg.Logger.Warn().Int64("bytes", f.total).Int64("budget", f.budget).Msg("a snapshot takes so long that what it has to go on with fills half of the outbox's budget: " +
			"it starts over unless it ends soon; a larger relay.state.budget lets it end")
	}
	return r.turn(ctx)
}

// Keep has what isn't delivered yet, and what is from now on, stay in the outbox until release is called, as far as half of
// the budget of relay.state goes.
func (r *Reader) Keep() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.generation
	r.kept[g]++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.kept[g]--; r.kept[g] == 0 {
			delete(r.kept, g)
		}
	})
}

// holds tells that turning to the generation after this one would empty what is kept. It empties the table of the last but one,
// and what wasn't delivered yet when Keep was called may be of the one before.
func (r *Reader) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kept := range r.kept {
		if kept < r.generation {
			return true
		}
	}
	return false
}

func (r *Reader) turn(ctx context.Context) error {
	var turned bool
	if err := r.conn.QueryRow(ctx, `select relay.turn()`, pgx.QueryExecModeExec).Scan(&turned); err != nil {
		return fmt.Errorf("turn the outbox over: %w", err)
	}
	if !turned {
		r.cfg.Logger.Debug().Msg("the outbox's next table is still in use")
		return nil
	}
	var base, generation int64
	if err := r.conn.QueryRow(ctx, `select base, generation from relay.state`, pgx.QueryExecModeExec).Scan(&base, &generation); err != nil {
		return fmt.Errorf("look after the outbox: %w", err)
	}
	r.moveBase(base, generation)
	return nil
}

func (r *Reader) moveBase(base, generation int64) {
	r.mu.Lock()
	r.base, r.generation = relay.LSN(base), generation
	r.mu.Unlock()
	n, _ := split(relay.LSN(base))
	r.layouts.forget(n)
}
