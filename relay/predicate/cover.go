package predicate

import (
	"slices"

	"pgrelay/relay"
)

// Covers are lists of equalities by which an index finds the bindings that a row may concern: for each list, a row for
// which the predicate is true fulfils at least one of its equalities, so one that fulfils none isn't visible; one that does
// must still be evaluated. There is a cover for each top-level conjunct that has one:
//
//   - column = value, IN, = ANY, IS NOT DISTINCT FROM and a boolean column, where equal values are equal texts;
//   - value @> to_jsonb(column) and value ? column, of a jsonb value, by the scalars and keys that it holds;
//   - an OR each of whose arms has a cover: all of these together. An arm that is false or null here counts for nothing,
//     one that is always true or an error leaves the OR without a cover;
//   - an AND in such an arm: of its conjuncts' covers that with the fewest values.
//
// The equalities of a list differ in their columns. An empty list tells that no row is visible, by a conjunct that is
// false, null or an error whatever the row.
func (b *Bound) Covers() [][]relay.Equality {
	c := coverer{newBuilder(b.predicate.types, b.claims, b.params)}
	var all [][]relay.Equality
	for _, n := range flat(b.root(), kindAnd) {
		if cover, ok := c.of(n); ok {
			all = append(all, merge(cover))
		} else if c.fails(n) {
			all = append(all, []relay.Equality{})
		}
	}
	return all
}

// Exact tells that the predicate is nothing but column = value. It has one cover then, of one equality with one value, and is
// true for every row that fulfils it.
func (b *Bound) Exact() bool {
	n := b.root()
	if n.kind != kindCall || !n.depends() {
		return false
	}
	cover, ok := coverer{newBuilder(b.predicate.types, b.claims, b.params)}.equality(n)
	return ok && len(cover[0].Values) == 1
}

// merge makes one equality of those of one column and leaves out those that no row fulfils.
func merge(cover []relay.Equality) []relay.Equality {
	merged := []relay.Equality{}
	at := map[int]int{}
	seen := map[int]map[string]bool{}
	for _, e := range cover {
		for _, v := range e.Values {
			i, ok := at[e.Column]
			if !ok {
				i = len(merged)
				at[e.Column], seen[e.Column] = i, map[string]bool{}
				merged = append(merged, relay.Equality{Column: e.Column})
			}
			if !seen[e.Column][v] {
				seen[e.Column][v] = true
				merged[i].Values = append(merged[i].Values, v)
			}
		}
	}
	return merged
}

type coverer struct{ *builder }

func (c coverer) of(n *node) ([]relay.Equality, bool) {
	if !n.depends() {
		d, fault := c.value(n)(nil, c.work)
		return nil, fault == nil && d.truth() != True
	}
	switch n.kind {
	case kindColumn:
		return one(n, "t")
	case kindNot:
		if column := strip(n.args[0]); column.kind == kindColumn {
			return one(column, "f")
		}
	case kindBoolTest:
		column := strip(n.args[0])
		switch {
		case n.number == isTrue:
			return c.of(n.args[0])
		case n.number == isFalse && column.kind == kindColumn:
			return one(column, "f")
		}
	case kindRelabel:
		return c.of(n.args[0])
	case kindOr:
		return c.any(n)
	case kindAnd:
		return c.fewest(n)
	case kindCall, kindAnyAll, kindDistinct:
		if holder, column := inDocument(n); column != nil {
			return c.held(n, holder, column)
		}
		return c.equality(n)
	}
	return nil, false
}

func one(column *node, value string) ([]relay.Equality, bool) {
	return []relay.Equality{{Column: column.number, Values: []string{value}}}, true
}

func (c coverer) any(n *node) (all []relay.Equality, ok bool) {
	for _, arm := range flat(n, kindOr) {
		cover, ok := c.of(arm)
		if !ok {
			return nil, false
		}
		all = append(all, cover...)
	}
	return all, true
}

func (c coverer) fewest(n *node) (best []relay.Equality, ok bool) {
	least := 0
	for _, conjunct := range flat(n, kindAnd) {
		cover, covered := c.of(conjunct)
		values := 0
		for _, e := range cover {
			values += len(e.Values)
		}
		if covered && (!ok || values < least) {
			best, least, ok = cover, values, true
		}
	}
	return best, ok
}

// equality is column = value, in either order, or column = ANY (values).
func (c coverer) equality(n *node) ([]relay.Equality, bool) {
	if f, ok := c.implementation(n).(comparison); !ok || f.op != eq || n.kind != kindCall && !n.flag {
		return nil, false
	}
	left, right := strip(n.args[0]), strip(n.args[1])
	if left.kind != kindColumn && n.kind != kindAnyAll {
		left, right = right, left
	}
	if left.kind != kindColumn || right.depends() {
		return nil, false
	}
	of := right.typ
	if n.kind == kindAnyAll {
		of = c.elemOf(of)
	}
	d, fault := c.value(right)(nil, c.work)
	if fault != nil || d.null && n.kind == kindDistinct || !c.textTells(left.typ, of) {
		return nil, false
	}
	e, write := relay.Equality{Column: left.number}, c.output(of)
	elems := []datum{d}
	if n.kind == kindAnyAll && !d.null {
		elems = d.x.(*array).elems
	}
	for _, v := range elems {
		if !v.null {
			e.Values = append(e.Values, write(v))
		}
	}
	return []relay.Equality{e}, true
}

// fails tells of a condition that is an error whatever the row: itself, or by a value that it compares with.
func (c coverer) fails(n *node) bool {
	always := func(n *node) bool {
		if n.depends() {
			return false
		}
		_, fault := c.value(n)(nil, c.work)
		return fault != nil
	}
	if n.kind == kindAnyAll && n.number == eachInTurn {
		elements := n.args[1]
		for elements.kind == kindArrayCast {
			elements = elements.args[0]
		}
		return always(n) || always(elements)
	}
	operates := n.kind == kindCall || n.kind == kindAnyAll || n.kind == kindDistinct
	return always(n) || operates && slices.ContainsFunc(n.args, always)
}

// textTells tells whether values of the column's type equal those of the other exactly where their texts are equal.
func (t *types) textTells(column, value uint32) bool {
	column, value = t.baseOf(column), t.baseOf(value)
	integer := func(oid uint32) bool { return oid == oidInt2 || oid == oidInt4 || oid == oidInt8 || oid == oidOID }
	text := func(oid uint32) bool { return oid == oidText || oid == oidVarchar || t.citext(oid) }
	switch {
	case integer(column):
		return integer(value)
	case text(column):
		return text(value)
	case column != value:
		return false
	case t.get(column).kind == 'e':
		return true
	}
	switch column {
	case oidBool, oidUUID, oidBytea, oidDate, oidTime, oidTimestamp, oidTimestamptz, oidName:
		return true
	}
	return false
}
