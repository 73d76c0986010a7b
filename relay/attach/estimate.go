package attach

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// cost is an estimate of what replica identity FULL adds to the WAL of a table.
type cost struct {
	// row and toast are bytes of an average row: in the table, and beside it.
	row, toast float64
	// writes are updates and deletes a day; analyzed: row and toast are known; counted: so is writes.
	writes            float64
	analyzed, counted bool
}

// The old row goes to the WAL with its TOASTed values, as they are stored. Both sizes hold free space and dead rows, so the
// estimate is rather too large. Where the counters were never reset they count from initdb, whose time is in the system
// identifier. https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
const estimateSQL = `
select c.reltuples::float8, pg_relation_size(c.oid)::float8, coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0)::float8,
  coalesce(s.n_tup_upd + s.n_tup_del, 0)::float8,
  extract(epoch from clock_timestamp() - coalesce(d.stats_reset, to_timestamp((select system_identifier from pg_control_system()) >> 32)))::float8
from pg_class c left join pg_stat_all_tables s on s.relid = c.oid
join pg_stat_database d on d.datname = current_database()
where c.oid = $1`

func estimate(ctx context.Context, conn *pgx.Conn, oid uint32) (c cost, err error) {
	var rows, heap, toast, writes, seconds float64
	if err := conn.QueryRow(ctx, estimateSQL, oid).Scan(&rows, &heap, &toast, &writes, &seconds); err != nil {
		return c, fmt.Errorf("estimate the WAL of replica identity FULL: %w", err)
	}
	if rows > 0 {
		c.analyzed, c.row, c.toast = true, heap/rows, toast/rows
	}
	if seconds >= 60 {
		c.counted, c.writes = true, writes/seconds*24*60*60
	}
	return c, nil
}

func (c cost) perDay() int64 { return int64((c.row + c.toast) * c.writes) }

func (c cost) String() string {
	each := "an unknown size (analyze the table), "
	if c.analyzed {
		each = fmt.Sprintf("about %s each, %s of it TOASTed, ", bytes(c.row+c.toast), bytes(c.toast))
	}
	if !c.counted {
		return each + "an unknown number a day (the statistics are too young)"
	}
	day := fmt.Sprintf("about %.0f a day by pg_stat_user_tables", c.writes)
	if c.analyzed {
		day += ": " + bytes(float64(c.perDay())) + " a day"
	}
	return each + day
}

func bytes(n float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	at := 0
	for n >= 999.5 && at < len(units)-1 {
		n, at = n/1000, at+1
	}
	if at > 0 && n < 9.95 {
		return fmt.Sprintf("%.1f %s", n, units[at])
	}
	return fmt.Sprintf("%.0f %s", n, units[at])
}
