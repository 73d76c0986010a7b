package oracle

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/sql"
)

// sentinel is the key of the row that each table gets when the writers have ended: who has it has everything before it.
const sentinel = 1_000_000_000

// table is one of the oracle's tables.
type table struct {
	name string
	// weight is how often clients pick it, against the others.
	weight int
	// last inserts the sentinel, which find finds.
	last string
	find client.Row
}

func byID(name string, weight int) table {
	return table{name, weight, fmt.Sprintf("insert into %s (id) values (%d)", name, sentinel), client.Row{"id": []byte(fmt.Sprintf("%q", fmt.Sprint(sentinel)))}}
}

// tables are one of each kind. What the sentinel leaves out is null.
var tables = []table{
	byID("oracle.keyed", 6),
	byID("oracle.whole", 4),
	{"oracle.parts", 4, fmt.Sprintf("insert into oracle.parts (id) values (%d)", sentinel), client.Row{"id": []byte(fmt.Sprintf("%q", fmt.Sprint(sentinel))), "region": []byte("0")}},
	byID("oracle.bulk", 1),
	{"oracle.pairs", 3, fmt.Sprintf("insert into oracle.pairs (a, b) values (%d, 'end')", sentinel), client.Row{"a": []byte(fmt.Sprint(sentinel)), "b": []byte(`"end"`)}},
	{"oracle.indexed", 3, "insert into oracle.indexed (code) values ('end')", client.Row{"code": []byte(`"end"`)}},
	{"oracle.bag", 4, fmt.Sprintf("insert into oracle.bag (n) values (%d)", sentinel), client.Row{"kind": []byte("null"), "n": []byte(fmt.Sprint(sentinel)), "amount": []byte("null")}},
}

// schema: note is what TOAST moves out of line, uncompressed so that it surely does.
const schema = `
drop schema if exists oracle cascade;
create schema oracle;
create type oracle.mood as enum ('calm', 'busy', 'on fire');

create table oracle.keyed (
	id bigint primary key, owner text, amount numeric(20,4), small smallint, ratio float8, ok boolean,
	note text, at timestamptz, day date, mood oracle.mood, tags text[], numbers bigint[], doc jsonb, raw bytea, uid uuid
);
alter table oracle.keyed alter column note set storage external;

create table oracle.whole (id bigint primary key, v int, note text, doc jsonb);
alter table oracle.whole alter column note set storage external;
alter table oracle.whole replica identity full;

create table oracle.parts (id bigint, region int not null default 0, note text, v int, primary key (id, region)) partition by list (region);
create table oracle.parts_0 partition of oracle.parts for values in (0);
create table oracle.parts_1 (v int, note text, region int not null, id bigint not null);
alter table oracle.parts attach partition oracle.parts_1 for values in (1);
create table oracle.parts_2 partition of oracle.parts for values in (2);
alter table oracle.parts alter column note set storage external;

create table oracle.bulk (id bigint primary key, n int, note text);
create table oracle.pairs (a int, b text, v numeric, primary key (a, b));
create table oracle.indexed (id serial primary key, code text not null unique, v int, note text);
alter table oracle.indexed alter column note set storage external;
alter table oracle.indexed replica identity using index indexed_code_key;

create table oracle.bag (kind text, n int, amount numeric);
alter table oracle.bag replica identity full;
`

// prepare makes the tables, and rules that let anybody see them.
func prepare(ctx context.Context, t *testing.T, dsn string) {
	t.Helper()
	conn := connect(ctx, t, dsn)
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	rules := "delete from web_socket_event_system_events.rules where name like 'oracle: %';"
	for _, k := range tables {
		rules += fmt.Sprintf("insert into web_socket_event_system_events.rules (name, relation, roles) values ('oracle: %[1]s', '%[1]s', '{anon}');", k.name)
	}
	for _, script := range []string{system, schema, rules} {
		if _, err := conn.Exec(ctx, script); err != nil {
			t.Fatalf("prepare the tables: %v", err)
		}
	}
}

// connect opens a session with the settings that values are defined by, closed with the test.
func connect(ctx context.Context, t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := open(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func open(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the DSN: %w", err)
	}
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["intervalstyle"] = "postgres"
	config.RuntimeParams["application_name"] = "oracle"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return conn, nil
}

// columns are a table's columns and the expressions that give their values in the protocol's form: to_json, and strings
// for int8 and numeric.
func columns(ctx context.Context, conn *pgx.Conn, table string) (names, expressions []string, err error) {
	rows, err := conn.Query(ctx, `
		select quote_ident(attname), attname, case
			when atttypid in ('int8'::regtype, 'numeric'::regtype) then '::text'
			when atttypid in ('int8[]'::regtype, 'numeric[]'::regtype) then '::text[]'
			else '' end
		from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum`, table)
	if err != nil {
		return nil, nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	var quoted, name, cast string
	_, err = pgx.ForEachRow(rows, []any{&quoted, &name, &cast}, func() error {
		names = append(names, name)
		expressions = append(expressions, "coalesce(to_json("+quoted+cast+")::text, 'null')")
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	return names, expressions, nil
}

// contents are a table's rows in the protocol's form.
func contents(ctx context.Context, conn *pgx.Conn, table string) ([]client.Row, error) {
	names, expressions, err := columns(ctx, conn, table)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "select "+strings.Join(expressions, ", ")+" from "+table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	values := make([]string, len(names))
	targets := make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	var out []client.Row
	_, err = pgx.ForEachRow(rows, targets, func() error {
		row := client.Row{}
		for i, name := range names {
			row[name] = []byte(values[i])
		}
		out = append(out, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	return out, nil
}
