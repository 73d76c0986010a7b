package session

import (
	"errors"

	"pgrelay/relay"
	"pgrelay/relay/capture"
	"pgrelay/relay/hub"
	"pgrelay/relay/rule"
)

// Directory is what can be subscribed to at a moment. It is immutable.
type Directory struct {
	Rules *rule.Set
	// Heard tells that edits of the rules arrive. Until then nothing is served.
	Heard bool
	// Tables are the sources by the warehouse's table names, also those that can't be reached now.
	Tables map[string]*capture.Capture
}

var errUnavailable = errors.New("the table's database cannot be reached at the moment")

// resolve finds what a subscription gets: the source and the shape's spec. rule.ErrHidden covers unknown,
// forbidden and dropped tables alike.
func (d *Directory) resolve(p relay.Principal, sub *subscription) (c *capture.Capture, r *relay.Relation, spec hub.Spec, err error) {
	if !d.Heard {
		return nil, nil, spec, errUnavailable
	}
	c = d.Tables[sub.table]
	if c == nil || !d.Rules.Visible(p, sub.table) {
		return nil, nil, spec, rule.ErrHidden
	}
	available, _ := c.Available()
	if r = c.Hub.Relation(sub.table); r == nil {
		if c.Inspection() == nil {
			return nil, nil, spec, errUnavailable
		}
		return nil, nil, spec, rule.ErrHidden
	}
	if !available {
		return nil, nil, spec, errUnavailable
	}
	grant, err := d.Rules.Grant(p, r, sub.request)
	if err != nil {
		return nil, nil, spec, err
	}
	spec = hub.Spec{Columns: grant.Columns, All: sub.request.Columns == nil, Grows: grant.Grows, Rule: grant.Rule, Snapshot: sub.snapshot}
	if grant.Filter != nil {
		spec.Filter = grant.Filter
	}
	return c, r, spec, nil
}

// basis is what a stream's shape rests on, beside who is asking.
type basis struct {
	rules    *rule.Rules
	relation *relay.Relation
}

// unchanged tells that a table's subscriptions lead to the shapes to which they led on the basis.
func (d *Directory) unchanged(table string, b basis) bool {
	c := d.Tables[table]
	if !d.Heard || c == nil || d.Rules.Of(table) != b.rules {
		return false
	}
	available, _ := c.Available()
	return available && c.Hub.Relation(table) == b.relation
}
