package outbox

// Advisory locks in the database, as triggers/functions use them.
const (
	lockClass  = 1885827685
	lockBell   = 1
	lockReader = 2
)

const (
	// beginSQL: what record reads of the catalog is of the same snapshot as s1.
	beginSQL  = `begin isolation level repeatable read`
	commitSQL = `commit`
	recordSQL = `select s1::text, closed, recorded, layouts::text from relay.record($1::bigint, $2::pg_catalog.pg_snapshot, $3::boolean)`
	// sleepSQL returns the lower half of the next transaction id when it has the lock. age counts from an id to the next one.
	sleepSQL = `with l as materialized (select pg_catalog.pg_advisory_lock(1885827685, 1))
select (pg_catalog.age('3'::pg_catalog.xid)::int8 + 3) & 4294967295 from l`
	wakeSQL = `select pg_catalog.pg_advisory_unlock(1885827685, 1)`

	// rowsSQL reads the rows of delivery $1, whose s0 has xmax $2 and the running transactions $3.
	rowsSQL = `
with b as materialized (select d.s1 from relay.delivery d where d.n = $1::bigint), o as (
  select f.* from b, relay.outbox f where f.xid >= $2::xid8 and pg_catalog.pg_visible_in_snapshot(f.xid, b.s1)
  union all
  select f.* from b, relay.outbox f where f.xid = any ($3::xid8[]) and pg_catalog.pg_visible_in_snapshot(f.xid, b.s1)
)` + orderSQL

	// againSQL reads the rows between s0 and the snapshot $1, whose xmax is $4.
	againSQL = `
with o as (
  select f.* from relay.outbox f
    where f.xid >= $2::xid8 and f.xid < $4::xid8 and pg_catalog.pg_visible_in_snapshot(f.xid, $1::pg_catalog.pg_snapshot)
  union all
  select f.* from relay.outbox f where f.xid = any ($3::xid8[]) and pg_catalog.pg_visible_in_snapshot(f.xid, $1::pg_catalog.pg_snapshot)
)` + orderSQL

	orderSQL = `
select o.xid, o.relation, o.kind, pg_catalog.max(o.at) over w, o.old, o.new
from o window w as (partition by o.xid)
order by pg_catalog.max(o.id) over w, o.id`

	// settleSQL settles what the session's statements depend on, of what the server's version knows. Plans are made while a
	// table of the outbox is empty and used when it is full, so they had better use its index.
	settleSQL = `
select pg_catalog.set_config(v.name, v.value, false)
from (values ('search_path', 'pg_catalog'), ('lock_timeout', '` + lockWait + `'), ('statement_timeout', '0'), ('transaction_timeout', '0'),
  ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), ('enable_seqscan', 'off'), ('jit', 'off'),
  ('plan_cache_mode', 'force_generic_plan')) v(name, value)
join pg_catalog.pg_settings s on s.name = v.name`
)

// names are the prepared statements'; a pooler may lose them, so there each is sent as text.
const (
	beginName  = "pgrelay_begin"
	commitName = "pgrelay_commit"
	recordName = "pgrelay_record"
	rowsName   = "pgrelay_rows"
	sleepName  = "pgrelay_sleep"
	wakeName   = "pgrelay_wake"
)

var prepared = map[string]string{beginName: beginSQL, commitName: commitSQL, recordName: recordSQL, rowsName: rowsSQL, sleepName: sleepSQL, wakeName: wakeSQL}

// The rows' columns come in binary, the rest as text.
var (
	binaryResult = []int16{1}
	textResult   = []int16{0}
)
