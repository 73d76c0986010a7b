package warehouse

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// server is a foreign server of postgres_fdw with the mapping that holds for the session's role.
type server struct {
	name    string
	options map[string]string
	// user and password as the mapping or the config gives them; without a password the relay's .pgpass may have one.
	user, password string

	role   string // the warehouse session's role
	mapped string // "" no mapping, else the role that it is for, or "public"
	hidden bool   // there is a mapping, but its options can't be seen
}

func (s server) database() string {
	if d := s.options["dbname"]; d != "" {
		return d
	}
	return s.user
}

const serverSQL = `
select s.srvname::text, current_user::text,
       coalesce((select array_agg(o.option_name || '=' || o.option_value) from pg_catalog.pg_options_to_table(s.srvoptions) o), '{}'),
       coalesce(case m.umuser when 0 then 'public' else m.usename::text end, ''),
       m.umid is not null and not (
         (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
         or pg_catalog.pg_has_role(s.srvowner, 'USAGE')
         or m.umuser <> 0 and pg_catalog.has_server_privilege(s.oid, 'USAGE')),
       coalesce((select array_agg(o.option_name || '=' || o.option_value) from pg_catalog.pg_options_to_table(m.umoptions) o), '{}')
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
join pg_catalog.pg_proc h on h.oid = w.fdwhandler and h.proname = 'postgres_fdw_handler'
left join lateral (
  select * from pg_catalog.pg_user_mappings m
  where m.srvid = s.oid and (m.umuser = 0 or m.usename = current_user)
  order by m.umuser = 0 limit 1) m on true
order by s.srvname`

// readServers reads what every role may read, and the role's own mapping where the view shows its options.
// https://www.postgresql.org/docs/current/view-pg-user-mappings.html
func readServers(ctx context.Context, conn *pgx.Conn) (map[string]server, error) {
	rows, err := conn.Query(ctx, serverSQL)
	if err != nil {
		return nil, fmt.Errorf("read foreign servers: %w", err)
	}
	servers := map[string]server{}
	var s server
	var options, mapping []string
	_, err = pgx.ForEachRow(rows, []any{&s.name, &s.role, &options, &s.mapped, &s.hidden, &mapping}, func() error {
		own := s
		own.options = pairs(options)
		maps.Copy(own.options, pairs(mapping))
		own.user, own.password = own.options["user"], own.options["password"]
		servers[own.name] = own
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read foreign servers: %w", err)
	}
	return servers, nil
}

// authenticate puts the config's credential over the mapping's, or says what is missing.
func (s *server) authenticate(c Config) error {
	given, ok := c.Credentials[s.name]
	if ok {
		if given.User != "" && given.User != s.user {
			s.user, s.password = given.User, ""
		}
		if given.Password != "" {
			s.password = given.Password
		}
	}
	if s.user == "" && (ok || s.mapped != "" && !s.hidden) {
		s.user = s.role // libpq would take the name of the warehouse's own process, which can't be known here
	}
	if s.user != "" {
		return nil
	}
	yaml := fmt.Sprintf("credentials: {%q: {user: …, password: …}}", s.name)
	if s.hidden {
		return &Problem{
			What: fmt.Sprintf("the user mapping of foreign server %q can't be read by role %q", s.name, s.role),
			Remedy: fmt.Sprintf("grant usage on foreign server %s to %s;\nor in pgrelay.yaml:\n%s",
				relay.Ident(s.name), relay.Ident(s.role), yaml),
		}
	}
	return &Problem{
		What: fmt.Sprintf("foreign server %q has no user mapping for role %q", s.name, s.role),
		Remedy: fmt.Sprintf("create user mapping for %s server %s options (user '…', password '…');\nor in pgrelay.yaml:\n%s",
			relay.Ident(s.role), relay.Ident(s.name), yaml),
	}
}

func pairs(options []string) map[string]string {
	m := make(map[string]string, len(options))
	for _, o := range options {
		for i := range len(o) {
			if o[i] == '=' {
				m[o[:i]] = o[i+1:]
				break
			}
		}
	}
	return m
}
