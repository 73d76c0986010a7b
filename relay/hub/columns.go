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
	key    []bool
	shapes []*Shape
	// The change that was encoded last, by its number, and whether it shows in the set at all.
	change uint64
	shown  bool
	buf    []byte
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

// row is a tuple's values with the index of each column of the relation in it; -1 is a column that the tuple is
// too old to have, whose value is in fill.
type row struct {
	values []relay.Value
	index  []int
	fill   []relay.Value
}

// at returns a column's value.
func (r row) at(column int) relay.Value {
	i := r.index[column]
	if i < 0 {
		return r.fill[column]
	}
	if i < len(r.values) {
		return r.values[i]
	}
	return relay.Value{Kind: relay.ValueUnchanged}
}

// encode encodes the change unless it was encoded already, and returns it; shown is false where nothing of
// the set changed for a bag's reader.
func (s *columnSet) encode(number uint64, kind byte, old, new row, hasOld, full bool) (change []byte, shown bool) {
	if s.change == number {
		return s.buf, s.shown
	}
	s.change, s.shown = number, true
	b := s.buf[:0]
	switch kind {
	case 'I':
		b = append(b, `{"op":"insert","row":`...)
		b = append(s.appendRow(b, new, old, false), '}')
	case 'D':
		b = append(b, `{"op":"delete","key":`...)
		b = append(s.appendKey(b, old), '}')
	case 'U':
		b, s.shown = s.appendUpdate(b, old, new, hasOld, full)
	}
	s.buf = b
	return b, s.shown
}

func (s *columnSet) appendUpdate(b []byte, old, new row, hasOld, full bool) (change []byte, shown bool) {
	b = append(b, `{"op":"update",`...)
	switch {
	case s.relation.Bag:
		if !s.differs(old, new) {
			return b, false
		}
		b = append(s.appendKey(append(b, `"key":`...), old), ',')
	case hasOld && s.keyDiffers(old, new):
		b = append(s.appendKey(append(b, `"key":`...), old), ',')
	}
	b = append(b, `"row":`...)
	return append(s.appendRow(b, new, old, full), '}'), true
}

// appendRow appends a row as an object. A value that the source did not send is taken from the old tuple where
// that is complete, else left out.
func (s *columnSet) appendRow(b []byte, r, old row, full bool) []byte {
	b = append(b, '{')
	for i, c := range s.columns {
		v := r.at(c)
		if v.Kind == relay.ValueUnchanged {
			// The old tuple has it where it is complete, or of the key.
			if !full && !(s.key[i] && len(old.values) > 0) {
				continue
			}
			if v = old.at(c); v.Kind == relay.ValueUnchanged {
				continue
			}
		}
		b = s.appendColumn(b, i, v)
	}
	return append(b, '}')
}

// appendKey appends the key's columns of an old tuple; all columns for a bag.
func (s *columnSet) appendKey(b []byte, old row) []byte {
	b = append(b, '{')
	for i, c := range s.columns {
		if s.key[i] || s.relation.Bag {
			b = s.appendColumn(b, i, old.at(c))
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
func (s *columnSet) differs(old, new row) bool {
	for _, c := range s.columns {
		if different(old.at(c), new.at(c)) {
			return true
		}
	}
	return false
}

func (s *columnSet) keyDiffers(old, new row) bool {
	for i, c := range s.columns {
		if s.key[i] && different(old.at(c), new.at(c)) {
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

// appendTexts appends a snapshot's row of text values, one for each of the set's columns, nil for null.
func (s *columnSet) appendTexts(b []byte, texts [][]byte) []byte {
	b = append(b, '{')
	for i, text := range texts {
		v := relay.Value{Kind: relay.ValueText, Text: text}
		if text == nil {
			v.Kind = relay.ValueNull
		}
		b = s.appendColumn(b, i, v)
	}
	return append(b, '}')
}
