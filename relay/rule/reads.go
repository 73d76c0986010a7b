package rule

import (
	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Reads returns the columns, as indexes into r.Columns, on whose old values the rule is decided: what the replica identity
// of each leaf of r has to carry. The error is that of a rule that can't be used whatever the identity is.
func Reads(rule *relay.Rule, r *relay.Relation) ([]int, error) {
	p, err := predicate.Compile(rule.Predicate, r, predicate.Options{Claims: true})
	if err != nil {
		return nil, err
	}
	return p.Columns(), nil
}
