package predicate

import (
	"pgrelay/relay"
)

// evaluate computes a value of a row, and truthOf a boolean one. They are pure.
type (
	evaluate func(row []relay.Value) (datum, *Fault)
	truthOf  func(row []relay.Value) (Truth, *Fault)
)

// The forms of an implementation. Of a strict one no argument is null. maker makes one for the types at hand.
type (
	fn1        func(a datum) (datum, *Fault)
	fn2        func(a, b datum) (datum, *Fault)
	fnN        func(args []datum) (datum, *Fault)
	maker      func(b *builder, n *node) any
	compare    func(a, b datum) int
	comparison struct {
		cmp compare
		op  order
		// bytes: values are equal exactly where their s are.
		bytes bool
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
}

func newBuilder(p *Predicate, claims datum, params []datum) *builder {
	return &builder{types: p.types, claims: claims, params: params}
}

func (b *builder) refuse(n *node, reason string) {
	panic(stop{&Error{Position: n.pos, Reason: reason, Refused: true}})
}

// value makes the closure of an expression. What doesn't depend on the row is computed now; its fault, too, is raised only
// where a row's evaluation gets there.
func (b *builder) value(n *node) evaluate {
	if n.kind == kindConst {
		return fixed(n.value, nil)
	}
	if !n.depends() {
		d, fault := b.compose(n)(nil)
		return fixed(d, fault)
	}
	return b.compose(n)
}

func fixed(d datum, fault *Fault) evaluate {
	return func([]relay.Value) (datum, *Fault) { return d, fault }
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
	case kindRelabel:
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
	}
	f := b.truthCompose(n)
	return func(row []relay.Value) (datum, *Fault) {
		t, fault := f(row)
		return t.datum(), fault
	}
}

// column reads a column's text. Text-like ones are taken as they are.
func (b *builder) column(n *node) evaluate {
	i := n.number
	if textual(b.baseOf(n.typ)) || b.get(b.baseOf(n.typ)).kind == 'e' {
		return func(row []relay.Value) (datum, *Fault) {
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
			b.refuse(n, "columns of type "+b.display(n.typ)+" are not supported")
		}
	}
	return func(row []relay.Value) (datum, *Fault) {
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
		b.refuse(n, "this function or operator is not supported: "+n.call.name)
	}
	return f
}

func (b *builder) call(n *node) evaluate {
	strict := n.call.strict
	switch f := b.implementation(n).(type) {
	case fn1:
		return b.call1(f, strict, n)
	case fn2:
		return b.call2(f, strict, n)
	case comparison:
		t := b.comparison(f, n)
		return func(row []relay.Value) (datum, *Fault) {
			r, fault := t(row)
			return r.datum(), fault
		}
	case fnN:
		return b.callN(f, strict, n)
	}
	b.refuse(n, "this function or operator is not supported: "+n.call.name)
	return nil
}

func (b *builder) call1(f fn1, strict bool, n *node) evaluate {
	x := b.value(n.args[0])
	return func(row []relay.Value) (datum, *Fault) {
		a, fault := x(row)
		if fault != nil || a.null && strict {
			return a, fault
		}
		return f(a)
	}
}

func (b *builder) call2(f fn2, strict bool, n *node) evaluate {
	x, y := b.value(n.args[0]), b.value(n.args[1])
	return func(row []relay.Value) (datum, *Fault) {
		a, fault := x(row)
		if fault != nil {
			return a, fault
		}
		c, fault := y(row)
		if fault != nil {
			return c, fault
		}
		if strict && (a.null || c.null) {
			return nullDatum, nil
		}
		return f(a, c)
	}
}

func (b *builder) callN(f fnN, strict bool, n *node) evaluate {
	all := b.values(n.args)
	return func(row []relay.Value) (datum, *Fault) {
		args := make([]datum, len(all))
		null := false
		for i, x := range all {
			a, fault := x(row)
			if fault != nil {
				return a, fault
			}
			null = null || a.null
			args[i] = a
		}
		if strict && null {
			return nullDatum, nil
		}
		return f(args)
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
		b.refuse(n, "the cast of "+b.display(n.args[0].typ)+" to "+b.display(n.typ)+" is not supported")
	}
	return func(row []relay.Value) (datum, *Fault) {
		a, fault := x(row)
		if fault != nil || a.null {
			return a, fault
		}
		return read(write(a))
	}
}

func (b *builder) nullIf(n *node) evaluate {
	x, y := b.value(n.args[0]), b.value(n.args[1])
	equal := b.equal(n)
	return func(row []relay.Value) (datum, *Fault) {
		a, fault := x(row)
		if fault != nil {
			return a, fault
		}
		c, fault := y(row)
		if fault != nil {
			return c, fault
		}
		if a.null || c.null {
			return a, nil
		}
		same, fault := equal(a, c)
		if fault != nil || same.truth() == True {
			return nullDatum, fault
		}
		return a, nil
	}
}

// equal is a call of two arguments as a function, whatever its form.
func (b *builder) equal(n *node) fn2 {
	switch f := b.implementation(n).(type) {
	case fn2:
		return f
	case comparison:
		return func(x, y datum) (datum, *Fault) { return boolean(f.op.holds(f.cmp(x, y))), nil }
	}
	b.refuse(n, "this operator is not supported here: "+n.call.name)
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
	return func(row []relay.Value) (datum, *Fault) {
		for i, condition := range conditions {
			t, fault := condition(row)
			if fault != nil {
				return datum{}, fault
			}
			if t == True {
				return results[i](row)
			}
		}
		return otherwise(row)
	}
}

func (b *builder) coalesce(n *node) evaluate {
	all := b.values(n.args)
	return func(row []relay.Value) (datum, *Fault) {
		for _, x := range all {
			if d, fault := x(row); fault != nil || !d.null {
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
		b.refuse(n, "the order of type "+b.display(n.typ)+" is not supported")
	}
	sign := 1
	if n.flag {
		sign = -1
	}
	return func(row []relay.Value) (datum, *Fault) {
		most := nullDatum
		for _, x := range all {
			d, fault := x(row)
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
