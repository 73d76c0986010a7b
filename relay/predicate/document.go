package predicate

import (
	"slices"
	"strings"
)

func compareKeys(a, b string) int {
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

// sort orders an object's keys; of equal ones the last counts.
func (d *document) sort() {
	order := make([]int, len(d.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return compareKeys(d.keys[i], d.keys[j]) })
	var keys []string
	var elems []*document
	for _, i := range order {
		if n := len(keys); n > 0 && keys[n-1] == d.keys[i] {
			elems[n-1] = d.elems[i]
			continue
		}
		keys, elems = append(keys, d.keys[i]), append(elems, d.elems[i])
	}
	d.keys, d.elems = keys, elems
}

// field is an object's value of a key, or nil.
func (d *document) field(key string) *document {
	if d.kind != jsonObject {
		return nil
	}
	if d.raw == "" {
		if i, found := slices.BinarySearchFunc(d.keys, key, compareKeys); found {
			return d.elems[i]
		}
		return nil
	}
	for i := len(d.keys) - 1; i >= 0; i-- {
		if d.keys[i] == key {
			return d.elems[i]
		}
	}
	return nil
}

// element is an array's, counted from the end where i is negative, or nil.
func (d *document) element(i int64) *document {
	if i < 0 {
		i += int64(len(d.elems))
	}
	if d.kind != jsonArray || i < 0 || i >= int64(len(d.elems)) {
		return nil
	}
	return d.elems[i]
}

// appendJSON prints as jsonb_out does.
func (d *document) appendJSON(b []byte) []byte {
	switch d.kind {
	case jsonNull:
		return append(b, "null"...)
	case jsonTrue:
		return append(b, "true"...)
	case jsonFalse:
		return append(b, "false"...)
	case jsonNumber:
		return append(b, d.text...)
	case jsonString:
		return appendQuoted(b, d.text)
	case jsonArray:
		b = append(b, '[')
		for i, e := range d.elems {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = e.appendJSON(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, e := range d.elems {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendQuoted(b, d.keys[i]), ": "...)
		b = e.appendJSON(b)
	}
	return append(b, '}')
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if j := strings.IndexByte("\"\\\b\f\n\r\t", c); j >= 0 {
			b = append(b, '\\', `"\bfnrt`[j])
			continue
		}
		if c < 0x20 {
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			continue
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// asText is what ->> gives: a string as it is, null as null.
func (d *document) asText() datum {
	switch {
	case d == nil || d.kind == jsonNull:
		return nullDatum
	case d.kind == jsonString:
		return datum{s: d.text}
	case d.raw != "":
		return datum{s: d.raw}
	}
	return datum{s: string(d.appendJSON(nil))}
}
