package predicate

import (
	"pgrelay/relay"
)

// evaluate computes a value of a row, and truthOf a boolean one. They are pure.
type (
	evaluate func(row []relay.Value, w *work) (datum, *Fault)
	truthOf  func(row []relay.Value, w *work) (Truth, *Fault)
)

// The forms of an implementation. Of a strict one no argument is null. Those with work take more steps than their arguments
// and their result have bytes, and count them. maker makes one for the types at hand.
type (
	fn1        func(a datum) (datum, *Fault)
	fn2        func(a, b datum) (datum, *Fault)
	fnN        func(args []datum) (datum, *Fault)
	fn1w       func(w *work, a datum) (datum, *Fault)
	fn2w       func(w *work, a, b datum) (datum, *Fault)
	fnNw       func(w *work, args []datum) (datum, *Fault)
	maker      func(b *builder, n *node) any
	compare    func(a, b datum) int
	comparison struct {
		cmp compare
		op  order
		// bytes: values are equal exactly where their s are.
		bytes bool
		// number: values are equal exactly where their i are.
		number bool
	}
)

// order is which results of a comparison are true, a bit for each of less, equal, greater.
type order uint8

const (
	lt order = 1
	eq order = 2
	gt order = 4
	le       = lt | eq
	ge       = gt | eq
	ne       = lt | gt
)

func (o order) holds(c int) bool { return o>>(c+1)&1 != 0 }

// builder makes closures of a tree for one binding of claims and parameters.
type builder struct {
	*types
	claims datum
	params []datum
	// work of what is computed once.
	work *work
	// slots are those of columns in a row's work.
	slots map[int]int
	// sets are those of constant arrays.
	sets map[*array]*set
	// heavy: the work on a row is to be counted.
	heavy bool
}

func newBuilder(t *types, claims datum, params []datum) *builder {
	b := &builder{types: t, claims: claims, params: params, work: &work{limit: stepsOnce + stepsPerByte*claims.whole(), encoded: t.encoding != ""}}
	for _, p := range params {
		b.work.limit += stepsPerByte * p.whole()
	}
	return b
}

// slot is the place of a column's value in a row's work.
func (b *builder) slot(column int) int {
	b.heavy = true
	i, ok := b.slots[column]
	if !ok {
		if b.slots == nil {
			b.slots = map[int]int{}
		}
		i = len(b.slots)
		b.slots[column] = i
	}
	return i
}

func (b *builder) refuse(n *node, reason, hint string) {
	panic(stop{&Error{Position: n.pos, Reason: reason, Hint: hint, Refused: true}})
}

// value makes the closure of an expression. What doesn't depend on the row is computed now; its fault, too, is raised only
// where a row's evaluation gets there.
func (b *builder) value(n *node) evaluate {
	if n.kind == kindConst {
		return fixed(n.value, nil)
	}
	if !n.depends() {
		d, fault := b.compose(n)(nil, b.work)
		return fixed(d, fault)
	}
	return b.compose(n)
}

func fixed(d datum, fault *Fault) evaluate {
	return func([]relay.Value, *work) (datum, *Fault) { return d, fault }
}

func (b *builder) compose(n *node) evaluate {
	switch n.kind {
	case kindConst:
		return fixed(n.value, nil)
	case kindColumn:
		return b.column(n)
	case kindClaims:
		return fixed(b.claims, nil)
	case kindParam:
		return fixed(b.params[n.number], nil)
	case kindRelabel, kindAlone:
		return b.value(n.args[0])
	case kindCall:
		return b.call(n)
	case kindViaIO:
		return b.viaIO(n)
	case kindArrayCast:
		return b.arrayCast(n)
	case kindNullIf:
		return b.nullIf(n)
	case kindCase:
		return b.caseOf(n)
	case kindCoalesce:
		return b.coalesce(n)
	case kindGreatest:
		return b.greatest(n)
	case kindArray:
		return b.array(n)
	case kindSubscript:
		return b.subscript(n)
	case kindElements:
		return b.elements(n)
	}
	f := b.truthCompose(n)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		t, fault := f(row, w)
		return t.datum(), fault
	}
}

// column reads a column's text. Text-like ones are taken as they are.
func (b *builder) column(n *node) evaluate {
	i := n.number
	if textual(b.baseOf(n.typ)) || b.citext(n.typ) || b.get(b.baseOf(n.typ)).kind == 'e' {
		return func(row []relay.Value, w *work) (datum, *Fault) {
			v := &row[i]
			if v.Kind != relay.ValueText {
				return absent(v.Kind)
			}
			return datum{s: alias(v.Text)}, nil
		}
	}
	read := b.input(n.typ)
	if read == nil {
		if b.get(b.baseOf(n.typ)).opaque {
			read = func(s string) (datum, *Fault) { return datum{s: s}, nil }
		} else {
			b.refuse(n, "columns of type "+b.display(n.typ)+" are not supported", hintColumn)
		}
	}
	if !b.fixed(n.typ) {
		slot := b.slot(i)
		return func(row []relay.Value, w *work) (datum, *Fault) {
			v := &row[i]
			if v.Kind != relay.ValueText {
				return absent(v.Kind)
			}
			return w.column(slot, v.Text, read)
		}
	}
	return func(row []relay.Value, w *work) (datum, *Fault) {
		v := &row[i]
		if v.Kind != relay.ValueText {
			return absent(v.Kind)
		}
		return read(alias(v.Text))
	}
}

func absent(kind byte) (datum, *Fault) {
	if kind == relay.ValueNull {
		return nullDatum, nil
	}
	return datum{}, ErrUnchanged
}

// textual tells of types whose datum is the text that Postgres prints.
func textual(oid uint32) bool {
	switch oid {
	case oidText, oidVarchar, oidBpchar, oidName, oidChar, oidJSON, oidNumeric, oidUUID, oidBytea:
		return true
	}
	return false
}

// implementation is the function behind a call.
func (b *builder) implementation(n *node) any {
	f := implementations[n.call.name]
	if m, ok := f.(maker); ok {
		f = m(b, n)
	}
	if f == nil {
		b.refuse(n, "this function or operator is not supported: "+n.call.name, wayOf(n.call.name))
	}
	return f
}

func (b *builder) call(n *node) evaluate {
	switch f := b.implementation(n).(type) {
	case fn1:
		return b.call1(func(_ *work, x datum) (datum, *Fault) { return f(x) }, n)
	case fn1w:
		return b.call1(f, n)
	case fn2:
		return b.call2(func(_ *work, x, y datum) (datum, *Fault) { return f(x, y) }, n)
	case fn2w:
		return b.call2(f, n)
	case comparison:
		t := b.comparison(f, n)
		return func(row []relay.Value, w *work) (datum, *Fault) {
			r, fault := t(row, w)
			return r.datum(), fault
		}
	case fnN:
		return b.callN(func(_ *work, all []datum) (datum, *Fault) { return f(all) }, n)
	case fnNw:
		return b.callN(f, n)
	}
	b.refuse(n, "this function or operator is not supported: "+n.call.name, wayOf(n.call.name))
	return nil
}

func (b *builder) call1(f fn1w, n *node) evaluate {
	x, strict, weight := b.value(n.args[0]), n.call.strict, b.weight(n)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		a, fault := x(row, w)
		if fault != nil || a.null && strict {
			return a, fault
		}
		if weight == 0 {
			return f(w, a)
		}
		if fault := w.charge(max(weight, 0) * a.size()); fault != nil {
			return datum{}, fault
		}
		d, fault := f(w, a)
		return w.made(weight, d, fault)
	}
}

func (b *builder) call2(f fn2w, n *node) evaluate {
	x, y, strict, weight := b.value(n.args[0]), b.value(n.args[1]), n.call.strict, b.weight(n)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return a, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return c, fault
		}
		if strict && (a.null || c.null) {
			return nullDatum, nil
		}
		if weight == 0 {
			return f(w, a, c)
		}
		if fault := w.charge(max(weight, 0) * (a.size() + c.size())); fault != nil {
			return datum{}, fault
		}
		d, fault := f(w, a, c)
		return w.made(weight, d, fault)
	}
}

func (b *builder) callN(f fnNw, n *node) evaluate {
	all, strict, weight := b.values(n.args), n.call.strict, b.weight(n)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		args := make([]datum, len(all))
		null, size := false, 0
		for i, x := range all {
			a, fault := x(row, w)
			if fault != nil {
				return a, fault
			}
			null = null || a.null
			size += a.size()
			args[i] = a
		}
		if strict && null {
			return nullDatum, nil
		}
		if fault := w.charge(max(weight, 0) * size); fault != nil {
			return datum{}, fault
		}
		d, fault := f(w, args)
		return w.made(weight, d, fault)
	}
}

func (b *builder) values(args []*node) []evaluate {
	all := make([]evaluate, len(args))
	for i, arg := range args {
		all[i] = b.value(arg)
	}
	return all
}

func (b *builder) viaIO(n *node) evaluate {
	x := b.value(n.args[0])
	write, read := b.output(n.args[0].typ), b.input(n.typ)
	if write == nil || read == nil {
		b.refuse(n, "the cast of "+b.display(n.args[0].typ)+" to "+b.display(n.typ)+" is not supported", hintColumn)
	}
	steps := 1
	if source := n.args[0].typ; !b.fixed(source) && !textual(b.baseOf(source)) {
		steps = printing
	}
	if !b.fixed(n.typ) && !textual(b.baseOf(n.typ)) {
		steps = parsing
	}
	b.heavy = b.heavy || !b.fixed(n.typ) || !b.fixed(n.args[0].typ)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		a, fault := x(row, w)
		if fault != nil || a.null {
			return a, fault
		}
		if fault := w.charge(steps * a.whole()); fault != nil {
			return datum{}, fault
		}
		return read(write(a))
	}
}

func (b *builder) nullIf(n *node) evaluate {
	x, y := b.value(n.args[0]), b.value(n.args[1])
	equal := b.equal(n)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return a, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return c, fault
		}
		if a.null || c.null {
			return a, nil
		}
		same, fault := equal(w, a, c)
		if fault != nil || same.truth() == True {
			return nullDatum, fault
		}
		return a, nil
	}
}

// equal is a call of two arguments as a function, whatever its form.
func (b *builder) equal(n *node) fn2w {
	weight := b.weight(n)
	switch f := b.implementation(n).(type) {
	case fn2:
		return func(w *work, x, y datum) (datum, *Fault) {
			if fault := w.charge(max(weight, 0) * (x.size() + y.size())); fault != nil {
				return datum{}, fault
			}
			return f(x, y)
		}
	case fn2w:
		return f
	case comparison:
		steps := b.steps(n.args[0].typ)
		return func(w *work, x, y datum) (datum, *Fault) {
			if fault := steps(w, x, y); fault != nil {
				return datum{}, fault
			}
			return boolean(f.op.holds(f.cmp(x, y))), nil
		}
	}
	b.refuse(n, "this operator is not supported here: "+n.call.name, wayOf(n.call.name))
	return nil
}

func (b *builder) caseOf(n *node) evaluate {
	var conditions []truthOf
	var results []evaluate
	last := len(n.args) - 1
	for i := 0; i < last; i += 2 {
		conditions = append(conditions, b.truth(n.args[i]))
		results = append(results, b.value(n.args[i+1]))
	}
	otherwise := b.value(n.args[last])
	return func(row []relay.Value, w *work) (datum, *Fault) {
		for i, condition := range conditions {
			t, fault := condition(row, w)
			if fault != nil {
				return datum{}, fault
			}
			if t == True {
				return results[i](row, w)
			}
		}
		return otherwise(row, w)
	}
}

func (b *builder) coalesce(n *node) evaluate {
	all := b.values(n.args)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		for _, x := range all {
			if d, fault := x(row, w); fault != nil || !d.null {
				return d, fault
			}
		}
		return nullDatum, nil
	}
}

func (b *builder) greatest(n *node) evaluate {
	all := b.values(n.args)
	cmp := b.order(n.typ)
	if cmp == nil {
		b.refuse(n, "the order of type "+b.display(n.typ)+" is not supported", "compare the values by =, or order by a column of another type")
	}
	sign := 1
	if n.flag {
		sign = -1
	}
	return func(row []relay.Value, w *work) (datum, *Fault) {
		most := nullDatum
		for _, x := range all {
			d, fault := x(row, w)
			if fault != nil {
				return d, fault
			}
			if !d.null && (most.null || sign*cmp(d, most) > 0) {
				most = d
			}
		}
		return most, nil
	}
}
