package doctor

import (
	"context"

	"github.com/jackc/pgx/v5"

	"pgrelay/triggers"
)

// capture is what there is of capture by triggers: schema relay.
type capture struct {
	installed bool
	readable  bool // the role may read it
	version   int
	bytes     int64 // of the outbox
	budget    int64
	closed    bool // nothing is captured until a new epoch
	begun     bool // a relay has read it
	read      bool // one does
	policy    string
	bell      string // what the doorbell was asked to do: auto, on or off
	tables    []captured
	triggers  []trigger
	functions []triggers.Function
}

// captured is a row of relay.captured.
type captured struct {
	oid   uint32
	name  string // as SQL writes it; as it was when the table was enabled, where it is gone
	kind  string // pg_class.relkind; empty where it is gone
	level string
	// With what it was enabled.
	excluded, key []string
	suppress      bool
	// byRow tells that triggers for each statement miss changes of the table.
	byRow bool
	// partitionOf is the root that the table has become a partition of, and rooted that triggers capture that.
	partitionOf string
	rooted      bool
	// older tells that its trigger for each row is named as older versions named it.
	older bool
}

// trigger is one that is to be there or is there, of a captured table or of another.
type trigger struct {
	table    string // as SQL writes it, and of the root
	root     string
	foreign  bool
	name     string
	captured bool // the root is a captured table
	below    bool // the table is a captured one that needs triggers of its own, or one of its partitions
	copied   bool // Postgres made it for a partition, from its root's
	wanted   bool
	there    bool
	enabled  string // pg_trigger.tgenabled
	right    bool   // it fires for what it should and runs what it should
}

// The names are looked up in the catalog: to_regclass needs USAGE on the schema.
const installedSQL = `
select pg_catalog.count(*) filter (where c.relname in ('state', 'captured', 'outbox_id')) = 3,
  coalesce(pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    and case c.relkind when 'S' then pg_catalog.has_sequence_privilege(c.oid, 'SELECT') else pg_catalog.has_table_privilege(c.oid, 'SELECT') end)
    filter (where c.relname in ('state', 'captured', 'outbox_id')), false)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'relay'`

// From 2^62 on the outbox is closed, as triggers/install.sql says. Its reader holds an advisory lock, as package outbox does.
const stateSQL = `
select s.epoch > 0, exists (select from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.classid = 1885827685 and l.objid = 2 and l.objsubid = 2 and l.granted
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())),
  s.version, s.budget, s.policy, (select i.last_value >= 4611686018427387904 from relay.outbox_id i),
  coalesce((select pg_catalog.sum(pg_catalog.pg_total_relation_size(o.oid)) from pg_catalog.pg_class o
    where o.relnamespace = 'relay'::pg_catalog.regnamespace and o.relname ~ '^outbox_[0-9]$' and o.relkind = 'r'), 0)::int8,
  coalesce(pg_catalog.to_jsonb(s) ->> 'doorbell', 'off')
from relay.state s`

const capturedSQL = `
select k.relation, coalesce(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), k.name), coalesce(c.relkind::text, ''), k.level,
  k.excluded, array(select pg_catalog.jsonb_array_elements_text(pg_catalog.to_jsonb(k) -> 'key')), k.suppress_redundant,
  k.level = 'statement' and not coalesce(c.relispartition, false) and (coalesce(c.relkind in ('p', 'f'), false)
    or exists (select from pg_catalog.pg_inherits i where k.relation in (i.inhparent, i.inhrelid))
    or exists (select from pg_catalog.pg_subscription_rel s where s.srrelid = k.relation)),
  case when c.relispartition then pg_catalog.pg_partition_root(c.oid)::text else '' end,
  coalesce(c.relispartition and exists (select from relay.captured r where r.relation = pg_catalog.pg_partition_root(c.oid)), false),
  exists (select from pg_catalog.pg_trigger g where g.tgrelid = k.relation and g.tgname = '!relay_row' and g.tgparentid = 0)
from relay.captured k left join pg_catalog.pg_class c on c.oid = k.relation left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 2`

// triggerSQL puts the triggers that a captured table needs beside those that are there, as enable_table in
// triggers/functions/dba.sql makes them. One that has become a partition needs none of its own. What they fire for is in
// pg_trigger.tgtype: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_trigger.h
// pg_get_triggerdef would lock the table, and pg_get_expr reads no expression of rows unless it does.
const triggerSQL = `
with recursive own as (
  select k.relation, k.level, k.excluded, k.suppress_redundant, c.relkind,
    exists (select from pg_catalog.pg_trigger g where g.tgrelid = k.relation and g.tgname = '!relay_row' and g.tgparentid = 0) as older
  from relay.captured k join pg_catalog.pg_class c on c.oid = k.relation and not c.relispartition
), tree(root, oid) as (
  select k.relation, k.relation from own k
  union all
  select t.root, i.inhrelid from tree t join pg_catalog.pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_catalog.pg_inherits i on i.inhparent = t.oid and not i.inhdetachpending
), wanted as (
  select k.relation as root, k.relation as place, v.name, v.function, v.type, '' as condition from own k,
    (values ('!relay_insert', 'capture', 4), ('!relay_update', 'capture', 16), ('!relay_delete', 'capture', 8)) v(name, function, type) where k.level = 'statement'
  union all
  select t.root, t.oid, '!relay_row' || case when k.older then '' else '_' || t.root end, 'capture_row', 29,
    case when k.older then '' else pg_catalog.format(case k.relkind when 'p' then '((pg_partition_root(%1$L::regclass))::oid = (%1$L::regclass)::oid)'
      else '(pg_partition_root(%1$L::regclass) IS NULL)' end, t.root::pg_catalog.regclass) end
  from tree t join own k on k.relation = t.root and k.level = 'row'
  union all
  select t.root, t.oid, '!relay_truncate', 'capture_truncate', 32, '' from tree t join pg_catalog.pg_class c on c.oid = t.oid
  where c.relkind <> 'f' or pg_catalog.current_setting('server_version_num')::int4 >= 160000
), there as (
  select g.tgrelid, g.tgname::text as name, g.tgenabled::text as enabled, f.proname::text as function, n.nspname = 'relay' as own,
    g.tgtype::int4 as type, g.tgargs as args, g.tgattr::text <> '' as narrowed, g.tgparentid <> 0 as copied,
    case when g.tgqual is null then '' when g.tgqual::text ~ '[{]VAR ' then 'rows' else pg_catalog.pg_get_expr(g.tgqual, 0) end as condition
  from pg_catalog.pg_trigger g join pg_catalog.pg_proc f on f.oid = g.tgfoid join pg_catalog.pg_namespace n on n.oid = f.pronamespace
  where not g.tgisinternal and (n.nspname = 'relay' and f.proname like 'capture%' or g.tgname like '!relay\_%') or g.tgparentid <> 0 and g.tgname like '!relay\_%'
)
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  coalesce(pg_catalog.quote_ident(m.nspname) || '.' || pg_catalog.quote_ident(r.relname), ''), coalesce(r.relkind, c.relkind) = 'f', coalesce(w.name, h.name),
  exists (select from relay.captured k where k.relation = coalesce(w.root, h.tgrelid)), coalesce(w.root, h.tgrelid) in (select t.oid from tree t),
  coalesce(h.copied, false), w.name is not null, h.name is not null, coalesce(h.enabled, ''),
  coalesce(h.own and h.function = w.function and h.type = w.type and h.condition = w.condition and not h.narrowed and (w.function = 'capture_truncate' or h.args = (
    select pg_catalog.convert_to(coalesce((select pg_catalog.jsonb_object_agg(e, null)::text from unnest(k.excluded) e), ''), pg_catalog.getdatabaseencoding())
      || '\x00'::bytea || case when k.suppress_redundant then 'suppress'::bytea else ''::bytea end || '\x00'::bytea
    from own k where k.relation = w.root)), false)
from wanted w full join there h on h.tgrelid = w.place and h.name = w.name
join pg_catalog.pg_class c on c.oid = coalesce(w.place, h.tgrelid) join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class r on r.oid = w.root left join pg_catalog.pg_namespace m on m.oid = r.relnamespace
order by 1, 4`

const functionSQL = `
select f.proname::text, f.prosrc, array(select pg_catalog.split_part(s, '=', 1) from unnest(f.proconfig) s order by 1)
from pg_catalog.pg_proc f where f.pronamespace = pg_catalog.to_regnamespace('relay') order by 1`

func askCapture(ctx context.Context, tx pgx.Tx, p *place) (err error) {
	c := &p.capture
	if err = tx.QueryRow(ctx, installedSQL).Scan(&c.installed, &c.readable); err != nil || !c.installed || !c.readable {
		return err
	}
	if err = tx.QueryRow(ctx, stateSQL).Scan(&c.begun, &c.read, &c.version, &c.budget, &c.policy, &c.closed, &c.bytes, &c.bell); err != nil {
		return err
	}
	c.tables, err = collect(ctx, tx, capturedSQL, func(row pgx.Row, k *captured) error {
		return row.Scan(&k.oid, &k.name, &k.kind, &k.level, &k.excluded, &k.key, &k.suppress, &k.byRow, &k.partitionOf, &k.rooted, &k.older)
	})
	if err != nil {
		return err
	}
	c.triggers, err = collect(ctx, tx, triggerSQL, func(row pgx.Row, t *trigger) error {
		return row.Scan(&t.table, &t.root, &t.foreign, &t.name, &t.captured, &t.below, &t.copied, &t.wanted, &t.there, &t.enabled, &t.right)
	})
	if err != nil {
		return err
	}
	c.functions, err = collect(ctx, tx, functionSQL, func(row pgx.Row, f *triggers.Function) error {
		return row.Scan(&f.Name, &f.Body, &f.Settings)
	})
	return err
}
