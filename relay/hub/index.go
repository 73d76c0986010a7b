package hub

import (
	"slices"

	"pgrelay/relay"
)

// index finds the shapes that a row may concern by the text of one column.
type index struct {
	column  int
	buckets map[string][]*Shape
}

// MaxCover is how many values a shape is found by at the most; one with more is asked about every change.
const MaxCover = 1000

// enter puts a shape where the changes that may concern it find it: under the values of one of its covers, the one
// that shares them with the fewest shapes, else among those that are asked about each change.
func (p *published) enter(s *Shape) {
	if s.spec.Filter == nil {
		p.open.add(s)
		return
	}
	best, least := []relay.Equality(nil), -1
	for _, cover := range s.spec.Filter.Covers() {
		if values, load := p.weigh(cover); values <= MaxCover && (least < 0 || load < least) {
			best, least = cover, load
		}
	}
	if least < 0 {
		p.asked.add(s)
		return
	}
	s.indexed, s.cover = true, best
	for _, e := range best {
		i := p.index(e.Column)
		for _, v := range e.Values {
			i.buckets[v] = append(i.buckets[v], s)
		}
	}
}

// weigh counts a cover's values, and the shapes that are found by them with the values themselves.
func (p *published) weigh(cover []relay.Equality) (values, load int) {
	for _, e := range cover {
		values += len(e.Values)
		at := slices.IndexFunc(p.indexes, func(i *index) bool { return i.column == e.Column })
		for _, v := range e.Values {
			load++
			if at >= 0 {
				load += len(p.indexes[at].buckets[v])
			}
		}
	}
	return values, load
}

func (p *published) index(column int) *index {
	if at := slices.IndexFunc(p.indexes, func(i *index) bool { return i.column == column }); at >= 0 {
		return p.indexes[at]
	}
	i := &index{column: column, buckets: map[string][]*Shape{}}
	p.indexes = append(p.indexes, i)
	return i
}

// leave takes a shape out again.
func (p *published) leave(s *Shape) {
	switch {
	case s.spec.Filter == nil:
		p.open.remove(s)
	case !s.indexed:
		p.asked.remove(s)
	}
	for _, e := range s.cover {
		p.index(e.Column).drop(e.Values, s)
	}
	p.indexes = slices.DeleteFunc(p.indexes, func(i *index) bool { return len(i.buckets) == 0 })
}

func (i *index) drop(values []string, s *Shape) {
	for _, v := range values {
		bucket := i.buckets[v]
		if at := slices.Index(bucket, s); at >= 0 {
			last := len(bucket) - 1
			bucket[at], bucket[last] = bucket[last], nil
			bucket = bucket[:last]
		}
		if len(bucket) == 0 {
			delete(i.buckets, v)
			continue
		}
		i.buckets[v] = bucket
	}
}

// find returns the shapes under a value. all tells that the value isn't known, so that each may be concerned.
func (i *index) find(v relay.Value) (shapes []*Shape, all bool) {
	if v.Kind != relay.ValueText {
		return nil, v.Kind == relay.ValueUnchanged
	}
	return i.buckets[string(v.Text)], false
}

// shapeList is shapes in no order; each knows its place in the one list that it is in.
type shapeList []*Shape

func (l *shapeList) add(s *Shape) {
	s.slot = len(*l)
	*l = append(*l, s)
}

func (l *shapeList) remove(s *Shape) {
	last := len(*l) - 1
	moved := (*l)[last]
	(*l)[s.slot], moved.slot = moved, s.slot
	(*l)[last] = nil
	*l = (*l)[:last]
}
