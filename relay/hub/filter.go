package hub

import "pgrelay/relay"

// Filter decides which rows of a relation a shape shows. It is safe for concurrent use and doesn't block: it is
// asked under the source's lock.
type Filter interface {
	// Match decides a row, given by the relation's columns; a column that the row doesn't tell is ValueUnchanged.
	Match(row []relay.Value) relay.Verdict
	// Columns are the indexes of the relation's columns that Match reads, in ascending order.
	Columns() []int
	// Covers are lists of equalities: a row that is Shown fulfils at least one of each list. There may be none.
	Covers() [][]relay.Equality
	// Exact tells that there is one cover, of one equality with one value, and that a row which fulfils it is Shown.
	Exact() bool
	// SQL is a condition over the columns of the table at the source that every row which is Shown fulfils and that
	// raises no error on any row, with bind parameters from $first on, in text form. It may be empty.
	SQL(first int) (condition string, args []string)
}

// change is one change of a relation: its rows by the relation's columns.
type change struct {
	number uint64
	kind   byte
	// old and new have ValueUnchanged where the source didn't send a value and it isn't known otherwise.
	old, new []relay.Value
}

// take fills the rows from what the source sent.
func (c *change) take(t *target, kind byte, old, new []relay.Value, hasOld bool) {
	c.kind = kind
	c.old, c.new = c.old[:0], c.new[:0]
	for column := range t.index {
		o, n := unchanged, unchanged
		if kind != 'D' {
			n = t.at(new, column)
		}
		switch held := t.held[column]; {
		case kind == 'I' || !held:
		case hasOld:
			if o = t.at(old, column); n.Kind == relay.ValueUnchanged && kind == 'U' {
				n = o
			}
		default:
			o = n // the identity didn't change
		}
		c.old, c.new = append(c.old, o), append(c.new, n)
	}
}

var unchanged = relay.Value{Kind: relay.ValueUnchanged}

// decide says what the change is to those who see what the filter shows: 'I', 'U', 'D', or 0 for nothing. known is
// false where that can't be told.
func (c *change) decide(f Filter) (op byte, known bool) {
	var was, is relay.Verdict
	if c.kind != 'D' {
		is = f.Match(c.new)
	}
	if c.kind != 'I' {
		was = f.Match(c.old)
	}
	switch {
	case was == relay.Unknown || is == relay.Unknown:
		return 0, false
	case was == relay.Shown && is == relay.Shown:
		return 'U', true
	case is == relay.Shown:
		return 'I', true
	case was == relay.Shown:
		return 'D', true
	}
	return 0, true
}
