package rule

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// accounts is a relation whose old rows are whole.
func accounts() *relay.Relation {
	text := &relay.Type{OID: 25, Name: "text", Kind: relay.KindBase, Delimiter: ','}
	integer := &relay.Type{OID: 23, Name: "integer", Kind: relay.KindBase, Delimiter: ','}
	r := &relay.Relation{Name: "shop.accounts", Schema: "shop", Table: "accounts", Leaves: []relay.Leaf{{Schema: "shop", Table: "accounts", Full: true}}, Key: []int{0}}
	for i, name := range []string{"id", "owner", "amount", "secret"} {
		t := []*relay.Type{integer, text, integer, text}[i]
		r.Columns = append(r.Columns, relay.Column{Name: name, Source: name, TypeName: t.Name, Type: t})
	}
	return r
}

func account(id, owner, amount string) []relay.Value {
	row := []relay.Value{{Kind: relay.ValueUnchanged}, {Kind: relay.ValueUnchanged}, {Kind: relay.ValueUnchanged}, {Kind: relay.ValueUnchanged}}
	for i, text := range []string{id, owner, amount} {
		if text != "" {
			row[i] = relay.Value{Kind: relay.ValueText, Text: []byte(text)}
		}
	}
	return row
}

func stored(id int64, name string, roles []string, text string, columns ...string) relay.Rule {
	return relay.Rule{ID: id, Name: name, Enabled: true, Relation: "shop.accounts", Roles: roles, Predicate: text, Columns: columns}
}

var storedRules = func() []relay.Rule {
	disabled := stored(5, "disabled", nil, "true")
	disabled.Enabled = false
	elsewhere := stored(6, "elsewhere", nil, "true")
	elsewhere.Relation = "shop.others"
	return []relay.Rule{
		stored(1, "own", nil, "owner = claims ->> 'sub' and amount <> 0"),
		stored(2, "names", []string{"clerk"}, "amount > 10", "owner"),
		stored(3, "boss", []string{"boss"}, "true"),
		stored(4, "broken", nil, "ownr = 'x'"),
		disabled, elsewhere,
		stored(7, "nobody", nil, "(claims ->> 'n')::int = 1"),
	}
}()

// clerk has signed in with the role that one of the rules names.
var clerk = relay.Principal{Subject: "ada", Role: "clerk", Claims: json.RawMessage(`{"sub":"ada"}`)}

func TestExplainStandings(t *testing.T) {
	for name, c := range map[string]struct {
		principal relay.Principal
		request   Request
		want      string
		predicate string
		err       error
	}{
		"without columns": {clerk, Request{}, "own applies, names applies, boss role, broken broken, disabled disabled, nobody applies",
			"(owner = claims ->> 'sub' and amount <> 0) or (amount > 10)", nil},
		"a column that one doesn't grant": {clerk, Request{Columns: []string{"secret"}}, "own applies, names columns, boss role, broken broken, disabled disabled, nobody applies",
			"owner = claims ->> 'sub' and amount <> 0", nil},
		"one that where reads": {clerk, Request{Columns: []string{"owner"}, Where: "secret <> ''"}, "own applies, names columns, boss role, broken broken, disabled disabled, nobody applies",
			"(owner = claims ->> 'sub' and amount <> 0) and (secret <> '')", nil},
		"an unknown column": {clerk, Request{Columns: []string{"x"}}, "own columns, names columns, boss role, broken broken, disabled disabled, nobody columns", "", ErrColumns},
		"a wrong where":     {clerk, Request{Where: "id = 1 and x"}, "own applies, names applies, boss role, broken broken, disabled disabled, nobody applies", "", ErrWhere},
		"wrong params":      {clerk, Request{Where: "id = $1", Params: []json.RawMessage{[]byte(`"x"`)}}, "own applies, names applies, boss role, broken broken, disabled disabled, nobody applies", "", ErrParams},
		"anon":              {relay.Anon(), Request{}, "own role, names role, boss role, broken role, disabled disabled, nobody role", "", ErrHidden},
		"one shows all":     {relay.Principal{Role: "boss", Claims: clerk.Claims}, Request{Where: "id = 1"}, "own applies, names role, boss applies, broken broken, disabled disabled, nobody applies", "id = 1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := Explain(storedRules, c.principal, accounts(), c.request)
			var got []string
			for _, g := range e.Rulings {
				got = append(got, g.Rule.Name+" "+string(g.Standing))
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
			if !errors.Is(e.Err, c.err) {
				t.Errorf("got the error %v, want %v", e.Err, c.err)
			}
			if c.err == nil && e.Grant.Filter.Predicate() != c.predicate {
				t.Errorf("got the predicate %s, want %s", e.Grant.Filter.Predicate(), c.predicate)
			}
			if (e.Where != nil) != (c.err == ErrWhere) || e.Where != nil && e.Where.Position != len("id = 1 and ") {
				t.Errorf("got %+v as what is wrong with where", e.Where)
			}
		})
	}
}

// TestExplainAgrees: an explanation decides as the grant does, and its judgements give the reason.
func TestExplainAgrees(t *testing.T) {
	for name, c := range map[string]struct {
		request    Request
		row        []relay.Value
		want       relay.Verdict
		judgements string
	}{
		"own":              {Request{}, account("1", "ada", "5"), relay.Shown, "own true (true true), names false (false), nobody null (null)"},
		"by another":       {Request{}, account("1", "bo", "50"), relay.Shown, "own false (false true), names true (true), nobody null (null)"},
		"neither":          {Request{}, account("1", "bo", "5"), relay.Hidden, "own false (false true), names false (false), nobody null (null)"},
		"not by where":     {Request{Where: "id > 5"}, account("1", "ada", "5"), relay.Hidden, "own true (true true), names false (false), nobody null (null), where false (false)"},
		"where's error":    {Request{Where: "1 / id > 5"}, account("0", "ada", "5"), relay.Hidden, "own true (true true), names false (false), nobody null (null), where error (error)"},
		"unknown":          {Request{}, account("1", "ada", ""), relay.Unknown, "own error (true error), names error (error), nobody null (null)"},
		"unknown, but not": {Request{Columns: []string{"secret"}}, account("1", "bo", ""), relay.Hidden, "own false (false error), nobody null (null)"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Explain(storedRules, clerk, accounts(), c.request)
			if e.Err != nil {
				t.Fatal(e.Err)
			}
			d := e.Decide(c.row)
			if d.Verdict != c.want || e.Grant.Filter.Match(c.row) != c.want {
				t.Errorf("got %v, the filter %v, want %v", d.Verdict, e.Grant.Filter.Match(c.row), c.want)
			}
			all := d.Rules
			if d.Where != nil {
				d.Where.Rule = "where"
				all = append(all, *d.Where)
			}
			var got []string
			for _, j := range all {
				var truths []string
				for _, c := range j.Conjuncts {
					truths = append(truths, c.Truth.String())
				}
				got = append(got, j.Rule+" "+j.Truth.String()+" ("+strings.Join(truths, " ")+")")
			}
			if text := strings.Join(got, ", "); text != c.judgements {
				t.Errorf("got  %s\nwant %s", text, c.judgements)
			}
		})
	}
}

func TestExplainValues(t *testing.T) {
	e := Explain(storedRules, clerk, accounts(), Request{Where: "id = $1 or owner = claims ->> 'sub'", Params: []json.RawMessage{[]byte("7")}})
	want := map[string][]predicate.Operand{
		"own": {{Text: "claims ->> 'sub'", Value: "ada"}}, "names": nil, "nobody": {{Text: "(claims ->> 'n')::int", Null: true}},
	}
	for _, g := range e.Rulings {
		if g.Standing == StandsApplies && !slices.Equal(g.Values, want[g.Rule.Name]) {
			t.Errorf("%s: got %v, want %v", g.Rule.Name, g.Values, want[g.Rule.Name])
		}
		if g.Constant != (g.Rule.Name == "nobody") {
			t.Errorf("%s: constant is %t", g.Rule.Name, g.Constant)
		}
	}
	if want := []predicate.Operand{{Text: "$1", Value: "7"}, {Text: "claims ->> 'sub'", Value: "ada"}}; !slices.Equal(e.Values, want) {
		t.Errorf("where: got %v, want %v", e.Values, want)
	}
}

func TestExamine(t *testing.T) {
	partial := accounts()
	partial.Leaves[0].Full, partial.Leaves[0].Key = false, []string{"id"}
	event := relay.Rule{Name: "e", Event: "update", Predicate: "payload ->> 'id' = claims ->> 'sub'"}
	wrong := event
	wrong.Predicate = "payload -> 'id' and true"
	for name, c := range map[string]struct {
		rule     relay.Rule
		relation *relay.Relation
		reason   string
		position int
		denies   bool
	}{
		"right":                {stored(1, "r", nil, "amount > 1"), accounts(), "", 0, false},
		"unknown column":       {stored(1, "r", nil, "amount > 1 and amont > 1"), accounts(), `column "amont" does not exist`, 15, true},
		"unknown among others": {stored(1, "r", nil, "true", "id", "x", "y"), accounts(), "columns that shop.accounts doesn't have: x, y", -1, false},
		"identity":             {stored(1, "r", nil, "amount > 1"), partial, "the rule reads what updates and deletes of shop.accounts don't carry", -1, true},
		"event":                {event, nil, "", 0, false},
		"event's predicate":    {wrong, nil, "argument of AND must be type boolean, not type jsonb", 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := Examine(&c.rule, c.relation)
			if c.reason == "" {
				if len(got) > 0 {
					t.Errorf("got %+v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0].Reason, c.reason) || got[0].Position != c.position || got[0].Denies != c.denies || got[0].Rule != c.rule.Name {
				t.Errorf("got %+v, want %q at %d", got, c.reason, c.position)
			}
		})
	}
}

func TestFilterPredicate(t *testing.T) {
	signed := relay.Principal{Role: "x", Claims: json.RawMessage(`{"n": 1}`)}
	for name, c := range map[string]struct {
		rules []string
		where string
		want  string
	}{
		"all":               {[]string{"true", "id = 1"}, "", "true"},
		"none":              {[]string{"false"}, "", "false"},
		"none, and where":   {[]string{"false"}, "id = 1", "(false) and (id = 1)"},
		"one":               {[]string{"id = 1"}, "", "id = 1"},
		"equal ones":        {[]string{"id = 1", "id = 1"}, "", "id = 1"},
		"several":           {[]string{"id = 1", "id = 2 or id = 3"}, "", "(id = 1) or (id = 2 or id = 3)"},
		"several and where": {[]string{"id = 1", "id = 2"}, "amount = 1", "((id = 1) or (id = 2)) and (amount = 1)"},
		"a comment":         {[]string{"id = 1 -- one", "id = 2"}, "", "(id = 1 -- one\n) or (id = 2)"},
		"decided by claims": {[]string{"(claims ->> 'n')::int = 2", "id = 2"}, "", "id = 2"},
	} {
		t.Run(name, func(t *testing.T) {
			var rules []relay.Rule
			for i, text := range c.rules {
				rules = append(rules, stored(int64(i), text+strings.Repeat(" ", i), nil, text))
			}
			e := Explain(rules, signed, accounts(), Request{Where: c.where})
			if e.Err != nil {
				t.Fatal(e.Err)
			}
			got := e.Grant.Filter.Predicate()
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if _, err := predicate.Compile(got, accounts(), predicate.Options{Claims: true}); err != nil {
				t.Errorf("it is no predicate: %v", err)
			}
		})
	}
}
