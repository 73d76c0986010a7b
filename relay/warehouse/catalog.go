package warehouse

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// class is a row of pg_class at the source, with what the relay's role may do.
type class struct {
	oid           uint32
	schema, table string
	kind          string
	persistence   string
	identity      relay.Identity
	system        bool // in a schema of the server's own
	usage         bool // on the schema
	selects       bool
	rowSecurity   bool // policies apply to the role
	inherited     bool // it has children by old-style inheritance
}

func (c *class) name() string { return relay.Ident(c.schema, c.table) }

// attribute is a row of pg_attribute.
type attribute struct {
	number    int16
	name      string
	typ       uint32
	typeName  string
	bare      string
	typname   string
	system    bool   // the type is in pg_catalog
	category  string // pg_type.typcategory
	notNull   bool
	generated string // "", "s" stored, "v" virtual
	defaults  bool   // rows may get another value than null
	missing   *string
	// collation is empty for the database's default, and for none.
	collation        string
	nondeterministic bool
	hasMiss          bool
	stamp            string // changes with every change to the attribute
}

// index is a unique index over all rows: what a replica identity can be, unless it is deferrable.
type index struct {
	name       string
	primary    bool
	identity   bool // alter table … replica identity using index
	deferrable bool
	columns    []string
	notNull    bool // every column is
}

// catalog is what Inspect read, by oid.
type catalog struct {
	wanted     []uint32 // by the position of the name asked for; 0 where there is no such table
	classes    map[uint32]*class
	leaves     map[uint32][]uint32 // of a partitioned root
	attributes map[uint32][]attribute
	indexes    map[uint32][]index
	types      map[uint32]*relay.Type
	typeStamps map[uint32]string
	captured   map[uint32]*captured
	outbox     bool // there is one
	publishes  bool // stored generated columns, from 18 on
	version    int
	encoding   string
	role       string
}

const classColumns = `c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text,
  c.oid < 16384 or n.nspname in ('pg_catalog', 'information_schema', 'pg_toast'),
  pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid),
  exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid)`

const wantedSQL = `
select w.position::int4, ` + classColumns + `
from unnest($1::text[], $2::text[]) with ordinality w(schema, name, position)
join pg_catalog.pg_namespace n on n.nspname = w.schema::name
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name::name
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')`

const leafSQL = `
with recursive tree(root, oid) as (
  select o, o from unnest($1::oid[]) o
  union all
  select t.root, i.inhrelid from tree t
  join pg_catalog.pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_catalog.pg_inherits i on i.inhparent = t.oid and not i.inhdetachpending)
select t.root, ` + classColumns + `
from tree t join pg_catalog.pg_class c on c.oid = t.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind <> 'p'
order by t.root, c.oid`

func (k *catalog) readClasses(ctx context.Context, conn *pgx.Conn, schemas, tables []string) error {
	k.wanted = make([]uint32, len(schemas))
	var roots []uint32
	err := k.scanClasses(ctx, conn, wantedSQL, []any{schemas, tables}, func(position uint32, c *class) {
		k.wanted[position-1] = c.oid
		if c.kind == "p" {
			roots = append(roots, c.oid)
		}
	})
	if err != nil {
		return fmt.Errorf("read tables: %w", err)
	}
	if len(roots) == 0 {
		return nil
	}
	err = k.scanClasses(ctx, conn, leafSQL, []any{roots}, func(root uint32, c *class) {
		k.leaves[root] = append(k.leaves[root], c.oid)
	})
	if err != nil {
		return fmt.Errorf("read partitions: %w", err)
	}
	return nil
}

func (k *catalog) scanClasses(ctx context.Context, conn *pgx.Conn, sql string, args []any, each func(uint32, *class)) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var c class
	var first uint32
	var identity string
	_, err = pgx.ForEachRow(rows, []any{&first, &c.oid, &c.schema, &c.table, &c.kind, &c.persistence, &identity,
		&c.system, &c.usage, &c.selects, &c.rowSecurity, &c.inherited}, func() error {
		own := c
		own.identity = relay.Identity(identity[0])
		k.classes[own.oid] = &own
		each(first, &own)
		return nil
	})
	return err
}

const attributeSQL = `
select a.attrelid, a.attnum, a.attname::text, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod),
  pg_catalog.format_type(a.atttypid, null), t.typname::text, t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace,
  t.typcategory::text, a.attnotnull, a.attgenerated::text, a.atthasdef or a.attidentity <> '' or t.typdefault is not null
    or a.atthasmissing and t.typdelim <> ',',
  a.atthasmissing and t.typdelim = ',', case when a.atthasmissing and t.typdelim = ',' then (a.attmissingval::text::text[])[1] end,
  a.attnum || ':' || a.xmin::text,
  coalesce(case when l.collnamespace = 'pg_catalog'::pg_catalog.regnamespace then l.collname::text
    else l.collnamespace::pg_catalog.regnamespace || '.' || l.collname end, ''), not coalesce(l.collisdeterministic, true)
from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_collation l on l.oid = a.attcollation and l.collprovider <> 'd'
where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum`

func (k *catalog) readAttributes(ctx context.Context, conn *pgx.Conn, oids []uint32) error {
	rows, err := conn.Query(ctx, attributeSQL, oids)
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	var table uint32
	var a attribute
	_, err = pgx.ForEachRow(rows, []any{&table, &a.number, &a.name, &a.typ, &a.typeName, &a.bare, &a.typname, &a.system, &a.category,
		&a.notNull, &a.generated, &a.defaults, &a.hasMiss, &a.missing, &a.stamp, &a.collation, &a.nondeterministic}, func() error {
		k.attributes[table] = append(k.attributes[table], a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	return nil
}

// The conditions are those of RelationGetIndexList, which takes no lock here as pg_get_replica_identity_index would.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/cache/relcache.c
const indexSQL = `
select i.indrelid, n.relname::text, i.indisprimary, i.indisreplident, not i.indimmediate,
  array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k(number, position)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
    where k.position <= i.indnkeyatts order by k.position),
  (select pg_catalog.bool_and(a.attnotnull) from pg_catalog.pg_attribute a
    where a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1]))
from pg_catalog.pg_index i join pg_catalog.pg_class n on n.oid = i.indexrelid
where i.indrelid = any($1::oid[]) and i.indisunique and i.indisvalid and i.indislive
  and i.indpred is null and i.indexprs is null
order by i.indrelid, i.indexrelid`

func (k *catalog) readIndexes(ctx context.Context, conn *pgx.Conn, oids []uint32) error {
	rows, err := conn.Query(ctx, indexSQL, oids)
	if err != nil {
		return fmt.Errorf("read indexes: %w", err)
	}
	var table uint32
	var i index
	_, err = pgx.ForEachRow(rows, []any{&table, &i.name, &i.primary, &i.identity, &i.deferrable, &i.columns, &i.notNull}, func() error {
		k.indexes[table] = append(k.indexes[table], i)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read indexes: %w", err)
	}
	return nil
}
