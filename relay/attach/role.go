package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// needs are what the relay's role has to have for what the plan captures.
type needs struct {
	tables      []name
	replication bool
}

// name is a table's at the source.
type name struct{ schema, table string }

// planRole makes the role, or gives it what it lacks. made are the roles that plans before this one make on the same server.
func (p *Plan) planRole(f *facts, n needs, hidden []string, made map[string]bool) {
	r := f.role
	key := fmt.Sprint(f.server.id, " ", p.place.conf.Host, " ", p.place.conf.Port, " ", r.name)
	exists := r.exists || made[key]
	ident := relay.Ident(r.name)
	if !exists {
		attributes := "login"
		if n.replication {
			attributes += " replication"
		}
		s := Step{Title: "the role that the relay connects as", Why: []string{"It reads rows and the log, owns nothing and writes nothing."},
			Statements: []string{fmt.Sprintf("create role %s %s;", ident, attributes), rememberRole(r.name, "create")}}
		if !n.replication {
			s.Why = []string{"It reads rows and the outbox, owns nothing and writes nothing."}
		}
		if p.place.cfg.Password != "" {
			verifier, err := scramVerifier(p.place.cfg.Password)
			if err != nil {
				p.undone("the role gets no password: "+err.Error(), "\\password "+ident)
			} else {
				s.Statements = append(s.Statements, fmt.Sprintf("alter role %s password '…';", ident))
				s.secrets = []string{verifier}
			}
		} else {
			p.note(fmt.Sprintf("role %s is made without a password", ident), "\\password "+ident+"\nor give it to attach in PGRELAY_ROLE_PASSWORD")
		}
		p.step(s)
		made[key], made[key+"replication"] = true, n.replication
	}
	for _, a := range []struct {
		lacks     bool
		attribute string
		why       string
	}{
		{r.exists && !r.login, "login", "The relay connects as it."},
		{exists && !r.replicates && n.replication, "replication", "It reads the log through replication slots."},
		{!r.bypasses && len(hidden) > 0, "bypassrls", "Row security would hide rows of " + strings.Join(hidden, ", ") + " from it, and the log knows none; who sees what is decided by the relay's rules."},
	} {
		if a.lacks && !made[key+a.attribute] {
			made[key+a.attribute] = true
			p.step(Step{Title: fmt.Sprintf("role %s gets %s", ident, strings.ToUpper(a.attribute)), Why: []string{a.why},
				Statements: []string{fmt.Sprintf("alter role %s %s;", ident, a.attribute), rememberRole(r.name, a.attribute)}})
		}
	}
}

// privileges are what the relay's role lacks.
type privileges struct {
	schemas []string
	tables  []string
	// hidden are tables with row security, from which the role isn't exempt.
	hidden []string
}

const privilegeSQL = `
with grantee as (select coalesce((select rolname::text from pg_roles where rolname = $1), 'public') as name)
select quote_ident(n.nspname), c.oid::regclass::text, has_schema_privilege(g.name, n.oid, 'USAGE'), has_table_privilege(g.name, c.oid, 'SELECT'),
  c.relrowsecurity and not (c.relowner = coalesce(r.oid, 0) and not c.relforcerowsecurity)
from unnest($2::text[], $3::text[]) w(schema, name)
join pg_namespace n on n.nspname = w.schema join pg_class c on c.relnamespace = n.oid and c.relname = w.name
cross join grantee g left join pg_roles r on r.rolname = $1
order by n.nspname, c.relname`

func readPrivileges(ctx context.Context, conn *pgx.Conn, role string, tables []name) (*privileges, error) {
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.schema, t.table
	}
	rows, err := conn.Query(ctx, privilegeSQL, role, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("read the relay's privileges: %w", err)
	}
	lacks := &privileges{}
	var schema, table string
	var usage, selects, hidden bool
	_, err = pgx.ForEachRow(rows, []any{&schema, &table, &usage, &selects, &hidden}, func() error {
		if !usage && !slices.Contains(lacks.schemas, schema) {
			lacks.schemas = append(lacks.schemas, schema)
		}
		if !selects {
			lacks.tables = append(lacks.tables, table)
		}
		if hidden {
			lacks.hidden = append(lacks.hidden, table)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the relay's privileges: %w", err)
	}
	return lacks, nil
}

// planGrants gives the role what it lacks to read the tables.
func (p *Plan) planGrants(f *facts, lacks *privileges) {
	role := relay.Ident(f.role.name)
	var statements []string
	grant := func(text, catalog, objects, privilege string) {
		statements = append(statements, fmt.Sprintf("grant %s to %s;", text, role), remember("grant", catalog, objects, f.role.name, privilege))
	}
	if !f.role.databases {
		grant("connect on database "+relay.Ident(p.place.conf.Database), "pg_database", "array(select oid from pg_database where datname = current_database())", "connect")
	}
	if len(lacks.schemas) > 0 {
		grant("usage on schema "+strings.Join(lacks.schemas, ", "), "pg_namespace", array(lacks.schemas, "regnamespace"), "usage")
	}
	if len(lacks.tables) > 0 {
		grant("select on table\n    "+strings.Join(lacks.tables, ",\n    ")+"\n ", "pg_class", array(lacks.tables, "regclass"), "select")
	}
	for _, function := range f.role.functions {
		grant("execute on function "+function, "pg_proc", array([]string{function}, "regprocedure"), "execute")
	}
	if len(statements) > 0 {
		p.step(Step{Title: "what the relay's role may read", Why: []string{"It reads rows when somebody subscribes; that it may read a table lets nobody see a row: rules do."}, Statements: statements})
	}
}

// recorded tells whether a step notes something.
func (p *Plan) recorded() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool {
		return slices.ContainsFunc(s.Statements, remembered)
	})
}
