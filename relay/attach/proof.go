package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// proof is that the application's UPDATE and DELETE of a table work after a change: Postgres refuses them where the table is
// in a publication that carries them and its replica identity won't do (55000), which nothing tells before.
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/executor/execReplication.c (CheckCmdReplicaIdentity)
type proof struct {
	table
	// into is the publication that the table is added to for the proof; "" where it is in already.
	into string
	// column is one that an UPDATE may set; "" where there is none.
	column string
	// shown: the script has it too.
	shown bool
}

const columnSQL = `
select coalesce((select a.attname::text from pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
  and a.attgenerated = '' and a.attidentity <> 'a' order by a.attnum limit 1), '')`

func newProof(ctx context.Context, conn *pgx.Conn, t table, into string, shown bool) (*proof, error) {
	p := &proof{table: t, into: into, shown: shown}
	if err := conn.QueryRow(ctx, columnSQL, t.oid).Scan(&p.column); err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t.name, err)
	}
	return p, nil
}

// explained are the statements for no row: to explain one is to prepare everything for its rows and read none, so that no
// trigger fires and no row is locked.
func (p *proof) explained() (statements []string) {
	if p.column != "" {
		statements = append(statements, fmt.Sprintf("explain (costs off) update only %s set %[2]s = %[2]s where false;", p.name, relay.Ident(p.column)))
	}
	return append(statements, fmt.Sprintf("explain (costs off) delete from only %s where false;", p.name))
}

func (p *proof) publish() []string {
	if p.into == "" {
		return nil
	}
	return []string{fmt.Sprintf("alter publication %s add table only %s;", relay.Ident(p.into), p.name)}
}

const (
	savepoint = "savepoint proof;"
	rollback  = "rollback to savepoint proof;"
)

// script is the proof as the script has it.
func (p *proof) script() []string {
	lines := append([]string{savepoint + "  -- the application's UPDATE and DELETE have to go on working"}, p.publish()...)
	return append(append(lines, p.explained()...), rollback)
}

// row is one of the table's, and how it may be tried.
type row struct {
	ctid string
	// quiet: no trigger fires where session_replication_role is replica, which the session may set.
	quiet bool
}

// A row's own writes are tried where no trigger of the application would notice. With session_replication_role = replica
// ordinary triggers, those of foreign keys among them, don't fire.
const rowSQL = `
with t as (select c.relhasrules as rules, exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgenabled <> 'D') as any,
    exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgenabled in ('A', 'R')) as always,
    has_parameter_privilege('session_replication_role', 'SET') as may from pg_class c where c.oid = $1)
select t.any and t.may, not t.rules and (not t.any or t.may and not t.always) from t`

// pick finds a row to try; nil where there is none, none that may be tried, or none that is found at once.
func (p *proof) pick(ctx context.Context, conn *pgx.Conn) *row {
	var r row
	var may bool
	if err := conn.QueryRow(ctx, rowSQL, p.oid).Scan(&r.quiet, &may); err != nil || !may {
		return nil
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local statement_timeout = '1s'"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, fmt.Sprintf("select ctid::text from only %s limit 1", p.name)).Scan(&r.ctid)
	})
	if err != nil {
		return nil
	}
	return &r
}

// try runs the proof in a transaction and undoes what it did. whole: after the change, with one row where there is one;
// else as things are.
func (p *proof) try(ctx context.Context, tx pgx.Tx, whole bool, r *row) error {
	statements := []string{savepoint}
	if whole {
		statements = append(statements, p.publish()...)
	}
	statements = append(statements, p.explained()...)
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	if whole && r != nil {
		if err := p.write(ctx, tx, *r); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, rollback)
	return err
}

// write updates a row to what it is, and deletes it.
func (p *proof) write(ctx context.Context, tx pgx.Tx, r row) error {
	if r.quiet {
		if _, err := tx.Exec(ctx, "set local session_replication_role = replica"); err != nil {
			return err
		}
	}
	if p.column != "" {
		update := fmt.Sprintf("update only %s set %[2]s = %[2]s where ctid = $1::tid returning ctid::text", p.name, relay.Ident(p.column))
		switch err := tx.QueryRow(ctx, update, r.ctid).Scan(&r.ctid); {
		case errors.Is(err, pgx.ErrNoRows): // it was changed meanwhile
			return nil
		case err != nil:
			return err
		}
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("delete from only %s where ctid = $1::tid", p.name), r.ctid)
	return err
}

// code is an error's SQLSTATE, "" for none.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
