package serve_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/triggers"
)

// life is a file of testdata/rules: a table with rows, its rules, and who sees what. In ddl, updates and texts of
// predicates the table is t in a schema of the case's own, which is SCHEMA where it must be named.
type life struct {
	name     string
	About    string
	Identity string // empty: the test makes it full; else what ddl has made it
	DDL      []string
	Rows     []string // what stands in the parentheses of VALUES
	Updates  []string // instead of passing each row's values to the next
	Rules    []lifeRule
	People   []lifePerson
}

type lifeRule struct {
	Name, Predicate string
	Roles, Columns  []string
}

type lifePerson struct {
	Name    string
	Claims  map[string]any // null is anon
	Where   string
	Params  []json.RawMessage
	Columns []string
	Rules   []string // those that apply; by default all of the role's
	Sees    string   // ids, ascending
	Shows   string   // columns; empty: not looked at

	mirror *mirror
	id     uint64
}

// holds evaluates a predicate on a row with Postgres itself; null and an error are no.
const holds = `
create function public.holds(predicate text, r anyelement, claims jsonb) returns boolean language plpgsql set search_path = pg_catalog as $$
declare yes boolean;
begin
	execute 'select (' || predicate || E'\n) from (select ($1).*, $2 as claims) q' into yes using r, claims;
	return coalesce(yes, false);
exception when others then
	return false;
end $$;`

func lives(t *testing.T) (cases []*life) {
	t.Helper()
	files, err := filepath.Glob("../../testdata/rules/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		c := &life{name: strings.TrimSuffix(filepath.Base(file), ".json")}
		decoder := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(raw), "SCHEMA", c.name)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases = append(cases, c)
	}
	return cases
}

// script makes the table; insert fills it.
func (c *life) script() string {
	s := fmt.Sprintf("create schema %[1]s; set search_path = %[1]s;\n", c.name) + strings.Join(c.DDL, ";\n") + ";\n"
	if c.Identity == "" {
		s += "alter table t replica identity full;\n"
	}
	return s + c.insert()
}

func (c *life) insert() string {
	return "insert into t values (" + strings.Join(c.Rows, "), (") + ");\n"
}

// stages are what happens to the table, one transaction for each statement.
func (c *life) stages(d *database) map[string][]string {
	stages := map[string][]string{
		"again": {"delete from t", c.insert()}, "keys": {"update t set id = id + 100 where id % 2 = 0"}, "fewer": {"delete from t where id % 3 = 0"},
		"truncated": {"truncate t"}, "anew": {c.insert()}, "updated": c.Updates,
	}
	if c.Updates == nil {
		columns := d.value(`select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
			where attrelid = '` + c.name + `.t'::regclass and attnum > 0 and attname <> 'id'`)
		from := `(select n.*, lead(id, 1, (select min(id) from t)) over (order by id) as next from t n)`
		rotate := fmt.Sprintf(`update t set (%[1]s) = (select %[1]s from %[2]s o where o.next = t.id)`, columns, from)
		if !strings.Contains(columns, ",") {
			rotate = fmt.Sprintf(`update t set %[1]s = (select %[1]s from %[2]s o where o.next = t.id)`, columns, from)
		}
		stages["updated"] = []string{rotate, rotate}
	}
	return stages
}

var parameter = regexp.MustCompile(`\$\d+`)

// literal is what a parameter stands for, as a literal of SQL.
func literal(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	text := string(raw)
	switch raw[0] {
	case 'n':
		return "null"
	case '"':
		must(t, json.Unmarshal(raw, &text))
	case '[':
		text = "{" + strings.Trim(text, "[]") + "}"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// verdict is a query for the rows that a person sees, by Postgres.
func (c *life) verdict(t *testing.T, p *lifePerson) (query string, claims []byte) {
	t.Helper()
	role := "authenticated"
	if r, ok := p.Claims["role"].(string); ok {
		role = r
	}
	if p.Claims == nil {
		role = "anon"
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	rows := []string{"false"}
	for _, r := range c.Rules {
		applies := slices.Contains(r.Roles, role) || len(r.Roles) == 0 && role != "anon"
		if p.Rules != nil {
			applies = slices.Contains(p.Rules, r.Name)
		}
		if applies {
			rows = append(rows, "public.holds("+quote(r.Predicate)+", t, $1)")
		}
	}
	query = "select id from " + c.name + ".t t where (" + strings.Join(rows, " or ") + ")"
	if p.Where != "" {
		where := parameter.ReplaceAllStringFunc(p.Where, func(name string) string {
			return "(" + literal(t, p.Params[int(name[1]-'1')]) + ")"
		})
		query += " and public.holds(" + quote(where) + ", t, $1)"
	}
	claims, err := json.Marshal(p.Claims)
	must(t, err)
	if p.Claims == nil {
		claims = []byte("{}")
	}
	return query, claims
}

// TestRulesOfLife: rules and filters as they occur, on real tables: what people see is what is expected of them and what
// Postgres says, in the snapshot and after each kind of write.
func TestRulesOfLife(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Run("logical", func(t *testing.T) { rulesOfLife(t, version, false) })
	})
	t.Run("trigger", func(t *testing.T) { rulesOfLife(t, 18, true) })
}

func rulesOfLife(t *testing.T, version int, trigger bool) {
	t.Helper()
	cases := lives(t)
	d := newDatabase(t, sharedServer(t, version), holds)
	for _, c := range cases {
		if err := d.server.Exec(d.ctx, d.name, c.script()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, r := range c.Rules {
			columns := ""
			if r.Columns != nil {
				columns = "{" + strings.Join(r.Columns, ",") + "}"
			}
			d.rule(c.name+" "+r.Name, c.name+".t", "{"+strings.Join(r.Roles, ",")+"}", r.Predicate, columns)
		}
	}
	if trigger {
		d.exec(triggers.Install(""))
		for _, c := range cases {
			d.exec(triggers.Enable(triggers.Table{Name: c.name + ".t"}))
		}
	}
	r := d.start(withSecret)
	r.ready(t)
	mirrors := map[string]*mirror{}
	for _, c := range cases {
		for i := range c.People {
			c.People[i].subscribe(t, r.url, c, mirrors)
		}
	}
	conn := d.connect()
	stages := map[*life]map[string][]string{}
	for _, c := range cases {
		stages[c] = c.stages(d)
	}
	for _, stage := range []string{"snapshot", "again", "updated", "keys", "fewer", "truncated", "anew"} {
		for _, c := range cases {
			for _, sql := range stages[c][stage] {
				if _, err := conn.Exec(d.ctx, "set search_path = "+c.name+", public; "+sql); err != nil {
					t.Fatalf("%s, %s: %v", c.name, sql, err)
				}
			}
		}
		for _, c := range cases {
			t.Run(c.name+"/"+stage, func(t *testing.T) {
				for i := range c.People {
					c.People[i].check(t, conn, c, stage)
				}
			})
		}
	}
	for _, m := range mirrors {
		if s := m.Stats(); s.Resyncs > 0 {
			t.Errorf("want no resync: %+v", s)
		}
	}
	t.Logf("%d cases, %d people on %d connections", len(cases), countPeople(cases), len(mirrors))
}

func countPeople(cases []*life) (n int) {
	for _, c := range cases {
		n += len(c.People)
	}
	return n
}

// subscribe asks on the connection of those who have the same claims.
func (p *lifePerson) subscribe(t *testing.T, url string, c *life, mirrors map[string]*mirror) {
	t.Helper()
	text, err := json.Marshal(p.Claims)
	must(t, err)
	if mirrors[string(text)] == nil {
		options := client.Options{}
		if p.Claims != nil {
			options.Token = token(t, time.Hour, maps.Clone(p.Claims))
		}
		mirrors[string(text)] = newMirror(t, url, options)
	}
	p.mirror = mirrors[string(text)]
	p.id = p.mirror.ask(client.Subscription{Table: c.name + ".t", Columns: p.Columns, Where: p.Where, Params: p.Params})
}

// check waits until the person sees what Postgres says.
func (p *lifePerson) check(t *testing.T, conn *pgx.Conn, c *life, stage string) {
	t.Helper()
	query, claims := c.verdict(t, p)
	var want string
	err := conn.QueryRow(t.Context(), `select coalesce(string_agg(id::text, ' ' order by id), '') from (`+query+`) q`, claims).Scan(&want)
	if err != nil {
		t.Fatalf("%s: %s: %v", p.Name, query, err)
	}
	if (stage == "snapshot" || stage == "again" || stage == "anew") && want != p.Sees {
		t.Errorf("%s: Postgres shows %q, %q is expected", p.Name, want, p.Sees)
	}
	m := p.mirror
	m.until(p.Name+"'s answer", func() bool {
		return m.Live(p.id) || m.Status(p.id).Phase == client.Failed || m.Status(p.id).Phase == client.Waiting
	})
	s := m.Status(p.id)
	if s.Phase != client.Live {
		t.Errorf("%s: %s %s", p.Name, s.Phase, s.Message)
		return
	}
	m.until(fmt.Sprintf("%s's rows %q (%s %s)", p.Name, want, c.name, stage), func() bool { return m.keys(p.id) == want })
	if p.Shows == "" {
		return
	}
	var columns []string
	for _, column := range s.Columns {
		columns = append(columns, column.Name)
	}
	if got := strings.Join(columns, " "); got != p.Shows {
		t.Errorf("%s: sees the columns %q, want %q", p.Name, got, p.Shows)
	}
}
