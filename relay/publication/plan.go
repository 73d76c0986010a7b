package publication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// version18 is the first server_version_num whose publications can carry stored generated columns.
const version18 = 180000

// InsertSuffix ends the name of the publication for insert-only tables.
const InsertSuffix = "_insert"

// table is a leaf that is to be a member.
type table struct {
	oid  uint32
	name string // as SQL reads it
}

// wanted are the leaves of the two publications. A leaf that one relation publishes fully is not in the insert-only one
// too. A leaf without replica identity is in neither, unless it is insert-only.
func wanted(relations []*relay.Relation) (full, insert []table) {
	seen := map[uint32]bool{}
	collect := func(list *[]table, only bool) {
		for _, r := range relations {
			if r.Capture != relay.CaptureLogical || r.InsertOnly != only {
				continue
			}
			for _, l := range r.Leaves {
				if seen[l.OID] || !only && !l.Full && l.Key == nil {
					continue
				}
				seen[l.OID] = true
				*list = append(*list, table{l.OID, relay.Ident(l.Schema, l.Table)})
			}
		}
	}
	collect(&full, false)
	collect(&insert, true)
	return full, insert
}

// kind is what one of the two publications carries.
type kind struct {
	name      string
	actions   string // the parameter publish
	generated bool   // the server knows publish_generated_columns
	optional  bool   // not needed while it would have no members
}

func (k kind) create() string {
	with := fmt.Sprintf("publish = '%s', publish_via_partition_root = false", k.actions)
	if k.generated {
		with += ", publish_generated_columns = stored"
	}
	return fmt.Sprintf("create publication %s with (%s);", relay.Ident(k.name), with)
}

func (k kind) add(t table) string {
	return fmt.Sprintf("alter publication %s add table only %s;", relay.Ident(k.name), t.name)
}

func (k kind) drop(name string) string {
	return fmt.Sprintf("alter publication %s drop table only %s;", relay.Ident(k.name), name)
}

// mend sets the parameters that the relay relies on. publish_generated_columns is the operator's.
func (k kind) mend() string {
	return fmt.Sprintf("alter publication %s set (publish = '%s', publish_via_partition_root = false);", relay.Ident(k.name), k.actions)
}

func kinds(name string, version int) (full, insert kind) {
	generated := version >= version18
	return kind{name: name, actions: "insert, update, delete, truncate", generated: generated},
		kind{name: name + InsertSuffix, actions: "insert, truncate", generated: generated, optional: true}
}

// SQL are the statements that make the publications where there are none, for a server of this server_version_num.
// Ensure's own error has those that are missing.
func SQL(name string, version int, relations []*relay.Relation) []string {
	fullTables, insertTables := wanted(relations)
	full, insert := kinds(name, version)
	statements := []string{full.create(), insert.create()}
	for _, t := range fullTables {
		statements = append(statements, full.add(t))
	}
	for _, t := range insertTables {
		statements = append(statements, insert.add(t))
	}
	return statements
}

// existing is a publication as the catalog has it.
type existing struct {
	oid       uint32
	allTables bool
	schemas   []string
	actions   string
	viaRoot   bool
	members   map[uint32]member
}

// member is a table of a publication, and the oid of its entry. odd: with a column list or a row filter, which would hide changes.
type member struct {
	oid  uint32
	name string
	odd  bool
}

const publicationSQL = `
select p.oid, p.puballtables, p.pubviaroot,
  pg_catalog.concat_ws(', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
    case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end),
  array(select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_publication_namespace s
    join pg_catalog.pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid order by 1)
from pg_catalog.pg_publication p where p.pubname = $1`

const memberSQL = `
select m.prrelid, m.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), m.prqual is not null or m.prattrs is not null
from pg_catalog.pg_publication_rel m
join pg_catalog.pg_class c on c.oid = m.prrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where m.prpubid = $1`

// read returns nil where there is no publication of that name.
func read(ctx context.Context, conn *pgx.Conn, name string) (*existing, error) {
	e := &existing{members: map[uint32]member{}}
	err := conn.QueryRow(ctx, publicationSQL, name).Scan(&e.oid, &e.allTables, &e.viaRoot, &e.actions, &e.schemas)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read publication %s: %w", name, err)
	}
	rows, err := conn.Query(ctx, memberSQL, e.oid)
	if err != nil {
		return nil, fmt.Errorf("read members of publication %s: %w", name, err)
	}
	var oid uint32
	var m member
	_, err = pgx.ForEachRow(rows, []any{&oid, &m.oid, &m.name, &m.odd}, func() error {
		e.members[oid] = m
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read members of publication %s: %w", name, err)
	}
	return e, nil
}

// step is one change to a publication, made in a transaction of its own.
type step struct {
	statements []string
	add        *table // the table that it adds
}

// plan lists the steps from what there is to what is wanted: first what takes tables out, so that none is in both.
func (k kind) plan(e *existing, tables []table) (steps []step, problem *relay.Problem) {
	if e == nil {
		steps = append(steps, step{statements: []string{k.create()}})
		e = &existing{actions: k.actions}
	}
	if e.allTables {
		return nil, &relay.Problem{
			What:   fmt.Sprintf("publication %q is for all tables; the relay needs one that names its tables", k.name),
			Remedy: "give the relay another name under publication in pgrelay.yaml",
		}
	}
	if len(e.schemas) > 0 {
		steps = append(steps, step{statements: []string{fmt.Sprintf("alter publication %s drop tables in schema %s;", relay.Ident(k.name), strings.Join(e.schemas, ", "))}})
	}
	if e.viaRoot || e.actions != k.actions {
		steps = append(steps, step{statements: []string{k.mend()}})
	}
	return append(steps, k.members(e, tables)...), nil
}

func (k kind) members(e *existing, tables []table) (steps []step) {
	var unwanted []string
	for oid, m := range e.members {
		if !slices.ContainsFunc(tables, func(t table) bool { return t.oid == oid }) {
			unwanted = append(unwanted, m.name)
		}
	}
	slices.Sort(unwanted)
	for _, name := range unwanted {
		steps = append(steps, step{statements: []string{k.drop(name)}})
	}
	for _, t := range tables {
		m, ok := e.members[t.oid]
		switch {
		case !ok:
			steps = append(steps, step{statements: []string{k.add(t)}, add: &t})
		case m.odd:
			steps = append(steps, step{statements: []string{k.drop(m.name), k.add(t)}, add: &t})
		}
	}
	return steps
}
