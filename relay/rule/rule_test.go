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

func users() *relay.Relation {
	r := &relay.Relation{Name: "shop.users", Key: []int{0}, Leaves: []relay.Leaf{{OID: 1, Schema: "shop", Table: "users", Key: []string{"id"}}}}
	for _, name := range []string{"id", "name", "email"} {
		r.Columns = append(r.Columns, relay.Column{Name: name, Source: name, TypeName: "text", Type: &relay.Type{OID: 25, Name: "text", Kind: relay.KindBase}})
	}
	return r
}

func rule(name string, roles, columns []string) relay.Rule {
	return relay.Rule{Name: name, Enabled: true, Relation: "shop.users", Roles: roles, Predicate: "true", Columns: columns}
}

func TestGrant(t *testing.T) {
	disabled := rule("disabled", []string{"anon"}, nil)
	disabled.Enabled = false
	everybody, yourself := rule("everybody", nil, []string{"name"}), rule("yourself", []string{"member"}, nil)
	for name, c := range map[string]struct {
		rules   []relay.Rule
		role    string
		columns []string
		want    []string
		err     error
	}{
		"nothing without a rule":            {nil, "member", nil, nil, ErrHidden},
		"disabled":                          {[]relay.Rule{disabled}, "anon", nil, nil, ErrHidden},
		"anon only when named":              {[]relay.Rule{everybody}, "anon", nil, nil, ErrHidden},
		"empty roles are the signed-in":     {[]relay.Rule{everybody}, "authenticated", nil, []string{"id", "name"}, nil},
		"another role":                      {[]relay.Rule{yourself}, "guest", nil, nil, ErrHidden},
		"null columns are all":              {[]relay.Rule{yourself}, "member", nil, []string{"id", "name", "email"}, nil},
		"without columns what all grant":    {[]relay.Rule{everybody, yourself}, "member", nil, []string{"id", "name"}, nil},
		"columns choose the rules":          {[]relay.Rule{everybody, yourself}, "member", []string{"email"}, []string{"email"}, nil},
		"a hidden column":                   {[]relay.Rule{everybody}, "member", []string{"email"}, nil, ErrColumns},
		"an unknown column":                 {[]relay.Rule{yourself}, "member", []string{"phone"}, nil, ErrColumns},
		"the key belongs to every rule":     {[]relay.Rule{everybody}, "member", []string{"id"}, []string{"id"}, nil},
		"hidden comes before wrong columns": {[]relay.Rule{yourself}, "guest", []string{"phone"}, nil, ErrHidden},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := New(c.rules, nil, nil).Grant(relay.Principal{Role: c.role, Claims: []byte("{}")}, users(), Request{Columns: c.columns})
			if !errors.Is(err, c.err) || !slices.Equal(got.Columns, c.want) {
				t.Errorf("got %v, %v, want %v, %v", got.Columns, err, c.want, c.err)
			}
		})
	}
}

func raw(params ...string) (list []json.RawMessage) {
	for _, p := range params {
		list = append(list, json.RawMessage(p))
	}
	return list
}

func textRow(values ...string) (row []relay.Value) {
	for _, v := range values {
		row = append(row, relay.Value{Kind: relay.ValueText, Text: []byte(v)})
	}
	return row
}

// full is users with replica identity FULL.
func full() *relay.Relation {
	r := users()
	r.Leaves[0].Full = true
	return r
}

// TestFilter: the rules' rows are joined by OR and narrowed by where, and equal filters have equal texts.
func TestFilter(t *testing.T) {
	own, public := rule("own", nil, nil), rule("public", nil, nil)
	own.Predicate, public.Predicate = "id = (claims ->> 'sub')", "name like 'public%'"
	admin := rule("admin", []string{"admin"}, nil)
	set := New([]relay.Rule{own, public, admin}, nil, nil)
	member := relay.Principal{Role: "member", Claims: []byte(`{"sub":"7","x":1}`)}
	for name, c := range map[string]struct {
		p       relay.Principal
		request Request
		want    []bool // of 7 mine, 8 public thing, 9 theirs
	}{
		"rules are joined by or":    {member, Request{}, []bool{true, true, false}},
		"where narrows":             {member, Request{Where: "id = $1", Params: raw(`"8"`)}, []bool{false, true, false}},
		"where can't widen":         {member, Request{Where: "true or id = '9'"}, []bool{true, true, false}},
		"where may read the claims": {member, Request{Where: "id = claims ->> 'sub'"}, []bool{true, false, false}},
		"a rule that is true":       {relay.Principal{Role: "admin", Claims: []byte(`{}`)}, Request{}, []bool{true, true, true}},
		"true and a where":          {relay.Principal{Role: "admin", Claims: []byte(`{}`)}, Request{Where: "id > '8' collate \"C\""}, []bool{false, false, true}},
		"no claim, no row":          {relay.Principal{Role: "member", Claims: []byte(`{}`)}, Request{Where: "id = '7'"}, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := set.Grant(c.p, full(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range [][]relay.Value{textRow("7", "mine", ""), textRow("8", "public thing", ""), textRow("9", "theirs", "")} {
				got := g.Filter == nil || g.Filter.Match(row) == relay.Shown
				if got != c.want[i] {
					t.Errorf("row %s: got %t, want %t", row[0].Text, got, c.want[i])
				}
			}
		})
	}
	text := func(claims string, request Request) string {
		g, err := set.Grant(relay.Principal{Role: "member", Claims: []byte(claims)}, full(), request)
		if err != nil {
			t.Fatal(err)
		}
		return g.Rule
	}
	where := func(param string) Request { return Request{Where: "id = $1", Params: raw(param)} }
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{text(`{"sub":"7","x":1}`, Request{}), text(`{"sub":"7","x":2}`, Request{}), true},
		{text(`{"sub":"7"}`, Request{}), text(`{"sub":"8"}`, Request{}), false},
		{text(`{"sub":"7"}`, where(`"1"`)), text(`{"sub":"7"}`, where(`1`)), true},
		{text(`{"sub":"7"}`, where(`"1"`)), text(`{"sub":"7"}`, where(`"2"`)), false},
		{text(`{"sub":"7"}`, where(`"1"`)), text(`{"sub":"7"}`, Request{}), false},
	} {
		if (c.a == c.b) != c.equal {
			t.Errorf("%q and %q: want equal %t", c.a, c.b, c.equal)
		}
	}
}

// TestColumnsOfWhere: where reads only columns that may be seen, and the rules that apply grant those as well.
func TestColumnsOfWhere(t *testing.T) {
	everybody, yourself := rule("everybody", nil, []string{"name"}), rule("yourself", nil, nil)
	yourself.Predicate = "id = (claims ->> 'sub')"
	p := relay.Principal{Role: "member", Claims: []byte(`{"sub":"7"}`)}
	both, one := New([]relay.Rule{everybody, yourself}, nil, nil), New([]relay.Rule{everybody}, nil, nil)
	other := textRow("8", "other", "other@example.org")
	g, err := both.Grant(p, full(), Request{Columns: []string{"name"}, Where: "email like '%'"})
	if err != nil || g.Filter.Match(other) == relay.Shown {
		t.Errorf("a where probes a column of somebody else's row (%v)", err)
	}
	message := func(set *Set, where string, params ...string) string {
		_, err := set.Grant(p, full(), Request{Where: where, Params: raw(params...)})
		if !errors.Is(err, ErrWhere) && !errors.Is(err, ErrParams) {
			t.Fatalf("%s: got %v, want a refusal", where, err)
		}
		return err.Error()
	}
	hidden, unknown := message(one, "email = 1"), message(one, "phone = 1")
	if strings.ReplaceAll(hidden, "email", "phone") != unknown {
		t.Errorf("a hidden column answers %q, an unknown one %q", hidden, unknown)
	}
	message(both, "id = $1", `["7"]`)
	message(both, "id = $2", `"7"`)
}

// TestReplicaIdentity: what a filter reads must be in old rows.
func TestReplicaIdentity(t *testing.T) {
	r := rule("named", []string{"anon"}, nil)
	r.Predicate = "name <> 'x'"
	set := New([]relay.Rule{r}, nil, nil)
	problems := set.Check(func(string) *relay.Relation { return users() })
	if len(problems) != 1 || !problems[0].Denies || !strings.Contains(problems[0].Hint, "alter table shop.users replica identity full;") {
		t.Errorf("got %+v, want that the identity lacks name", problems)
	}
	if _, err := set.Grant(relay.Anon(), users(), Request{}); !errors.Is(err, ErrHidden) {
		t.Errorf("got %v, want that the rule denies", err)
	}
	if _, err := set.Grant(relay.Anon(), full(), Request{}); err != nil {
		t.Errorf("got %v, want that the rule serves once old rows are whole", err)
	}
	inserts := users()
	inserts.InsertOnly = true
	if _, err := set.Grant(relay.Anon(), inserts, Request{}); err != nil {
		t.Errorf("got %v, want that a table without updates needs no old rows", err)
	}
	generated := users()
	generated.Leaves[0].NoFull = true
	if problems := set.Check(func(string) *relay.Relation { return generated }); len(problems) != 1 || strings.Contains(problems[0].Hint, "alter table") {
		t.Errorf("got %+v, want no advice that breaks the application", problems)
	}
}

// TestFaults: a row on which a rule raises an error isn't visible by it, by another it is, and the error is told.
func TestFaults(t *testing.T) {
	bad, good := rule("bad", []string{"anon"}, nil), rule("good", []string{"anon"}, nil)
	bad.Predicate, good.Predicate = "1 / (length(name) - 1) = 1", "name = 'x'"
	told := map[string]string{}
	set := New([]relay.Rule{bad, good}, nil, func(rule string, f *predicate.Fault) { told[rule] = f.Code })
	g, err := set.Grant(relay.Anon(), full(), Request{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]relay.Verdict{"x": relay.Shown, "y": relay.Hidden, "xy": relay.Shown} {
		if got := g.Filter.Match(textRow("1", name, "")); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	if told["bad"] != "22012" || len(told) != 1 {
		t.Errorf("got %v, want the division by zero of bad", told)
	}
}

// TestEditsKeepTheRest: an edit of one relation's rules leaves those of the others as they are.
func TestEditsKeepTheRest(t *testing.T) {
	a, b := rule("a", nil, nil), rule("b", nil, nil)
	b.Relation = "shop.other"
	before := New([]relay.Rule{a, b}, nil, nil)
	a.Predicate = "id = '1'"
	after := New([]relay.Rule{a, b}, before, nil)
	if after.Of("shop.other") != before.Of("shop.other") || after.Of("shop.users") == before.Of("shop.users") {
		t.Error("want that shop.other's rules are the same, and shop.users' are not")
	}
}
