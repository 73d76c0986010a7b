package hub

import (
	"hash/maphash"
	"slices"

	"pgrelay/relay"
)

// index finds the shapes that a row may concern by the text of one column. It goes by the text's hash alone: what is found
// is asked still, and two texts of one hash cost a question.
type index struct {
	column int
	// A hash has the first of its shapes in one, so that the common case takes little memory, and the others in more.
	one  slots
	more map[uint64][]*Shape
}

var seed = maphash.MakeSeed()

func (i *index) add(value string, s *Shape) {
	h := maphash.String(seed, value)
	if i.one.get(h) == nil {
		i.one.set(h, s)
		return
	}
	i.more[h] = append(i.more[h], s)
}

func (i *index) remove(value string, s *Shape) {
	h := maphash.String(seed, value)
	more := i.more[h]
	last := len(more) - 1
	at := slices.Index(more, s)
	switch {
	case at < 0 && i.one.get(h) != s:
		return
	case last < 0:
		i.one.remove(h)
		return
	case at < 0:
		i.one.set(h, more[last])
	default:
		more[at] = more[last]
	}
	if more[last] = nil; last == 0 {
		delete(i.more, h)
		return
	}
	i.more[h] = more[:last]
}

// load counts the shapes under a value.
func (i *index) load(value string) int {
	h := maphash.String(seed, value)
	if i.one.get(h) == nil {
		return 0
	}
	return 1 + len(i.more[h])
}

// find returns the shapes under a text: the first, nil where there is none, and the others.
func (i *index) find(text []byte) (one *Shape, more []*Shape) {
	h := maphash.Bytes(seed, text)
	if one = i.one.get(h); one != nil && len(i.more) > 0 {
		more = i.more[h]
	}
	return one, more
}

// MaxCover is how many values a shape is found by at the most; one with more is asked about every change.
const MaxCover = 1000

// enter puts a shape where the changes that may concern it find it: under the values of one of its covers, the one
// that shares them with the fewest shapes, else among those that are asked about each change.
func (p *published) enter(s *Shape) {
	if s.filter == nil {
		p.open.add(s)
		return
	}
	covers := s.filter.Covers()
	least := -1
	for at, cover := range covers {
		if values, load := p.weigh(cover); values <= MaxCover && (least < 0 || load < least) {
			s.place, least = at, load
		}
	}
	if least < 0 {
		p.asked.add(s)
		return
	}
	s.indexed = true
	if s.filter.Exact() {
		s.sole.set(covers[0][0].Values[0])
	}
	for _, e := range covers[s.place] {
		i := p.index(e.Column)
		for _, v := range e.Values {
			i.add(v, s)
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
				load += p.indexes[at].load(v)
			}
		}
	}
	return values, load
}

func (p *published) index(column int) *index {
	if at := slices.IndexFunc(p.indexes, func(i *index) bool { return i.column == column }); at >= 0 {
		return p.indexes[at]
	}
	i := &index{column: column, more: map[uint64][]*Shape{}}
	p.indexes = append(p.indexes, i)
	return i
}

// leave takes a shape out again.
func (p *published) leave(s *Shape) {
	switch {
	case s.filter == nil:
		p.open.remove(s)
	case !s.indexed:
		p.asked.remove(s)
	default:
		for _, e := range s.filter.Covers()[s.place] {
			i := p.index(e.Column)
			for _, v := range e.Values {
				i.remove(v, s)
			}
		}
		p.indexes = slices.DeleteFunc(p.indexes, func(i *index) bool { return i.one.used == 0 })
	}
}

// shapeList is shapes in no order; each knows its place in the one list that it is in.
type shapeList []*Shape

func (l *shapeList) add(s *Shape) {
	s.place = len(*l)
	*l = append(*l, s)
}

func (l *shapeList) remove(s *Shape) {
	last := len(*l) - 1
	moved := (*l)[last]
	(*l)[s.place], moved.place = moved, s.place
	(*l)[last] = nil
	*l = (*l)[:last]
}
