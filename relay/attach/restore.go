package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// changed is an identity that attach made.
type changed struct {
	table
	was, made string
	// now is the identity that there is; index the one that was, "" where it is gone.
	now, index string
}

const changedSQL = `
select c.oid, c.oid::regclass::text, a.was, a.made, c.relreplident::text, coalesce((select quote_ident(x.relname) from pg_class x where x.oid = a.was_index), '')
from relay.attached a join pg_class c on c.oid = a.object where a.kind = 'identity' order by 2`

// identities plans to give tables the identity that they had.
func (r *removal) identities(ctx context.Context) error {
	var known []changed
	if r.facts.schema.attached {
		rows, err := r.conn.Query(ctx, changedSQL)
		if err == nil {
			known, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c changed, err error) {
				err = row.Scan(&c.oid, &c.name, &c.was, &c.made, &c.now, &c.index)
				return c, err
			})
		}
		if err != nil {
			return fmt.Errorf("read what was changed: %w", err)
		}
	}
	oids := []uint32{}
	for _, c := range known {
		oids = append(oids, c.oid)
		if err := r.identity(ctx, c); err != nil {
			return err
		}
	}
	rows, err := r.conn.Query(ctx, unknownFullSQL, r.plan.place.cfg.Warehouse.Publication, oids)
	if err != nil {
		return fmt.Errorf("read replica identities: %w", err)
	}
	full, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read replica identities: %w", err)
	}
	for _, name := range full {
		r.plan.note(fmt.Sprintf("replica identity full of %s is left: nothing tells that attach made it", name), fmt.Sprintf("alter table %s replica identity default;", name))
	}
	return nil
}

func (r *removal) identity(ctx context.Context, c changed) error {
	clause := map[string]string{"d": "default", "n": "nothing", "f": "full", "i": "using index " + c.index}[c.was]
	switch {
	case c.now == c.was && c.was != "i":
		return nil
	case c.now != c.made:
		r.plan.note(fmt.Sprintf("the replica identity of %s is left: it was changed since attach made it", c.name), "")
		return nil
	case c.was == "i" && c.index == "":
		r.plan.note(fmt.Sprintf("the replica identity of %s is left: the index that it had is gone", c.name), fmt.Sprintf("alter table %s replica identity default;", c.name))
		return nil
	}
	proof, err := newProof(ctx, r.conn, c.table, "", false)
	if err != nil {
		return err
	}
	r.plan.step(Step{Title: fmt.Sprintf("replica identity %s of %s, as it was", clause, c.name), busy: &c.table, proof: proof, Statements: []string{
		fmt.Sprintf("alter table %s replica identity %s;", c.name, clause),
		fmt.Sprintf("delete from relay.attached where kind = 'identity' and object = %s::regclass;", relay.Literal(c.name))}})
	return nil
}

// What was granted, as revoke names it; of objects and roles that are still there.
const grantedSQL = `
select a.role, a.what, case a.class
    when 'pg_class'::regclass then 'table ' || a.object::regclass::text
    when 'pg_namespace'::regclass then 'schema ' || a.object::regnamespace::text
    when 'pg_proc'::regclass then 'function ' || a.object::regprocedure::text
    when 'pg_database'::regclass then 'database ' || quote_ident((select datname from pg_database d where d.oid = a.object))
    when 'pg_foreign_server'::regclass then 'foreign server ' || quote_ident((select srvname from pg_foreign_server s where s.oid = a.object)) end,
  a.kind
from relay.attached a
where a.kind in ('grant', 'mapping', 'role') and exists (select from pg_roles r where r.rolname = a.role)
  and case a.class
    when 'pg_class'::regclass then exists (select from pg_class o where o.oid = a.object)
    when 'pg_namespace'::regclass then exists (select from pg_namespace o where o.oid = a.object)
    when 'pg_proc'::regclass then exists (select from pg_proc o where o.oid = a.object)
    when 'pg_database'::regclass then exists (select from pg_database o where o.oid = a.object)
    when 'pg_foreign_server'::regclass then exists (select from pg_foreign_server o where o.oid = a.object)
    else true end
order by a.kind desc, a.class, 3, a.what`

// grants plans to take back privileges, user mappings, and attributes of roles.
func (r *removal) grants(ctx context.Context) error {
	if !r.facts.schema.attached {
		return nil
	}
	rows, err := r.conn.Query(ctx, grantedSQL)
	if err != nil {
		return fmt.Errorf("read what was granted: %w", err)
	}
	var role, what, kind string
	var object *string
	var statements []string
	_, err = pgx.ForEachRow(rows, []any{&role, &what, &object, &kind}, func() error {
		switch {
		case kind == "role" && what != "create":
			statements = append(statements, fmt.Sprintf("alter role %s no%s;", relay.Ident(role), what))
		case kind == "mapping":
			statements = append(statements, fmt.Sprintf("drop user mapping if exists for %s server %s;", relay.Ident(role), strings.TrimPrefix(*object, "foreign server ")))
		case kind == "grant":
			statements = append(statements, fmt.Sprintf("revoke %s on %s from %s;", what, *object, relay.Ident(role)))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what was granted: %w", err)
	}
	if statements = slices.Compact(statements); len(statements) > 0 {
		r.plan.step(Step{Title: "what the relay's role was given goes", Statements: append(statements, "delete from relay.attached where kind in ('grant', 'mapping', 'role');")})
	}
	return nil
}
