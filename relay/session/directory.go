package session

import (
	"errors"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/rule"
)

// Source is where the rows and the changes of tables come from, by one way of capture.
type Source interface {
	// Shapes are what is published of it.
	Shapes() *hub.Source
	// Available tells whether subscriptions can be served, and if not, why.
	Available() (ok bool, reason string)
	// Misses tells that a table isn't published for now only: it is not known yet what there is, or another way captures it.
	Misses(table string) bool
	// Covers tells that a stream can go on after a position, and Refresh is the one before which cursors should be renewed.
	Covers(position relay.LSN) bool
	Refresh() relay.LSN
	// Snapshot and Replay run a load.
	Snapshot(load *hub.Load)
	Replay(load *hub.Load, replay *hub.Replay, since relay.LSN)
}

// Directory is what can be subscribed to at a moment. It is immutable.
type Directory struct {
	Rules *rule.Set
	// Heard tells that edits of the rules arrive. Until then nothing is served.
	Heard bool
	// Tables are the sources by the warehouse's table names, also those that can't be reached now.
	Tables map[string]Source
}

var errUnavailable = errors.New("the table's database cannot be reached at the moment")

// resolve finds what a subscription gets: the source and the shape's spec. rule.ErrHidden covers unknown,
// forbidden and dropped tables alike.
func (d *Directory) resolve(p relay.Principal, sub *subscription) (c Source, r *relay.Relation, spec hub.Spec, err error) {
	if !d.Heard {
		return nil, nil, spec, errUnavailable
	}
	c = d.Tables[sub.table]
	if c == nil || !d.Rules.Visible(p, sub.table) {
		return nil, nil, spec, rule.ErrHidden
	}
	available, _ := c.Available()
	if r = c.Shapes().Relation(sub.table); r == nil {
		if c.Misses(sub.table) {
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
	return available && c.Shapes().Relation(table) == b.relation
}
