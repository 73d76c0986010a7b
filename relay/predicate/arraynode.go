package predicate

import "pgrelay/relay"

func (b *builder) array(n *node) evaluate {
	all := b.values(n.args)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		elems := make([]datum, len(all))
		for i, x := range all {
			d, fault := x(row, w)
			if fault != nil {
				return d, fault
			}
			elems[i] = d
		}
		return datum{x: newArray(elems)}, nil
	}
}

// subscript is null beyond the bounds and for a wrong number of subscripts.
func (b *builder) subscript(n *node) evaluate {
	if b.baseOf(n.args[0].typ) == oidJSONB {
		return b.jsonbSubscript(n)
	}
	all := b.values(n.args)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		base, fault := all[0](row, w)
		if fault != nil || base.null {
			return base, fault
		}
		a := base.x.(*array)
		at, inside, null := 0, len(a.dims) == len(all)-1, false
		for i, x := range all[1:] {
			d, fault := x(row, w)
			if fault != nil {
				return d, fault
			}
			if null = null || d.null; null || !inside {
				continue
			}
			j := int(d.i) - a.lowers[i]
			if j < 0 || j >= a.dims[i] {
				inside = false
				continue
			}
			at = at*a.dims[i] + j
		}
		if null || !inside {
			return nullDatum, nil
		}
		return a.elems[at], nil
	}
}

func (b *builder) arrayCast(n *node) evaluate {
	x, each := b.value(n.args[0]), b.each(n.sub)
	return func(row []relay.Value, w *work) (datum, *Fault) {
		d, fault := x(row, w)
		if fault != nil || d.null {
			return d, fault
		}
		a := d.x.(*array)
		out := &array{elems: make([]datum, len(a.elems)), dims: a.dims, lowers: a.lowers}
		for i, e := range a.elems {
			if out.elems[i], fault = each(e); fault != nil {
				return datum{}, fault
			}
		}
		return datum{x: out}, nil
	}
}

// each makes a function of an element out of a chain of casts.
func (b *builder) each(n *node) fn1 {
	if n.kind == kindElement {
		return func(d datum) (datum, *Fault) { return d, nil }
	}
	inner, outer := b.each(n.args[0]), b.castOf(n)
	return func(d datum) (datum, *Fault) {
		d, fault := inner(d)
		if fault != nil || d.null {
			return d, fault
		}
		return outer(d)
	}
}

func (b *builder) castOf(n *node) fn1 {
	switch n.kind {
	case kindRelabel:
		return func(d datum) (datum, *Fault) { return d, nil }
	case kindViaIO:
		write, read := b.output(n.args[0].typ), b.input(n.typ)
		if write != nil && read != nil {
			return func(d datum) (datum, *Fault) { return read(write(d)) }
		}
	case kindCall:
		var rest []datum
		for _, arg := range n.args[1:] {
			rest = append(rest, arg.value)
		}
		switch f := b.implementation(n).(type) {
		case fn1:
			return f
		case fn2:
			return func(d datum) (datum, *Fault) { return f(d, rest[0]) }
		case fnN:
			return func(d datum) (datum, *Fault) { return f(append([]datum{d}, rest...)) }
		}
	}
	b.refuse(n, "this cast of an array's elements is not supported", "keep the array in a column of the type that is wanted")
	return nil
}
