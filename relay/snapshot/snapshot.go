// Package snapshot reads a table's rows in one snapshot at the source, in text form, under pinned settings.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// settings are set with set local, and read back, so that a pooler can't lose them. row_security off turns a policy that
// would hide rows into an error.
var settings = append(slices.Clone(relay.TextSettings), [][2]string{
	{"row_security", "off"},
	{"statement_timeout", "0"},
	{"lock_timeout", "2s"},
	{"idle_in_transaction_session_timeout", "0"},
}...)

// ErrChanged tells that the table is no longer as the relation says.
var ErrChanged = errors.New("the table's catalog entries have changed")

// ErrLocked tells that the table is locked against readers: try again later, without holding anything meanwhile.
var ErrLocked = errors.New("the table is locked")

// ErrRace tells that transactions which the stream has brought stayed invisible for too long: they wait for a
// synchronous standby.
var ErrRace = errors.New("committed transactions stay invisible: they may be waiting for a synchronous standby")

// raceLimit bounds the retries after transactions that the stream brought before a snapshot sees them.
const raceLimit = 10 * time.Second

// Request says what to read.
type Request struct {
	Relation *relay.Relation
	// Columns are indexes into Relation.Columns.
	Columns []int
	// Condition leaves rows out at the source, with Args for $1 and on in text form; empty: none are.
	Condition string
	Args      []string
	// Unchanged looks, within the transaction and under its lock, whether the table is as Relation says.
	Unchanged func(ctx context.Context, tx pgx.Tx) (bool, error)
	// Streamed tells that the snapshot (pg_snapshot's text) sees every transaction that the stream has brought.
	Streamed func(snapshot string) (bool, error)
	// Row gets each row's values; nil is null. They are valid during the call.
	Row func(texts [][]byte) error
}

// Result is what joins the rows to the stream.
type Result struct {
	// Snapshot is the pg_snapshot that the rows were read in.
	Snapshot string
	// Fence is a position that lies after the commit of every transaction that the snapshot sees.
	Fence relay.LSN
	Rows  uint64
}

// Read reads the rows on conn. On an error the connection may be left in a transaction: close it.
func Read(ctx context.Context, conn *pgx.Conn, req Request) (Result, error) {
	deadline := time.Now().Add(raceLimit)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		result, seen, err := attempt(ctx, conn, req)
		if err != nil || seen {
			return result, err
		}
		if time.Now().After(deadline) {
			return result, ErrRace
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return result, context.Cause(ctx)
		}
	}
}

// attempt reads the rows unless the snapshot doesn't see all that the stream has brought.
func attempt(ctx context.Context, conn *pgx.Conn, req Request) (result Result, seen bool, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return result, false, fmt.Errorf("begin the snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := pin(ctx, tx); err != nil {
		return result, false, err
	}
	if err := lock(ctx, tx, req.Relation); err != nil {
		return result, false, err
	}
	if err := tx.QueryRow(ctx, "select pg_catalog.pg_current_snapshot()::text").Scan(&result.Snapshot); err != nil {
		return result, false, fmt.Errorf("take the snapshot: %w", err)
	}
	if ok, err := req.Unchanged(ctx, tx); err != nil {
		return result, false, err
	} else if !ok {
		return result, false, ErrChanged
	}
	if ok, err := req.Streamed(result.Snapshot); err != nil || !ok {
		return result, false, err
	}
	if result.Rows, err = read(ctx, tx.Conn().PgConn(), req); err != nil {
		return result, false, fmt.Errorf("read %s: %w", req.Relation.Name, err)
	}
	var fence string
	if err := tx.QueryRow(ctx, "select pg_catalog.pg_current_wal_insert_lsn()::text").Scan(&fence); err != nil {
		return result, false, fmt.Errorf("read the fence: %w", err)
	}
	if result.Fence, err = relay.ParseLSN(fence); err != nil {
		return result, false, err
	}
	if err := tx.Commit(ctx); err != nil {
		return result, false, fmt.Errorf("end the snapshot: %w", err)
	}
	return result, true, nil
}

// lock keeps the table from being rewritten. It takes no snapshot, so a rewriting ALTER is before it as a whole or waits.
// A foreign table, which can't be locked, isn't rewritten.
func lock(ctx context.Context, tx pgx.Tx, r *relay.Relation) error {
	if r.Capture == relay.CaptureWarehouse {
		return nil
	}
	_, err := tx.Exec(ctx, "lock table "+only(r)+" in access share mode")
	if isLockTimeout(err) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", r.Name, err)
	}
	return nil
}

func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

func pin(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, relay.SetLocal(settings)); err != nil {
		return fmt.Errorf("pin the session's settings: %w", err)
	}
	// SHOW takes no snapshot.
	rows, err := tx.Conn().PgConn().Exec(ctx, "show datestyle; show timezone; show intervalstyle; show extra_float_digits; show bytea_output; show row_security").ReadAll()
	if err != nil {
		return fmt.Errorf("read the session's settings: %w", err)
	}
	for i, want := range []string{"ISO, MDY", "UTC", "postgres", "1", "hex", "off"} {
		if got := string(rows[i].Rows[0][0]); got != want {
			return fmt.Errorf("the session has %s where it should have %s: a pooler in between loses settings; connect to the server itself", got, want)
		}
	}
	return nil
}

// only names the table; with old-style inheritance every table is itself.
func only(r *relay.Relation) string {
	name := pgx.Identifier{r.Schema, r.Table}.Sanitize()
	if r.Partitioned {
		return name
	}
	return "only " + name
}

// maxArgs is how many bind parameters a statement may have.
// https://www.postgresql.org/docs/current/protocol-message-formats.html (Bind)
const maxArgs = 65535

func read(ctx context.Context, conn *pgconn.PgConn, req Request) (rows uint64, err error) {
	names := make([]string, len(req.Columns))
	for i, c := range req.Columns {
		names[i] = pgx.Identifier{req.Relation.Columns[c].Source}.Sanitize()
	}
	query := "select " + strings.Join(names, ", ") + " from " + only(req.Relation)
	var args [][]byte
	if req.Condition != "" && len(req.Args) <= maxArgs {
		query += " where " + req.Condition
		for _, arg := range req.Args {
			args = append(args, []byte(arg))
		}
	}
	result := conn.ExecParams(ctx, query, args, nil, nil, nil)
	for result.NextRow() {
		rows++
		if err := req.Row(result.Values()); err != nil {
			// What is left of the result isn't read: the caller closes the connection.
			return rows, err
		}
	}
	_, err = result.Close()
	return rows, err
}
