package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// transaction is an open one that has written something, in any database of the server: the slots' restart_lsn stays
// before it.
type transaction struct {
	pid      int32  // 0 for a prepared one
	gid      string // of a prepared one
	user     string
	database string
	state    string
	age      time.Duration
}

const transactionSQL = `
select a.pid, '', coalesce(a.usename, '')::text, coalesce(a.datname, '')::text, coalesce(a.state, ''),
  extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as age
from pg_catalog.pg_stat_activity a
where a.backend_xid is not null and a.xact_start is not null and a.pid <> pg_catalog.pg_backend_pid()
union all
select 0, x.gid::text, x.owner::text, x.database::text, 'prepared', extract(epoch from pg_catalog.clock_timestamp() - x.prepared)::float8
from pg_catalog.pg_prepared_xacts x
order by age desc`

func askTransactions(ctx context.Context, tx pgx.Tx, p *place) (err error) {
	p.transactions, err = collect(ctx, tx, transactionSQL, func(row pgx.Row, t *transaction) error {
		var age float64
		err := row.Scan(&t.pid, &t.gid, &t.user, &t.database, &t.state, &age)
		t.age = time.Duration(age * float64(time.Second))
		return err
	})
	return err
}

func judgeTransactions(p *place) (f findings) {
	for _, t := range p.transactions {
		if t.age < p.cfg.LongTransaction {
			continue
		}
		object, remedy := fmt.Sprintf("process %d", t.pid), fmt.Sprintf("select pg_terminate_backend(%d);   -- or let it commit", t.pid)
		if t.pid == 0 {
			object = "prepared transaction " + relay.Literal(t.gid)
			remedy = fmt.Sprintf("rollback prepared %s;   -- or commit prepared, in database %s", relay.Literal(t.gid), relay.Ident(t.database))
		}
		f.add(Warning, object, remedy, fmt.Sprintf("a transaction of %s in database %s is open for %s (%s): WAL is kept from its start on, and a new slot or table waits for it",
			relay.Ident(t.user), relay.Ident(t.database), t.age.Round(time.Second), t.state))
	}
	return f
}
