package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// SQLSTATEs. https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	lockNotAvailable      = "55P03"
	deadlockDetected      = "40P01"
	objectInUse           = "55006"
	insufficientPrivilege = "42501"
)

// A step whose lock somebody else holds is tried so many times, with a pause of so long after each; the pauses are longer
// than what it makes others wait, and grow.
const (
	attempts     = 25
	firstPause   = time.Second
	longestPause = 4 * time.Second
)

// run makes one step, and tries again while somebody holds the lock that it needs.
func (s *Step) run(ctx context.Context, conn *pgx.Conn, waiting func(attempt int, reason string)) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		timeout := lockTimeout
		if s.patient && attempt%4 == 0 {
			timeout = patientTimeout
		}
		err := s.attempt(ctx, conn, timeout, func(reason string) { waiting(attempt, reason) })
		if c := code(err); err == nil || c != lockNotAvailable && c != deadlockDetected && c != objectInUse {
			return err
		}
		holder := s.holder(ctx, conn)
		if attempt == attempts {
			return &relay.Problem{What: fmt.Sprintf("given up after %d attempts: %s", attempts, holder), Remedy: "wait until that has ended, or end it, and run this again"}
		}
		waiting(attempt, holder)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*5/4, longestPause)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func (s *Step) attempt(ctx context.Context, conn *pgx.Conn, timeout string, waiting func(string)) error {
	switch {
	case s.work != nil:
		return s.work(ctx, conn, waiting)
	case s.script != "":
		_, err := conn.PgConn().Exec(ctx, s.script).ReadAll()
		if err != nil && conn.PgConn().TxStatus() != 'I' {
			_, undo := conn.Exec(ctx, "rollback")
			err = errors.Join(err, undo)
		}
		return err
	}
	var r *row
	if s.proof != nil {
		r = s.proof.pick(ctx, conn)
	}
	err := s.transaction(ctx, conn, timeout, true, r)
	if s.proof == nil || err == nil || !errors.Is(err, errProof) {
		return err
	}
	// What fails as it is has nothing to do with the change.
	as := s.asItIs(ctx, conn)
	if as != nil && code(as) == code(err) {
		return s.transaction(ctx, conn, timeout, false, nil)
	}
	return err
}

// errProof tells that the application's writes would fail after the change.
var errProof = errors.New("the application's UPDATE or DELETE would fail")

func (s *Step) transaction(ctx context.Context, conn *pgx.Conn, timeout string, proved bool, r *row) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = '%s'", timeout)); err != nil {
			return err
		}
		secrets := s.secrets
		for _, statement := range s.Statements {
			if strings.Contains(statement, "'…'") && len(secrets) > 0 {
				statement, secrets = strings.Replace(statement, "'…'", relay.Literal(secrets[0]), 1), secrets[1:]
			}
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if s.proof == nil || !proved {
			return nil
		}
		if err := s.proof.try(ctx, tx, true, r); err != nil {
			return fmt.Errorf("undone, for %w: %w", errProof, err)
		}
		return nil
	})
}

// asItIs tries what the proof tries before the change.
func (s *Step) asItIs(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return s.proof.try(ctx, tx, false, nil) })
}

const holderSQL = `
select coalesce((select who from (
  select 0 as rank, a.xact_start as since, format('%s %s%s, in a transaction since %s%s', case when a.usename is null then a.backend_type else 'process' end, a.pid,
    coalesce(' of ' || a.usename, '') || coalesce(nullif(', ' || a.application_name, ', '), ''), a.xact_start::timestamptz(0), ' (' || a.state || ')') as who
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.relation = $1 and l.database = (select oid from pg_database where datname = current_database()) and l.granted and l.pid <> pg_backend_pid()
  union all
  select 1, x.prepared, format('prepared transaction %L of %s, since %s', x.gid, x.owner, x.prepared::timestamptz(0)) from pg_prepared_xacts x
  where exists (select from pg_locks l where l.relation = $1 and l.granted and l.pid is null)
    and x.database = current_database()) h order by rank, since limit 1), 'who has let go of it since')`

// holder names who holds a lock on the table.
func (s *Step) holder(ctx context.Context, conn *pgx.Conn) string {
	if s.busy == nil {
		return "another session holds it, or a lock on it"
	}
	var who string
	if err := conn.QueryRow(ctx, holderSQL, s.busy.oid).Scan(&who); err != nil {
		return "a lock on " + s.busy.name + " that another session holds"
	}
	return s.busy.name + " is locked by " + who
}
