package outbox

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// version is the form of schema relay that this package reads.
const version = 2

// Open makes a reader, which no other one on the database may be. It begins a new epoch where it can't go on with the last one:
// the outbox was closed or made anew, or the server is another one. For that it waits for transactions that were writing to
// captured tables, and says so.
func Open(ctx context.Context, cfg Config) (*Reader, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Reader{cfg: cfg, layouts: layouts{}, kept: map[int64]int{}}
	conf := cfg.Conn.Copy()
	conf.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { r.rung.Store(true) }
	if r.conn, err = pgx.ConnectConfig(ctx, conf); err != nil {
		return nil, fmt.Errorf("connect to the outbox: %w", err)
	}
	if err := r.open(ctx); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) open(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	if err := r.alone(ctx); err != nil {
		return err
	}
	if err := r.continueEpoch(ctx); err != nil {
		return err
	}
	if r.pooled {
		return nil
	}
	for name, query := range prepared {
		if _, err := r.conn.PgConn().Prepare(ctx, name, query, nil); err != nil {
			return fmt.Errorf("prepare to read the outbox: %w", err)
		}
	}
	if _, err := r.conn.Exec(ctx, "listen pgrelay"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// Pooled tells that something is in between which gives its own process number, and another process to each transaction.
func Pooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid uint32
	err := conn.QueryRow(ctx, "select pg_catalog.pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid != conn.PgConn().PID(), err
}

// settle finds out whether the session is one.
func (r *Reader) settle(ctx context.Context) error {
	var err error
	if r.pooled, err = Pooled(ctx, r.conn); err != nil {
		return fmt.Errorf("look at the session: %w", err)
	}
	if r.pooled {
		r.cfg.Logger.Warn().Msg("a pooler is in between: nobody can ring through it, so the outbox is polled; connect to the server itself")
		return nil
	}
	_, err = r.conn.Exec(ctx, settleSQL)
	if err != nil {
		return fmt.Errorf("settle the session: %w", err)
	}
	return nil
}

const installRemedy = "psql -v reader=<the relay's role> -f triggers/install.sql   -- as the role that owns schema relay, or for the first time"

// check refuses what can't be read.
func (r *Reader) check(ctx context.Context) error {
	var recovery, installed, may bool
	var reader string
	err := r.conn.QueryRow(ctx, `select pg_catalog.pg_is_in_recovery(), current_user::text,
		coalesce(pg_catalog.count(*) filter (where c.relname in ('outbox', 'delivery', 'state', 'outbox_id')) = 4, false),
		coalesce(pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'usage')
			and case c.relkind when 'S' then pg_catalog.has_sequence_privilege(c.oid, 'select') else pg_catalog.has_table_privilege(c.oid, 'select') end), false)
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'relay' and c.relkind in ('r', 'v', 'S')`, pgx.QueryExecModeExec).Scan(&recovery, &reader, &installed, &may)
	switch {
	case err != nil:
		return fmt.Errorf("look for the outbox: %w", err)
	case recovery:
		return &relay.Problem{What: "the server is a standby: an outbox is read on the primary", Remedy: "name the primary in the DSN"}
	case !installed:
		return &relay.Problem{What: "the database has no outbox, or one that is not whole", Remedy: installRemedy}
	case !may:
		return &relay.Problem{What: fmt.Sprintf("role %s may not read the outbox", reader), Remedy: fmt.Sprintf("select relay.grant_reader(%s);", relay.Literal(reader))}
	}
	var have int
	err = r.conn.QueryRow(ctx, `select version from relay.state`, pgx.QueryExecModeExec).Scan(&have)
	switch {
	case err != nil:
		return fmt.Errorf("read the outbox's version: %w", err)
	case have != version:
		return &relay.Problem{What: fmt.Sprintf("schema relay is of version %d, and this relay reads version %d", have, version), Remedy: installRemedy}
	}
	return nil
}

// alone takes the lock that makes a second reader impossible, if need be after waiting for the other to end. Behind a pooler the
// deliveries' numbers alone guard against it.
func (r *Reader) alone(ctx context.Context) error {
	if r.pooled {
		return nil
	}
	for deadline := time.Now().Add(r.cfg.Takeover); ; {
		var ok bool
		if err := r.conn.QueryRow(ctx, `select pg_catalog.pg_try_advisory_lock($1::int4, $2::int4)`, lockClass, lockReader).Scan(&ok); err != nil {
			return fmt.Errorf("take the reader's lock: %w", err)
		}
		if ok {
			return nil
		}
		other := r.other(ctx)
		if time.Now().After(deadline) {
			return other
		}
		if err := r.await(ctx, other.Error()); err != nil {
			return err
		}
	}
}

// other says who holds the reader's lock.
func (r *Reader) other(ctx context.Context) error {
	var pid int
	var who string
	err := r.conn.QueryRow(ctx, `select l.pid, pg_catalog.format('process %s of role %s (%s), connected from %s since %s', l.pid, a.usename,
			coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(pg_catalog.host(a.client_addr), 'this machine'), a.backend_start::timestamptz(0))
		from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
		where l.locktype = 'advisory' and l.classid::int8 = $1::int8 and l.objid::int8 = $2::int8 and l.objsubid = 2 and l.granted
		  and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())`, int64(lockClass), int64(lockReader)).Scan(&pid, &who)
	if err != nil {
		return fmt.Errorf("another relay reads this outbox, and it can't be told which: %w", err)
	}
	return &relay.Problem{What: "another relay reads this outbox: " + who, Remedy: "stop that relay, or: select pg_terminate_backend(" + strconv.Itoa(pid) + ");"}
}
