package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// tendEvery is how often the window is looked after by default.
const tendEvery = 2 * time.Second

// figuresSQL: the present table's bytes and since when it has been in use, and whether writers ring.
const figuresSQL = `
select pg_catalog.pg_total_relation_size(p.outbox), d.since, s.base,
  coalesce(b.mode = 'on' or b.mode = 'auto' and pg_catalog.current_setting('max_prepared_transactions') = '0', false)
from (select pg_catalog.to_regclass('relay.outbox_' || (last_value >> 32) % 3) as outbox, (last_value >> 32) % 3 as k from relay.outbox_id) p
cross join relay.state s
cross join lateral (select pg_catalog.min(at) as since from (
  select 0 as k, at from relay.delivery_0 union all select 1, at from relay.delivery_1 union all select 2, at from relay.delivery_2) d where d.k = p.k) d
left join lateral (select pg_catalog.encode(pg_catalog.substr(t.tgargs, 1, pg_catalog.length(t.tgargs) - 1), 'escape') as mode from pg_catalog.pg_trigger t
  where t.tgrelid = p.outbox and t.tgname = 'ring' and t.tgenabled = 'A') b on true`

// tend looks after the window now and then: turns to the next table where the present one is large or old enough.
func (r *Reader) tend(ctx context.Context) error {
	if time.Since(r.tended) < r.cfg.tendEvery {
		return nil
	}
	r.tended = time.Now()
	var bytes, base int64
	var since *time.Time
	var rings bool
	err := r.conn.QueryRow(ctx, figuresSQL, pgx.QueryExecModeExec).Scan(&bytes, &since, &base, &rings)
	if err != nil {
		return fmt.Errorf("look after the outbox: %w", err)
	}
	r.rings = rings && !r.pooled && !r.cfg.NoDoorbell
	r.moveBase(base)
	// Two tables are the window, so half of it is one.
	if since == nil || bytes < r.cfg.RetainBytes/2 && time.Since(*since) < r.cfg.RetainAge/2 {
		return nil
	}
	return r.turn(ctx)
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
	var base int64
	if err := r.conn.QueryRow(ctx, `select base from relay.state`, pgx.QueryExecModeExec).Scan(&base); err != nil {
		return fmt.Errorf("look after the outbox: %w", err)
	}
	r.moveBase(base)
	return nil
}

func (r *Reader) moveBase(base int64) {
	r.mu.Lock()
	r.base = relay.LSN(base)
	r.mu.Unlock()
	n, _ := split(relay.LSN(base))
	r.layouts.forget(n)
}
