package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

const notes = `
create table notes (id bigint primary key, owner text, n int not null default 0, private boolean, body text);
alter table notes replica identity full;
insert into notes select i, 'u' || i % 4, i, i % 3 = 0, 'body ' || i from generate_series(1, 40) i`

// rule stores a rule; roles and columns are arrays in text form, columns is empty for all of them.
func (d *database) rule(name, relation, roles, predicate, columns string) {
	d.t.Helper()
	conn := d.connect()
	defer func() { _ = conn.Close(d.ctx) }()
	_, err := conn.Exec(d.ctx, `insert into `+rules+` (name, relation, roles, predicate, columns) values ($1, $2, $3::text::text[], $4, nullif($5, '')::text[])`,
		name, relation, roles, predicate, columns)
	if err != nil {
		d.t.Fatalf("store the rule %s: %v", name, err)
	}
}

// ask subscribes and returns the id.
func (m *mirror) ask(s client.Subscription) uint64 {
	m.t.Helper()
	id, err := m.Subscribe(s)
	if err != nil {
		m.t.Fatal(err)
	}
	return id
}

// shows waits until a subscription is live with the ids that a query gives.
func (m *mirror) shows(d *database, id uint64, query string) {
	m.t.Helper()
	want := d.value(`select coalesce(string_agg(x::text, ' ' order by x), '') from (` + query + `) q(x)`)
	m.until(fmt.Sprintf("rows %s of %d", want, id), func() bool { return m.Live(id) && m.keys(id) == want })
}

// keys are the ids of the rows that a subscription shows, in numerical order.
func (m *mirror) keys(id uint64) string {
	var ids []int
	for _, row := range m.Rows(id) {
		n, err := strconv.Atoi(strings.Trim(string(row["id"]), `"`))
		if err != nil {
			m.t.Errorf("id %s: %v", row["id"], err)
		}
		ids = append(ids, n)
	}
	slices.Sort(ids)
	return strings.Trim(fmt.Sprint(ids), "[]")
}

// TestFilterEdits: an edit of a predicate shows and hides rows on open connections, which stay open.
func TestFilterEdits(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), notes)
		d.rule("own", "public.notes", "{}", `owner = claims ->> 'sub'`, "")
		r := d.start(withSecret)
		r.ready(t)
		m := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "u1", "team": 2})})
		all := m.ask(client.Subscription{Table: "public.notes"})
		some := m.ask(client.Subscription{Table: "public.notes", Where: "n between $1 and $2", Params: []json.RawMessage{[]byte(`10`), []byte(`"30"`)}})
		events := m.ask(client.Subscription{Table: "public.notes", ChangesOnly: true, Columns: []string{"body"}})
		m.live(all, some, events)
		for _, c := range []struct{ what, predicate, rows string }{
			{"tighter", `owner = claims ->> 'sub' and private is not true`, `owner = 'u1' and private is not true`},
			{"another column", `n % 4 = (claims ->> 'team')::int`, `n % 4 = 2`},
			{"all rows", `true`, `true`},
			{"no row", `false`, `false`},
			{"rows that raise errors", `10 / (n - 5) > 0`, `n > 5 and 10 / nullif(n - 5, 0) > 0`},
			{"looser", `owner = claims ->> 'sub' or private`, `owner = 'u1' or private`},
		} {
			shown := func() {
				m.shows(d, all, `select id from notes where `+c.rows)
				m.shows(d, some, `select id from notes where n between 10 and 30 and (`+c.rows+`)`)
			}
			lives := m.Status(events).Lives
			d.edit(c.what, fmt.Sprintf(`update %s set predicate = $p$%s$p$ where name = 'own'`, rules, c.predicate), shown)
			m.until("the stream of changes under the new rule", func() bool { return m.Status(events).Lives > lives })
			d.exec(`update notes set n = n + 1, owner = 'u' || (n + 1) % 4; delete from notes where id % 13 = 5; insert into notes (id, owner, n, private) values (5, 'u1', 5, false), (18, 'u2', 18, true), (31, 'u1', 31, null) on conflict do nothing`)
			shown()
		}
		if s := m.Stats(); s.Connections != 1 || s.Reasons[wire.ReasonRuleChanged] != s.Resyncs {
			t.Errorf("want one connection and no resync but for rules: %+v", s)
		}
	})
}

// TestFilterBeforeRule: a page that is open before its rule exists comes alive with it, with where and params.
func TestFilterBeforeRule(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), notes)
	r := d.start(withSecret)
	r.ready(t)
	m := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "u1"})})
	good := m.ask(client.Subscription{Table: "public.notes", Where: "body like $1", Params: []json.RawMessage{[]byte(`"body 1%"`)}})
	bad := m.ask(client.Subscription{Table: "public.notes", Where: "secret = 1"})
	late := m.ask(client.Subscription{Table: "public.later", Where: "n > 1"})
	for _, id := range []uint64{good, bad, late} {
		m.phase(id, client.Waiting, "not_found")
	}
	d.edit("the rule is made", `insert into `+rules+` (name, relation, predicate) values ('own', 'public.notes', 'owner = claims ->> ''sub''')`, func() {
		m.shows(d, good, `select id from notes where owner = 'u1' and body like 'body 1%'`)
		m.phase(bad, client.Failed, "")
	})
	if s := m.Status(bad); s.Code != wire.CodeBadWhere {
		t.Errorf("got %+v, want %s", s, wire.CodeBadWhere)
	}
	d.rule("later", "public.later", "{}", "n < 5", "")
	d.exec(`create table later (id int primary key, n int); alter table later replica identity full; insert into later select i, i from generate_series(1, 9) i`)
	m.shows(d, late, `select id from later where n in (2, 3, 4)`)
}

// TestFilterWithdrawn: an edit that makes a subscription impossible starts it over and refuses it; ids that share its
// shape go on by what each of them asked for.
func TestFilterWithdrawn(t *testing.T) {
	plain := client.Subscription{Table: "public.notes", Columns: []string{"owner"}}
	hidden := client.Subscription{Table: "public.notes", Columns: []string{"owner", "body"}}
	where := client.Subscription{Table: "public.notes", Columns: []string{"owner"}, Where: "$1::text is null or body = $1", Params: []json.RawMessage{[]byte("null")}}
	for name, order := range map[string][]client.Subscription{"the good one first": {plain, where, hidden}, "the bad one first": {where, hidden, plain}} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t, sharedServer(t, 15), notes, "public.notes")
			r := d.start()
			r.ready(t)
			m := newMirror(t, r.url, client.Options{})
			var good uint64
			var bad []uint64
			for _, s := range order {
				id := m.ask(s)
				m.live(id)
				if s.Where == "" && len(s.Columns) == 1 {
					good = id
				} else {
					bad = append(bad, id)
				}
			}
			d.edit("a column is withdrawn", `update `+rules+` set columns = '{owner,n}'`, func() {
				m.phase(bad[0], client.Failed, "")
				m.phase(bad[1], client.Failed, "")
			})
			m.shows(d, good, `select id from notes`)
			d.exec(`insert into notes values (1000, 'late')`)
			m.shows(d, good, `select id from notes`)
		})
	}
}

// TestFilterTokens: a renewed token with the claims that the rules read changes nothing; another one starts over what
// it concerns before any further frame, or takes it away.
func TestFilterTokens(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), notes+`; create table teams (id int primary key, team int); alter table teams replica identity full; insert into teams select i, i % 3 from generate_series(1, 9) i`)
	d.rule("own", "public.notes", "{}", `owner = claims ->> 'sub'`, "")
	d.rule("teams", "public.teams", "{}", `claims -> 'teams' @> team::text::jsonb`, "")
	d.rule("staff", "public.teams", "{staff}", `true`, "")
	r := d.start(withSecret)
	r.ready(t)
	claims := func(more map[string]any) string {
		c := map[string]any{"sub": "u1", "teams": []int{1}, "nonce": time.Now().UnixNano()}
		for k, v := range more {
			c[k] = v
		}
		return token(t, time.Hour, c)
	}
	m := newMirror(t, r.url, client.Options{Token: claims(nil)})
	own, teams := m.ask(client.Subscription{Table: "public.notes"}), m.ask(client.Subscription{Table: "public.teams"})
	ownWhere := m.ask(client.Subscription{Table: "public.notes", Where: "(claims ->> 'wide')::boolean or n > 20"})
	m.shows(d, own, `select id from notes where owner = 'u1'`)
	m.shows(d, ownWhere, `select id from notes where owner = 'u1' and n > 20`)
	m.shows(d, teams, `select id from teams where team = 1`)
	renew := func(more map[string]any) {
		welcomes := len(m.seen(wire.TypeWelcome))
		must(t, m.Conn().Send(wire.ClientMessage{Type: wire.TypeToken, Token: claims(more)}))
		m.until("welcome", func() bool { return len(m.seen(wire.TypeWelcome)) > welcomes })
	}
	settled := func() {
		d.exec(`update notes set n = n + 1; update teams set team = (team + 1) % 3`)
		m.shows(d, own, `select id from notes where owner = 'u1'`)
	}
	renew(nil)
	settled()
	m.shows(d, teams, `select id from teams where team = 1`)
	if s := m.Stats(); s.Resyncs != 0 {
		t.Errorf("a renewal with the same claims started %d shapes over", s.Resyncs)
	}
	renew(map[string]any{"teams": []int{0, 2}})
	settled()
	m.shows(d, teams, `select id from teams where team in (0, 2)`)
	renew(map[string]any{"role": "staff"})
	settled()
	m.shows(d, teams, `select id from teams`)
	if s := m.Status(own); s.Lives != 1 {
		t.Errorf("a subscription whose rules read none of the changed claims started over: %+v", s)
	}
	renew(map[string]any{"wide": "true"}) // own and ownWhere may be one shape now
	m.shows(d, ownWhere, `select id from notes where owner = 'u1'`)
	renew(nil)
	m.shows(d, ownWhere, `select id from notes where owner = 'u1' and n > 20`)
	settled()
	m.shows(d, teams, `select id from teams where team = 1`)
	d.edit("the role is what the rule asks for", `update `+rules+` set roles = '{staff}' where name = 'teams'`, func() { m.phase(teams, client.Waiting, "not_found") })
	renew(map[string]any{"role": "staff"})
	m.shows(d, teams, `select id from teams`)
	settled()
}

// TestFilterIdentity: a rule over what old rows don't carry is refused with the statement that mends it, and mended by
// it while the relay runs; a partition that comes later without it suspends the rule.
func TestFilterIdentity(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Parallel() // it mostly waits for the watch's next look
		d := newDatabase(t, sharedServer(t, version), `
			create table docs (id int primary key, owner text, n int);
			insert into docs select i, 'u' || i % 3, i from generate_series(1, 9) i;
			create table logs (id int, region int, owner text, primary key (id, region)) partition by list (region);
			create table logs_0 partition of logs for values in (0);
			alter table logs_0 replica identity full;
			create table logs_1 (like logs including all);
			insert into logs select i, 0, 'u' || i % 3 from generate_series(1, 9) i;
			insert into logs_1 select i, 1, 'u' || i % 3 from generate_series(10, 19) i`)
		d.rule("docs", "public.docs", "{anon}", `owner = 'u1'`, "")
		d.rule("keys", "public.docs", "{staff}", `id > 3`, "")
		d.rule("logs", "public.logs", "{anon}", `owner = 'u1'`, "")
		r := d.start(withSecret, func(c *serve.Config) { c.Admin = "127.0.0.1:0" })
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		docs, logs := m.ask(client.Subscription{Table: "public.docs"}), m.ask(client.Subscription{Table: "public.logs"})
		m.phase(docs, client.Waiting, "not_found")
		m.shows(d, logs, `select id from logs where owner = 'u1'`)
		hint := func(rule, statement string) {
			t.Helper()
			await(t, func() (string, bool) {
				log := r.log.String()
				return fmt.Sprintf("a line of the log with %q for the rule %s", statement, rule), slices.ContainsFunc(strings.Split(log, "\n"), func(line string) bool {
					var l struct{ Rule, Remedy string }
					return json.Unmarshal([]byte(line), &l) == nil && l.Rule == rule && strings.Contains(l.Remedy, statement)
				})
			})
		}
		hint("docs", `alter table public.docs replica identity full`)
		staff := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "s", "role": "staff"})})
		keys := staff.ask(client.Subscription{Table: "public.docs"})
		over := staff.ask(client.Subscription{Table: "public.docs", Where: "n > 4"})
		staff.shows(d, keys, `select id from docs where id > 3`)
		staff.phase(over, client.Failed, "")
		if s := staff.Status(over); s.Code != wire.CodeBadWhere || !strings.Contains(s.Message, `replica identity full`) {
			t.Errorf("a where over what old rows don't carry: %+v", s)
		}
		d.exec(`alter table docs replica identity full`)
		m.shows(d, docs, `select id from docs where owner = 'u1'`)
		d.exec(`update docs set owner = 'u' || (id + 1) % 3; update docs set id = id + 10 where id < 5; delete from docs where id = 9`)
		m.shows(d, docs, `select id from docs where owner = 'u1'`)
		staff.shows(d, keys, `select id from docs where id > 3`)

		d.exec(`alter table logs attach partition logs_1 for values in (1)`)
		m.phase(logs, client.Waiting, "not_found")
		if n := len(m.Rows(logs)); n != 0 {
			t.Errorf("%d rows stay of a rule that is suspended", n)
		}
		hint("logs", `alter table public.logs_1 replica identity full`)
		d.exec(`alter table logs_1 replica identity full`)
		m.shows(d, logs, `select id from logs where owner = 'u1'`)
		d.exec(`update logs set owner = 'u' || (id + 1) % 3; update logs set region = 1 where id < 5; delete from logs where id = 12`)
		m.shows(d, logs, `select id from logs where owner = 'u1'`)
		if s := m.Stats(); s.Connections != 1 {
			t.Errorf("%d connections, want one", s.Connections)
		}
	})
}

// TestIdentityDowngrade: the replica identity is taken back in the very transaction that writes. Old rows that aren't
// whole decide nothing.
func TestIdentityDowngrade(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Parallel()
		d := newDatabase(t, sharedServer(t, version), notes)
		d.rule("public notes", "public.notes", "{anon}", "private is not true", "")
		r := d.start()
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		id := m.ask(client.Subscription{Table: "public.notes"})
		m.live(id)
		d.exec(`begin; alter table notes replica identity default; delete from notes where id = 3;
			update notes set private = true where id = 2; update notes set private = false where id = 6; update notes set body = 'x' where id = 4; commit`)
		m.phase(id, client.Waiting, "not_found")
		d.exec(`alter table notes replica identity full`)
		m.shows(d, id, `select id from notes where private is not true`)
		for _, raw := range m.texts() {
			if bytes.Contains(raw, []byte(`"key":{"id":"3"}`)) {
				t.Errorf("the key of a row that was never seen came: %s", raw)
			}
		}
	})
}

// texts are the changes messages so far, as JSON.
func (m *mirror) texts() (all [][]byte) {
	for _, msg := range m.seen(wire.TypeChanges) {
		raw, err := json.Marshal(msg)
		must(m.t, err)
		all = append(all, raw)
	}
	return all
}
