package rule

import (
	"errors"
	"slices"
	"testing"

	"pgrelay/relay"
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

