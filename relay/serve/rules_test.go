package serve_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/auth"
	"pgrelay/relay/client"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

// inForce is how soon after its commit an edit of the rules is in force.
const inForce = time.Second

const people = `
create table people (id bigint primary key, name text, mail text, secret text);
insert into people select i, 'name ' || i, 'mail ' || i, 'secret ' || i from generate_series(1, 20) i;
create table other (id bigint primary key);
insert into other values (1)`

// secret is the key of the tests' tokens.
var secret = []byte("0123456789abcdef0123456789abcdef")

func withSecret(c *serve.Config) { c.Auth = auth.Config{Secret: secret, Leeway: -1} }

func token(t *testing.T, ttl time.Duration, claims map[string]any) string {
	t.Helper()
	text, err := auth.Mint(secret, claims, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// edit changes the rules and does what must be true within inForce.
func (d *database) edit(what, sql string, in func()) {
	d.t.Helper()
	d.exec(sql)
	began := time.Now()
	in()
	if took := time.Since(began); took > inForce {
		d.t.Errorf("%s: in force after %s", what, took.Round(time.Millisecond))
	}
}

const rules = `web_socket_event_system_events.rules`

// TestRuleEdits: what is visible follows the rules' table while connections are open.
func TestRuleEdits(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), people)
		c.take(d, "people", "other")
		r := d.start(withSecret)
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		id, named, other := m.subscribe("public.people"), m.subscribe("public.people", "name"), m.subscribe("public.other")
		for _, id := range []uint64{id, named, other} {
			m.phase(id, client.Waiting, "not_found")
		}
		d.exec(`insert into people values (100, 'unseen', '', '')`)
		columns := func(id uint64) string {
			var names []string
			for _, c := range m.Status(id).Columns {
				names = append(names, c.Name)
			}
			return strings.Join(names, " ")
		}
		d.edit("a rule for others", `insert into `+rules+` (name, relation, roles) values ('editors', 'public.people', '{editor}')`, func() {})
		d.edit("a rule is made", `insert into `+rules+` (name, relation, roles, columns) values ('names', 'public.people', '{anon}', '{name,mail}')`, func() { m.live(id, named) })
		if got := columns(id) + "; " + columns(named); got != "id name mail; id name" {
			t.Errorf("got the columns %s", got)
		}
		if n := len(m.Rows(id)); n != 21 {
			t.Errorf("got %d rows, want 21", n)
		}

		d.edit("a column is withdrawn", `update `+rules+` set columns = '{name}' where name = 'names'`, func() {
			m.until("the new columns", func() bool { return m.Live(id) && columns(id) == "id name" })
		})
		if s := m.Status(id); s.Reason != "" && s.Reason != wire.ReasonRuleChanged {
			t.Errorf("started over for %s", s.Reason)
		}
		resyncs := m.seen(wire.TypeResync)
		if len(resyncs) == 0 || slices.ContainsFunc(resyncs, func(m wire.ServerMessage) bool { return m.Reason != wire.ReasonRuleChanged }) {
			t.Errorf("got the resyncs %+v", resyncs)
		}
		mail := m.subscribe("public.people", "mail")
		m.phase(mail, client.Failed, "")
		if s := m.Status(mail); s.Code != wire.CodeBadColumns {
			t.Errorf("a column that may not be seen: %+v", s)
		}
		d.edit("a rule without columns", `update `+rules+` set columns = null where name = 'names'`, func() {
			m.until("all columns", func() bool { return m.Live(id) && columns(id) == "id name mail secret" })
		})
		d.edit("the rule is disabled", `update `+rules+` set enabled = false where name = 'names'`, func() { m.phase(id, client.Waiting, "not_found") })
		if n := len(m.Rows(id)); n != 0 {
			t.Errorf("%d rows stay after the rule went", n)
		}
		d.exec(`update people set secret = 'while nobody sees it'`)
		d.edit("the rule is enabled", `update `+rules+` set enabled = true where name = 'names'`, func() { m.live(id, named) })
		m.has(d, id, "people")
		d.edit("the rule is deleted", `delete from `+rules+` where name = 'names'`, func() { m.phase(named, client.Waiting, "not_found") })
		d.edit("a rule of another relation", `insert into `+rules+` (name, relation, roles) values ('other', 'public.other', '{anon}')`, func() { m.live(other) })
		d.edit("all rules are truncated", `truncate `+rules, func() { m.phase(other, client.Waiting, "not_found") })

		// Restrict first, then write: nothing of what is written afterwards is seen.
		d.edit("everything again", `insert into `+rules+` (name, relation, roles) values ('all', 'public.people', '{anon}')`, func() { m.live(id) })
		d.exec(`update ` + rules + ` set columns = '{name}'`)
		m.until("the restriction", func() bool { return m.Live(id) && columns(id) == "id name" })
		d.exec(`update people set secret = 'new'`)
		m.until("the update", func() bool { return len(m.seen(wire.TypeChanges)) > 0 })
		for _, msg := range m.seen(wire.TypeChanges) {
			for _, c := range msg.Changes {
				if _, ok := c.Row["secret"]; ok {
					t.Fatalf("a secret came: %+v", msg)
				}
			}
		}
	}, logical15, trigger15)
}

// TestRoles: anon only when named, an empty list is everybody who is signed in, several rules add up.
func TestRoles(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), people+`;
		create table open (id int primary key); create table signed (id int primary key); create table staff (id int primary key)`)
	d.exec(`insert into ` + rules + ` (name, relation, roles, columns) values
		('open', 'public.open', '{anon,authenticated}', null), ('signed', 'public.signed', '{}', null), ('staff', 'public.staff', '{staff,boss}', null),
		('everybody: names', 'public.people', '{}', '{name}'), ('staff: mail', 'public.people', '{staff}', '{name,mail}')`)
	r := d.start(withSecret)
	r.ready(t)
	day := 24 * time.Hour
	// anon is who has no token.
	if _, err := client.Dial(d.ctx, r.url, client.Options{Token: token(t, day, map[string]any{"role": "anon"})}); !closedWith(err, wire.CloseUnauthorized) {
		t.Errorf("a token with the role anon: %v", err)
	}
	for name, c := range map[string]struct {
		token string
		role  string
		want  string // of open, signed, staff: what is live
		all   string // people's columns
		mail  bool
	}{
		"nobody":    {"", "anon", "open", "", false},
		"signed in": {token(t, day, map[string]any{"sub": "u"}), "authenticated", "open signed", "id name", false},
		"staff":     {token(t, day, map[string]any{"sub": "u", "role": "staff"}), "staff", "signed staff", "id name", true},
		"the boss":  {token(t, day, map[string]any{"sub": "u", "role": "boss"}), "boss", "signed staff", "id name", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, r.url, client.Options{Token: c.token})
			ids := map[string]uint64{}
			for _, table := range []string{"open", "signed", "staff"} {
				ids[table] = m.subscribe("public." + table)
			}
			all, mail := m.subscribe("public.people"), m.subscribe("public.people", "mail")
			m.until("answers", func() bool {
				for _, id := range []uint64{ids["open"], ids["signed"], ids["staff"], all, mail} {
					if s := m.Status(id); s.Phase != client.Live && s.Phase != client.Waiting && s.Phase != client.Failed {
						return false
					}
				}
				return true
			})
			var live []string
			for _, table := range []string{"open", "signed", "staff"} {
				if m.Live(ids[table]) {
					live = append(live, table)
				}
			}
			if got := strings.Join(live, " "); got != c.want {
				t.Errorf("sees %q, want %q", got, c.want)
			}
			var columns []string
			for _, column := range m.Status(all).Columns {
				columns = append(columns, column.Name)
			}
			if got := strings.Join(columns, " "); got != c.all {
				t.Errorf("sees the columns %q of people, want %q", got, c.all)
			}
			if m.Live(mail) != c.mail {
				t.Errorf("sees the column mail: %t, want %t", m.Live(mail), c.mail)
			}
			if got := m.Conn().Welcome().Role; got != c.role {
				t.Errorf("has the role %q, want %q", got, c.role)
			}
		})
	}
}

// TestUnknownAndForbidden: a table that there is not and one that may not be seen are answered alike, byte for byte.
func TestUnknownAndForbidden(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), people+`; create table keyless (n int)`)
	d.exec(`insert into ` + rules + ` (name, relation, roles) values ('b', 'public.other', '{boss}'), ('gone', 'public.gone', '{anon}'), ('refused', 'public.keyless', '{anon}')`)
	r := d.start()
	r.ready(t)
	answer := func(ask wire.ClientMessage) []byte {
		t.Helper()
		c, err := client.Dial(d.ctx, r.url, client.Options{Strict: true})
		must(t, err)
		defer c.Drop()
		ask.Type, ask.ID = wire.TypeSubscribe, []byte("1")
		must(t, c.Send(ask))
		raw, _, err := c.Receive()
		must(t, err)
		return raw
	}
	for name, ask := range map[string]wire.ClientMessage{
		"plain": {}, "with columns": {Columns: []string{"id"}}, "with an unknown column": {Columns: []string{"x"}}, "with a cursor": {Since: strings.Repeat("A", 44)},
	} {
		ask.Table = "public.unknown"
		want := answer(ask)
		for _, table := range []string{"public.people", "public.other", "public.gone", "public.keyless", "nowhere.people", "people", "pg_catalog.pg_authid", rules} {
			ask.Table = table
			if got := answer(ask); !bytes.Equal(got, want) {
				t.Errorf("%s, %s: got %s, for an unknown table %s", name, table, got, want)
			}
		}
	}
}

// TestBrokenRules: a rule that can't be evaluated denies, is named to the operator, and leaves the others alone.
func TestBrokenRules(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15), people, "public.other")
	r := d.start(func(c *serve.Config) { c.Admin = "127.0.0.1:0" })
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	id, other := m.subscribe("public.people"), m.subscribe("public.other")
	m.live(other)
	d.edit("a rule with a predicate", `insert into `+rules+` (name, relation, roles, predicate) values ('own rows', 'public.people', '{anon}', 'id = 1 and')`, func() {})
	m.phase(id, client.Waiting, "not_found")
	broken := func() []string {
		response, err := http.Get("http://" + r.AdminAddr().String() + "/readyz")
		must(t, err)
		defer func() { _ = response.Body.Close() }()
		var answer struct {
			Broken []string `json:"rules_broken"`
		}
		must(t, json.NewDecoder(response.Body).Decode(&answer))
		return answer.Broken
	}
	await(t, func() (string, bool) {
		list := broken()
		return "the rule among the broken ones", len(list) == 1 && strings.HasPrefix(list[0], "own rows: ")
	})
	if !strings.Contains(r.log.String(), `"rule":"own rows"`) {
		t.Error("the log doesn't name the rule")
	}
	if m.Live(id) {
		t.Error("a rule that can't be evaluated grants")
	}
	d.edit("the rule is mended", `update `+rules+` set predicate = 'true' where name = 'own rows'`, func() { m.live(id) })
	await(t, func() (string, bool) { return "no broken rule", len(broken()) == 0 })
	if s := m.Status(other); s.Lives != 1 {
		t.Errorf("another table's subscription started over: %+v", s)
	}
}
