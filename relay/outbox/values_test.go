package outbox

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/wal"
)

// sessions are settings of writers that must not be seen in what is captured.
var sessions = []string{
	`set datestyle = 'German'`, `set datestyle = 'SQL, DMY'`, `set timezone = 'Asia/Tokyo'`, `set timezone = 'America/St_Johns'`,
	`set intervalstyle = 'iso_8601'`, `set intervalstyle = 'sql_standard'`, `set extra_float_digits = -15`, `set extra_float_digits = 3`,
	`set bytea_output = 'escape'`, `set lc_monetary = 'C.UTF-8'`, `set search_path = v, public`, `set search_path = ''`, `set role public_writer`,
	`set session_replication_role = replica`, `set default_transaction_read_only = on`,
	`set standard_conforming_strings = off; set backslash_quote = on`, `set quote_all_identifiers = on`, `set xmlbinary = hex`,
	`set array_nulls = off`, `set default_transaction_isolation = serializable`, `set transform_null_equals = on`,
}

// schemaSQL has the types whose text depends on something, and those that are hard to quote.
const schemaSQL = `
create schema v;
create type v.mood as enum ('so, so', 'a "good" one', '');
create type v.pair as (n int, t timestamptz, s text);
create domain v.short as char(5);
create table v.a (
  id int primary key, c char(6), vc varchar(10), t text, e text, b bytea, f4 float4, f8 float8, n numeric, m money, d date, ts timestamp,
  tz timestamptz, tm time, tmz timetz, i interval, iv interval second(2), j json, jb jsonb, u uuid, ip inet, bits varbit, mood v.mood, p v.pair, dom v.short,
  ta text[], fa float8[][], tza timestamptz[], pa v.pair[], ma v.mood[], r tstzrange, mr datemultirange, pt point, bx box[], rc regclass, rt regtype, rp regprocedure,
  x xml, tsv tsvector, "Odd ""Name"", é" int, dropped int);
alter table v.a drop column dropped;
do $$ begin create role public_writer; exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema v to public_writer;
grant select, insert, update, delete on v.a to public_writer`

// insertSQL writes rows of literals that mean the same in every session.
const insertSQL = `
begin read write;
insert into v.a values (%[1]d, 'ab', 'x  ', E'line\nline, (a) "q" \\ tab\t', '', decode('005c2722ff', 'hex'), 0.1::float4 / 3::float4, 0.1::float8 + 0.2::float8, 1.500, 12.34::numeric::money,
  make_date(2024, 2, 3), make_timestamp(2024, 2, 3, 4, 5, 6.789), to_timestamp(1700000000.123456), make_time(1, 2, 3.5), '04:05:06+02'::timetz,
  make_interval(years => 1, days => -2, hours => 3, secs => 4.5), make_interval(secs => 1.239), '{"a": 1,  "a":2}', '{"b": [1, null]}', '00000000-0000-0000-0000-000000000001', '10.0.0.1/8', B'101', 'a "good" one',
  row(1, to_timestamp(0), 'q"\,')::v.pair, 'ab', array['a', null, 'NULL', '', '{"}'], array[array[0.1::float8, 'NaN'], array['infinity', -1e-300]], array[to_timestamp(1)],
  array[row(1, to_timestamp(5), null)::v.pair, null], array['so, so', '']::v.mood[], tstzrange(to_timestamp(0), null), datemultirange(daterange(make_date(2024, 1, 1), make_date(2024, 2, 1))),
  point(0.1, 1e20), array[box(point(1, 2), point(3, 4.1))], 'v.a', 'v.mood', 'pg_catalog.lower(text)', '<a>é</a>', 'a b:1', 7);
insert into v.a (id) values (%[2]d);
update v.a set t = null, e = 'now', "Odd ""Name"", é" = 8 where id = %[1]d;
delete from v.a where id = %[2]d;
commit`

// TestValues compares what is captured with what pgoutput sends under the relay's settings, for writers with all kinds of them.
func TestValues(t *testing.T) {
	for _, level := range []string{"statement", "row"} {
		t.Run(level, func(t *testing.T) {
			on(t, rung, func(t *testing.T, d *db) {
				s := newSink()
				r := d.open(d.config())
				d.exec(schemaSQL)
				d.exec(`select relay.enable_table('v.a', level => $1)`, level)
				d.exec(`alter table v.a replica identity full; create publication p for table v.a`)
				d.exec(`select pg_create_logical_replication_slot(current_database()::text, 'pgoutput')`)

				table := scan[uint32](d, `select 'v.a'::regclass::oid`)
				s.names.set(table, "a")
				for i, settings := range sessions {
					conn := d.connect()
					d.execOn(conn, settings)
					d.execOn(conn, fmt.Sprintf(insertSQL, 10*i, 10*i+1))
					_ = conn.Close(t.Context())
				}
				want := d.decoded(d.name, "p", table)
				d.exec(`select pg_drop_replication_slot(current_database()::text)`)
				from, _ := r.Window()
				d.run(r, from, s)
				s.passed(t, r)
				got := s.whats()
				if len(got) != len(want) || len(want) != 4*len(sessions) {
					t.Fatalf("got %d changes, want %d, %d", len(got), len(want), 4*len(sessions))
				}
				for i := range got {
					if got[i] != want[i] {
						t.Errorf("session %s\ngot  %s\nwant %s", sessions[i/4], got[i], want[i])
					}
				}
			})
		})
	}
}

// decoded are the changes of the slot, in a sink's words.
func (d *db) decoded(slot, publication string, table uint32) []string {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.server.DSN(d.name)+"&datestyle=ISO&timezone=UTC&intervalstyle=postgres&extra_float_digits=1&bytea_output=hex&search_path=pg_catalog&client_encoding=UTF8")
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close(d.t.Context())
	rows, err := conn.Query(d.t.Context(), `select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)`, slot, publication)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	s := newSink()
	s.names.set(table, "a")
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			d.t.Fatal(err)
		}
		var m wal.Message
		if err := m.Parse(data); err != nil {
			d.t.Fatal(err)
		}
		switch m.Kind {
		case wal.KindRelation:
			var columns []Column
			for _, c := range m.Columns {
				columns = append(columns, Column{Name: c.Name, Type: c.Type})
			}
			_ = s.Relation(m.Relation, columns)
		case wal.KindInsert, wal.KindUpdate, wal.KindDelete:
			_ = s.Row(m.Kind, m.Relation, tupleOf(m.Old), tupleOf(m.New))
		}
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	s.got = s.open
	return s.whats()
}

// tupleOf cuts a tuple where it ends.
func tupleOf(tuple relay.Tuple) relay.Tuple {
	if tuple == nil {
		return nil
	}
	rest, _ := tuple.Skip()
	return tuple[:len(tuple)-len(rest)]
}
