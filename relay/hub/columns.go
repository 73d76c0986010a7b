package hub

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/value"
)

// columnSet is a set of a relation's columns with what is needed to encode them. A change is encoded once
// for all shapes that share a set.
type columnSet struct {
	relation *relay.Relation
	columns  []int // indexes into relation.Columns, in the relation's order
	names    [][]byte
	encoders []*value.Encoder
	// key marks which of columns belong to the key.
	key []bool
	// shapes counts the shapes that show the set.
	shapes int
	// What the last change is as an insert, an update and a delete.
	insert, update, delete encoded
}

// encoded is a change in JSON.
type encoded struct {
	number uint64 // the change's
	bytes  []byte
	shown  bool // it concerns what the set shows
	lacks  bool // an insert whose row isn't known as a whole
}

func newColumnSet(r *relay.Relation, columns []int) *columnSet {
	s := &columnSet{relation: r, columns: columns}
	for _, c := range columns {
		name := value.AppendString(nil, []byte(r.Columns[c].Name))
		s.names = append(s.names, append(name, ':'))
		s.encoders = append(s.encoders, value.New(r.Columns[c].Type))
		s.key = append(s.key, slices.Contains(r.Key, c))
	}
	return s
}

// describe is part of what a cursor's fingerprint covers.
func (s *columnSet) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%v\x00%v\x00%s", s.relation.Name, s.relation.KeyNames(), s.relation.Bag, s.relation.Fingerprint)
	for _, c := range s.columns {
		fmt.Fprintf(&b, "\x00%s\x00%s\x00%d", s.relation.Columns[c].Name, s.relation.Columns[c].TypeName, s.relation.Columns[c].Type.OID)
	}
	return b.String()
}

// encode encodes the change as op, unless that was done already. What it returns is valid until the next change.
func (s *columnSet) encode(op byte, c *change) *encoded {
	e := &s.insert
	switch op {
	case 'U':
		e = &s.update
	case 'D':
		e = &s.delete
	}
	if e.number == c.number {
		return e
	}
	e.number, e.shown, e.lacks = c.number, true, false
	b := e.bytes[:0]
	switch op {
	case 'I':
		b = append(b, `{"op":"insert","row":`...)
		b, e.lacks = s.appendRow(b, c.new)
		b = append(b, '}')
	case 'D':
		b = append(b, `{"op":"delete","key":`...)
		b = append(s.appendKey(b, c.old), '}')
	case 'U':
		b, e.shown = s.appendUpdate(b, c.old, c.new)
	}
	e.bytes = b
	return e
}

func (s *columnSet) appendUpdate(b []byte, old, new []relay.Value) (change []byte, shown bool) {
	b = append(b, `{"op":"update",`...)
	if s.relation.Bag && !s.differs(old, new) {
		return b, false
	}
	if s.relation.Bag || s.keyDiffers(old, new) {
		b = append(s.appendKey(append(b, `"key":`...), old), ',')
	}
	b = append(b, `"row":`...)
	b, _ = s.appendRow(b, new)
	return append(b, '}'), true
}

// appendRow appends a row as an object. A value that isn't known is left out; lacks tells of that.
func (s *columnSet) appendRow(b []byte, row []relay.Value) (object []byte, lacks bool) {
	b = append(b, '{')
	for i, c := range s.columns {
		if row[c].Kind == relay.ValueUnchanged {
			lacks = true
			continue
		}
		b = s.appendColumn(b, i, row[c])
	}
	return append(b, '}'), lacks
}

// appendKey appends the key's columns of an old row; all columns for a bag.
func (s *columnSet) appendKey(b []byte, old []relay.Value) []byte {
	b = append(b, '{')
	for i, c := range s.columns {
		if s.key[i] || s.relation.Bag {
			b = s.appendColumn(b, i, old[c])
		}
	}
	return append(b, '}')
}

func (s *columnSet) appendColumn(b []byte, i int, v relay.Value) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, s.names[i]...)
	if v.Kind != relay.ValueText {
		return append(b, `null`...)
	}
	return s.encoders[i].Append(b, v.Text)
}

// differs tells that the rows differ in what the set shows.
func (s *columnSet) differs(old, new []relay.Value) bool {
	for _, c := range s.columns {
		if different(old[c], new[c]) {
			return true
		}
	}
	return false
}

func (s *columnSet) keyDiffers(old, new []relay.Value) bool {
	for i, c := range s.columns {
		if s.key[i] && different(old[c], new[c]) {
			return true
		}
	}
	return false
}

// different compares text forms; an unchanged TOAST value is no difference.
func different(old, new relay.Value) bool {
	if new.Kind == relay.ValueUnchanged {
		return false
	}
	return old.Kind != new.Kind || !bytes.Equal(old.Text, new.Text)
}
