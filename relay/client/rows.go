package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pgrelay/relay/wire"
)

// Row is one row: column names and the JSON of their values.
type Row = map[string]json.RawMessage

// rows is a set of rows as a shape defines it: by key, or a bag in which equal rows are counted, or (insert-only) a
// list. A Row in it is never changed, so that sets can share rows.
type rows struct {
	key     []string
	bag     bool
	columns []wire.Column

	byKey  map[string]Row
	counts map[string]counted
	list   []Row
	size   int
}

type counted struct {
	row Row
	n   int
}

func newRows(key []string, bag bool, columns []wire.Column) *rows {
	return &rows{key: key, bag: bag, columns: columns, byKey: map[string]Row{}, counts: map[string]counted{}}
}

func (r *rows) clone() *rows {
	c := *r
	c.byKey = maps.Clone(r.byKey)
	c.counts = maps.Clone(r.counts)
	c.list = slices.Clone(r.list)
	return &c
}

// all returns the rows, by key or by content where there is one to order by.
func (r *rows) all() []Row {
	out := make([]Row, 0, r.size)
	switch {
	case r.bag:
		for _, id := range slices.Sorted(maps.Keys(r.counts)) {
			c := r.counts[id]
			out = append(out, slices.Repeat([]Row{c.row}, c.n)...)
		}
	case len(r.key) > 0:
		for _, id := range slices.Sorted(maps.Keys(r.byKey)) {
			out = append(out, r.byKey[id])
		}
	default:
		out = append(out, r.list...)
	}
	return out
}

// identity is what tells a row from others: its key, or all of it in a bag.
func (r *rows) identity(row Row) (string, error) {
	var id []byte
	for _, name := range r.identifying() {
		value, ok := row[name]
		if !ok {
			return "", fmt.Errorf("lacks column %q", name)
		}
		id = append(appendValue(id, value), 0)
	}
	return string(id), nil
}

func (r *rows) identifying() []string {
	if !r.bag {
		return r.key
	}
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.Name
	}
	return names
}

// appendValue appends a form in which equal values are equal bytes: strings unescaped and escaped again, objects and
// arrays without spaces between their tokens.
func appendValue(dst []byte, value json.RawMessage) []byte {
	if len(value) == 0 {
		return dst
	}
	switch first := value[0]; {
	case first == '"' && bytes.IndexByte(value, '\\') >= 0:
		var text string
		if json.Unmarshal(value, &text) == nil {
			if again, err := json.Marshal(text); err == nil {
				return append(dst, again...)
			}
		}
	case first == '{' || first == '[':
		var b bytes.Buffer
		if json.Compact(&b, value) == nil {
			return append(dst, b.Bytes()...)
		}
	}
	return append(dst, value...)
}

// complete checks that a row has every column of the shape and no other.
func (r *rows) complete(row Row) error {
	for _, c := range r.columns {
		if _, ok := row[c.Name]; !ok {
			return fmt.Errorf("lacks column %q", c.Name)
		}
	}
	return r.known(row)
}

func (r *rows) known(row Row) error {
	if len(row) <= len(r.columns) {
		n := 0
		for _, c := range r.columns {
			if _, ok := row[c.Name]; ok {
				n++
			}
		}
		if n == len(row) {
			return nil
		}
	}
	for name := range row {
		if !slices.ContainsFunc(r.columns, func(c wire.Column) bool { return c.Name == name }) {
			return fmt.Errorf("has a column %q that the shape doesn't have", name)
		}
	}
	return nil
}

// exact checks that a change's key holds the identifying columns and no other.
func (r *rows) exact(key Row) (string, error) {
	id, err := r.identity(key)
	if err != nil {
		return "", fmt.Errorf("key %w", err)
	}
	if len(key) != len(r.identifying()) {
		return "", fmt.Errorf("key has other columns than %q", r.identifying())
	}
	return id, nil
}

// fill adds columns, with the value that every row takes.
func (r *rows) fill(columns []wire.Column, values Row) {
	old := r.all()
	r.columns = columns
	r.truncate()
	for _, row := range old {
		full := maps.Clone(row)
		maps.Copy(full, values)
		id, _ := r.identity(full) // has every column: it was complete before
		r.put(id, full)
	}
}

// put adds a row whose identity is known not to be there, or doesn't matter.
func (r *rows) put(id string, row Row) {
	r.size++
	switch {
	case r.bag:
		c := r.counts[id]
		r.counts[id] = counted{row, c.n + 1}
	case len(r.key) > 0:
		r.byKey[id] = row
	default:
		r.list = append(r.list, row)
	}
}

func (r *rows) truncate() {
	clear(r.byKey)
	clear(r.counts)
	r.list = nil
	r.size = 0
}
