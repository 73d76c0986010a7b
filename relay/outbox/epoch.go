package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// state is what relay.state says, beside what the server says of itself.
type state struct {
	epoch        int64
	ready        bool
	reason       string
	closed       bool
	sameServer   bool
	system       string
	timeline     int64
	base         int64
	baseSnapshot *string
	last         *int64
	budget       int64
}

const stateSQL = `
select s.epoch, s.ready, s.reason, (select last_value >= 4611686018427387904 from relay.outbox_id),
  (s.system, s.timeline) is not distinct from (h.system, h.timeline), h.system, h.timeline,
  s.base, s.base_snapshot::text, (select pg_catalog.max(d.n) from relay.delivery d where d.n > s.base >> 24), s.budget
from relay.state s, (
  select (select system_identifier::text from pg_catalog.pg_control_system()) as system,
    ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8 as timeline
) h`

func (r *Reader) readState(ctx context.Context) (s state, err error) {
	err = r.conn.QueryRow(ctx, stateSQL, pgx.QueryExecModeExec).Scan(&s.epoch, &s.ready, &s.reason, &s.closed, &s.sameServer, &s.system, &s.timeline,
		&s.base, &s.baseSnapshot, &s.last, &s.budget)
	if err != nil {
		return s, fmt.Errorf("read the outbox's state: %w", err)
	}
	return s, nil
}

// continueEpoch goes on with the epoch that there is, or begins one.
func (r *Reader) continueEpoch(ctx context.Context) error {
	s, err := r.readState(ctx)
	if err != nil {
		return err
	}
	reason := ""
	switch {
	case !s.ready:
		reason = s.reason
	case s.closed:
		reason = "the outbox was closed: it outgrew its budget, or a change could not be written to it"
	case !s.sameServer:
		reason = "the server is another one, or on another timeline"
	}
	if reason != "" {
		r.New, r.Reason = true, reason
		if err := r.beginEpoch(ctx, reason, s); err != nil {
			return err
		}
		if s, err = r.readState(ctx); err != nil {
			return err
		}
	}
	if s.baseSnapshot == nil {
		return errors.New("read the outbox's state: the epoch has no beginning")
	}
	r.Epoch, r.base, r.last = s.epoch, relay.LSN(s.base), relay.LSN(s.base)
	if s.last != nil {
		r.last = wholly(*s.last)
	}
	n, _ := split(r.last)
	r.next = n + 1
	r.cfg.RetainBytes = min(r.cfg.RetainBytes, s.budget/2)
	r.cfg.Logger.Info().Int64("epoch", r.Epoch).Bool("new", r.New).Str("reason", r.Reason).Msg("outbox open")
	return nil
}

func (r *Reader) beginEpoch(ctx context.Context, reason string, s state) error {
	for {
		_, err := r.conn.Exec(ctx, `select relay.begin_epoch($1)`, pgx.QueryExecModeExec, reason)
		if err == nil {
			break
		}
		if !isCode(err, "55P03") {
			return fmt.Errorf("begin an epoch: %w", err)
		}
		if err := r.await(ctx, "the outbox is closed and still in use by a transaction"); err != nil {
			return err
		}
	}
	if s.closed || s.epoch > 0 && s.sameServer { // before the first, and on another server, all was captured
		if err := r.awaitWriters(ctx); err != nil {
			return err
		}
	}
	if _, err := r.conn.Exec(ctx, `select relay.finish_epoch($1, $2)`, pgx.QueryExecModeExec, s.system, s.timeline); err != nil {
		return fmt.Errorf("begin an epoch: %w", err)
	}
	return nil
}

// awaitWriters waits for every transaction that has written to a captured table up to now: it may have made changes that
// nobody captured, and a snapshot of the table that doesn't see them would be taken for complete.
func (r *Reader) awaitWriters(ctx context.Context) error {
	const writers = `
select pg_catalog.array_agg(distinct l.virtualtransaction)
from pg_catalog.pg_locks l
where l.locktype = 'relation' and l.granted and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
  and l.relation in (select p.relid from relay.captured c, pg_catalog.pg_partition_tree(c.relation) p union select c.relation from relay.captured c)
  and l.pid is distinct from pg_catalog.pg_backend_pid()`
	var waitFor []string
	if err := r.conn.QueryRow(ctx, writers, pgx.QueryExecModeExec).Scan(&waitFor); err != nil {
		return fmt.Errorf("look for writers of captured tables: %w", err)
	}
	for len(waitFor) > 0 {
		var left []string
		var reason *string
		err := r.conn.QueryRow(ctx, `
select pg_catalog.array_agg(distinct l.virtualtransaction), pg_catalog.min(coalesce(
    pg_catalog.format('process %s of role %s, in a transaction since %s', a.pid, a.usename, a.xact_start::timestamptz(0)), 'a prepared transaction'))
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.virtualtransaction = any ($1::text[])`, pgx.QueryExecModeExec, waitFor).Scan(&left, &reason)
		if err != nil {
			return fmt.Errorf("look for writers of captured tables: %w", err)
		}
		if waitFor = left; len(waitFor) == 0 {
			break
		}
		if err := r.await(ctx, "the new epoch waits for "+*reason); err != nil {
			return err
		}
	}
	return nil
}

// await says why, and pauses.
func (r *Reader) await(ctx context.Context, reason string) error {
	r.cfg.Logger.Info().Str("reason", reason).Msg("waiting")
	r.cfg.Waiting(reason)
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// gap makes sure that the next Open begins an epoch where err says that it must and the outbox doesn't.
func (r *Reader) gap(ctx context.Context, err error) error {
	if !errors.Is(err, errPlaces) {
		return err
	}
	_, failed := r.conn.Exec(ctx, `select relay.begin_epoch($1)`, pgx.QueryExecModeExec, "a delivery had too many transactions")
	return errors.Join(err, failed)
}
