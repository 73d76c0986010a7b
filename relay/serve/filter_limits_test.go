package serve_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// TestWhereTellsNothing: a where that raises an error on rows which the rules hide is answered as if these were not
// there, in the snapshot and in the stream.
func TestWhereTellsNothing(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version), vault)
		d.rule("own", "public.vault", "{}", `owner = claims ->> 'sub'`, "{owner,v,amount}")
		d.rule("names", "public.vault", "{}", `true`, "{owner}")
		r := d.start(withSecret)
		r.ready(t)
		m := newMirror(t, r.url, client.Options{Token: token(t, time.Hour, map[string]any{"sub": "me"})})
		asks := map[uint64]string{}
		for _, where := range []string{
			`1 / v > 0`, `1 / v < 10`, `v is null or 1 / v < 10`, `(owner || v)::int is null or true`, `owner::int = 1 or v > 0`, `not (1 / v = 7)`,
			`case when owner = 'you' then 1 / (v - v) = 1 else true end`, `v = v or true`, `amount / v > 0`, `('[1' || v || case owner when 'me' then ']' else '' end)::jsonb is not null`,
		} {
			asks[m.ask(client.Subscription{Table: "public.vault", Columns: []string{"owner"}, Where: where})] = where
		}
		wide := m.ask(client.Subscription{Table: "public.vault", Columns: []string{"owner"}, Where: `owner <> ''`})
		// What Postgres says of the rows that the rules show; an error is no answer, and there is none.
		want := func(where string) string {
			var visible []string
			conn := d.connect()
			defer func() { _ = conn.Close(d.ctx) }()
			for _, id := range strings.Fields(d.value(`select coalesce(string_agg(id::text, ' ' order by id), '') from vault where owner = 'me'`)) {
				var is *bool
				if err := conn.QueryRow(d.ctx, `select (`+where+`) from vault where id = `+id).Scan(&is); err == nil && is != nil && *is {
					visible = append(visible, id)
				}
			}
			return strings.Join(visible, " ")
		}
		check := func(when string) {
			t.Helper()
			m.until(when+": all names", func() bool {
				return m.Live(wide) && m.keys(wide) == d.value(`select coalesce(string_agg(id::text, ' ' order by id), '') from vault`)
			})
			for id, where := range asks {
				w := want(where)
				m.until(fmt.Sprintf("%s: the rows %s of %s", when, w, where), func() bool { return m.Live(id) && m.keys(id) == w })
			}
		}
		check("snapshot")
		for _, sql := range []string{
			`update vault set v = 0 where id = 4`, `insert into vault values (5, 'you', 0), (6, 'me', 6)`, `update vault set owner = 'me' where id = 3`,
			`update vault set v = 0 where owner = 'me'`, `update vault set v = id where owner = 'me'`, `update vault set owner = 'you', v = 0 where id = 3`, `delete from vault where v = 0`,
		} {
			d.exec(sql)
			check(sql)
		}
		if s := m.Stats(); s.Resyncs > 0 {
			t.Errorf("want no resync: %+v", s)
		}
	})
}

// TestFilterLimits: what is too large is refused with the limit's name, and costs the connection nothing else.
func TestFilterLimits(t *testing.T) {
	d, r := vaultDatabase(t)
	a := newAsker(t, d, r.url, map[string]any{"sub": "me"})
	limits := *a.conn.Welcome().Limits
	params := func(n int) (all []json.RawMessage) {
		return slices.Repeat([]json.RawMessage{[]byte("1")}, n)
	}
	sum := func(n int) string {
		terms := make([]string, n)
		for i := range terms {
			terms[i] = fmt.Sprintf("$%d", i+1)
		}
		return "v in (" + strings.Join(terms, ", ") + ")"
	}
	in := func(n int) string { return "v in (0" + strings.Repeat(",1", n) + ")" }
	for name, c := range map[string]struct {
		ask  wire.ClientMessage
		code string // empty: it is served
		what string // that the message says
	}{
		"as long as it may be":      {wire.ClientMessage{Where: "true" + strings.Repeat(" ", limits.PredicateBytes-4)}, "", ""},
		"longer":                    {wire.ClientMessage{Where: "true" + strings.Repeat(" ", limits.PredicateBytes-3)}, wire.CodeLimit, "predicate_bytes"},
		"deep":                      {wire.ClientMessage{Where: strings.Repeat("not ", limits.PredicateDepth-2) + "v = 1"}, "", ""},
		"deeper":                    {wire.ClientMessage{Where: strings.Repeat("not ", limits.PredicateDepth+1) + "v = 1"}, wire.CodeLimit, "predicate_depth"},
		"a deep sum":                {wire.ClientMessage{Where: "v = 1" + strings.Repeat("+1", limits.PredicateDepth+1)}, wire.CodeLimit, "predicate_depth"},
		"many parentheses":          {wire.ClientMessage{Where: strings.Repeat("(", 4000) + "true" + strings.Repeat(")", 4000)}, "", ""},
		"open parentheses":          {wire.ClientMessage{Where: strings.Repeat("(", limits.PredicateBytes)}, wire.CodeBadWhere, ""},
		"a wide list":               {wire.ClientMessage{Where: in(3000)}, "", ""},
		"wide alternatives":         {wire.ClientMessage{Where: "v = 1" + strings.Repeat(" or v = 1", 800)}, "", ""},
		"as many params as may be":  {wire.ClientMessage{Where: sum(limits.Params), Params: params(limits.Params)}, "", ""},
		"more params":               {wire.ClientMessage{Where: sum(limits.Params + 1), Params: params(limits.Params + 1)}, wire.CodeLimit, "params"},
		"between in between":        {wire.ClientMessage{Where: strings.Repeat("(v between 1 and 2) between (true) and ", 40) + "(true)"}, wire.CodeBadWhere, ""},
		"params without where":      {wire.ClientMessage{Params: params(1)}, wire.CodeBadParams, ""},
		"too few params":            {wire.ClientMessage{Where: "v = $1 and v = $2", Params: params(1)}, wire.CodeBadWhere, "$2"},
		"a param of another type":   {wire.ClientMessage{Where: "v = $1", Params: []json.RawMessage{[]byte(`"x"`)}}, wire.CodeBadParams, "$1"},
		"a param out of range":      {wire.ClientMessage{Where: "v = $1", Params: []json.RawMessage{[]byte(`2147483648`)}}, wire.CodeBadParams, "$1"},
		"an object for a number":    {wire.ClientMessage{Where: "v = $1", Params: []json.RawMessage{[]byte(`{"a":1}`)}}, wire.CodeBadParams, "$1"},
		"an array for a number":     {wire.ClientMessage{Where: "v = $1", Params: []json.RawMessage{[]byte(`[1]`)}}, wire.CodeBadParams, "$1"},
		"a number for an array":     {wire.ClientMessage{Where: "v = any ($1)", Params: []json.RawMessage{[]byte(`1`)}}, wire.CodeBadParams, "$1"},
		"null for a number":         {wire.ClientMessage{Where: "v = $1", Params: []json.RawMessage{[]byte(`null`)}}, "", ""},
		"a param without a type":    {wire.ClientMessage{Where: "$1 is null", Params: params(1)}, wire.CodeBadWhere, "$1"},
		"no boolean":                {wire.ClientMessage{Where: "v"}, wire.CodeBadWhere, "boolean"},
		"an error whatever the row": {wire.ClientMessage{Where: "1 / 0 = 1"}, wire.CodeBadWhere, "division by zero"},
		"linguistic order":          {wire.ClientMessage{Where: "owner < 'n'"}, wire.CodeBadWhere, "order"},
	} {
		c.ask.Table = "public.vault"
		raw, m := a.answer(c.ask)
		switch {
		case c.code == "" && m.Type != wire.TypeSubscribed:
			t.Errorf("%s: got %s", name, raw)
		case c.code != "" && (m.Type != wire.TypeError || m.Code != c.code || !strings.Contains(m.Message+m.Hint, c.what)):
			t.Errorf("%s: got %s, want %s and %q", name, raw, c.code, c.what)
		}
	}
	if raw, m := a.answer(wire.ClientMessage{Table: "public.vault", Where: "v = 1"}); m.Type != wire.TypeSubscribed {
		t.Errorf("afterwards: got %s", raw)
	}
}
