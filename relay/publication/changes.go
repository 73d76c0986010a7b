package publication

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// Change is one change to a publication, for a transaction of its own. Statements name their objects whole.
type Change struct {
	Publication string
	Statements  []string
	// Adds is the oid of the table that it adds; 0 for another change. The change takes SHARE UPDATE EXCLUSIVE on a table
	// that it adds or drops.
	Adds uint32
}

// Changes lists what is left to do until the publications name and name_insert carry the relations as Ensure would have
// them, in order. It changes nothing itself, and leaves members that belong to none of the relations where they are. A
// leaf of a relation that isn't captured logically is taken out.
func Changes(ctx context.Context, conn *pgx.Conn, name string, relations []*relay.Relation) ([]Change, error) {
	var version int
	if err := conn.QueryRow(ctx, `select pg_catalog.current_setting('server_version_num')::int4`).Scan(&version); err != nil {
		return nil, fmt.Errorf("compare publication %s: %w", name, err)
	}
	concerned := map[uint32]bool{}
	for _, r := range relations {
		for _, l := range r.Leaves {
			concerned[l.OID] = true
		}
	}
	fullTables, insertTables := wanted(relations)
	full, insert := kinds(name, version)
	var changes []Change
	for _, one := range []struct {
		kind
		tables []table
	}{{full, fullTables}, {insert, insertTables}} {
		e, err := read(ctx, conn, one.name)
		if err != nil {
			return nil, err
		}
		if e != nil {
			maps.DeleteFunc(e.members, func(oid uint32, _ member) bool { return !concerned[oid] })
		}
		steps, problem := one.plan(e, one.tables)
		if problem != nil {
			return nil, problem
		}
		for _, s := range steps {
			c := Change{Publication: one.name, Statements: s.statements}
			if s.add != nil {
				c.Adds = s.add.oid
			}
			changes = append(changes, c)
		}
	}
	return changes, nil
}
