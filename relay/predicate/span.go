package predicate

import "strings"

// span is a datum's x for range types. An infinite bound has no value.
type span struct {
	empty        bool
	lower, upper bound
}

type bound struct {
	value     datum
	infinite  bool
	inclusive bool
}

// rangeKind is what a range type knows of its subtype.
type rangeKind struct {
	cmp  compare
	read func(string) (datum, *Fault)
	show func(datum) string
	// next is the successor of a discrete subtype's value, else nil.
	next func(datum) (datum, *Fault)
}

// rangeOf describes a built-in range type, or is nil.
func (t *types) rangeOf(oid uint32) *rangeKind {
	r := t.get(oid)
	if r.kind != 'r' || t.types[oid] == nil {
		return nil
	}
	k := &rangeKind{cmp: t.order(r.subtype), read: t.input(r.subtype), show: t.output(r.subtype)}
	switch r.subtype {
	case oidInt4:
		k.next = func(d datum) (datum, *Fault) { return int4Limits.check(d.i + 1) }
	case oidInt8:
		k.next = func(d datum) (datum, *Fault) { return int8Limits.op('+')(d, datum{i: 1}) }
	case oidDate:
		k.next = func(d datum) (datum, *Fault) {
			if d.i == dateInfinity || d.i == dateNegInfinity {
				return d, nil
			}
			return checkDate(d.i + 1)
		}
	}
	return k
}

// make checks and normalizes bounds, as make_range does.
func (k *rangeKind) make(lower, upper bound) (datum, *Fault) {
	if lower.infinite {
		lower.inclusive = false
	}
	if upper.infinite {
		upper.inclusive = false
	}
	s := span{lower: lower, upper: upper}
	if !lower.infinite && !upper.infinite {
		c := k.cmp(lower.value, upper.value)
		if c > 0 {
			return datum{}, faultBounds
		}
		if c == 0 && !(lower.inclusive && upper.inclusive) {
			return datum{x: span{empty: true}}, nil
		}
	}
	if k.next != nil {
		return k.canonical(s)
	}
	return datum{x: s}, nil
}

// canonical is [lower, upper) for discrete ranges.
func (k *rangeKind) canonical(s span) (datum, *Fault) {
	unbounded := func(b bound) bool {
		return b.infinite || k.show(b.value) == "infinity" || k.show(b.value) == "-infinity"
	}
	var fault *Fault
	if !unbounded(s.lower) && !s.lower.inclusive {
		if s.lower.value, fault = k.next(s.lower.value); fault != nil {
			return datum{}, fault
		}
		s.lower.inclusive = true
	}
	if !unbounded(s.upper) && s.upper.inclusive {
		if s.upper.value, fault = k.next(s.upper.value); fault != nil {
			return datum{}, fault
		}
		s.upper.inclusive = false
	}
	if !s.lower.infinite && !s.upper.infinite && k.cmp(s.lower.value, s.upper.value) == 0 && !(s.lower.inclusive && s.upper.inclusive) {
		return datum{x: span{empty: true}}, nil
	}
	return datum{x: s}, nil
}

// in reads the text form. https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-IO
func (k *rangeKind) in(text string) (datum, *Fault) {
	s := trimSpace(text)
	if strings.EqualFold(s, "empty") {
		return datum{x: span{empty: true}}, nil
	}
	if len(s) < 3 || s[0] != '[' && s[0] != '(' {
		return datum{}, faultRange
	}
	lower := bound{inclusive: s[0] == '['}
	low, given, rest, ok := rangeBound(s[1:])
	if !ok || !strings.HasPrefix(rest, ",") {
		return datum{}, faultRange
	}
	high, givenHigh, rest, ok := rangeBound(rest[1:])
	if !ok || rest != "]" && rest != ")" {
		return datum{}, faultRange
	}
	upper := bound{inclusive: rest == "]"}
	for _, b := range []struct {
		text  string
		given bool
		to    *bound
	}{{low, given, &lower}, {high, givenHigh, &upper}} {
		if !b.given {
			b.to.infinite = true
			continue
		}
		value, fault := k.read(b.text)
		if fault != nil {
			return datum{}, fault
		}
		b.to.value = value
	}
	return k.make(lower, upper)
}

// rangeBound reads one bound; nothing at all means that there is none.
func rangeBound(s string) (text string, given bool, rest string, ok bool) {
	var out []byte
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			out, given = append(out, s[i]), true
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			i++
			out = append(out, '"')
		case c == '"':
			quoted, given = !quoted, true
		case !quoted && (c == ',' || c == ')' || c == ']'):
			return string(out), given, s[i:], true
		default:
			out, given = append(out, c), true
		}
	}
	return "", false, "", false
}

func (k *rangeKind) out(d datum) string {
	s := d.x.(span)
	if s.empty {
		return "empty"
	}
	b := []byte{'('}
	if s.lower.inclusive {
		b[0] = '['
	}
	if !s.lower.infinite {
		b = appendBound(b, k.show(s.lower.value))
	}
	b = append(b, ',')
	if !s.upper.infinite {
		b = appendBound(b, k.show(s.upper.value))
	}
	if s.upper.inclusive {
		return string(append(b, ']'))
	}
	return string(append(b, ')'))
}

func appendBound(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, "\"\\()[], \t\n\r\v\f") {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, s[i])
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// side is a bound with its place, for comparisons as range_cmp_bounds makes them.
type side struct {
	bound
	isLower bool
}

func (k *rangeKind) compareSides(a, b side) int {
	switch {
	case a.infinite && b.infinite:
		if a.isLower == b.isLower {
			return 0
		}
		if a.isLower {
			return -1
		}
		return 1
	case a.infinite:
		if a.isLower {
			return -1
		}
		return 1
	case b.infinite:
		if b.isLower {
			return 1
		}
		return -1
	}
	if c := k.cmp(a.value, b.value); c != 0 {
		return c
	}
	return edge(a) - edge(b)
}

// edge is where a bound stands beside its value: before, at or after it.
func edge(s side) int {
	switch {
	case s.inclusive:
		return 0
	case s.isLower:
		return 1
	}
	return -1
}

func (s span) low() side  { return side{s.lower, true} }
func (s span) high() side { return side{s.upper, false} }

func (k *rangeKind) compare(x, y datum) int {
	a, b := x.x.(span), y.x.(span)
	switch {
	case a.empty && b.empty:
		return 0
	case a.empty:
		return -1
	case b.empty:
		return 1
	}
	if c := k.compareSides(a.low(), b.low()); c != 0 {
		return sign(c)
	}
	return sign(k.compareSides(a.high(), b.high()))
}

func (k *rangeKind) contains(a, b span) bool {
	switch {
	case b.empty:
		return true
	case a.empty:
		return false
	}
	return k.compareSides(a.low(), b.low()) <= 0 && k.compareSides(a.high(), b.high()) >= 0
}

func (k *rangeKind) holds(a span, d datum) bool {
	point := bound{value: d, inclusive: true}
	return k.contains(a, span{lower: point, upper: point})
}

func (k *rangeKind) overlaps(a, b span) bool {
	return !a.empty && !b.empty && k.compareSides(a.low(), b.high()) <= 0 && k.compareSides(b.low(), a.high()) <= 0
}

func (k *rangeKind) before(a, b span) bool {
	return !a.empty && !b.empty && k.compareSides(a.high(), b.low()) < 0
}

// adjacent: nothing lies between them and they have nothing in common.
func (k *rangeKind) adjacent(a, b span) bool {
	if a.empty || b.empty {
		return false
	}
	return k.touch(a.upper, b.lower) || k.touch(b.upper, a.lower)
}

func (k *rangeKind) touch(upper, lower bound) bool {
	if upper.infinite || lower.infinite {
		return false
	}
	return k.cmp(upper.value, lower.value) == 0 && upper.inclusive != lower.inclusive
}
