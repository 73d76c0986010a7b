package serve_test

import (
	"maps"
	"testing"

	"pgrelay/relay/client"
)

// zoo has a column of each kind of type, and rows of edge cases. What to_json gives for a snapshot of them is tested in
// package value; here a change has to give the same, old rows too.
const zoo = `
create schema z;
create type z.mood as enum ('sad', 'so so', 'a,b "c" (d)');
create type z.pair as (a int, b text, c numeric, d timestamptz);
create domain z.pos as numeric check (value > 0);
create domain z.txt as text;
create table zoo (id bigint, b bool, s int2, i int4, l int8, n numeric, n2 numeric(12,3), f4 float4, f8 float8, mo money, t text, vc varchar(20), c char(5), ba bytea,
  d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb, x xml, inet inet, cidr cidr, mac macaddr, bit bit(4), vb bit varying,
  p point, box box, poly polygon, li line, circ circle, path path, lseg lseg, r4 int4range, rn numrange, rtz tstzrange, md int4multirange, tsv tsvector, tsq tsquery,
  oid oid, reg regclass, rt regtype, lsn pg_lsn, m z.mood, pr z.pair, pos z.pos, dt z.txt, ai int[], al int8[], an numeric[], at text[], am z.mood[], ap z.pair[],
  ats timestamptz[], aiv interval[], ab bytea[], a2 int[][], abox box[], af float8[], amo money[], nm name, jp jsonpath);
insert into zoo values
(1, true, 1, 2, 9007199254740993, 'NaN', 1.500, 'NaN', 0.1, 12345.67, E'q " \\ '' , ( ) \n\t\x01 ü 🙂', 'x', 'ab', '\x00ff5c22', '2024-02-29', '12:34:56.789', '12:34:56+05:30',
  '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56.123456+02', '1 year 2 mons -3 days 04:05:06.789', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a" :  1.50, "b":null}',
  '{"a": 1.50, "z": [1, "x"]}', '<a b="c">x</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', B'1010', B'101', '(1,2.5)', '(1,2),(3,4)', '((0,0),(1,1),(1,0))', '{1,2,3}',
  '<(0,0),1.1>', '[(0,0),(1,1)]', '[(0,0),(1,1)]', '[1,5)', '(1.5,)', '["2024-01-01 00:00:00+02",infinity)', '{[1,2),[5,7)}', 'a fat cat', 'fat & cat', 42, 'public.zoo', 'z.mood',
  '16/B374D848', 'a,b "c" (d)', row(1, E'x,"y"\\', 1.50, '2024-01-01 00:00:00+03'), 1.5, '', '{1,null,3}', '{9007199254740993,null}', '{1.50,NaN}',
  array['a', null, 'NULL', '', 'x,"y" {z}'], '{sad,"a,b \"c\" (d)"}', array[row(1, null, null, null)::z.pair, null], '{"2024-01-01 00:00:00+05"}', '{"1 day 02:00:00"}',
  array['\x00'::bytea, '\xff'], '{{1,2},{3,4}}', '{(1,1),(0,0);(2,2),(0,0)}', '{0.1,NaN,-Infinity,1e300}', '{1.5}', 'Name "x"', '$.a[*] ? (@ > 1)'),
(2, null, null, null, -9223372036854775808, '1e-20', -0.001, '-Infinity', 'Infinity', -0.5, '', '', '', '', 'infinity', '24:00:00', '00:00:00-12', '-infinity',
  '0044-03-15 00:00:00+00 BC', '-1 mons', null, 'null', 'null', null, '::1', '::/0', null, null, '', null, null, null, null, null, null, null, 'empty', 'empty', null, '{}', '', '', 0,
  null, null, '0/0', 'sad', null, null, null, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '', '$');
insert into zoo (id, b, s, i, n, f4, f8, t, ba, d, ts, tstz, iv, jb, p, m, pr) values
(3, false, -32768, -2147483648, 'Infinity', 1e-30, 1.7976931348623157e308, repeat('long ', 2000), decode(repeat('00ff', 3000), 'hex'), '4713-01-01 BC',
  '294276-12-31 23:59:59.999999', 'infinity', '178000000 years', (select jsonb_agg(g) from generate_series(1, 3000) g), '(NaN,Infinity)', 'so so', row(null, null, null, null))`

// odd are settings of writers' sessions by which Postgres would print values otherwise.
var odd = []string{
	`set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kathmandu'; set intervalstyle = 'sql_standard'; set extra_float_digits = -15; set bytea_output = 'escape';
		set search_path = pg_temp; set quote_all_identifiers = on; set xmlbinary = hex`,
	`set datestyle = 'German'; set timezone = 'America/St_Johns'; set intervalstyle = 'iso_8601'; set extra_float_digits = 0; set lc_monetary = 'C.UTF-8';
		set search_path = z, public; set session_replication_role = replica`,
	`set datestyle = 'Postgres, MDY'; set intervalstyle = 'postgres_verbose'; set search_path = ''; set client_encoding = 'LATIN1'`,
}

// TestZoo: whatever a column's type and its writer's settings are, a mirror that took changes shows what one shows that took
// a snapshot. Without a key each old row has to be one that the client has, value for value.
func TestZoo(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), zoo, "public.zoo")
		if c.version == 18 {
			d.exec(`alter table zoo add primary key (id)`)
		} else {
			d.exec(`alter table zoo replica identity full`)
		}
		c.take(d, "zoo")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.zoo")
		m.live(id)
		for _, settings := range odd {
			conn := d.connect()
			for _, sql := range []string{settings,
				`update public.zoo set id = id + 10`,
				`begin; create temporary table taken as select * from public.zoo; delete from public.zoo; update pg_temp.taken set id = id - 10, t = t || 'x'`,
				`insert into public.zoo select * from pg_temp.taken; commit`} {
				_, err := conn.Exec(d.ctx, sql)
				must(t, err)
			}
			fresh := newMirror(t, r.url, client.Options{})
			other := fresh.subscribe("public.zoo")
			fresh.live(other)
			want := count(fresh.Rows(other))
			m.until("the same rows", func() bool { return maps.Equal(count(m.Rows(id)), want) })
			if len(want) != 3 {
				t.Errorf("%d rows are left", len(want))
			}
			fresh.stop()
		}
		if s := m.Status(id); s.Lives != 1 {
			t.Errorf("the mirror started over: %+v", s)
		}
	}, logical15, trigger15, trigger18)
}
