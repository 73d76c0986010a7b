package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	pgrelay "pgrelay/relay"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

func look(t *testing.T, dsn string) *serve.Looked {
	t.Helper()
	looked, err := serve.Look(t.Context(), warehouse.Config{DSN: dsn})
	must(t, err)
	return looked
}

// behind makes a foreign server in the database that leads to another one.
func (d *database) behind(name string, far *database, port int) {
	d.exec(fmt.Sprintf(`create extension if not exists postgres_fdw; create schema if not exists far;
		create server %[1]s foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[2]d', dbname '%[3]s');
		create user mapping for current_user server %[1]s options (user '%[4]s', password '%[5]s')`,
		name, port, far.name, far.server.Superuser(), far.server.Password()))
}

// TestLook: what a relay would find is found without one, in every state that a table can have, and nothing is left behind.
func TestLook(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		far := newDatabase(t, server, items)
		d := newDatabase(t, server, items+`; create view seen as select 1 as n; create table keyless (n int)`, "public.items", "public.nowhere")
		d.behind("distant", far, server.Port())
		d.behind("down", far, 1)
		d.exec(`create foreign table far.items (id bigint, n int) server distant options (schema_name 'public', table_name 'items');
			create foreign table far.drifted (id bigint, x int) server distant options (schema_name 'public', table_name 'items');
			create foreign table far.down (id bigint) server down options (schema_name 'public', table_name 'items');
			insert into web_socket_event_system_events.rules (name, enabled, relation) values ('off', false, 'public.items')`)
		looked := look(t, d.dsn())
		must(t, looked.RulesErr)
		var rules []string
		for _, r := range looked.Rules {
			rules = append(rules, fmt.Sprint(r.Name, " ", r.Enabled))
		}
		if want := []string{"all of public.items true", "all of public.nowhere true", "off false"}; !slices.Equal(rules, want) {
			t.Errorf("got the rules %q, want %q", rules, want)
		}
		for name, c := range map[string]struct {
			state  serve.TableState
			source string
			texts  []string
		}{
			"public.items":   {serve.TableFound, "local", nil},
			"far.items":      {serve.TableFound, "distant", nil},
			"public.keyless": {serve.TableRefused, "local", []string{"no replica identity", "replica identity full"}},
			"far.drifted":    {serve.TableRefused, "distant", []string{"drifted", "drop column x"}},
			"public.seen":    {serve.TableRefused, "", []string{"a view"}},
			"far.down":       {serve.TableUnreachable, "down", []string{"refused", "pgrelay.yaml"}},
			"public.itmes":   {serve.TableUnknown, "", []string{"no table public.itmes", "did you mean public.items"}},
			"items":          {serve.TableUnknown, "", []string{"did you mean far.items or public.items?"}},
			"x":              {serve.TableUnknown, "", []string{"schema.table"}},
			"a.strange_one":  {serve.TableUnknown, "", []string{"pgrelay serve"}},
		} {
			got := looked.Table(name)
			source := ""
			if got.Source != nil {
				source = got.Source.Name
			}
			if got.State != c.state || source != c.source || (got.Relation != nil) != (c.state == serve.TableFound) {
				t.Errorf("%s: got %s at %q (%v), want %s at %q", name, got.State, source, got.Err, c.state, c.source)
			}
			if (got.Err == nil) != (c.texts == nil) {
				t.Errorf("%s: got the error %v", name, got.Err)
			}
			for _, text := range c.texts {
				if !strings.Contains(pgrelay.Explain(got.Err), text) {
					t.Errorf("%s: %q lacks %q", name, pgrelay.Explain(got.Err), text)
				}
			}
		}
		if left := d.value(`select (select count(*) from pg_publication) || ' ' || (select count(*) from pg_replication_slots where database = current_database())`); left != "0 0" {
			t.Errorf("publications and slots: %s", left)
		}
	})
}

// TestLookRulesUnread: that the rules can't be read is told apart from a warehouse that can't.
func TestLookRulesUnread(t *testing.T) {
	server := sharedServer(t, 15)
	d := newDatabase(t, server, items)
	refused := look(t, d.dsn())
	must(t, refused.RulesErr)
	role := "reader_" + d.name
	d.exec(fmt.Sprintf(`create role %s login password 'reader-Password-1'; revoke select on web_socket_event_system_events.rules from public`, role))
	for _, c := range []struct {
		name, change, dsn string
		texts             []string
	}{
		{"refused", "", d.as(role, "reader-Password-1"), []string{"may not read", "grant select on table web_socket_event_system_events.rules to " + role}},
		{"absent", `drop schema web_socket_event_system_events cascade`, d.dsn(), []string{"no table web_socket_event_system_events.rules", "sql/system.sql"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != "" {
				d.exec(c.change)
			}
			looked := look(t, c.dsn)
			for _, text := range c.texts {
				if looked.RulesErr == nil || !strings.Contains(pgrelay.Explain(looked.RulesErr), text) {
					t.Errorf("got %v, want %q in it", looked.RulesErr, text)
				}
			}
			if looked.Rules != nil {
				t.Errorf("got the rules %v", looked.Rules)
			}
		})
	}
	if _, err := serve.Look(t.Context(), warehouse.Config{DSN: d.as("nobody", "x")}); pgrelay.Remedy(err) == "" {
		t.Errorf("got %v for a warehouse that can't be read", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serve.Look(ctx, warehouse.Config{DSN: d.dsn()}); err == nil {
		t.Error("a cancelled look succeeds")
	}
}

// typed is a table with rows whose texts and JSON differ in many ways.
const typed = `
create type mood as enum ('calm', 'Über');
create type pair as (a int, b text);
create domain positive as numeric(8, 3) check (value > 0);
create table typed (id bigint primary key, "Größe" numeric(12, 2), ratio float8, small float4, yes bool, code char(4), word varchar(5), raw bytea,
	day date, clock time, moment timestamp, at timestamptz, pause interval, net inet, key uuid, mood mood, pairs pair[], plain pair, above positive,
	tags text[], grid int[], marks jsonb, source json, span int4range, times tstzrange, big numeric, moods mood[]);
insert into typed values
	(9007199254740993, 12.5, 'NaN', 1.1, true, 'ab', 'wörd', '\x00ff', '2024-02-29', '12:34:56.789', '2024-02-29 12:34:56', '2024-02-29 12:34:56.123456+05', '1 mon 2 days 03:04:05.6',
	 '10.0.0.1/8', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'Über', '{"(1,\"x, \\\"y\")","(,)"}', '(3,)', 1.5, '{a,"b c",NULL,"",null}', '{{1,2},{3,4}}', '{"a": [1, 1.50, "x"]}', '{"b" : 1e2}',
	 '[1,5)', '[2024-01-01 00:00:00+00,)', 123456789012345678901234567890.123456789, '{Über,calm}'),
	(-1, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
	(0, 0, '-Infinity', 'Infinity', false, '', '', '', '-infinity', '24:00', 'infinity', '0001-01-01 00:00:00+00 BC', '-1 year', '::1', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'calm',
	 '{}', '(,"")', 0.001, '{}', '{}', '"text"', '[null]', 'empty', 'empty', -0.000, '{}')`

// TestLookRow: a row as the protocol or to_json has it becomes the very texts that the table's server prints.
func TestLookRow(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		far := newDatabase(t, server, typed)
		d := newDatabase(t, server, typed+`; create schema far; create type far.mood as enum ('calm', 'Über'); create type far.pair as (a int, b text);
			create domain far.positive as numeric(8, 3) check (value > 0)`)
		d.behind("distant", far, server.Port())
		d.exec(`import foreign schema public limit to (typed) from server distant into far`)
		d.exec(`alter foreign table far.typed rename day to date_of_it`)
		looked := look(t, d.dsn())
		for _, name := range []string{"public.typed", "far.typed"} {
			table := looked.Table(name)
			must(t, table.Err)
			for _, id := range []string{"9007199254740993", "-1", "0"} {
				want, err := table.Find(t.Context(), json.RawMessage(`{"id": "`+id+`"}`))
				must(t, err)
				object := far.value(`select to_json(t)::text from typed t where id = ` + id)
				if name == "far.typed" {
					object = strings.Replace(object, `"day":`, `"date_of_it":`, 1)
				}
				got, err := table.Row(t.Context(), json.RawMessage(object))
				must(t, err)
				for i, c := range table.Relation.Columns {
					if got[i].Kind != want[i].Kind || string(got[i].Text) != string(want[i].Text) {
						t.Errorf("%s %s: column %s: got %c %s, want %c %s", name, id, c.Name, got[i].Kind, got[i].Text, want[i].Kind, want[i].Text)
					}
				}
			}
		}
	})
}

// TestLookRowParts: what an object leaves out isn't known; a literal's text will do; a value is refused with its column.
func TestLookRowParts(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), typed+`; create table parts (id int, r int, note text, primary key (id, r)) partition by list (r);
		create table parts1 partition of parts for values in (1); insert into parts values (7, 1, 'seven');
		create table "Odd ""one" (id int primary key, "a b" text); insert into "Odd ""one" values (1, 'x'); create table child () inherits ("Odd ""one"); insert into child values (1, 'y')`)
	looked := look(t, d.dsn())
	table := looked.Table("public.typed")
	row, err := table.Row(t.Context(), json.RawMessage(`{"code": "ab", "Größe": 1.005, "at": "2024-01-01 12:00+02", "tags": "{x}", "marks": "{}"}`))
	must(t, err)
	for name, want := range map[string]string{"code": "ab  ", "Größe": "1.01", "at": "2024-01-01 10:00:00+00", "tags": "{x}", "marks": `"{}"`} {
		if got := row[table.Relation.Column(name)]; got.Kind != pgrelay.ValueText || string(got.Text) != want {
			t.Errorf("%s: got %c %q, want %q", name, got.Kind, got.Text, want)
		}
	}
	if got := row[0].Kind; got != pgrelay.ValueUnchanged {
		t.Errorf("a column that isn't named is %c", got)
	}
	for object, want := range map[string]string{
		`{"id": 99999999999999999999}`: "column id (bigint)",
		`{"above": -1}`:                "column above (public.positive)",
		`{"mood": "angry"}`:            "column mood (public.mood)",
		`{"word": "too long"}`:         "column word (character varying(5))",
		`{"colour": 1}`:                "public.typed has no column colour",
		`[]`:                           "no JSON object",
		`null`:                         "no JSON object",
		`{"id": 1`:                     "no JSON object",
	} {
		if _, err := table.Row(t.Context(), json.RawMessage(object)); err == nil || !strings.Contains(err.Error(), want) || pgrelay.Remedy(err) == "" {
			t.Errorf("%s: got %v, want %q and a remedy", object, err, want)
		}
	}
	for name, key := range map[string]string{"public.parts": `{"id": 7, "r": 1}`, `public.Odd "one`: `{"a b": "x"}`} {
		if _, err := looked.Table(name).Find(t.Context(), json.RawMessage(key)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := looked.Table(`public.Odd "one`).Find(t.Context(), json.RawMessage(`{"a b": "y"}`)); err == nil || !strings.Contains(err.Error(), "no row") {
		t.Errorf("a row of a table that inherits is found: %v", err)
	}
	if _, err := table.Find(t.Context(), json.RawMessage(`{"ratio": null, "source": {}}`)); err == nil || errors.As(err, new(*pgconn.PgError)) {
		t.Errorf("got %v for a column that has no equality", err)
	}
}
