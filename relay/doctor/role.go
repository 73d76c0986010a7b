package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// role is what the relay's role may do.
type role struct {
	name                        string
	super, createDB, createRole bool
	bypassRLS                   bool
	replication                 bool     // by its attribute, or as a cloud grants it
	sees                        bool     // other sessions' transactions
	creates                     bool     // objects in the database
	mighty                      []string // roles of the server's own that it is a member of and has no use for
	database                    string
}

// roleSQL: the predefined roles let a member write, end sessions, or reach the server's machine.
// https://www.postgresql.org/docs/current/predefined-roles.html
const roleSQL = `
select r.rolname::text, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls,
  r.rolreplication or r.rolsuper or exists (select from pg_catalog.pg_roles c where c.rolname = 'rds_replication' and pg_catalog.pg_has_role(c.oid, 'USAGE')),
  pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
  array(select m.rolname::text from pg_catalog.pg_roles m where m.rolname in ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files',
    'pg_read_server_files', 'pg_signal_backend', 'pg_maintain') and pg_catalog.pg_has_role(m.oid, 'USAGE') order by 1),
  pg_catalog.current_database()::text
from pg_catalog.pg_roles r where r.rolname = current_user`

func askRole(ctx context.Context, tx pgx.Tx, p *place) error {
	r := &p.role
	return tx.QueryRow(ctx, roleSQL).Scan(&r.name, &r.super, &r.createDB, &r.createRole, &r.bypassRLS, &r.replication, &r.sees, &r.creates, &r.mighty, &r.database)
}

const ownRole = "let the relay connect as a role of its own: psql -f sql/relay_role.sql"

// judgeBeyond: the relay reads rows and the log, and owns and writes nothing.
func judgeBeyond(p *place) (f findings) {
	r, name, object := p.role, relay.Ident(p.role.name), "role "+relay.Ident(p.role.name)
	if r.super {
		f.add(Warning, object, ownRole, "it is a superuser: whoever takes over the relay takes over the server")
		return f
	}
	var has, takes []string
	for _, a := range []struct {
		has  bool
		name string
	}{{r.createDB, "createdb"}, {r.createRole, "createrole"}, {r.bypassRLS && !p.hasPolicies(), "bypassrls"}} {
		if a.has {
			has, takes = append(has, strings.ToUpper(a.name)), append(takes, fmt.Sprintf("alter role %s no%s;", name, a.name))
		}
	}
	for _, m := range r.mighty {
		has, takes = append(has, m), append(takes, fmt.Sprintf("revoke %s from %s;", m, name))
	}
	if len(has) > 0 {
		f.add(Warning, object, strings.Join(takes, "\n"), "it has more than the relay needs: "+strings.Join(has, ", "))
	}
	owned, written := p.ownedTables()
	if len(owned) > 0 {
		f.add(Warning, object, ownRole, fmt.Sprintf("it owns %s, so it may write, alter and drop what the relay needs to read alone", listed(owned)))
	}
	if len(written) > 0 {
		f.add(Warning, object, fmt.Sprintf("revoke insert, update, delete, truncate on %s from %s;", strings.Join(written, ", "), name),
			fmt.Sprintf("it may write to %s, which the relay needs to read alone", listed(written)))
	}
	return f
}

func (p *place) hasPolicies() bool {
	for _, t := range p.tables {
		if t.policies {
			return true
		}
	}
	return false
}

// ownedTables are those that the role owns, and those that it may write without.
func (p *place) ownedTables() (owned, written []string) {
	for _, t := range p.tables {
		switch {
		case len(t.names) == 0 || t.oid != t.root:
		case t.owned:
			owned = append(owned, t.name())
		case t.writes && len(p.role.mighty) == 0:
			written = append(written, t.name())
		}
	}
	return owned, written
}

// judgeLacking: what it takes to read rows and the log.
func judgeLacking(p *place) (f findings) {
	name := relay.Ident(p.role.name)
	if p.logical() && !p.role.replication {
		f.add(Error, "role "+name, fmt.Sprintf("alter role %s replication;\nor give another role under credentials in pgrelay.yaml", name),
			"it has no REPLICATION, so it may not read the stream")
	}
	for _, t := range p.tables {
		if len(t.names) == 0 || t.oid != t.root || t.usage && t.selects {
			continue
		}
		var grants []string
		if !t.usage {
			grants = append(grants, fmt.Sprintf("grant usage on schema %s to %s;", relay.Ident(t.schema), name))
		}
		if !t.selects {
			grants = append(grants, fmt.Sprintf("grant select on table %s to %s;", t.name(), name))
		}
		f.add(p.unserved(t.names), "table "+t.name(), strings.Join(grants, "\n"), fmt.Sprintf("role %s may not read it", name))
	}
	if c := p.capture; c.installed && !c.readable {
		f.add(Error, "schema relay", fmt.Sprintf("select relay.grant_reader(%s);", relay.Literal(p.role.name)),
			fmt.Sprintf("role %s may not read the outbox, so nothing that triggers capture arrives", name))
	}
	return f
}

// judgeBlind: pg_stat_activity shows little of other roles' sessions.
func judgeBlind(p *place) (f findings) {
	if !p.role.sees {
		f.add(Info, "role "+relay.Ident(p.role.name), fmt.Sprintf("grant pg_read_all_stats to %s;", relay.Ident(p.role.name)),
			"it may not see other sessions' transactions, so long ones that hold the slots back can't be told")
	}
	return f
}

// mostListed is how many names are listed of many.
const mostListed = 8

func listed(names []string) string {
	if n := len(names) - mostListed; n > 1 {
		return strings.Join(names[:mostListed], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}
