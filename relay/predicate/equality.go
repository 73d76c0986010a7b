package predicate

// Equality is a conjunct that says that a column equals one of some values.
type Equality struct {
	// Column is an index into the relation's columns.
	Column int
	// Values are the texts that Postgres prints for them; a row for which the conjunct is true has one of them, byte for
	// byte, in its tuple. There may be none: then no row has it.
	Values []string
}

// Equalities are those conjuncts of column = value, IN and = ANY for which equal values are equal texts, so that a hash of
// the wire bytes finds the bindings that a row may concern. A row that has none of an Equality's values isn't visible; one
// that has must still be evaluated.
func (b *Bound) Equalities() []Equality {
	build := newBuilder(b.predicate, b.claims, b.params)
	var all []Equality
	for _, n := range flat(b.predicate.root, kindAnd) {
		if e, ok := build.equalityOf(n); ok {
			all = append(all, e)
		}
	}
	return all
}

func (b *builder) equalityOf(n *node) (Equality, bool) {
	switch n.kind {
	case kindColumn:
		return Equality{n.number, []string{"t"}}, true
	case kindNot:
		if c := n.args[0]; c.kind == kindColumn {
			return Equality{c.number, []string{"f"}}, true
		}
	case kindOr:
		return b.equalityOfAny(n)
	case kindCall, kindAnyAll:
		if f, ok := b.implementation(n).(comparison); !ok || f.op != eq || n.kind == kindAnyAll && !n.flag {
			break
		}
		left, right := strip(n.args[0]), strip(n.args[1])
		if left.kind != kindColumn && n.kind == kindCall {
			left, right = right, left
		}
		if left.kind == kindColumn && !right.depends() {
			return b.equalityWith(left, right, n.kind == kindAnyAll)
		}
	}
	return Equality{}, false
}

// equalityOfAny joins equalities of one column.
func (b *builder) equalityOfAny(n *node) (Equality, bool) {
	var all Equality
	for i, arg := range flat(n, kindOr) {
		e, ok := b.equalityOf(arg)
		if !ok || i > 0 && e.Column != all.Column {
			return Equality{}, false
		}
		all.Column, all.Values = e.Column, append(all.Values, e.Values...)
	}
	return all, true
}

func (b *builder) equalityWith(column, value *node, list bool) (Equality, bool) {
	of := value.typ
	if list {
		of = b.elemOf(of)
	}
	if !b.textTells(column.typ, of) {
		return Equality{}, false
	}
	d, fault := b.value(value)(nil)
	if fault != nil {
		return Equality{}, false
	}
	e, write := Equality{Column: column.number}, b.output(of)
	if d.null {
		return e, true
	}
	elems := []datum{d}
	if list {
		elems = d.x.(*array).elems
	}
	for _, v := range elems {
		if !v.null {
			e.Values = append(e.Values, write(v))
		}
	}
	return e, true
}

// textTells tells whether values of the column's type equal those of the other exactly where their texts are equal.
func (t *types) textTells(column, value uint32) bool {
	column, value = t.baseOf(column), t.baseOf(value)
	integer := func(oid uint32) bool { return oid == oidInt2 || oid == oidInt4 || oid == oidInt8 || oid == oidOID }
	text := func(oid uint32) bool { return oid == oidText || oid == oidVarchar }
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
