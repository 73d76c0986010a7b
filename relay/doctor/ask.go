package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// question is what every database is asked once.
type question struct {
	fact fact
	ask  func(ctx context.Context, tx pgx.Tx, p *place) error
}

var questions = []question{
	{factCatalog, askCatalog},
	{factServer, askServer},
	{factRole, askRole},
	{factSlots, askSlots},
	{factTransactions, askTransactions},
	{factPublications, askPublications},
	{factTables, askTables},
	{factCapture, askCapture},
	{factRules, askRules},
}

// lockTimeout of a question: those few functions that lock a relation of the relay's own schema don't wait for long.
const lockTimeout = 500 * time.Millisecond

// bound makes the transaction harmless. It is set in each transaction, so that a pooler can't lose it.
const bound = `select pg_catalog.set_config(name, value, true) from (values ('statement_timeout', $1), ('lock_timeout', $2),
  ('idle_in_transaction_session_timeout', $1), ('search_path', 'pg_catalog'), ('max_parallel_workers_per_gather', '0')) v(name, value)`

// ask asks a place everything over one connection.
func (p *place) ask(ctx context.Context) {
	conf := p.source.Conn.Copy()
	conf.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statement outlives a transaction: a pooler may change the session
	p.server.at = p.address()
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		p.err = fmt.Errorf("connect to source %s: %s", p.name, cause(err))
		p.looked.Err, p.away = p.err, true
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	p.server.pid = conn.PgConn().PID()
	for _, q := range questions {
		p.cfg.Progress(fmt.Sprintf("%s: %s", p.name, q.fact))
		if err := p.one(ctx, conn, q); err != nil {
			p.unread[q.fact] = err
		}
	}
}

func (p *place) one(ctx context.Context, conn *pgx.Conn, q question) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, bound, fmt.Sprint(p.cfg.StatementTimeout.Milliseconds()), fmt.Sprint(lockTimeout.Milliseconds()))
	if err != nil {
		return err
	}
	return q.ask(ctx, tx, p)
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, tx pgx.Tx, sql string, scan func(pgx.Row, *T) error, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (v T, err error) {
		err = scan(row, &v)
		return v, err
	})
}

// askCatalog looks at the source as a relay does, at all of its tables, however they are captured.
func askCatalog(ctx context.Context, tx pgx.Tx, p *place) error {
	if !p.isSource() {
		return nil
	}
	all, err := p.source.Inspect(ctx, tx.Conn())
	if err == nil && len(all.Triggered) > 0 {
		var other *warehouse.Inspection
		if other, err = p.source.ByTrigger().Inspect(ctx, tx.Conn()); err == nil {
			all.Relations, all.Refused, all.Notes = append(all.Relations, other.Relations...), append(all.Refused, other.Refused...), append(all.Notes, other.Notes...)
		}
	}
	if err != nil {
		p.looked.Err = err
		if relay.Remedy(err) != "" {
			p.err = err // a finding of its own
			return nil
		}
		return err
	}
	p.inspection, p.looked.Inspection = all, all
	return nil
}

// cause is the server's own message where there is one, on one line.
func cause(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
