package rule

import (
	"fmt"
	"testing"

	"pgrelay/relay"
)

// BenchmarkLoad compiles 10,000 rules with different texts, on 100 relations.
func BenchmarkLoad(b *testing.B) {
	relations := map[string]*relay.Relation{}
	var rules []relay.Rule
	for i := range 10_000 {
		name := fmt.Sprintf("shop.users%d", i%100)
		if relations[name] == nil {
			relations[name] = users()
			relations[name].Name = name
		}
		rules = append(rules, relay.Rule{Name: fmt.Sprint(i), Enabled: true, Relation: name, Roles: []string{fmt.Sprint("role", i)},
			Predicate: fmt.Sprintf("id = (claims ->> 'sub') and id <> 'nobody%d' or (claims -> 'teams') ? id", i)})
	}
	b.ReportAllocs()
	for range b.N {
		if problems := New(rules, nil, nil).Check(func(name string) *relay.Relation { return relations[name] }); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
}

// BenchmarkGrant is what a subscription costs whose texts are compiled already.
func BenchmarkGrant(b *testing.B) {
	r, p := users(), relay.Principal{Role: "member", Claims: []byte(`{"role":"member","sub":"7","tenant":3}`)}
	set := New([]relay.Rule{{Name: "own", Enabled: true, Relation: r.Name, Predicate: "id = (claims ->> 'sub')"}}, nil, nil)
	b.ReportAllocs()
	for range b.N {
		if _, err := set.Grant(p, r, Request{Where: "id <> $1", Params: raw(`"5"`)}); err != nil {
			b.Fatal(err)
		}
	}
}
