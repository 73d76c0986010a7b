package predicate

import "pgrelay/relay"

// truth makes the closure of a boolean expression.
func (b *builder) truth(n *node) truthOf {
	if n.kind != kindConst && n.depends() {
		return b.truthCompose(n)
	}
	t := Failed
	d, fault := b.value(n)(nil, b.work)
	if fault == nil {
		t = d.truth()
	}
	return fixedTruth(t, fault)
}

func fixedTruth(t Truth, fault *Fault) truthOf {
	return func([]relay.Value, *work) (Truth, *Fault) { return t, fault }
}

func (b *builder) truthCompose(n *node) truthOf {
	switch n.kind {
	case kindAnd:
		return b.junction(n, False, True)
	case kindOr:
		return b.junction(n, True, False)
	case kindNot:
		return b.not(n)
	case kindIsNull:
		return b.isNull(n)
	case kindBoolTest:
		return b.boolTest(n)
	case kindDistinct:
		return b.distinct(n)
	case kindAnyAll:
		return b.anyAll(n)
	case kindCall:
		if f, ok := b.implementation(n).(comparison); ok {
			return b.comparison(f, n)
		}
	}
	f := b.compose(n)
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		d, fault := f(row, w)
		if fault != nil {
			return Failed, fault
		}
		return d.truth(), nil
	}
}

// comparison of two arguments; one with a constant has a closure of its own.
func (b *builder) comparison(f comparison, n *node) truthOf {
	x, y := b.value(n.args[0]), b.value(n.args[1])
	cmp, op := f.cmp, f.op
	if oid := n.args[0].typ; !b.fixed(oid) && !textual(b.baseOf(oid)) {
		return b.counted(f, x, y, oid)
	}
	if !n.args[1].depends() {
		if c, fault := y(nil, b.work); fault == nil && !c.null {
			if column := strip(n.args[0]); f.bytes && column.kind == kindColumn && (op == eq || op == ne) {
				return sameText(column.number, c.s, op == ne)
			}
			return func(row []relay.Value, w *work) (Truth, *Fault) {
				a, fault := x(row, w)
				if fault != nil {
					return Failed, fault
				}
				if a.null {
					return Null, nil
				}
				return Truth(op >> (cmp(a, c) + 1) & 1), nil
			}
		}
	}
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return Failed, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return Failed, fault
		}
		if a.null || c.null {
			return Null, nil
		}
		return Truth(op >> (cmp(a, c) + 1) & 1), nil
	}
}

// counted is a comparison of arrays, documents or ranges.
func (b *builder) counted(f comparison, x, y evaluate, oid uint32) truthOf {
	steps := b.steps(oid)
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return Failed, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return Failed, fault
		}
		if a.null || c.null {
			return Null, nil
		}
		if fault := steps(w, a, c); fault != nil {
			return Failed, fault
		}
		return truthIf(f.op.holds(f.cmp(a, c))), nil
	}
}

// sameText compares a column's text with a constant's.
func sameText(i int, text string, not bool) truthOf {
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		v := &row[i]
		if v.Kind != relay.ValueText {
			d, fault := absent(v.Kind)
			if fault != nil {
				return Failed, fault
			}
			return d.truth(), nil
		}
		return truthIf((string(v.Text) == text) != not), nil
	}
}

// junction is AND (stops at False) and OR (stops at True), from left to right.
func (b *builder) junction(n *node, stops, goesOn Truth) truthOf {
	var all []truthOf
	for _, arg := range n.args {
		f := b.truth(arg)
		if !arg.depends() {
			t, fault := f(nil, b.work)
			if fault == nil && t == goesOn {
				continue
			}
			all = append(all, f)
			if fault != nil || t == stops {
				break
			}
			continue
		}
		all = append(all, f)
	}
	switch len(all) {
	case 0:
		return fixedTruth(goesOn, nil)
	case 1:
		return all[0]
	}
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		result := goesOn
		for _, f := range all {
			t, fault := f(row, w)
			if fault != nil {
				return Failed, fault
			}
			if t == stops {
				return stops, nil
			}
			if t == Null {
				result = Null
			}
		}
		return result, nil
	}
}

func (b *builder) not(n *node) truthOf {
	f := b.truth(n.args[0])
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		t, fault := f(row, w)
		switch {
		case fault != nil:
			return Failed, fault
		case t == Null:
			return Null, nil
		}
		return t ^ 1, nil
	}
}

func truthIf(b bool) Truth {
	if b {
		return True
	}
	return False
}

func (b *builder) isNull(n *node) truthOf {
	arg, not := n.args[0], n.flag
	if column := strip(arg); column.kind == kindColumn {
		i := column.number
		return func(row []relay.Value, w *work) (Truth, *Fault) {
			if row[i].Kind == relay.ValueUnchanged {
				// Only a value that is stored out of line is left out, and null isn't.
				return truthIf(not), nil
			}
			return truthIf((row[i].Kind == relay.ValueNull) != not), nil
		}
	}
	f := b.value(arg)
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		d, fault := f(row, w)
		if fault != nil {
			return Failed, fault
		}
		return truthIf(d.null != not), nil
	}
}

// strip takes off what only renames a type.
func strip(n *node) *node {
	for n.kind == kindRelabel {
		n = n.args[0]
	}
	return n
}

func (b *builder) boolTest(n *node) truthOf {
	f := b.truth(n.args[0])
	want, not := True, n.number == isNotTrue || n.number == isNotFalse || n.number == isNotUnknown
	switch n.number {
	case isFalse, isNotFalse:
		want = False
	case isUnknown, isNotUnknown:
		want = Null
	}
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		t, fault := f(row, w)
		if fault != nil {
			return Failed, fault
		}
		return truthIf((t == want) != not), nil
	}
}

func (b *builder) distinct(n *node) truthOf {
	x, y := b.value(n.args[0]), b.value(n.args[1])
	equal, same := b.equal(n), n.flag
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return Failed, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return Failed, fault
		}
		if a.null || c.null {
			return truthIf((a.null && c.null) == same), nil
		}
		d, fault := equal(w, a, c)
		if fault != nil {
			return Failed, fault
		}
		return truthIf((d.truth() == True) == same), nil
	}
}
