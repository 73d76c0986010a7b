package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// findings is what the warehouse's catalog says.
type findings struct {
	servers map[string]server
	foreign []ForeignTable
	local   []LocalTable
	skipped []Skip
}

// candidate is a relation of the warehouse in a schema of its users.
type candidate struct {
	oid           uint32
	schema, table string
	kind          string
	persistence   string
	partition     bool
	extension     string
	server        string
	postgres      bool // the server's wrapper is postgres_fdw
	wrapper       string
	remoteSchema  string
	remoteTable   string
	foreignLeaves []string // of a partitioned root: leaves that are foreign tables
	unlogged      []string // of a partitioned root: leaves without WAL
	broken        bool     // of a leaf: a root above can't be published as one
	captured      bool     // of a foreign table: triggers capture it here
}

func (c candidate) name() string { return c.schema + "." + c.table }

// userSchemas leaves out what belongs to the server. Temporary schemas stay: their tables are said.
const userSchemas = `n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname !~ '^pg_toast_temp_'`

const candidateSQL = `
with recursive tree(root, oid) as (
  select c.oid, c.oid from pg_catalog.pg_class c where c.relkind = 'p'
  union all
  select t.root, i.inhrelid from tree t join pg_catalog.pg_inherits i on i.inhparent = t.oid where not i.inhdetachpending
), leaf as (
  select t.root, t.oid, n.nspname || '.' || c.relname as name, c.relkind, c.relpersistence
  from tree t join pg_catalog.pg_class c on c.oid = t.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind <> 'p'
), broken as (
  select l.oid from leaf l where exists (select from leaf f where f.root = l.root and f.relkind = 'f')
)
select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relispartition,
  coalesce((select x.extname::text from pg_catalog.pg_depend d join pg_catalog.pg_extension x on x.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'
      and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass limit 1), ''),
  coalesce(s.srvname::text, ''), coalesce(h.proname = 'postgres_fdw_handler', false), coalesce(w.fdwname::text, ''),
  coalesce((select o.option_value from pg_catalog.pg_options_to_table(f.ftoptions) o where o.option_name = 'schema_name'), n.nspname::text),
  coalesce((select o.option_value from pg_catalog.pg_options_to_table(f.ftoptions) o where o.option_name = 'table_name'), c.relname::text),
  array(select l.name from leaf l where l.root = c.oid and l.relkind = 'f' order by 1),
  array(select l.name from leaf l where l.root = c.oid and l.relkind <> 'f' and l.relpersistence = 'u' order by 1),
  c.oid in (select b.oid from broken b)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_foreign_table f on f.ftrelid = c.oid
left join pg_catalog.pg_foreign_server s on s.oid = f.ftserver
left join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
left join pg_catalog.pg_proc h on h.oid = w.fdwhandler
where c.relkind in ('r', 'p', 'v', 'm', 'f') and ` + userSchemas + `
order by n.nspname, c.relname`

// read sorts the warehouse's relations into foreign tables, local tables and those that can't be published.
func read(ctx context.Context, conn *pgx.Conn) (*findings, error) {
	servers, err := readServers(ctx, conn)
	if err != nil {
		return nil, err
	}
	columns, err := readForeignColumns(ctx, conn)
	if err != nil {
		return nil, err
	}
	candidates, err := readCandidates(ctx, conn)
	if err != nil {
		return nil, err
	}
	k := &catalog{captured: map[uint32]*captured{}}
	var problem *Problem
	if err := k.readCaptured(ctx, conn); err != nil && !errors.As(err, &problem) { // a problem is the source's to tell
		return nil, err
	}
	f := &findings{servers: servers}
	taken := map[string]bool{}
	for _, c := range candidates {
		c.captured = c.kind == "f" && k.captured[c.oid] != nil
		f.sort(c, columns[c.oid], taken)
	}
	slices.SortFunc(f.foreign, func(a, b ForeignTable) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.local, func(a, b LocalTable) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

func readCandidates(ctx context.Context, conn *pgx.Conn) ([]candidate, error) {
	rows, err := conn.Query(ctx, candidateSQL)
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		err = row.Scan(&c.oid, &c.schema, &c.table, &c.kind, &c.persistence, &c.partition, &c.extension, &c.server,
			&c.postgres, &c.wrapper, &c.remoteSchema, &c.remoteTable, &c.foreignLeaves, &c.unlogged, &c.broken)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	return all, nil
}

func (f *findings) sort(c candidate, columns []ForeignColumn, taken map[string]bool) {
	reason, remedy := c.unfit()
	switch {
	case c.partition && c.kind != "f" && !c.broken:
		return // its root speaks for it
	case c.schema == "relay":
		return // the relay's own
	case reason != "":
	case taken[c.name()]:
		reason, remedy = "another relation has the same name once quotes are left out", "rename one of the two"
	case c.captured:
		f.local = append(f.local, LocalTable{Name: c.name(), Schema: c.schema, Table: c.table})
	case c.kind == "f":
		f.foreign = append(f.foreign, ForeignTable{Name: c.name(), Schema: c.schema, Table: c.table, Server: c.server,
			RemoteSchema: c.remoteSchema, RemoteTable: c.remoteTable, Columns: columns})
	default:
		f.local = append(f.local, LocalTable{Name: c.name(), Schema: c.schema, Table: c.table})
	}
	if reason != "" {
		f.skipped = append(f.skipped, Skip{Name: c.name(), Reason: reason, Remedy: remedy})
		return
	}
	taken[c.name()] = true
}

// unfit says why a relation can't be published, if it can't.
func (c candidate) unfit() (reason, remedy string) {
	switch {
	case c.extension != "":
		return fmt.Sprintf("belongs to extension %q", c.extension), ""
	case c.kind == "v":
		return "a view has no changes of its own", "subscribe to the tables beneath it"
	case c.kind == "m":
		return "a materialized view has no changes in the stream", "subscribe to the tables beneath it"
	case c.kind == "f" && !c.postgres && !c.captured:
		return fmt.Sprintf("foreign table of wrapper %q; only postgres_fdw leads to a Postgres that can be captured", c.wrapper),
			"capture writes through the warehouse by triggers: triggers/enable_table.sql"
	case c.persistence == "t":
		return "temporary", ""
	case c.persistence == "u":
		return "unlogged: its changes aren't in the WAL", fmt.Sprintf("alter table %s set logged;", relay.Ident(c.schema, c.table))
	case len(c.foreignLeaves) > 0:
		return "partitioned, with partitions that are foreign tables: " + strings.Join(c.foreignLeaves, ", "),
			"subscribe to its partitions, which are published under their own names"
	case len(c.unlogged) > 0:
		return "partitioned, with unlogged partitions: " + strings.Join(c.unlogged, ", "), "alter table … set logged; for each of them"
	}
	return "", ""
}

const foreignColumnSQL = `
select a.attrelid, a.attname::text,
  coalesce((select o.option_value from pg_catalog.pg_options_to_table(a.attfdwoptions) o where o.option_name = 'column_name'), a.attname::text),
  pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format_type(a.atttypid, null),
  t.typname::text, t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
from pg_catalog.pg_foreign_table f
join pg_catalog.pg_attribute a on a.attrelid = f.ftrelid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
order by a.attrelid, a.attnum`

func readForeignColumns(ctx context.Context, conn *pgx.Conn) (map[uint32][]ForeignColumn, error) {
	rows, err := conn.Query(ctx, foreignColumnSQL)
	if err != nil {
		return nil, fmt.Errorf("read foreign columns: %w", err)
	}
	all := map[uint32][]ForeignColumn{}
	var table uint32
	var c ForeignColumn
	_, err = pgx.ForEachRow(rows, []any{&table, &c.Name, &c.Remote, &c.Type, &c.bare, &c.name, &c.system}, func() error {
		all[table] = append(all[table], c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read foreign columns: %w", err)
	}
	return all, nil
}
