package predicate

import (
	"sync"
	"unsafe"

	"pgrelay/relay"
)

// work counts the steps of one evaluation and keeps what it has parsed. A step is about a byte that is read or written, a
// nanosecond or so; how many a row may take depends on the row alone, so that the outcome does too. It bounds what somebody
// can make others wait for by a predicate that is short and costly on a large row: LIKE takes |text| · |pattern| steps, an
// overlap of arrays |a| · |b|, replace() makes a text of |text| · |replacement| bytes.
type work struct {
	limit, spent int
	columns      []parsed
	documents    []parsedText
	// encoded is what parseJSON needs.
	encoded bool
}

// parsed is a column's value, once it was read.
type parsed struct {
	value datum
	done  bool
}

// parsedText is the document of a json text, which is known by its address.
type parsedText struct {
	text string
	doc  *document
}

// An evaluation may take stepsAtLeast and stepsPerByte for each byte of the columns that the predicate reads: about a
// quarter of a millisecond for a small row, some tens of milliseconds for one of a megabyte. What is computed once for a binding may take stepsOnce.
const (
	stepsAtLeast = 1 << 18
	stepsPerByte = 32
	stepsOnce    = 1 << 22
)

const (
	// parsing is how many steps a byte of a text takes that becomes a document or an array, and an element of one.
	parsing = 8
	// printing is how many a byte of a document's or array's text takes.
	printing = 4
	// comparing is how many a comparison of elements takes.
	comparing = 12
)

// faultCostly is that of a row for which the predicate takes more steps than that.
var faultCostly = &Fault{codeCostly, "this takes too many steps to compute"}

// charge counts steps before they are taken. Where nothing is counted, w is nil.
func (w *work) charge(steps int) *Fault {
	if w == nil {
		return nil
	}
	if w.spent += steps; w.spent > w.limit || steps < 0 {
		return faultCostly
	}
	return nil
}

// column is the value of a column in the slot, read once.
func (w *work) column(slot int, text []byte, read func(string) (datum, *Fault)) (datum, *Fault) {
	if w == nil {
		return read(alias(text))
	}
	p := &w.columns[slot]
	if p.done {
		return p.value, nil
	}
	if fault := w.charge(parsing * len(text)); fault != nil {
		return datum{}, fault
	}
	d, fault := read(alias(text))
	if fault == nil {
		*p = parsed{d, true}
	}
	return d, fault
}

// document is a json text's, parsed once.
func (w *work) document(text string) (*document, *Fault) {
	if w == nil {
		return parseJSON(text, true, false, false)
	}
	for _, p := range w.documents {
		if len(p.text) == len(text) && unsafe.StringData(p.text) == unsafe.StringData(text) {
			return p.doc, nil
		}
	}
	if fault := w.charge(parsing * len(text)); fault != nil {
		return nil, fault
	}
	d, fault := parseJSON(text, true, false, w.encoded)
	if fault == nil {
		w.documents = append(w.documents, parsedText{text, d})
	}
	return d, fault
}

// made counts a result; by a negative weight it is one that was printed.
func (w *work) made(weight int, d datum, fault *Fault) (datum, *Fault) {
	if fault != nil {
		return d, fault
	}
	steps := d.size()
	if weight < 0 {
		steps *= printing
	}
	return d, w.charge(steps)
}

var works = sync.Pool{New: func() any { return new(work) }}

// begin makes the work fit for a row.
func (w *work) begin(row []relay.Value, columns []int, slots int) {
	w.limit, w.spent = stepsAtLeast, 0
	for _, i := range columns {
		w.limit += stepsPerByte * len(row[i].Text)
	}
	for len(w.columns) < slots {
		w.columns = append(w.columns, parsed{})
	}
}

// end forgets the row's values.
func (w *work) end() {
	clear(w.columns)
	clear(w.documents)
	w.documents = w.documents[:0]
}

// size is how many steps it takes to look at a value: bytes of text, elements without what is in them.
func (d datum) size() int {
	switch x := d.x.(type) {
	case nil:
		return len(d.s)
	case *array:
		return parsing * len(x.elems)
	case *document:
		return len(x.text) + parsing*len(x.elems)
	}
	return parsing
}

// whole is how many bytes it takes to write a value, or less than that.
func (d datum) whole() int {
	switch x := d.x.(type) {
	case nil:
		return len(d.s)
	case *array:
		n := 2
		for _, e := range x.elems {
			n += parsing + e.whole()
		}
		return n
	case *document:
		return x.bytes
	case span:
		return x.lower.value.whole() + x.upper.value.whole()
	}
	return parsing
}

// fixed tells of types whose values take a few bytes.
func (t *types) fixed(oid uint32) bool {
	oid = t.baseOf(oid)
	switch oid {
	case oidBool, oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidDate, oidTime, oidTimestamp, oidTimestamptz, oidInterval, oidUUID,
		oidInet, oidCIDR:
		return true
	}
	return t.get(oid).kind == 'e'
}

// lookups take a few steps, whatever the size of what they look into; -1 where the result is written.
var lookups = map[string]int{
	"jsonb_object_field": 0, "jsonb_array_element": 0, "jsonb_extract_path": 0, "jsonb_array_length": 0, "jsonb_typeof": 0,
	"jsonb_object_field_text": -1, "jsonb_array_element_text": -1, "jsonb_extract_path_text": -1,
	"json_object_field": 0, "json_array_element": 0, "json_extract_path": 0, "json_array_length": 0, "json_typeof": 0,
	"json_object_field_text": -1, "json_array_element_text": -1, "json_extract_path_text": -1,
	"array_cardinality": 0, "array_length": 0, "array_lower": 0, "array_upper": 0, "array_ndims": 0,
	"range_lower": 0, "range_upper": 0, "range_empty": 0,
}

// weight is how many steps a byte of a call's operands takes. With 0 the call isn't counted, with -1 its result is.
func (b *builder) weight(n *node) int {
	if written, ok := lookups[n.call.name]; ok {
		b.heavy = true
		return written
	}
	w := 0
	for _, oid := range append(typesOf(n.args), n.typ) {
		switch {
		case b.baseOf(oid) == oidNumeric:
			w = 16
		case w == 0 && !b.fixed(oid):
			w = 1
		}
	}
	b.heavy = b.heavy || w > 0
	return w
}

// steps counts a comparison: of arrays, documents and ranges by their sizes, of others not at all, since what is compared
// is looked at once and ends at the first difference.
func (b *builder) steps(oid uint32) func(w *work, x, y datum) *Fault {
	if b.fixed(oid) || textual(b.baseOf(oid)) {
		return func(*work, datum, datum) *Fault { return nil }
	}
	b.heavy = true
	return func(w *work, x, y datum) *Fault { return w.charge(min(x.whole(), y.whole())) }
}
