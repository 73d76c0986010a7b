package predicate

import "slices"

func documents() map[string]any {
	number := func(d *document) (datum, *Fault) { return datum{s: d.text}, nil }
	integer := func(l limits) fn1 {
		return jsonbTo(func(d *document) (datum, *Fault) { return numericToInt(datum{s: d.text}, l.low, l.high, l.out) }, jsonNumber)
	}
	float := func(bits int, name string) fn1 {
		read := floatIn(bits, name)
		return jsonbTo(func(d *document) (datum, *Fault) { return read(d.text) }, jsonNumber)
	}
	return map[string]any{
		"jsonb_object_field":      fn2(func(a, b datum) (datum, *Fault) { return docDatum(a.doc().field(b.s)), nil }),
		"jsonb_object_field_text": fn2(func(a, b datum) (datum, *Fault) { return a.doc().field(b.s).asText(), nil }),
		"jsonb_array_element":     fn2(func(a, b datum) (datum, *Fault) { return docDatum(elementOf(a.doc(), b.i)), nil }),
		"jsonb_array_element_text": fn2(func(a, b datum) (datum, *Fault) {
			return elementOf(a.doc(), b.i).asText(), nil
		}),
		"jsonb_extract_path":      fn2(func(a, b datum) (datum, *Fault) { return docDatum(follow(a.doc(), b.x.(*array))), nil }),
		"jsonb_extract_path_text": fn2(func(a, b datum) (datum, *Fault) { return follow(a.doc(), b.x.(*array)).asText(), nil }),
		"jsonb_contains":          fn2w(func(w *work, a, b datum) (datum, *Fault) { return contains(w, a.doc(), b.doc()) }),
		"jsonb_contained":         fn2w(func(w *work, a, b datum) (datum, *Fault) { return contains(w, b.doc(), a.doc()) }),
		"jsonb_exists":            fn2(func(a, b datum) (datum, *Fault) { return boolean(existsIn(a.doc(), b.s)), nil }),
		"jsonb_exists_any":        existsSome(false),
		"jsonb_exists_all":        existsSome(true),
		"jsonb_array_length":      fn1(func(a datum) (datum, *Fault) { return arrayLength(a.doc()) }),
		"jsonb_typeof":            fn1(func(a datum) (datum, *Fault) { return datum{s: typeOf(a.doc())}, nil }),
		"jsonb_delete":            fn2(func(a, b datum) (datum, *Fault) { return without(a.doc(), b.s) }),
		"jsonb_delete_idx":        fn2(func(a, b datum) (datum, *Fault) { return withoutElement(a.doc(), b.i) }),
		"jsonb_concat":            fn2(func(a, b datum) (datum, *Fault) { return concatDocs(a.doc(), b.doc()) }),
		"jsonb_numeric":           jsonbTo(number, jsonNumber),
		"jsonb_int2":              integer(int2Limits),
		"jsonb_int4":              integer(int4Limits),
		"jsonb_int8":              integer(int8Limits),
		"jsonb_float4":            float(32, "real"),
		"jsonb_float8":            float(64, "double precision"),
		"jsonb_bool": jsonbTo(func(d *document) (datum, *Fault) {
			return boolean(d.kind == jsonTrue), nil
		}, jsonTrue, jsonFalse),
		"json_object_field":       rawJSON(func(d *document, b datum) (datum, *Fault) { return rawDatum(d.field(b.s)), nil }),
		"json_object_field_text":  rawJSON(func(d *document, b datum) (datum, *Fault) { return d.field(b.s).asText(), nil }),
		"json_array_element":      rawJSON(func(d *document, b datum) (datum, *Fault) { return rawDatum(d.element(b.i)), nil }),
		"json_array_element_text": rawJSON(func(d *document, b datum) (datum, *Fault) { return d.element(b.i).asText(), nil }),
	}
}

// ofElements makes an implementation for the element type of the first argument's array, or of the second's.
func ofElements(at int, f func(cmp compare) any) maker {
	return func(b *builder, n *node) any {
		cmp := b.equality(b.elemOf(n.args[at].typ))
		if cmp == nil {
			b.refuse(n, "elements of type "+b.display(b.elemOf(n.args[at].typ))+" can't be compared here", "compare with one element by =, or keep the elements in a column of another type")
		}
		return f(cmp)
	}
}

func arrays() map[string]any {
	test := func(f func(w *work, a, b *array, cmp compare) (bool, *Fault)) maker {
		return ofElements(0, func(cmp compare) any {
			return fn2w(func(w *work, a, b datum) (datum, *Fault) {
				is, fault := f(w, a.x.(*array), b.x.(*array), cmp)
				return boolean(is), fault
			})
		})
	}
	return map[string]any{
		"arraycontains":  test(containsAll),
		"arraycontained": test(func(w *work, a, b *array, cmp compare) (bool, *Fault) { return containsAll(w, b, a, cmp) }),
		"arrayoverlap":   test(overlaps),
		"array_cardinality": fn1(func(a datum) (datum, *Fault) {
			return count(len(a.x.(*array).elems))
		}),
		"array_length": fn2(func(a, b datum) (datum, *Fault) {
			return dimension(a, b, func(v *array, i int) int { return v.dims[i] })
		}),
		"array_lower": fn2(func(a, b datum) (datum, *Fault) {
			return dimension(a, b, func(v *array, i int) int { return v.lowers[i] })
		}),
		"array_upper": fn2(func(a, b datum) (datum, *Fault) {
			return dimension(a, b, func(v *array, i int) int { return v.lowers[i] + v.dims[i] - 1 })
		}),
		"array_ndims": fn1(func(a datum) (datum, *Fault) {
			if n := len(a.x.(*array).dims); n > 0 {
				return count(n)
			}
			return nullDatum, nil
		}),
		"array_append":  fn2(func(a, b datum) (datum, *Fault) { return extend(a, b, true) }),
		"array_prepend": fn2(func(a, b datum) (datum, *Fault) { return extend(b, a, false) }),
		"array_cat":     fn2(joinArrays),
		"array_position": ofElements(0, func(cmp compare) any {
			return fn2(func(a, b datum) (datum, *Fault) { return positionIn(a, b, cmp) })
		}),
	}
}

func dimension(a, b datum, f func(v *array, i int) int) (datum, *Fault) {
	v := a.x.(*array)
	if b.i < 1 || b.i > int64(len(v.dims)) {
		return nullDatum, nil
	}
	return count(f(v, int(b.i)-1))
}

// extend appends or prepends an element; a null array counts as an empty one.
func extend(a, e datum, behind bool) (datum, *Fault) {
	v := &array{}
	if !a.null {
		v = a.x.(*array)
	}
	switch {
	case len(v.dims) > 1:
		return datum{}, &Fault{"22000", "argument must be empty or one-dimensional array"}
	case len(v.dims) == 0:
		return datum{x: newArray([]datum{e})}, nil
	}
	elems := append([]datum{e}, v.elems...)
	if behind {
		elems = append(slices.Clone(v.elems), e)
	}
	return datum{x: &array{elems: elems, dims: []int{len(elems)}, lowers: v.lowers}}, nil
}

// joinArrays is array_cat; null counts for nothing.
func joinArrays(a, b datum) (datum, *Fault) {
	switch {
	case a.null:
		return b, nil
	case b.null:
		return a, nil
	}
	x, y := a.x.(*array), b.x.(*array)
	switch {
	case len(x.dims) == 0:
		return b, nil
	case len(y.dims) == 0:
		return a, nil
	}
	outer, inner := x, y
	if len(y.dims) > len(x.dims) {
		outer, inner = y, x
	}
	out := &array{elems: slices.Concat(x.elems, y.elems), dims: slices.Clone(outer.dims), lowers: outer.lowers}
	skip := len(outer.dims) - len(inner.dims)
	switch {
	case skip > 1:
		return datum{}, faultDimension
	case skip == 1:
		out.dims[0]++
	default:
		out.dims[0] += inner.dims[0]
	}
	if !slices.Equal(outer.dims[1:], inner.dims[1-skip:]) || !slices.Equal(outer.lowers[1:], inner.lowers[1-skip:]) {
		return datum{}, faultDimension
	}
	return datum{x: out}, nil
}

// positionIn finds null too, by identity.
func positionIn(a, b datum, cmp compare) (datum, *Fault) {
	if a.null {
		return nullDatum, nil
	}
	v := a.x.(*array)
	if len(v.dims) > 1 {
		return datum{}, &Fault{"0A000", "searching for elements in multidimensional arrays is not supported"}
	}
	for i, e := range v.elems {
		if e.null && b.null || !e.null && !b.null && cmp(e, b) == 0 {
			return count(i + v.lowers[0])
		}
	}
	return nullDatum, nil
}

// ofRange makes an implementation for the range type of an argument.
func ofRange(at int, f func(k *rangeKind) any) maker {
	return func(b *builder, n *node) any {
		oid := n.typ
		if at >= 0 {
			oid = b.baseOf(n.args[at].typ)
		}
		k := b.rangeOf(oid)
		if k == nil || k.cmp == nil {
			b.refuse(n, "ranges of type "+b.display(oid)+" are not supported", "compare the bounds, kept in columns of their own")
		}
		return f(k)
	}
}

func spans() map[string]any {
	test := func(f func(k *rangeKind, a, b span) bool) maker {
		return ofRange(0, func(k *rangeKind) any {
			return fn2(func(a, b datum) (datum, *Fault) { return boolean(f(k, a.x.(span), b.x.(span))), nil })
		})
	}
	of := func(f func(s span) datum) fn1 {
		return func(a datum) (datum, *Fault) { return f(a.x.(span)), nil }
	}
	return map[string]any{
		"range_contains":     test((*rangeKind).contains),
		"range_contained_by": test(func(k *rangeKind, a, b span) bool { return k.contains(b, a) }),
		"range_overlaps":     test((*rangeKind).overlaps),
		"range_before":       test((*rangeKind).before),
		"range_after":        test(func(k *rangeKind, a, b span) bool { return k.before(b, a) }),
		"range_adjacent":     test((*rangeKind).adjacent),
		"range_overleft": test(func(k *rangeKind, a, b span) bool {
			return !a.empty && !b.empty && k.compareSides(a.high(), b.high()) <= 0
		}),
		"range_overright": test(func(k *rangeKind, a, b span) bool {
			return !a.empty && !b.empty && k.compareSides(a.low(), b.low()) >= 0
		}),
		"range_contains_elem": ofRange(0, func(k *rangeKind) any {
			return fn2(func(a, b datum) (datum, *Fault) { return boolean(k.holds(a.x.(span), b)), nil })
		}),
		"elem_contained_by_range": ofRange(1, func(k *rangeKind) any {
			return fn2(func(a, b datum) (datum, *Fault) { return boolean(k.holds(b.x.(span), a)), nil })
		}),
		"range_lower":     of(func(s span) datum { return end(s, s.lower) }),
		"range_upper":     of(func(s span) datum { return end(s, s.upper) }),
		"range_empty":     of(func(s span) datum { return boolean(s.empty) }),
		"range_lower_inc": of(func(s span) datum { return boolean(!s.empty && s.lower.inclusive) }),
		"range_upper_inc": of(func(s span) datum { return boolean(!s.empty && s.upper.inclusive) }),
		"range_lower_inf": of(func(s span) datum { return boolean(!s.empty && s.lower.infinite) }),
		"range_upper_inf": of(func(s span) datum { return boolean(!s.empty && s.upper.infinite) }),
		"range_constructor2": ofRange(-1, func(k *rangeKind) any {
			return fn2(func(a, b datum) (datum, *Fault) { return k.build(a, b, "[)") })
		}),
		"range_constructor3": ofRange(-1, func(k *rangeKind) any {
			return fnN(func(a []datum) (datum, *Fault) {
				if a[2].null {
					return datum{}, &Fault{"22000", "range constructor flags argument must not be null"}
				}
				return k.build(a[0], a[1], a[2].s)
			})
		}),
	}
}

func end(s span, b bound) datum {
	if s.empty || b.infinite {
		return nullDatum
	}
	return b.value
}

func (k *rangeKind) build(a, b datum, flags string) (datum, *Fault) {
	if !slices.Contains([]string{"[)", "[]", "(]", "()"}, flags) {
		return datum{}, &Fault{"42601", "invalid range bound flags"}
	}
	return k.make(bound{a, a.null, flags[0] == '['}, bound{b, b.null, flags[1] == ']'})
}

func networks() map[string]any {
	return map[string]any{
		"network_sub":     networkTest(func(a, b network) bool { return inside(a, b, true) }),
		"network_subeq":   networkTest(func(a, b network) bool { return inside(a, b, false) }),
		"network_sup":     networkTest(func(a, b network) bool { return inside(b, a, true) }),
		"network_supeq":   networkTest(func(a, b network) bool { return inside(b, a, false) }),
		"network_overlap": networkTest(func(a, b network) bool { return inside(a, b, false) || inside(b, a, false) }),
		"network_family":  fn1(func(a datum) (datum, *Fault) { return count(a.x.(network).family()) }),
		"network_masklen": fn1(func(a datum) (datum, *Fault) { return count(a.x.(network).bits) }),
		"network_host":    fn1(func(a datum) (datum, *Fault) { return datum{s: addressText(a.x.(network).addr)}, nil }),
		"network_show":    fn1(func(a datum) (datum, *Fault) { return datum{s: inetOut(true)(a)}, nil }),
		"inet_to_cidr": fn1(func(a datum) (datum, *Fault) {
			n := a.x.(network)
			return datum{x: network{n.masked(), n.bits}}, nil
		}),
		"network_network": fn1(func(a datum) (datum, *Fault) {
			n := a.x.(network)
			return datum{x: network{n.masked(), n.bits}}, nil
		}),
	}
}
