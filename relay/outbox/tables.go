package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Table is a captured table.
type Table struct {
	OID uint32
	// Name is as SQL writes it.
	Name string
	// Level is statement or row.
	Level string
	// Excluded columns are not in its tuples.
	Excluded          []string
	SuppressRedundant bool
	// Problem keeps changes from being seen; "" where nothing does. select relay.enable_table(Name) mends it.
	Problem string
	// Stamp differs whenever its triggers were touched, also if they were disabled and enabled again meanwhile: changes may
	// have gone unseen.
	Stamp string
}

// Tables lists what is captured, by name.
func Tables(ctx context.Context, conn *pgx.Conn) ([]Table, error) {
	rows, err := conn.Query(ctx, `select relation, name, level, excluded, suppress_redundant, coalesce(problem, ''), coalesce(stamp, '') from relay.tables()`,
		pgx.QueryExecModeExec)
	if err != nil {
		return nil, fmt.Errorf("list captured tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) {
		err = row.Scan(&t.OID, &t.Name, &t.Level, &t.Excluded, &t.SuppressRedundant, &t.Problem, &t.Stamp)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list captured tables: %w", err)
	}
	return tables, nil
}
