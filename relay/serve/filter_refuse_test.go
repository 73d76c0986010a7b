package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

// vault has columns that nobody may see, one of a type of its own, and rows of two owners.
const vault = `
create type mood as enum ('calm', 'angry');
create table vault (id int primary key, owner text not null, v int, amount numeric(10, 2), secret text, mood mood);
alter table vault replica identity full;
insert into vault values (1, 'me', 1, 1.50, 'mine', 'calm'), (2, 'me', 2, 2.50, 'mine', 'angry'), (3, 'you', 0, 0, 'yours', 'calm'), (4, 'you', 5, null, null, null);
create table closed (id int primary key, owner text);
insert into closed values (1, 'me')`

// vaultDatabase lets people see their own rows of vault, without secret and mood.
func vaultDatabase(t *testing.T) (*database, *relay) {
	t.Helper()
	d := newDatabase(t, sharedServer(t, 15), vault)
	d.rule("own", "public.vault", "{}", `owner = claims ->> 'sub'`, "{owner,v,amount}")
	d.rule("staff", "public.closed", "{staff}", `true`, "")
	r := d.start(withSecret, func(c *serve.Config) { c.Limits.MessagesPerSecond = 100000 })
	r.ready(t)
	return d, r
}

// asker asks on one connection, one subscription after the other.
type asker struct {
	t    *testing.T
	conn *client.Conn
	id   int
}

func newAsker(t *testing.T, d *database, url string, claims map[string]any) *asker {
	t.Helper()
	c, err := client.Dial(d.ctx, url, client.Options{Strict: true, Token: token(t, time.Hour, claims)})
	must(t, err)
	t.Cleanup(c.Drop)
	return &asker{t: t, conn: c}
}

// answer is the first message for a subscription, its id taken out; the subscription is ended again.
func (a *asker) answer(m wire.ClientMessage) (raw []byte, got wire.ServerMessage) {
	a.t.Helper()
	a.id++
	m.Type, m.ID = wire.TypeSubscribe, fmt.Append(nil, a.id)
	must(a.t, a.conn.Send(m))
	raw, first, err := a.conn.Receive()
	must(a.t, err)
	if first.Type == wire.TypeSubscribed || first.Type == wire.TypeWaiting {
		must(a.t, a.conn.Send(wire.ClientMessage{Type: wire.TypeUnsubscribe, ID: m.ID}))
		for {
			_, next, err := a.conn.Receive()
			must(a.t, err)
			if next.Type == wire.TypeClosed {
				break
			}
		}
	}
	return bytes.Replace(raw, fmt.Appendf(nil, `"id":%d`, a.id), []byte(`"id":0`), 1), *first
}

// TestHiddenLikeUnknown: what is said of a column or a type that may not be seen is what is said of one that there is
// not, byte for byte.
func TestHiddenLikeUnknown(t *testing.T) {
	d, r := vaultDatabase(t)
	a := newAsker(t, d, r.url, map[string]any{"sub": "me"})
	for _, ask := range []wire.ClientMessage{
		{Columns: []string{"secret"}},
		{Columns: []string{"owner", "secret", "v"}},
		{Columns: []string{"secret"}, Where: "v = 1"},
		{Columns: []string{"secret"}, Where: "secret = 1"},
		{Columns: []string{"SECRET"}},
		{Where: "secret = 'mine'"},
		{Where: "secret = 1"},
		{Where: "v = 1 and secret is null"},
		{Where: "secret"},
		{Where: "SECRET = 'mine'"},
		{Where: `"SECRET" = 'mine'`},
		{Where: `"Secret" is null`},
		{Where: "vault.secret = 'mine'"},
		{Where: "secret = $1", Params: []json.RawMessage{[]byte(`"mine"`)}},
		{Where: "secret = $1", Params: []json.RawMessage{[]byte(`{}`)}},
		{Where: "lower(secret) = 'mine'"},
		{Where: "secret(owner) = 'mine'"},
		{Where: "true or secret = 'mine'"},
		{Where: "case when true then true else secret is null end"},
		{Where: "owner = any (array[secret])"},
		{Where: "secret = 'mine' and nonsense ="},
		{Where: `v::text collate secret = '1'`},
		{Where: `owner = 'calm'::secret::text`},
		{Where: `'calm'::public.secret is null`},
		{Where: `v = 1 /* secret`},
	} {
		ask.Table = "public.vault"
		hidden, _ := a.answer(ask)
		text, err := json.Marshal(ask)
		must(t, err)
		var other wire.ClientMessage
		must(t, json.Unmarshal(renamed(text), &other))
		unknown, m := a.answer(other)
		if m.Type != wire.TypeError {
			t.Errorf("%s: got %s, want an error", text, unknown)
		}
		if !bytes.Equal(renamed(hidden), unknown) {
			t.Errorf("%s:\n    got %s\nunknown %s", text, hidden, unknown)
		}
	}
	// The type of a hidden column.
	for _, where := range []string{`'calm'::public.mood is null`, `owner = 'calm'::mood::text`, `$1::public.mood is null`, `owner::public.mood = 'calm'`,
		`owner = any ('{calm}'::public.mood[]::text[])`, `mood = 'calm'`} {
		ask := wire.ClientMessage{Table: "public.vault", Where: where}
		if strings.Contains(where, "$1") {
			ask.Params = []json.RawMessage{[]byte(`"nobody"`)}
		}
		hidden, _ := a.answer(ask)
		ask.Where = strings.ReplaceAll(where, "mood", "moot")
		unknown, m := a.answer(ask)
		if m.Type != wire.TypeError || !bytes.Equal(bytes.ReplaceAll(hidden, []byte("mood"), []byte("moot")), unknown) {
			t.Errorf("%s:\n    got %s\nunknown %s", where, hidden, unknown)
		}
	}
}

// renamed has another name where the hidden column's is.
func renamed(text []byte) []byte {
	for was, is := range map[string]string{"secret": "secrez", "SECRET": "SECREZ", "Secret": "Secrez"} {
		text = bytes.ReplaceAll(text, []byte(was), []byte(is))
	}
	return text
}

// TestForbiddenLikeUnknown: whatever is asked of a table that may not be seen is answered as of one that there is not.
func TestForbiddenLikeUnknown(t *testing.T) {
	d, r := vaultDatabase(t)
	a := newAsker(t, d, r.url, map[string]any{"sub": "me"})
	no := false
	for _, ask := range []wire.ClientMessage{
		{}, {Where: "id = 1"}, {Where: "nonsense ("}, {Where: "id = $1", Params: []json.RawMessage{[]byte(`"x"`)}}, {Params: []json.RawMessage{[]byte(`1`)}},
		{Columns: []string{}}, {Columns: []string{"nothing"}}, {Snapshot: &no}, {Since: "x"},
		{Where: strings.Repeat("x", 9000)}, {Where: strings.Repeat("not ", 200) + "true"}, {Where: "1 / 0 = 1"},
	} {
		ask.Table = "public.nowhere"
		want, _ := a.answer(ask)
		for _, table := range []string{"public.closed", rules, "pg_catalog.pg_class", "public.vault; select 1", `"public".vault`, "public.VAULT", "public.vault ", "vault", ".", "public."} {
			ask.Table = table
			if got, _ := a.answer(ask); !bytes.Equal(got, want) {
				t.Errorf("%s: got %s, for an unknown table %s", table, got, want)
			}
		}
	}
}

// TestInjection: texts that would be more than an expression are refused, and those that are values stay values.
func TestInjection(t *testing.T) {
	d, r := vaultDatabase(t)
	a := newAsker(t, d, r.url, map[string]any{"sub": "me", "nasty": `x' or 'a' = 'a`})
	for _, where := range []string{
		`true; drop table vault`, `true; select 1`, `true) or (true`, `true) union select (true`, `(true`, `true)`, `v = 1 from vault`, `true from pg_sleep(1)`,
		`v = 1 where true`, `v = 1 limit 1`, `v = 1 order by 1`, `v = 1 for update`, `true as t`, `true t`, `true, true`, `*`, `vault`, `vault.*`, `distinct true`, `true into x`,
		`exists (select 1 from vault)`, `v in (select v from vault)`, `array(select 1) is null`,
		`pg_sleep(1) is null`, `pg_read_file('/etc/passwd') = ''`, `current_setting('is_superuser') = 'on'`, `set_config('role', 'x', false) = 'x'`, `lo_import('/etc/passwd') = 1`,
		`dblink('', '') is null`, `current_user = 'postgres'`, `session_user = 'x'`, `now() > '2020-01-01'`, `current_timestamp is null`, `random() > 0.5`, `nextval('x') = 1`,
		`version() <> ''`, `pg_backend_pid() > 0`, `count(*) > 0`, `sum(v) > 0`, `row_number() over () = 1`, `ctid is not null`, `xmin = 1`, `tableoid = 1`, `vault is not null`,
		`has_table_privilege('vault', 'select')`, `'pg_authid'::regclass is null`, `'(select 1)'::regproc is null`, `owner ~ '(a+)+$'`, `owner similar to 'x'`, `xmlexists('x' passing by value 'y')`,
		`query_to_xml('select 1', true, true, '') is null`, `$2 = 1`, `$0 = 1`, `:name`, `?`, `/* open`, `'open`, `"open`, `$a$open`, `v = 1\; true`, "v = 1\x00", "\xff = 1",
		`v operator(public.=) 1`, `public.lower(owner) = 'x'`, `owner collate public.x = 'x'`, `grouping(v) = 1`, `default`, `current of c`,
		`true -- ` + "\n" + `; drop table vault`,
	} {
		raw, m := a.answer(wire.ClientMessage{Table: "public.vault", Where: where, Params: []json.RawMessage{[]byte("1")}})
		if m.Type != wire.TypeError || m.Code != wire.CodeBadWhere {
			t.Errorf("%q: got %s", where, raw)
		}
	}
	for _, columns := range [][]string{{"*"}, {"id, secret"}, {`id" from vault; --`}, {"ctid"}, {"xmin"}, {"tableoid"}, {"vault"}, {"vault.id"}, {""}, {"ID"}, {`"id"`}, {"id\x00"}} {
		if raw, m := a.answer(wire.ClientMessage{Table: "public.vault", Columns: columns}); m.Type != wire.TypeError || m.Code != wire.CodeBadColumns {
			t.Errorf("columns %q: got %s", columns, raw)
		}
	}
	m := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "me", "nasty": `x' or 'a' = 'a`})})
	for _, c := range []struct {
		where, param string
		rows         string
	}{
		{`owner = $1`, `"x' or 'a' = 'a"`, ""}, {`owner = $1`, `"me'; drop table vault; --"`, ""}, {`owner = $1`, `"$1"`, ""}, {`owner like $1`, `"%"`, "1 2"}, {`owner like $1`, `"%\\\\%"`, ""},
		{`owner = any ($1)`, `["me","you\",\"x"]`, "1 2"}, {`owner = any ($1)`, `["{me}"]`, ""}, {`owner = any ($1)`, `"{me,you}"`, "1 2"}, {`owner <> claims ->> 'nasty' and v <> $1`, `"7"`, "1 2"},
		{`v = $1 -- comment`, `1`, "1"}, {`$1 = v /* comment */`, `"2"`, "2"}, {`v::text || $1 = '1;'`, `";"`, "1"}, {`amount = $1`, `"1.50"`, "1"}, {`amount > $1`, `1.5`, "2"},
	} {
		id := m.ask(client.Subscription{Table: "public.vault", Where: c.where, Params: []json.RawMessage{[]byte(c.param)}})
		m.until(fmt.Sprintf("an answer to %s with %s", c.where, c.param), func() bool { return m.Live(id) || m.Status(id).Phase == client.Failed })
		if got := m.keys(id); !m.Live(id) || got != c.rows {
			t.Errorf("%s with %s: got %q (%s), want %q", c.where, c.param, got, m.Status(id).Message, c.rows)
		}
	}
	if n := d.value(`select count(*)::text from vault`); n != "4" {
		t.Errorf("%s rows are left of 4", n)
	}
}
