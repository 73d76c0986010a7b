package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The sizes of what writers do.
const (
	hotKeys   = 300    // ids of the tables of single rows
	bulkRows  = 20_000 // rows of a large transaction
	toastSize = 6_000  // characters of a value that goes out of line
)

// done counts what the writers did.
type done struct {
	commits, rollbacks, failures, savepoints, undone, truncates, large, toasts, moves, keyChanges atomic.Int64
}

func (d *done) String() string {
	return fmt.Sprintf("%d commits, %d rollbacks, %d failed transactions, %d savepoints (%d undone), %d truncates, %d large transactions, %d TOAST values, %d partition moves, %d key changes",
		d.commits.Load(), d.rollbacks.Load(), d.failures.Load(), d.savepoints.Load(), d.undone.Load(), d.truncates.Load(),
		d.large.Load(), d.toasts.Load(), d.moves.Load(), d.keyChanges.Load())
}

// writer writes over one session.
type writer struct {
	conn *pgx.Conn
	rnd  *rand.Rand
	done *done
	// large tells that this writer makes the large transactions: one does, or they would be all that there is.
	large bool
}

// run writes until stop is closed; the context's end is the end of the test.
func (w *writer) run(ctx context.Context, stop <-chan struct{}) error {
	// A deadlock between writers is found by one of them at once rather than after a second.
	if _, err := w.conn.Exec(ctx, "set lock_timeout = '300ms'"); err != nil {
		return fmt.Errorf("set a lock timeout: %w", err)
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := w.transaction(ctx); err != nil {
			return err
		}
	}
}

// transaction makes one transaction. What a concurrent writer makes fail is rolled back and is no error.
func (w *writer) transaction(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if w.large && w.rnd.IntN(8) == 0 {
		err = w.bulk(ctx, tx)
	} else {
		err = w.few(ctx, tx, 1+w.rnd.IntN(6), 2)
	}
	if err != nil || w.rnd.IntN(7) == 0 {
		if rollback := tx.Rollback(ctx); rollback != nil {
			return fmt.Errorf("roll back: %w", rollback)
		}
		if err == nil {
			w.done.rollbacks.Add(1)
			return nil
		}
		w.done.failures.Add(1)
		return unexpected(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.done.commits.Add(1)
	return nil
}

// unexpected lets pass what other writers cause: a unique violation, a deadlock, a lock that isn't free, a row that
// moved to another partition.
func unexpected(err error) error {
	var failed *pgconn.PgError
	if errors.As(err, &failed) {
		switch failed.Code {
		case "23505", "40P01", "40001", "55P03":
			return nil
		}
	}
	return fmt.Errorf("write: %w", err)
}

// few makes n writes, some of them within savepoints down to a depth.
func (w *writer) few(ctx context.Context, tx pgx.Tx, n, depth int) error {
	for range n {
		if depth > 0 && w.rnd.IntN(4) == 0 {
			if err := w.savepoint(ctx, tx, depth); err != nil {
				return err
			}
			continue
		}
		if err := w.write(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// savepoint makes writes in a subtransaction, which it releases or undoes; a failure within is undone with it.
func (w *writer) savepoint(ctx context.Context, tx pgx.Tx, depth int) error {
	w.done.savepoints.Add(1)
	sub, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	err = w.few(ctx, sub, 1+w.rnd.IntN(4), depth-1)
	if err != nil && unexpected(err) != nil {
		return err
	}
	if err != nil || w.rnd.IntN(3) == 0 {
		w.done.undone.Add(1)
		return sub.Rollback(ctx)
	}
	return sub.Commit(ctx)
}

// write makes one write somewhere.
func (w *writer) write(ctx context.Context, tx pgx.Tx) error {
	kinds := []func() (string, []any){w.keyed, w.keyed, w.keyed, w.whole, w.whole, w.parts, w.parts, w.pairs, w.indexed, w.bag, w.bag}
	query, arguments := kinds[w.rnd.IntN(len(kinds))]()
	if w.rnd.IntN(400) == 0 {
		names := []string{"oracle.keyed", "oracle.whole", "oracle.parts", "oracle.pairs", "oracle.bag", "oracle.keyed, oracle.whole"}
		query, arguments = "truncate "+names[w.rnd.IntN(len(names))], nil
		w.done.truncates.Add(1)
	}
	_, err := tx.Exec(ctx, query, arguments...)
	return err
}

func (w *writer) id() int { return w.rnd.IntN(hotKeys) }

// toast is a text that TOAST moves out of line.
func (w *writer) toast() string {
	w.done.toasts.Add(1)
	text := make([]byte, toastSize)
	for i := range text {
		text[i] = byte('a' + w.rnd.IntN(26))
	}
	return string(text)
}

// word is a short text with what JSON has to escape.
func (w *writer) word() string {
	words := []string{"", "plain", `quote " and \`, "line\nbreak\ttab", "ünïcödé 🙂", "</script>", "\u0001\u2028", "NULL"}
	return words[w.rnd.IntN(len(words))]
}

func (w *writer) keyed() (string, []any) {
	switch w.rnd.IntN(10) {
	case 0, 1, 2:
		return `insert into oracle.keyed values ($1, $2, $3::text::numeric, $4, $5, $6, $7, clock_timestamp(), current_date, 'busy',
			array[$2, null, 'x y'], array[$1, 9007199254740993], jsonb_build_object('k', $2::text, 'n', 1.50), decode('00ff', 'hex'), gen_random_uuid())
			on conflict (id) do update set amount = excluded.amount, owner = excluded.owner`,
			[]any{w.id(), w.word(), fmt.Sprintf("%d.%04d", w.rnd.IntN(1e9), w.rnd.IntN(1e4)), w.rnd.IntN(100), w.rnd.NormFloat64(), w.rnd.IntN(2) == 0, w.toast()}
	case 3:
		return "insert into oracle.keyed (id, owner) values ($1, $2)", []any{w.id(), w.word()}
	case 4, 5:
		return "update oracle.keyed set amount = amount + 1, mood = 'on fire', tags = tags || $2::text where id between $1 and $1 + 2", []any{w.id(), w.word()}
	case 6:
		return "update oracle.keyed set note = $2, doc = doc || '{\"seen\": true}' where id = $1", []any{w.id(), w.toast()}
	case 7, 8:
		w.done.keyChanges.Add(1)
		return "update oracle.keyed set id = $2 where id = $1", []any{w.id(), w.id()}
	}
	return "delete from oracle.keyed where id = $1", []any{w.id()}
}

func (w *writer) whole() (string, []any) {
	switch w.rnd.IntN(6) {
	case 0, 1:
		return "insert into oracle.whole values ($1, $2, $3, '{\"a\": [1, 2]}') on conflict (id) do update set v = excluded.v", []any{w.id(), w.id(), w.toast()}
	case 2:
		return "update oracle.whole set v = v + 1 where id % 50 = $1 % 50", []any{w.id()}
	case 3:
		w.done.keyChanges.Add(1)
		return "update oracle.whole set id = $2 where id = $1", []any{w.id(), w.id()}
	case 4:
		return "update oracle.whole set note = $2 where id = $1", []any{w.id(), w.toast()}
	}
	return "delete from oracle.whole where id = $1", []any{w.id()}
}

func (w *writer) parts() (string, []any) {
	switch w.rnd.IntN(6) {
	case 0, 1:
		return "insert into oracle.parts (id, region, note, v) values ($1, $2, $3, 0) on conflict do nothing", []any{w.id(), w.rnd.IntN(3), w.toast()}
	case 2, 3:
		w.done.moves.Add(1)
		return "update oracle.parts set region = $2 where id = $1 and region <> $2", []any{w.id(), w.rnd.IntN(3)}
	case 4:
		return "update oracle.parts set v = v + 1 where id = $1", []any{w.id()}
	}
	return "delete from oracle.parts where id = $1", []any{w.id()}
}

func (w *writer) pairs() (string, []any) {
	a, b := w.rnd.IntN(20), w.word()
	switch w.rnd.IntN(4) {
	case 0, 1:
		return "insert into oracle.pairs values ($1, $2, 0.10) on conflict (a, b) do update set v = oracle.pairs.v * 1.1", []any{a, b}
	case 2:
		w.done.keyChanges.Add(1)
		return "update oracle.pairs set a = $3 where a = $1 and b = $2", []any{a, b, w.rnd.IntN(20)}
	}
	return "delete from oracle.pairs where a = $1 and b = $2", []any{a, b}
}

func (w *writer) indexed() (string, []any) {
	code := fmt.Sprint("code ", w.id())
	switch w.rnd.IntN(4) {
	case 0, 1:
		return "insert into oracle.indexed (code, v, note) values ($1, 0, $2) on conflict (code) do update set v = oracle.indexed.v + 1", []any{code, w.toast()}
	case 2:
		w.done.keyChanges.Add(1)
		return "update oracle.indexed set code = $2 where code = $1", []any{code, fmt.Sprint("code ", w.id())}
	}
	return "delete from oracle.indexed where code = $1", []any{code}
}

func (w *writer) bag() (string, []any) {
	switch w.rnd.IntN(5) {
	case 0, 1:
		return "insert into oracle.bag select $1, $2, $3::text::numeric from generate_series(1, 3)", []any{w.word(), w.rnd.IntN(5), "1.50"}
	case 2:
		return "update oracle.bag set n = n + 1 where ctid in (select ctid from oracle.bag where n < 50 limit 2)", nil
	case 3:
		return "update oracle.bag set amount = amount where n = $1", []any{w.rnd.IntN(5)}
	}
	return "delete from oracle.bag where ctid in (select ctid from oracle.bag order by n desc limit $1)", []any{w.rnd.IntN(6)}
}

// bulk makes a large transaction, a savepoint undone in its middle.
func (w *writer) bulk(ctx context.Context, tx pgx.Tx) error {
	w.done.large.Add(1)
	steps := []string{
		fmt.Sprintf("insert into oracle.bulk select g, 0, 'row ' || g from generate_series(1, %d) g on conflict (id) do update set n = oracle.bulk.n + 1", bulkRows),
		"savepoint undo", "delete from oracle.bulk", "rollback to savepoint undo",
		fmt.Sprintf("update oracle.bulk set n = n + 1 where id %% 3 = %d", w.rnd.IntN(3)),
		fmt.Sprintf("delete from oracle.bulk where id %% 2 = %d", w.rnd.IntN(2)),
	}
	for _, query := range steps {
		if _, err := tx.Exec(ctx, query); err != nil {
			return err
		}
	}
	return nil
}
