package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// deliveriesAtOnce is how many deliveries are asked for in one round trip of a replay.
const deliveriesAtOnce = 64

// Replay hands over once more what follows from, up to to; 0 is everything that was recorded when it began. It uses the
// caller's connection, which may be to a pooler, so several may run beside Run. It returns ErrGone where from is not in the
// window. The table that it reads isn't emptied meanwhile, so it shouldn't take long.
func (r *Reader) Replay(ctx context.Context, conn *pgx.Conn, from, to relay.LSN, h Handler) error {
	if _, err := r.replay(ctx, conn, newDeliverer(h, layouts{}), from, to); err != nil {
		return fmt.Errorf("replay the outbox: %w", err)
	}
	return nil
}

// recordedDelivery is a delivery with the border that it begins at.
type recordedDelivery struct {
	n     int64
	after border
	s1    border
}

// replay hands over what was recorded after from and returns the border of the last delivery.
func (r *Reader) replay(ctx context.Context, conn *pgx.Conn, d *deliverer, from, to relay.LSN) (last border, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return last, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// Before the snapshot: what is in it isn't emptied any more.
	if _, err := tx.Exec(ctx, `lock table relay.outbox_0, relay.outbox_1, relay.outbox_2, relay.delivery_0, relay.delivery_1, relay.delivery_2 in access share mode`); err != nil {
		return last, fmt.Errorf("lock the outbox: %w", err)
	}
	// The pooler that may be in between keeps to one session for the transaction.
	for _, set := range []string{"enable_seqscan = off", "jit = off", "plan_cache_mode = force_generic_plan"} {
		if _, err := tx.Exec(ctx, "set local "+set); err != nil {
			return last, fmt.Errorf("settle the session: %w", err)
		}
	}
	n, place := split(from)
	if place == lastPlace {
		n, place = n+1, 0
	}
	last, err = r.startOf(ctx, conn, from, n)
	if err != nil {
		return last, err
	}
	if err := d.layouts.read(ctx, tx); err != nil {
		return last, err
	}
	first := n
	for done := false; !done; {
		var some []recordedDelivery
		if some, done, err = r.deliveries(ctx, tx, n, to, last); err != nil || len(some) == 0 {
			break
		}
		if err = r.again(ctx, conn, d, some, first, place); err != nil {
			break
		}
		n = some[len(some)-1].n + 1
		last = some[len(some)-1].s1
	}
	if err != nil {
		return last, err
	}
	return last, tx.Commit(ctx)
}

// startOf is the border before delivery n, which is what follows from, or ErrGone.
func (r *Reader) startOf(ctx context.Context, conn *pgx.Conn, from relay.LSN, n int64) (border, error) {
	var epoch, base int64
	var text *string
	err := conn.QueryRow(ctx, `
select s.epoch, s.base, coalesce(
  (select d.s1::text from relay.delivery d where d.n > s.base >> 24 and d.n < $1::int8 order by d.n desc limit 1), s.base_snapshot::text)
from relay.state s`, pgx.QueryExecModeExec, n).Scan(&epoch, &base, &text)
	switch {
	case err != nil:
		return border{}, fmt.Errorf("read the window: %w", err)
	case epoch != r.Epoch || text == nil || from < relay.LSN(base):
		return border{}, ErrGone
	}
	return parseBorder(*text)
}

// deliveries are the next ones from n on, and whether they are the last.
func (r *Reader) deliveries(ctx context.Context, tx pgx.Tx, n int64, to relay.LSN, before border) (some []recordedDelivery, done bool, err error) {
	rows, err := tx.Query(ctx, `
select d.n, d.s1::text from relay.delivery d, relay.state s
where d.n > s.base >> 24 and d.n >= $1::int8 and ($2::int8 = 0 or d.n <= $2::int8 >> 24) order by d.n limit $3::int8`,
		pgx.QueryExecModeExec, n, int64(to), deliveriesAtOnce)
	if err != nil {
		return nil, false, fmt.Errorf("list deliveries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		one := recordedDelivery{after: before}
		var text string
		if err := rows.Scan(&one.n, &text); err != nil {
			return nil, false, fmt.Errorf("list deliveries: %w", err)
		}
		if one.s1, err = parseBorder(text); err != nil {
			return nil, false, err
		}
		before = one.s1
		some = append(some, one)
	}
	return some, len(some) < deliveriesAtOnce, rows.Err()
}

// again hands deliveries over, of delivery first what comes after the transaction at place.
func (r *Reader) again(ctx context.Context, conn *pgx.Conn, d *deliverer, some []recordedDelivery, first int64, place int) (err error) {
	p := conn.PgConn().StartPipeline(ctx)
	defer func() { err = errors.Join(err, p.Close()) }()
	// Parsed and planned once for all of them.
	p.SendPrepare("", againSQL, nil)
	for _, one := range some {
		p.SendQueryPrepared("", [][]byte{[]byte(one.s1.text), one.after.xmaxText(), []byte(one.after.running), one.s1.xmaxText()}, nil, binaryResult)
	}
	p.SendPipelineSync()
	if err := p.Flush(); err != nil {
		return err
	}
	if _, err := p.GetResults(); err != nil {
		return fmt.Errorf("prepare to read deliveries: %w", err)
	}
	for _, one := range some {
		result, err := p.GetResults()
		if err != nil {
			return fmt.Errorf("read delivery %d: %w", one.n, err)
		}
		rows, ok := result.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("read delivery %d: no result", one.n)
		}
		skip := 0
		if one.n == first {
			skip = place
		}
		if err := d.run(one.n, skip, one.s1.text, rows); err != nil {
			return err
		}
	}
	return nil
}

// read reads all layouts that are kept.
func (k layouts) read(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `select relation, n, columns::text from relay.layout order by relation, n`, pgx.QueryExecModeExec)
	if err != nil {
		return fmt.Errorf("read the tables' columns: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var table uint32
		var n int64
		var text []byte
		if err := rows.Scan(&table, &n, &text); err != nil {
			return fmt.Errorf("read the tables' columns: %w", err)
		}
		l, err := parseLayout(n, text)
		if err != nil {
			return err
		}
		k[table] = append(k[table], l)
	}
	return rows.Err()
}
