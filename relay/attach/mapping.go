package attach

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

const mappingSQL = `
with grantee as (select coalesce((select rolname::text from pg_roles where rolname = $1), 'public') as name)
select s.srvname::text, has_server_privilege(g.name, s.oid, 'USAGE'), exists (select from pg_user_mappings m where m.srvid = s.oid and m.usename = $1)
from pg_foreign_server s, grantee g where s.srvname = any($2) and current_user <> $1 order by 1`

// mappings plans how the relay finds out as whom to connect to the sources: its role's user mappings in the warehouse.
func (w *work) mappings(ctx context.Context) error {
	role := w.plan.place.role
	rows, err := w.conn.Query(ctx, mappingSQL, role, w.plan.place.servers)
	if err != nil {
		return fmt.Errorf("read user mappings: %w", err)
	}
	var server string
	var usage, mapped bool
	_, err = pgx.ForEachRow(rows, []any{&server, &usage, &mapped}, func() error {
		w.planMapping(server, role, usage, mapped)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read user mappings: %w", err)
	}
	return nil
}

func (w *work) planMapping(server, role string, usage, mapped bool) {
	s := Step{Title: "how the relay connects to " + relay.Ident(server), Why: []string{"It connects to the database behind the server as its user mapping says, which it may read with USAGE."}}
	if !usage {
		s.Statements = append(s.Statements, fmt.Sprintf("grant usage on foreign server %s to %s;", relay.Ident(server), relay.Ident(role)),
			remember("grant", "pg_foreign_server", serverOID(server), role, "usage"))
	}
	mapping := fmt.Sprintf("create user mapping for %s server %s options (user %s, password '…');", relay.Ident(role), relay.Ident(server), relay.Literal(w.cfg.Role))
	switch {
	case mapped:
	case w.cfg.Password != "":
		s.Statements = append(s.Statements, mapping, remember("mapping", "pg_foreign_server", serverOID(server), role, ""))
		s.secrets = []string{w.cfg.Password}
	default:
		w.plan.note(fmt.Sprintf("role %s has no user mapping for server %s, by which the relay would connect there", relay.Ident(role), relay.Ident(server)),
			mapping+fmt.Sprintf("\nor in pgrelay.yaml: credentials: {%q: {user: …, password: …}}\nor give attach the password in PGRELAY_ROLE_PASSWORD", server))
	}
	if len(s.Statements) > 0 {
		w.plan.step(s)
	}
}
