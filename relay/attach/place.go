package attach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
	"pgrelay/relay/outbox"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

// place is one database: a source, the warehouse, or both.
type place struct {
	cfg  Config
	name string
	conf *pgx.ConnConfig
	// source is nil for a warehouse that holds no table of its own.
	source *warehouse.Source
	// warehouse tells that foreign servers are defined here; servers are those with tables.
	warehouse bool
	servers   []string
	// role is the relay's here.
	role string
	err  error
}

func (p *place) address() string {
	if p.conf == nil {
		return "an unknown address"
	}
	if strings.HasPrefix(p.conf.Host, "/") {
		return fmt.Sprintf("%s:%d/%s", p.conf.Host, p.conf.Port, p.conf.Database)
	}
	return net.JoinHostPort(p.conf.Host, strconv.Itoa(int(p.conf.Port))) + "/" + p.conf.Database
}

// places are the sources, and the warehouse where it is none; the warehouse comes last, since its mappings name roles that
// are made at the sources.
func places(ctx context.Context, cfg Config, found *warehouse.Warehouse) ([]*place, error) {
	own, err := pgx.ParseConfig(cfg.Warehouse.DSN)
	if err != nil {
		return nil, errors.New("the warehouse's DSN can't be read") // Discover has read it
	}
	home := &place{cfg: cfg, name: "warehouse", conf: own, role: cfg.Role}
	var all []*place
	var servers []string
	for _, s := range found.Sources {
		servers = append(servers, s.Servers...)
		p := &place{cfg: cfg, name: s.Name, conf: s.Conn, source: s, role: cfg.Role, err: s.Err}
		if s.Local {
			home = p
		} else {
			all = append(all, p)
		}
	}
	slices.Sort(servers)
	home.warehouse, home.servers = true, servers
	all = append(all, home)
	return all, settleRoles(ctx, cfg, home, all)
}

const roleSQL = `
select s.srvname::text, current_user::text, coalesce((select o.option_value from pg_catalog.pg_options_to_table(m.umoptions) o where o.option_name = 'user'), '')
from pg_catalog.pg_foreign_server s left join pg_catalog.pg_user_mappings m on m.srvid = s.oid and m.usename = $1
where s.srvname = any($2)`

// settleRoles finds as whom the relay will connect to each source.
func settleRoles(ctx context.Context, cfg Config, home *place, all []*place) error {
	conn, err := connect(ctx, home.conf)
	if err != nil {
		return fmt.Errorf("connect to the warehouse: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, roleSQL, cfg.Role, home.servers)
	if err != nil {
		return fmt.Errorf("read user mappings: %w", err)
	}
	mapped := map[string]string{}
	var server, me, user string
	_, err = pgx.ForEachRow(rows, []any{&server, &me, &user}, func() error {
		mapped[server] = user
		return nil
	})
	if err != nil {
		return fmt.Errorf("read user mappings: %w", err)
	}
	for _, p := range all {
		switch {
		case p.source == nil || p.source.Local:
		case me == cfg.Role && p.conf != nil: // Attach connects as the relay will
			p.role = p.conf.User
		default:
			p.role = cmp.Or(mapped[p.source.Servers[0]], p.role)
		}
	}
	return nil
}

// connect opens a session that prints names whole and keeps no prepared statement over a change of the catalog.
func connect(ctx context.Context, conf *pgx.ConnConfig) (*pgx.Conn, error) {
	c := conf.Copy()
	c.RuntimeParams["application_name"] = ApplicationName
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			return nil, errors.New(pg.Message)
		}
		return nil, errors.New("the server doesn't answer")
	}
	if err := settle(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// settle sets what holds for the session, so it must be one: a pooler would lose the settings, and the next client of it would
// meet them.
func settle(ctx context.Context, conn *pgx.Conn) error {
	pooled, err := outbox.Pooled(ctx, conn)
	if err != nil {
		return err
	}
	if pooled {
		return &relay.Problem{What: fmt.Sprintf("there is a pooler at %s:%d: attach and detach need sessions of their own, for their lock_timeout", conn.Config().Host, conn.Config().Port),
			Remedy: "name the server itself in the DSN, or for a foreign server with --hosts"}
	}
	_, err = conn.Exec(ctx, "select set_config('search_path', 'pg_catalog', false), set_config('lock_timeout', '"+lockTimeout+"', false)")
	return err
}

// selection says which tables of the warehouse are asked for.
type selection struct {
	tables, schemas []string
}

func (s selection) all() bool { return len(s.tables)+len(s.schemas) == 0 }

// has: the rules' table belongs to every selection, for without it nothing is visible.
func (s selection) has(name, schema string) bool {
	return s.all() || name == warehouse.RulesTable || slices.Contains(s.tables, name) || slices.Contains(s.schemas, schema)
}

// check says which name no table or schema has.
func (s selection) check(looked *serve.Looked) error {
	is := func(test func(name, schema string) bool) bool {
		return slices.ContainsFunc(looked.Sources, func(l serve.LookedSource) bool {
			return slices.ContainsFunc(l.Foreign, func(t warehouse.ForeignTable) bool { return test(t.Name, t.Schema) }) ||
				slices.ContainsFunc(l.Tables, func(t warehouse.LocalTable) bool { return test(t.Name, t.Schema) })
		})
	}
	for _, wanted := range s.tables {
		if !is(func(name, _ string) bool { return name == wanted }) {
			return looked.Table(wanted).Err
		}
	}
	for _, wanted := range s.schemas {
		if !is(func(_, schema string) bool { return schema == wanted }) {
			return &warehouse.Problem{What: "the warehouse has no table in a schema " + wanted, Remedy: "name a schema of the warehouse, without quotes"}
		}
	}
	return nil
}

// wanted are the source's tables that are asked for: what they are called there, by the warehouse's name.
func (s selection) wanted(source *warehouse.Source) map[string]name {
	names := map[string]name{}
	for _, t := range source.Foreign {
		if s.has(t.Name, t.Schema) {
			names[t.Name] = name{t.RemoteSchema, t.RemoteTable}
		}
	}
	for _, t := range source.Tables {
		if s.has(t.Name, t.Schema) {
			names[t.Name] = name{t.Schema, t.Table}
		}
	}
	return names
}
