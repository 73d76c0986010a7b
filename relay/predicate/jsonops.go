package predicate

import (
	"math"
	"slices"
	"strconv"
)

// doc is a jsonb's document. A column's is parsed when it is read.
func (d datum) doc() *document { return d.x.(*document) }

func docDatum(d *document) datum {
	if d == nil {
		return nullDatum
	}
	return datum{x: d}
}

func jsonbIn(s string) (datum, *Fault) {
	d, fault := parseJSON(s, false, false, false)
	return datum{x: d}, fault
}

func jsonbOut(d datum) string { return string(d.doc().appendJSON(nil)) }

func jsonIn(s string) (datum, *Fault) {
	if _, fault := parseJSON(s, true, true, false); fault != nil {
		return datum{}, fault
	}
	return datum{s: s}, nil
}

func equalDocs(a, b *document) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case jsonString:
		return a.text == b.text
	case jsonNumber:
		return compareNumeric(datum{s: a.text}, datum{s: b.text}) == 0
	case jsonObject:
		if !slices.Equal(a.keys, b.keys) {
			return false
		}
	}
	return slices.EqualFunc(a.elems, b.elems, equalDocs)
}

// compareDocs tells equality alone; the order of jsonb goes by the database's collation.
func compareDocs(a, b datum) int {
	if equalDocs(a.doc(), b.doc()) {
		return 0
	}
	return 1
}

// containment is @>, which takes up to |a| · |b| steps.
// https://www.postgresql.org/docs/current/datatype-json.html#JSON-CONTAINMENT
type containment struct {
	work  *work
	fault *Fault
}

func contains(w *work, a, b *document) (datum, *Fault) {
	c := containment{work: w}
	is := c.top(a, b)
	return boolean(is), c.fault
}

func (c *containment) top(a, b *document) bool {
	if b.scalar() && a.kind == jsonArray {
		return c.some(a, func(e *document) bool { return e.scalar() && equalDocs(e, b) })
	}
	return c.deep(a, b)
}

// some tells whether an array has such an element.
func (c *containment) some(a *document, is func(*document) bool) bool {
	for _, e := range a.elems {
		if c.fault == nil {
			c.fault = c.work.charge(comparing)
		}
		if c.fault != nil || is(e) {
			return c.fault == nil
		}
	}
	return false
}

func (c *containment) deep(a, b *document) bool {
	switch {
	case b.scalar() || a.scalar():
		return equalDocs(a, b)
	case a.kind != b.kind:
		return false
	case b.kind == jsonArray:
		for _, e := range b.elems {
			if !c.some(a, func(have *document) bool { return have.scalar() == e.scalar() && c.deep(have, e) }) {
				return false
			}
		}
		return true
	}
	for i, key := range b.keys {
		have := a.field(key)
		if have == nil || have.scalar() != b.elems[i].scalar() || !c.deep(have, b.elems[i]) {
			return false
		}
	}
	return true
}

// existsIn is the operator ?: a key of an object, a string of an array.
func existsIn(d *document, key string) bool {
	switch d.kind {
	case jsonObject:
		return d.field(key) != nil
	case jsonArray:
		return slices.ContainsFunc(d.elems, func(e *document) bool { return e.kind == jsonString && e.text == key })
	}
	return d.kind == jsonString && d.text == key
}

func existsSome(every bool) fn2w {
	return func(w *work, a, b datum) (datum, *Fault) {
		for _, e := range b.x.(*array).elems {
			if fault := w.charge(a.size()); fault != nil {
				return datum{}, fault
			}
			if !e.null && existsIn(a.doc(), e.s) != every {
				return boolean(!every), nil
			}
		}
		return boolean(every), nil
	}
}

// elementOf is -> with a number. A scalar counts as an array of itself, as it is stored.
func elementOf(d *document, i int64) *document {
	if d.scalar() {
		if i == 0 || i == -1 {
			return d
		}
		return nil
	}
	return d.element(i)
}

// follow is #>: the value at a path, or nil. A path with a null leads nowhere.
func follow(d *document, path *array) *document {
	for _, step := range path.elems {
		if step.null {
			return nil
		}
	}
	for _, step := range path.elems {
		switch d.kind {
		case jsonObject:
			d = d.field(step.s)
		case jsonArray:
			i, ok := pathIndex(step.s)
			if !ok {
				return nil
			}
			d = d.element(i)
		default:
			return nil
		}
		if d == nil {
			return nil
		}
	}
	return d
}

// pathIndex reads what C's strtoint reads.
func pathIndex(s string) (int64, bool) {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	i, err := strconv.ParseInt(s, 10, 32)
	return i, err == nil && i > math.MinInt32
}

// jsonbTo casts a document of one kind; of null the versions differ.
func jsonbTo(what func(*document) (datum, *Fault), kinds ...jsonKind) fn1 {
	return func(a datum) (datum, *Fault) {
		d := a.doc()
		if d.kind == jsonNull {
			return datum{}, inexact("Postgres 18 casts a jsonb null to null, earlier versions fail")
		}
		if !slices.Contains(kinds, d.kind) {
			return datum{}, faultScalar
		}
		return what(d)
	}
}

func typeOf(d *document) string {
	return [...]string{"null", "string", "number", "boolean", "boolean", "array", "object"}[d.kind]
}

func arrayLength(d *document) (datum, *Fault) {
	if d.kind != jsonArray {
		return datum{}, faultScalar
	}
	return datum{i: int64(len(d.elems))}, nil
}

// rawJSON parses a json's text for an operator on it.
func rawJSON(f func(d *document, b datum) (datum, *Fault)) fn2w {
	return func(w *work, a, b datum) (datum, *Fault) {
		d, fault := w.document(a.s)
		if fault == nil {
			fault = w.charge(len(d.keys))
		}
		if fault != nil {
			return datum{}, fault
		}
		return f(d, b)
	}
}

func rawDatum(d *document) datum {
	if d == nil {
		return nullDatum
	}
	return datum{s: d.raw}
}

// without is jsonb - text and jsonb - text[].
func without(d *document, keys ...string) (datum, *Fault) {
	if d.scalar() {
		return datum{}, &Fault{"22023", "cannot delete from scalar"}
	}
	out := &document{kind: d.kind, bytes: d.bytes}
	for i, e := range d.elems {
		if d.kind == jsonArray {
			if e.kind != jsonString || !slices.Contains(keys, e.text) {
				out.elems = append(out.elems, e)
			}
		} else if !slices.Contains(keys, d.keys[i]) {
			out.keys, out.elems = append(out.keys, d.keys[i]), append(out.elems, e)
		}
	}
	return docDatum(out), nil
}

func withoutElement(d *document, i int64) (datum, *Fault) {
	switch {
	case d.scalar():
		return datum{}, &Fault{"22023", "cannot delete from scalar"}
	case d.kind == jsonObject:
		return datum{}, &Fault{"22023", "cannot delete from object using integer index"}
	}
	if i < 0 {
		i += int64(len(d.elems))
	}
	if i < 0 || i >= int64(len(d.elems)) {
		return docDatum(d), nil
	}
	return docDatum(&document{kind: jsonArray, bytes: d.bytes, elems: slices.Delete(slices.Clone(d.elems), int(i), int(i)+1)}), nil
}

// concatDocs is jsonb || jsonb: objects are merged, everything else becomes an array.
func concatDocs(a, b *document) (datum, *Fault) {
	if a.kind == jsonObject && b.kind == jsonObject {
		out := &document{kind: jsonObject, keys: slices.Concat(a.keys, b.keys), elems: slices.Concat(a.elems, b.elems), bytes: a.bytes + b.bytes}
		out.sort()
		return docDatum(out), nil
	}
	elems := func(d *document) []*document {
		if d.kind == jsonArray {
			return d.elems
		}
		return []*document{d}
	}
	return docDatum(&document{kind: jsonArray, bytes: a.bytes + b.bytes, elems: slices.Concat(elems(a), elems(b))}), nil
}
