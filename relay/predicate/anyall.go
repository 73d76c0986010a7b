package predicate

import "pgrelay/relay"

// anyAll compares with each element, as ExecEvalScalarArrayOp does: null where an element was null and none decided.
// https://www.postgresql.org/docs/current/functions-comparisons.html#FUNCTIONS-COMPARISONS-ANY-SOME
func (b *builder) anyAll(n *node) truthOf {
	if f := b.inSet(n); f != nil {
		return f
	}
	if n.number == eachInTurn {
		return b.inTurn(n)
	}
	x, y := b.value(n.args[0]), b.value(n.args[1])
	test, useOr := b.equal(n), n.flag
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		a, fault := x(row, w)
		if fault != nil {
			return Failed, fault
		}
		c, fault := y(row, w)
		if fault != nil {
			return Failed, fault
		}
		if c.null {
			return Null, nil
		}
		elems := c.x.(*array).elems
		if len(elems) == 0 {
			return truthIf(!useOr), nil
		}
		if a.null {
			return Null, nil
		}
		if fault := w.charge(len(elems)); fault != nil {
			return Failed, fault
		}
		result := truthIf(!useOr)
		for i := range elems {
			if elems[i].null {
				result = Null
				continue
			}
			d, fault := test(w, a, elems[i])
			if fault != nil {
				return Failed, fault
			}
			if t := d.truth(); t == Null {
				result = Null
			} else if (t == True) == useOr {
				return t, nil
			}
		}
		return result, nil
	}
}

// set is a constant array's elements, by which of the two the comparison goes.
type set struct {
	texts   map[string]struct{}
	numbers map[int64]struct{}
	null    bool
}

// fewElements are compared one by one, which is faster than a set.
const fewElements = 8

// inSet is column = ANY or <> ALL of a constant array, where equality is that of texts or numbers; nil where it is not.
func (b *builder) inSet(n *node) truthOf {
	f, ok := b.implementation(n).(comparison)
	if n.args[1].depends() {
		return nil
	}
	c, fault := b.value(n.args[1])(nil, b.work)
	if fault != nil || c.null {
		return nil
	}
	a := c.x.(*array)
	if len(a.elems) <= fewElements {
		return nil
	}
	if !ok || !f.bytes && !f.number || !(f.op == eq && n.flag || f.op == ne && !n.flag) {
		b.heavy = true
		return nil
	}
	x, s := b.value(n.args[0]), b.setOf(a, f.number)
	found, missed := truthIf(n.flag), truthIf(!n.flag)
	if s.null {
		missed = Null
	}
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		d, fault := x(row, w)
		switch {
		case fault != nil:
			return Failed, fault
		case d.null:
			return Null, nil
		case s.has(d, f.number):
			return found, nil
		}
		return missed, nil
	}
}

// setOf makes an array's set once: a parameter may be named often.
func (b *builder) setOf(a *array, number bool) *set {
	if s := b.sets[a]; s != nil && (s.numbers != nil) == number {
		return s
	}
	s := &set{}
	if number {
		s.numbers = make(map[int64]struct{}, len(a.elems))
	} else {
		s.texts = make(map[string]struct{}, len(a.elems))
	}
	for _, e := range a.elems {
		switch {
		case e.null:
			s.null = true
		case number:
			s.numbers[e.i] = struct{}{}
		default:
			s.texts[e.s] = struct{}{}
		}
	}
	if b.sets == nil {
		b.sets = map[*array]*set{}
	}
	b.sets[a] = s
	return s
}

func (s *set) has(d datum, number bool) (ok bool) {
	if number {
		_, ok = s.numbers[d.i]
	} else {
		_, ok = s.texts[d.s]
	}
	return ok
}
