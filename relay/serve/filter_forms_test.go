package serve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// TestFilterForeign: one table at the source is two foreign tables with names of their own for its columns. Each has its
// own rules, which read the warehouse's names; a column that a foreign table leaves out doesn't exist there.
func TestFilterForeign(t *testing.T) {
	s := newDatabase(t, sharedServer(t, 18), `
		create type stage as enum ('new', 'open', 'shut');
		create table orders (id int primary key, "user" text, state stage, secret text, "a b" int);
		alter table orders replica identity full;
		insert into orders select i, 'u' || i % 3, (array['new', 'open', 'shut'])[1 + i % 3]::stage, 'SECRET ' || i, i from generate_series(1, 12) i`)
	d := newDatabase(t, sharedServer(t, 15), items+`; create type stage as enum ('new', 'open', 'shut')`)
	d.service(s, "svc")
	d.exec(`create foreign table svc.mine (number int options (column_name 'id'), owner text options (column_name 'user'), state stage, "user" int options (column_name 'a b')) server svc options (schema_name 'public', table_name 'orders');
		create foreign table svc.every (id int, secret text, state stage) server svc options (schema_name 'public', table_name 'orders')`)
	d.rule("mine", "svc.mine", "{}", `owner = claims ->> 'sub' and state >= 'open' and "user" > 2`, "")
	d.rule("every", "svc.every", "{staff}", `secret is not null`, "")
	r := d.start(withSecret)
	r.ready(t)
	m := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "u1"})})
	staff := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "u2", "role": "staff"})})
	mine, every := m.ask(client.Subscription{Table: "svc.mine"}), m.ask(client.Subscription{Table: "svc.every"})
	low := m.ask(client.Subscription{Table: "svc.mine", Where: `state = 'open'`, Columns: []string{"user"}})
	hidden := m.ask(client.Subscription{Table: "svc.mine", Where: `secret = 'SECRET 1'`})
	all := staff.ask(client.Subscription{Table: "svc.every"})
	keys := func(m *mirror, id uint64, column string) string {
		var list []string
		for _, row := range m.Rows(id) {
			list = append(list, fmt.Sprintf("%4s", row[column]))
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	check := func(what string) {
		t.Helper()
		want := func(condition string) string {
			return s.value(`select coalesce(string_agg(lpad(id::text, 4), ' ' order by id), '') from orders where ` + condition)
		}
		for _, c := range []struct {
			m                 *mirror
			id                uint64
			column, condition string
		}{
			{m, mine, "number", `"user" = 'u1' and state >= 'open' and "a b" > 2`}, {m, low, "number", `"user" = 'u1' and state = 'open' and "a b" > 2`}, {staff, all, "id", `secret is not null`},
		} {
			w := want(c.condition)
			c.m.until(fmt.Sprintf("%s: %q by %s", what, w, c.condition), func() bool { return c.m.Live(c.id) && keys(c.m, c.id, c.column) == w })
		}
	}
	check("snapshot")
	m.phase(every, client.Waiting, "not_found")
	m.phase(hidden, client.Failed, "")
	for _, sql := range []string{
		`update orders set "user" = 'u' || (id + 1) % 3`, `update orders set state = 'open' where id % 2 = 0`, `update orders set secret = null where id < 5`, `update orders set "a b" = 0 where id > 9`,
		`update orders set id = id + 100 where id % 3 = 1`, `delete from orders where id % 5 = 0`, `insert into orders values (500, 'u1', 'shut', 'SECRET 500', 5)`,
	} {
		s.exec(sql)
		check(sql)
	}
	for _, raw := range m.texts() {
		if strings.Contains(string(raw), "SECRET") {
			t.Errorf("a value of a column that the foreign table leaves out came: %s", raw)
		}
	}
}

// TestFilterAddedColumn: a column that is added joins what a rule without columns shows, and nothing else; a rule
// that reads it comes alive, and one whose columns named it goes on without it when it is dropped.
func TestFilterAddedColumn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sharedServer(t, 18), notes)
	d.rule("narrow", "public.notes", "{anon}", `private is not true`, "{owner}")
	d.rule("all", "public.notes", "{authenticated}", `n > 10`, "")
	d.rule("names", "public.notes", "{member}", `true`, "{owner}")
	d.rule("by a column to come", "public.notes", "{robot}", `later is distinct from 'LATER 1'`, "")
	r := d.start(withSecret)
	r.ready(t)
	mirrors := map[string]*mirror{"anon": newMirror(t, r.url, client.Options{})}
	for _, role := range []string{"authenticated", "member", "robot"} {
		mirrors[role] = newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "u1", "role": role})})
	}
	ids := map[string]uint64{}
	for role, m := range mirrors {
		ids[role] = m.ask(client.Subscription{Table: "public.notes"})
	}
	columns := func(role string) string {
		var names []string
		for _, c := range mirrors[role].Status(ids[role]).Columns {
			names = append(names, c.Name)
		}
		return strings.Join(names, " ")
	}
	shows := func(role, want, rows string) {
		t.Helper()
		m := mirrors[role]
		m.until(fmt.Sprintf("the columns %s for %s, which has %s", want, role, columns(role)), func() bool { return m.Live(ids[role]) && columns(role) == want })
		m.shows(d, ids[role], `select id from notes where `+rows)
	}
	before := "id owner n private body"
	shows("anon", "id owner", `private is not true`)
	shows("authenticated", before, `n > 10`)
	shows("member", "id owner", `true`)
	d.exec(`alter table notes add later text default 'LATER 0', add hidden text default 'HIDDEN'`)
	shows("anon", "id owner", `private is not true`)
	d.exec(`update ` + rules + ` set columns = '{owner,later}' where name = 'narrow'`)
	shows("anon", "id owner later", `private is not true`)
	shows("authenticated", before+" later hidden", `n > 10`)
	shows("member", "id owner", `true`)
	shows("robot", before+" later hidden", `later is distinct from 'LATER 1'`)
	d.exec(`update notes set later = 'LATER ' || id % 3, hidden = 'HIDDEN ' || id where id > 5`)
	shows("anon", "id owner later", `private is not true`)
	shows("robot", before+" later hidden", `later is distinct from 'LATER 1'`)
	d.exec(`alter table notes drop later`)
	shows("anon", "id owner", `private is not true`)
	mirrors["robot"].phase(ids["robot"], client.Waiting, "not_found")
	for _, role := range []string{"anon", "member"} {
		for _, kind := range []string{wire.TypeSnapshot, wire.TypeChanges, wire.TypeSchema} {
			for _, msg := range mirrors[role].seen(kind) {
				if text := fmt.Sprintf("%s", msg.Rows) + fmt.Sprintf("%s", msg.Fill) + fmt.Sprintf("%+v", msg.Changes); strings.Contains(text, "HIDDEN") || role == "member" && strings.Contains(text, "LATER") {
					t.Errorf("%s got a value of a column that no rule of the role grants: %s", role, text)
				}
			}
		}
	}
}
