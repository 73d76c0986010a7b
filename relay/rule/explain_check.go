package rule

import (
	"errors"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Finding is a problem of a rule and where its predicate has it.
type Finding struct {
	Problem
	// Position is a byte offset in the predicate's text; -1 where the problem is at no place of it.
	Position int
}

// payload is what an event rule's predicate reads. A payload is whole, so no replica identity matters. The name is said in
// hints.
var payload = &relay.Relation{Name: "an event: payload", InsertOnly: true, Columns: []relay.Column{
	{Name: "payload", Source: "payload", TypeName: "jsonb", Type: &relay.Type{OID: 3802, Name: "jsonb", Kind: relay.KindBase, Delimiter: ','}},
}}

// Examine returns what is wrong with a rule, enabled or not. r is the relation that it names; for an event's rule nil.
func Examine(rule *relay.Rule, r *relay.Relation) []Finding {
	if rule.Event != "" {
		r = payload
	}
	p, err := predicate.Compile(rule.Predicate, r, predicate.Options{Claims: true})
	if err != nil {
		f := Finding{Problem: Problem{Rule: rule.Name, Relation: rule.Relation, Reason: err.Error(), Denies: true}, Position: -1}
		var e *predicate.Error
		if errors.As(err, &e) {
			f.Reason, f.Hint, f.Position = e.Reason, e.Hint, e.Position
		}
		return []Finding{f}
	}
	c := &compiled{relation: r}
	c.add(rule, p)
	findings := make([]Finding, len(c.problems))
	for i, p := range c.problems {
		findings[i] = Finding{p, -1}
	}
	return findings
}
