package hub

import (
	"slices"

	"pgrelay/relay"
	"pgrelay/relay/value"
)

// grown tells that a relation differs from what it was by columns at its end alone, each of which has one known
// value in every older row, so that shapes can go on.
func grown(was, is *relay.Relation) bool {
	n := len(was.Columns)
	if len(is.Columns) <= n || was.OID != is.OID || was.Server != is.Server || was.Capture != is.Capture || was.Stamp != is.Stamp ||
		was.Bag || is.Bag || was.InsertOnly != is.InsertOnly || !slices.Equal(was.Key, is.Key) ||
		!slices.EqualFunc(was.Leaves, is.Leaves, sameLeaf) || !slices.EqualFunc(was.Columns, is.Columns[:n], sameColumn) {
		return false
	}
	// A column that the source has had for longer has had all kinds of values.
	return !slices.ContainsFunc(is.Columns[n:], func(c relay.Column) bool { return !c.Filled || c.Number <= was.Highest })
}

func sameLeaf(a, b relay.Leaf) bool {
	return a.OID == b.OID && a.Member == b.Member && a.Identity == b.Identity && a.Full == b.Full && (a.Full || slices.Equal(a.Key, b.Key))
}

func sameColumn(a, b relay.Column) bool {
	return a.Name == b.Name && a.Source == b.Source && a.Stamp == b.Stamp
}

// grow gives a relation's shapes the columns that were added. Those that show all columns say so with a schema
// message, between two parts where the open transaction has begun a frame.
func (s *Source) grow(p *published, r *relay.Relation) {
	first := len(p.relation.Columns)
	p.relation = r
	// A cursor from before says nothing about the added columns.
	p.barrier = s.position + 1
	p.sets = nil
	shapes := make(map[identity]*Shape, len(p.shapes))
	for _, shape := range p.shapes {
		columns := shape.set.columns
		if shape.grows {
			columns = slices.Clone(columns)
			for c := first; c < len(r.Columns); c++ {
				columns = append(columns, c)
			}
		}
		shape.set = p.set(columns)
		shape.set.shapes++
		shape.key = shape.base.with(r, columns)
		shapes[shape.key] = shape
		shape.rename()
		if shape.touched > 0 {
			s.tx.frame(shape).label = shape.label
		}
		if shape.grows {
			s.announce(shape, first)
		}
	}
	p.shapes = shapes
}

// announce puts a schema message into the shape's ring.
func (s *Source) announce(shape *Shape, first int) {
	if shape.touched > 0 {
		s.emit(shape, s.tx.frame(shape).endPart(), s.tx.xid, 0)
		shape.split = true
	}
	s.frames.add(shape, entry{frame: s.frames.keep(shape.schema(first))})
	s.markDirty(shape)
	if shape.touched > 0 {
		s.tx.frame(shape).begin(s.tx.opening())
	}
}

// schema is the message that tells of the columns from first on.
func (s *Shape) schema(first int) []byte {
	r := s.set.relation
	b := append(make([]byte, headerRoom, 512), `{"type":"schema","shape":"`+s.Name()+`","columns":[`...)
	for i, c := range s.set.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = value.AppendText(append(b, `{"name":`...), r.Columns[c].Name)
		b = append(value.AppendText(append(b, `,"type":`...), r.Columns[c].TypeName), '}')
	}
	b = append(b, `],"fill":{`...)
	for i, c := range s.set.columns {
		if c >= first {
			b = s.set.appendColumn(b, i, fillValue(&r.Columns[c]))
		}
	}
	return finishFrame(append(b, `}}`...))
}

// fillValue is what rows have that are older than the column.
func fillValue(c *relay.Column) relay.Value {
	if c.Fill == nil {
		return relay.Value{Kind: relay.ValueNull}
	}
	return relay.Value{Kind: relay.ValueText, Text: []byte(*c.Fill)}
}
