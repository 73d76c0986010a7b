package warehouse

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// fingerprintSQL takes neither locks nor anything that depends on a session's settings. A column's stamp is its
// pg_attribute row's xmin: every ALTER that can change what rows hold writes it (a rewrite that leaves type and name as
// they were too), and TRUNCATE, VACUUM FULL and CLUSTER don't, as relfilenode would. A collation's new name doesn't
// write it, so the name stands beside it.
const fingerprintSQL = `
with recursive root as (
  select c.oid, c.relkind, n.oid as schema, n.nspname from unnest($1::text[], $2::text[]) w(schema, name)
  join pg_catalog.pg_namespace n on n.nspname = w.schema::name
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name::name
), tree(root, oid) as (
  select r.oid, r.oid from root r
  union
  select t.root, i.inhrelid from tree t
  join pg_catalog.pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_catalog.pg_inherits i on i.inhparent = t.oid and not i.inhdetachpending
), part as (
  select t.root, t.oid, pg_catalog.concat_ws(' ', t.oid, pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname), c.relkind, c.relpersistence, c.relreplident,
    pg_catalog.row_security_active(c.oid), pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
    exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid),
    (select pg_catalog.string_agg(m.oid::text, ',' order by m.oid) from pg_catalog.pg_publication_rel m
     join pg_catalog.pg_publication p on p.oid = m.prpubid where m.prrelid = t.oid and p.pubname = any($3::text[])),
    (select pg_catalog.string_agg(pg_catalog.concat_ws(':', a.attnum, a.xmin::text, pg_catalog.quote_ident(l.collname), l.collnamespace::pg_catalog.regnamespace), ' '
       order by a.attnum)
     from pg_catalog.pg_attribute a left join pg_catalog.pg_collation l on l.oid = a.attcollation and l.collprovider <> 'd'
     where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped),
    (select pg_catalog.string_agg(pg_catalog.concat_ws(':', i.indexrelid, i.indisprimary, i.indisreplident, i.indimmediate, i.indkey::text, i.indnkeyatts),
       ' ' order by i.indexrelid) from pg_catalog.pg_index i
     where i.indrelid = t.oid and i.indisunique and i.indisvalid and i.indislive and i.indpred is null and i.indexprs is null),
    (select pg_catalog.string_agg(pg_catalog.concat_ws(':', g.tgname, g.tgenabled, g.tgfoid, g.xmin::text), ' ' order by g.tgname)
     from pg_catalog.pg_trigger g where g.tgrelid = t.oid and g.tgname ~ '^!relay_'),
    case when exists (select from pg_catalog.pg_trigger g where g.tgrelid = t.oid and g.tgname ~ '^!relay_row')
      and not exists (select from pg_catalog.pg_trigger s where s.tgrelid = t.oid and s.tgname = '!relay_truncate') then c.relfilenode end) as text
  from tree t join pg_catalog.pg_class c on c.oid = t.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), used(root, type) as (
  select t.root, a.atttypid from tree t
  join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
  union
  select u.root, r.type from used u join pg_catalog.pg_type y on y.oid = u.type
  cross join lateral (
    select y.typelem union all select y.typbasetype
    union all select g.rngsubtype from pg_catalog.pg_range g where y.oid in (g.rngtypid, g.rngmultitypid)
    union all select f.atttypid from pg_catalog.pg_attribute f where f.attrelid = y.typrelid and y.typrelid <> 0 and f.attnum > 0 and not f.attisdropped
  ) r(type) where r.type >= 16384
), type as (
  select y.oid, pg_catalog.concat_ws(' ', y.oid, y.typname, y.typnamespace::pg_catalog.regnamespace, y.typtype, y.typbasetype, y.typtypmod,
    (select pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ',' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = y.oid),
    (select pg_catalog.string_agg(f.attnum || ':' || f.xmin::text, ',' order by f.attnum) from pg_catalog.pg_attribute f
     where f.attrelid = y.typrelid and y.typrelid <> 0 and f.attnum > 0 and not f.attisdropped)) as text
  from (select distinct u.type from used u) u join pg_catalog.pg_type y on y.oid = u.type
)
select p.root, pg_catalog.hashtextextended(pg_catalog.string_agg(p.text, e'\n' order by p.kind, p.oid), 0)::text
from (select 0 as kind, root, oid, text from part union all select 1, u.root, y.oid, y.text from used u join type y on y.oid = u.type) p
group by p.root
union all
select 0::oid, pg_catalog.hashtextextended(pg_catalog.concat_ws(e'\n',
  (select pg_catalog.concat_ws(' ', o.rolname, o.rolsuper, o.rolreplication, o.rolbypassrls) from pg_catalog.pg_roles o where o.rolname = current_user),
  pg_catalog.pg_is_in_recovery(),
  (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', p.oid, p.pubname, pg_catalog.to_jsonb(p) - 'oid' - 'pubowner'), e'\n' order by p.oid)
    from pg_catalog.pg_publication p where p.pubname = any($3::text[])),
  (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', m.prpubid, m.prrelid, m.oid), ',' order by m.prpubid, m.prrelid)
    from pg_catalog.pg_publication_rel m join pg_catalog.pg_publication p on p.oid = m.prpubid where p.pubname = any($3::text[])),
  (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', m.pnpubid, m.pnnspid), ',' order by m.pnpubid, m.pnnspid)
    from pg_catalog.pg_publication_namespace m join pg_catalog.pg_publication p on p.oid = m.pnpubid where p.pubname = any($3::text[]))
  ), 0)::text`

// Fingerprint is one query, made to run once a second, whose answer changes when Inspect's would: by the oid of each of
// the source's tables (a root stands for its leaves too, a table that isn't there is absent), and under 0 the rest: the
// publications named and their members, and the role; under 1 which tables triggers capture. It may change where Inspect's answer doesn't; a relation's own
// Fingerprint says. It runs within the caller's transaction if there is one.
func (s *Source) Fingerprint(ctx context.Context, conn *pgx.Conn, publications []string) (map[uint32]string, error) {
	schemas, tables := s.remoteNames()
	rows, err := conn.Query(ctx, fingerprintSQL, schemas, tables, publications)
	if err != nil {
		return nil, fmt.Errorf("read the catalog's fingerprint at source %s: %w", s.Name, err)
	}
	prints := map[uint32]string{}
	var oid uint32
	var print string
	_, err = pgx.ForEachRow(rows, []any{&oid, &print}, func() error {
		prints[oid] = print
		return nil
	})
	if err == nil && s.outbox.Load() {
		err = conn.QueryRow(ctx, capturedPrintSQL).Scan(&print)
		prints[capturedPrint] = print
	}
	if err != nil {
		return nil, fmt.Errorf("read the catalog's fingerprint at source %s: %w", s.Name, err)
	}
	return prints, nil
}

// capturedPrint is the key, no table's oid, of what relay.captured says.
const capturedPrint = 1

const capturedPrintSQL = `select coalesce(pg_catalog.string_agg(relation || ' ' || xmin::text, ',' order by relation), '') from relay.captured`
