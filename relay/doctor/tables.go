package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// table is a table or partition that the warehouse shows, or that the relay's publications hold.
type table struct {
	oid, root     uint32   // the same but for a partition
	names         []string // what the warehouse calls the root; empty where it doesn't show it
	schema, table string
	kind          string // pg_class.relkind
	persistence   string
	identity      relay.Identity
	keyed         bool     // its identity is an index that can be one
	deferrable    string   // the constraint that would be the identity if it weren't deferrable
	definition    string   // what it would be then
	candidate     string   // an index that could be made the identity
	generated     []string // generated columns that aren't published
	policies      bool     // row security is on
	hides         bool     // it applies to the role
	usage         bool
	selects       bool
	owned         bool
	writes        bool
	extension     string
	publications  []string // of the relay's
	captured      bool     // by triggers, it or its root
}

func (t table) name() string { return relay.Ident(t.schema, t.table) }

// identified tells that updates and deletes can be published.
func (t table) identified() bool {
	return t.identity == relay.IdentityFull && len(t.generated) == 0 || t.keyed
}

// $1 to $3: the warehouse's names, and schemas and tables here; $4: all tables of the database are the warehouse's own;
// $5: the relay's publications. Conditions of an identity are those of RelationGetIndexList, which would lock:
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/cache/relcache.c
const tableSQL = `
with recursive wanted(oid, name) as (
  select c.oid, w.name from unnest($1::text[], $2::text[], $3::text[]) w(name, schema, relation)
  join pg_catalog.pg_namespace n on n.nspname = w.schema::name join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.relation::name
  where c.relkind in ('r', 'p')
  union
  select c.oid, n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where $4 and c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
    and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'relay')
  union
  select m.prrelid, null from pg_catalog.pg_publication_rel m join pg_catalog.pg_publication p on p.oid = m.prpubid where p.pubname = any($5::text[])
), tree(root, oid) as (
  select w.oid, w.oid from wanted w group by w.oid
  union all
  select t.root, i.inhrelid from tree t join pg_catalog.pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_catalog.pg_inherits i on i.inhparent = t.oid and not i.inhdetachpending
), named as (
  select w.oid, coalesce(pg_catalog.array_agg(w.name order by w.name) filter (where w.name is not null), '{}') as names from wanted w group by w.oid
), identity as not materialized (
  select i.indrelid, i.indexrelid, x.relname, i.indisprimary, i.indisreplident, i.indimmediate,
    case when i.indisprimary then 'primary key (' else 'unique (' end || (select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by k.position)
      from unnest(i.indkey::int2[]) with ordinality k(number, position) join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
      where k.position <= i.indnkeyatts) || ')' as definition,
    (select pg_catalog.bool_and(a.attnotnull) from pg_catalog.pg_attribute a
      where a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])) as complete
  from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
  where i.indisunique and i.indisvalid and i.indislive and i.indpred is null and i.indexprs is null
)
select t.oid, t.root, w.names, n.nspname::text, c.relname::text,
  c.relkind::text, c.relpersistence::text, c.relreplident::text,
  exists (select from identity i where i.indrelid = t.oid and i.indimmediate and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)),
  coalesce(late.relname::text, ''), coalesce(late.definition, ''),
  coalesce((select i.relname::text from identity i where i.indrelid = t.oid and i.indimmediate and i.complete order by i.indisprimary desc, i.indexrelid limit 1), ''),
  array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    and (a.attgenerated = 'v' or a.attgenerated = 's' and not exists (select from pg_catalog.pg_publication p
      where p.pubname = any($5::text[]) and pg_catalog.to_jsonb(p) ->> 'pubgencols' = 's')) order by a.attnum),
  c.relrowsecurity, coalesce(pg_catalog.row_security_active(c.oid), false), coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),
  coalesce(pg_catalog.has_table_privilege(c.oid, 'SELECT'), false), pg_catalog.pg_has_role(c.relowner, 'USAGE'),
  coalesce(pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'), false),
  coalesce((select e.extname::text from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'
      and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass limit 1), ''),
  array(select p.pubname::text from pg_catalog.pg_publication_rel m join pg_catalog.pg_publication p on p.oid = m.prpubid
    where m.prrelid = t.oid and p.pubname = any($5::text[]) order by 1)
from tree t join named w on w.oid = t.root
join pg_catalog.pg_class c on c.oid = t.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (select i.relname, i.definition from identity i where i.indrelid = t.oid and not i.indimmediate
  and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident) limit 1) late on true
order by n.nspname, c.relname, t.root`

func askTables(ctx context.Context, tx pgx.Tx, p *place) (err error) {
	var names, schemas, tables []string
	for _, t := range p.source.Foreign {
		names, schemas, tables = append(names, t.Name), append(schemas, t.RemoteSchema), append(tables, t.RemoteTable)
	}
	all, err := collect(ctx, tx, tableSQL, func(row pgx.Row, t *table) error {
		var identity string
		err := row.Scan(&t.oid, &t.root, &t.names, &t.schema, &t.table, &t.kind, &t.persistence, &identity, &t.keyed, &t.deferrable, &t.definition, &t.candidate, &t.generated,
			&t.policies, &t.hides, &t.usage, &t.selects, &t.owned, &t.writes, &t.extension, &t.publications)
		t.identity = relay.Identity(identity[0])
		return err
	}, names, schemas, tables, p.source.Local, p.source.Publications())
	p.tables = once(all)
	for i := range p.tables {
		p.tables[i].captured = p.inspection != nil && slices.ContainsFunc(p.tables[i].names, func(n string) bool { return slices.Contains(p.inspection.Triggered, n) })
	}
	return err
}

// once leaves out what is there as a member of a publication and as a partition of a table, too.
func once(all []table) []table {
	named := map[uint32]bool{}
	for _, t := range all {
		if t.oid != t.root {
			named[t.oid] = true
		}
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.names) == 0 && t.oid == t.root && named[t.oid] })
}

// judged are the tables and partitions that hold rows and are to be captured by logical replication, or are in a
// publication already.
func (p *place) judged() (all []table) {
	for _, t := range p.tables {
		insertOnly := slices.ContainsFunc(t.names, func(n string) bool { return slices.Contains(p.insertOnly, n) }) && !t.breaks(p)
		if t.kind == "r" && t.persistence == "p" && t.extension == "" && !insertOnly && (!t.captured || t.breaks(p)) && (len(t.names) > 0 || t.breaks(p)) {
			all = append(all, t)
		}
	}
	return all
}

// breaks tells that a publication with updates and deletes holds the table: without identity the application's fail.
func (t table) breaks(p *place) bool {
	return slices.Contains(t.publications, p.source.Publications()[0])
}

// consequence is what a missing identity leads to.
func (t table) consequence(p *place) (Severity, string) {
	if t.breaks(p) {
		return Error, fmt.Sprintf("publication %s holds it, so the application's UPDATE and DELETE fail now", relay.Ident(p.source.Publications()[0]))
	}
	return p.unserved(t.names), "it isn't published: with it, the application's UPDATE and DELETE would fail"
}

func judgeUnlogged(p *place) (f findings) {
	for _, t := range p.tables {
		if t.persistence != "u" || len(t.names) == 0 {
			continue
		}
		severity := p.unserved(t.names)
		if p.source.Local && severity == Warning {
			severity = Info // nobody asked for it
		}
		f.add(severity, "table "+t.name(), fmt.Sprintf("alter table %s set logged;", t.name()), "it is unlogged: its changes aren't in the WAL, and a crash empties it; it isn't published")
	}
	return f
}

func judgeRowSecurity(p *place) (f findings) {
	for _, t := range p.tables {
		if t.hides && len(t.names) > 0 && t.oid == t.root {
			f.add(p.unserved(t.names), "table "+t.name(), fmt.Sprintf("alter role %s bypassrls;   -- rules decide what clients see", relay.Ident(p.role.name)),
				fmt.Sprintf("row security would hide rows from role %s, and the stream knows none: it isn't published", relay.Ident(p.role.name)))
		}
	}
	return f
}

func judgeExtension(p *place) (f findings) {
	for _, t := range p.tables {
		if t.extension != "" && t.oid == t.root && (len(t.publications) > 0 || t.captured || len(t.names) > 0 && !p.source.Local) {
			f.add(Warning, "table "+t.name(), "publish the rows from a table of your own",
				fmt.Sprintf("it belongs to extension %s, whose updates may alter or drop it", relay.Ident(t.extension)))
		}
	}
	return f
}

func judgeForeignPartitions(p *place) (f findings) {
	for _, t := range p.tables {
		if t.kind != "p" || t.oid != t.root || len(t.names) == 0 || len(t.publications) > 0 || t.captured {
			continue
		}
		if leaves := p.foreignLeaves(t.oid); len(leaves) > 0 {
			f.add(p.unserved(t.names), "table "+t.name(), "subscribe to its partitions, which are published under their own names, or make foreign tables in the warehouse that lead to them one by one",
				fmt.Sprintf("some of its partitions are foreign tables (%s), whose changes aren't in this database: it isn't published", listed(leaves)))
		}
	}
	return f
}
