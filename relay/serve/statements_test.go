package serve_test

import (
	"testing"

	"pgrelay/relay/client"
)

// TestStatementOrder: what one statement does to a row in several steps arrives in an order in which it makes sense: a
// strict client takes no update of a row that isn't there, and no second insert of one that is.
func TestStatementOrder(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), `
			create table m (id bigint primary key, code text unique, n int); insert into m values (1, 'a', 1), (2, 'b', 1);
			create table tree (id bigint primary key, parent bigint references tree on update cascade on delete cascade);
			insert into tree values (1, null), (2, 1), (3, 2);
			create table nested (id bigint primary key, n int);
			create function public.again() returns trigger language plpgsql as 'begin update public.nested set n = n * 10 where id = new.id; return null; end';
			create trigger "#first" after insert on nested for each row execute function public.again()`,
			"public.m", "public.tree", "public.nested")
		c.take(d, "m", "tree", "nested")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		ids := map[string]uint64{}
		for _, table := range []string{"m", "tree", "nested"} {
			ids[table] = m.subscribe("public." + table)
			m.live(ids[table])
		}
		for _, s := range []struct{ table, sql string }{
			{"m", `merge into m using (values ('a', 0), ('c', 1)) s(code, x) on m.code = s.code when matched then delete when not matched then insert values (1, 'c', s.x)`},
			{"m", `merge into m using (values ('c', 0), ('d', 1)) s(code, x) on m.code = s.code when matched then update set id = 10, code = 'z' when not matched then insert values (1, 'd', s.x)`},
			{"m", `insert into m values (1, 'q', 1), (1, 'r', 2) on conflict (id) do update set id = 21`},
			{"m", `with gone as (delete from m where id = 21 returning *) insert into m select * from gone`},
			{"m", `with u as (update m set n = n + 1 where id = 21 returning *), i as (insert into m values (30, 'x', 1)) delete from m where id = 10`},
			{"m", `update m set id = -id; update m set id = 1 - id where id < 0`},
			{"tree", `update tree set id = id + 10`},
			{"tree", `delete from tree where id = 12`},
			{"nested", `insert into nested values (1, 1), (2, 2)`},
		} {
			d.exec(s.sql)
			m.has(d, ids[s.table], s.table)
		}
		if s := m.Stats(); s.Resyncs > 0 {
			t.Errorf("want no resync: %+v", s)
		}
	}, logical18, trigger15, trigger18)
}
