package publication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// lockTimeouts are those of the attempts at one change. What the change locks a table with (SHARE UPDATE EXCLUSIVE)
// lets reads and writes pass, waiting or held, but a DDL statement queues behind it, so it waits shortly. The last is
// longer than deadlock_timeout, the time after which an autovacuum that is in the way gives way.
// https://www.postgresql.org/docs/current/explicit-locking.html
var lockTimeouts = []time.Duration{500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond}

// SQLSTATEs. https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	lockNotAvailable      = "55P03"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
	duplicateObject       = "42710"
)

// errIdentity tells of a table that lost its replica identity after it was inspected.
var errIdentity = errors.New("no replica identity any more")

// Ensure makes the publications name and name_insert carry what the relations need and nothing else, each change in a
// transaction of its own, over a connection without an open one. Running it again changes nothing.
//
// The State is nil only where the publication isn't there or can't be used. A State with an error, always a
// *relay.Problem then, tells that some tables couldn't be added or dropped: the others are served, and the remedy is the
// exact SQL that is left to run. Both publications are made at once, before the slot, for a publication that is younger
// than the WAL that a slot still has to read stops Postgres 15 at it.
func Ensure(ctx context.Context, conn *pgx.Conn, name string, relations []*relay.Relation) (*State, error) {
	var version int
	var role string
	err := conn.QueryRow(ctx, `select pg_catalog.current_setting('server_version_num')::int4, current_user::text`).Scan(&version, &role)
	if err != nil {
		return nil, fmt.Errorf("ensure publication %s: %w", name, err)
	}
	fullTables, insertTables := wanted(relations)
	full, insert := kinds(name, version)
	s := &State{leaves: map[uint32]*readiness{}, members: map[uint32]uint32{}}
	left := &leftover{role: role}
	for _, one := range []struct {
		kind
		tables []table
	}{{full, fullTables}, {insert, insertTables}} {
		if err := ensure(ctx, conn, one.kind, one.tables, s, left); err != nil {
			return nil, err
		}
		e, err := read(ctx, conn, one.name)
		if err != nil {
			return nil, err
		}
		if e != nil {
			s.keep(one.kind, e, one.tables)
		}
	}
	if s.OID == 0 {
		return nil, left.problem()
	}
	if err := s.findWriters(ctx, conn); err != nil {
		return nil, err
	}
	return s, left.problem()
}

// leftover collects what couldn't be done.
type leftover struct {
	role       string
	statements []string
	reasons    []string
}

func (l *leftover) add(reason string, statements ...string) {
	l.statements = append(l.statements, statements...)
	for _, r := range l.reasons {
		if r == reason {
			return
		}
	}
	l.reasons = append(l.reasons, reason)
}

func (l *leftover) problem() error {
	if len(l.reasons) == 0 {
		return nil // the untyped one
	}
	return &relay.Problem{What: "the publication lacks changes: " + strings.Join(l.reasons, "; "), Remedy: strings.Join(l.statements, "\n")}
}

func ensure(ctx context.Context, conn *pgx.Conn, k kind, tables []table, s *State, left *leftover) error {
	e, err := read(ctx, conn, k.name)
	if err != nil {
		return err
	}
	steps, problem := k.plan(e, tables)
	if problem != nil {
		return problem
	}
	for i, step := range steps {
		err := k.attempt(ctx, conn, step)
		var pg *pgconn.PgError
		switch {
		case err == nil && step.add != nil:
			if s.leaves[step.add.oid], err = added(ctx, conn); err != nil {
				return err
			}
		case err == nil:
		case errors.Is(err, errIdentity):
			left.add(fmt.Sprintf("%s has no replica identity any more", step.add.name))
		case !errors.As(err, &pg):
			return fmt.Errorf("alter publication %s: %w", k.name, err)
		case pg.Code == insufficientPrivilege && e == nil && k.optional && len(tables) == 0:
			return nil
		case pg.Code == insufficientPrivilege && i == 0 && e == nil:
			for _, rest := range steps {
				left.add(fmt.Sprintf("role %q may not create publication %q (%s)", left.role, k.name, pg.Message), rest.statements...)
			}
			return nil
		case pg.Code == insufficientPrivilege:
			left.add(fmt.Sprintf("role %q may not change publication %q (%s)", left.role, k.name, pg.Message), step.statements...)
		case pg.Code == lockNotAvailable:
			left.add("a lock that another session holds: "+strings.Join(step.statements, " "), step.statements...)
		case pg.Code == undefinedTable || pg.Code == duplicateObject: // dropped, or done by somebody else, meanwhile
		default:
			return fmt.Errorf("alter publication %s: %w", k.name, err)
		}
	}
	return nil
}

// attempt makes one change, giving way to whoever holds a lock on the table.
func (k kind) attempt(ctx context.Context, conn *pgx.Conn, s step) (err error) {
	for _, timeout := range lockTimeouts {
		err = k.run(ctx, conn, s, timeout)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != lockNotAvailable {
			return err
		}
	}
	return err
}

func (k kind) run(ctx context.Context, conn *pgx.Conn, s step, timeout time.Duration) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d", timeout.Milliseconds())); err != nil {
			return err
		}
		for _, statement := range s.statements {
			if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		if s.add == nil || !strings.Contains(k.actions, "update") {
			return nil
		}
		return k.identified(ctx, tx, s.add.oid)
	})
}

// identitySQL: what a table needs so that the application's UPDATE and DELETE work once it is in a publication that
// carries them (CheckCmdReplicaIdentity). The table is locked against ALTER by then.
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/executor/execReplication.c
const identitySQL = `
with unpublished as (
  select a.attnum from pg_catalog.pg_attribute a
  where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and (a.attgenerated = 'v' or a.attgenerated = 's' and not exists (
    select from pg_catalog.pg_publication_rel m join pg_catalog.pg_publication p on p.oid = m.prpubid
    where m.prrelid = $1 and p.pubname = $2 and pg_catalog.to_jsonb(p) ->> 'pubgencols' = 's'))
)
select case when c.relreplident = 'f' then pg_catalog.current_setting('server_version_num')::int4 < 180000 or not exists (select from unpublished)
  else exists (select from pg_catalog.pg_index i where i.indrelid = c.oid
    and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
    and i.indisunique and i.indimmediate and i.indisvalid and i.indislive and i.indpred is null
    and not exists (select from unpublished u where u.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1]))) end
from pg_catalog.pg_class c where c.oid = $1`

func (k kind) identified(ctx context.Context, tx pgx.Tx, oid uint32) error {
	var ok bool
	if err := tx.QueryRow(ctx, identitySQL, oid, k.name).Scan(&ok); err != nil {
		return err
	}
	if !ok {
		return errIdentity
	}
	return nil
}
