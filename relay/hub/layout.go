package hub

import (
	"slices"

	"pgrelay/relay"
)

// StreamColumn is a column of a table as the stream describes it before tuples of that form come.
type StreamColumn struct {
	Name string
	Type uint32
	// Key tells that it belongs to the replica identity.
	Key bool
}

// Reasons for which shapes end, beside those of the protocol.
const (
	reasonTableChanged  = "table_changed"
	reasonSchemaChanged = "schema_changed"
	reasonUnused        = "unused"
)

// layout says how a table's tuples become rows of the relations that it belongs to. Several relations may
// rest on one table.
type layout struct {
	targets []target
}

type target struct {
	owner *published
	index []int         // for each column of the relation, where it is in a tuple
	fill  []relay.Value // for each column, the value in older tuples; nil where index has no -1
	held  []bool        // for each column, whether old tuples carry it
	wider bool          // tuples have columns that came after those of the relation
}

// wanted tells that some shape reads the table.
func (l *layout) wanted() bool {
	for i := range l.targets {
		if len(l.targets[i].owner.shapes) > 0 {
			return true
		}
	}
	return false
}

// Layout takes in how the stream describes a table from here on. drifted tells that some relation's columns
// are no longer there: its shapes have ended, and whoever looks after the catalog should look. extra tells that
// the stream has columns that some relation doesn't show.
func (s *Source) Layout(table uint32, columns []StreamColumn) (drifted, extra bool) {
	was, known := s.streams[table]
	if known && slices.Equal(was, columns) {
		return false, false
	}
	s.streams[table] = columns
	reason := reasonSchemaChanged
	if slices.EqualFunc(was, columns, func(a, b StreamColumn) bool { return a.Name == b.Name && a.Type == b.Type }) {
		reason = reasonTableChanged
	}
	for _, p := range s.resolve(table, was) {
		drifted = true
		s.endShapes(p, reason)
		p.drifted = true
	}
	for _, t := range s.layouts[table].targets {
		extra = extra || t.wider
		if known {
			// What the journal has was described otherwise. A cursor at the end of the open transaction is good.
			t.owner.barrier = s.position
			if s.tx.open {
				t.owner.barrier++
			}
		}
	}
	return drifted, extra
}

// resolve finds the table's columns for every relation that rests on it, and returns those that lack some, or whose
// old tuples are others than the catalog said. A
// column that neither the stream has now nor was has it, where that is given, is one that the tuples are too old for.
func (s *Source) resolve(table uint32, was []StreamColumn) (without []*published) {
	columns := s.streams[table]
	l := &layout{}
	for _, p := range s.relations {
		i := slices.IndexFunc(p.relation.Leaves, func(leaf relay.Leaf) bool { return leaf.OID == table })
		if i < 0 {
			continue
		}
		t := target{owner: p}
		if !t.find(columns, was) || !p.relation.InsertOnly && !identifies(columns, &p.relation.Leaves[i]) {
			without = append(without, p)
			continue
		}
		t.hold(&p.relation.Leaves[i])
		l.targets = append(l.targets, t)
	}
	s.layouts[table] = l
	return without
}

func position(columns []StreamColumn, name string) int {
	return slices.IndexFunc(columns, func(c StreamColumn) bool { return c.Name == name })
}

// find fills in where the relation's columns are; false where one of them is missing or of another type.
func (t *target) find(columns, was []StreamColumn) bool {
	r := t.owner.relation
	t.index = make([]int, len(r.Columns))
	found := 0
	for i := range r.Columns {
		c := &r.Columns[i]
		at := position(columns, c.Source)
		t.index[i] = at
		switch {
		case at >= 0 && columns[at].Type != c.Type.OID:
			return false
		case at < 0 && (!c.Filled || position(was, c.Source) >= 0):
			return false
		case at < 0:
			if t.fill == nil {
				t.fill = make([]relay.Value, len(r.Columns))
			}
			t.fill[i] = fillValue(c)
		default:
			found++
		}
	}
	t.wider = len(columns) > found
	return true
}

// identifies tells that old tuples carry what the catalog says of the leaf. Where they don't, its replica identity was
// altered and the catalog as it was looked at is of another time than the tuples: none of them can be decided.
func identifies(columns []StreamColumn, leaf *relay.Leaf) bool {
	keys := 0
	for _, c := range columns {
		if leaf.Full && !c.Key || !leaf.Full && c.Key && !slices.Contains(leaf.Key, c.Name) {
			return false
		}
		if c.Key {
			keys++
		}
	}
	return leaf.Full || keys == len(leaf.Key)
}

// hold notes which columns an old tuple carries.
func (t *target) hold(leaf *relay.Leaf) {
	columns := t.owner.relation.Columns
	t.held = make([]bool, len(columns))
	for i := range columns {
		t.held[i] = leaf.Full || slices.Contains(leaf.Key, columns[i].Source)
	}
}

// at is a column's value in a tuple.
func (t *target) at(values []relay.Value, column int) relay.Value {
	i := t.index[column]
	switch {
	case i < 0:
		return t.fill[column]
	case i < len(values):
		return values[i]
	}
	return unchanged
}

// SetRelations says what the source publishes, as the catalog had it at barrier or before. Shapes of relations
// that are gone or that have changed end; a relation with the same fingerprint stays as it is. Tuples of an
// older form that the stream still brings are ignored: the snapshots that come after the barrier have seen them.
func (s *Source) SetRelations(relations []*relay.Relation, barrier relay.LSN) {
	s.Lock()
	defer s.Unlock()
	next := make(map[string]*published, len(relations))
	for _, r := range relations {
		p := s.relations[r.Name]
		if p != nil && p.relation.Fingerprint == r.Fingerprint {
			if p.drifted {
				p.drifted, p.barrier = false, max(barrier, s.position+1)
			}
			next[r.Name] = p
			continue
		}
		if p != nil && !p.drifted && !p.wider && grown(p.relation, r) {
			s.grow(p, r)
			next[r.Name] = p
			continue
		}
		if p != nil {
			s.endShapes(p, changeReason(p.relation, r))
		}
		next[r.Name] = &published{source: s, relation: r, shapes: map[identity]*Shape{}, barrier: max(barrier, s.position+1)}
	}
	for name, p := range s.relations {
		if next[name] == nil {
			s.endShapes(p, reasonTableChanged)
		}
	}
	s.relations = next
	for table := range s.streams {
		s.resolve(table, nil)
	}
}

// Retire ends the shapes of relations that are gone or no longer rest on the same tables, before the stream stops to carry
// these: from then on it brings parts of transactions. SetRelations says afterwards what there is.
func (s *Source) Retire(relations []*relay.Relation) {
	s.Lock()
	defer s.Unlock()
	next := make(map[string]*relay.Relation, len(relations))
	for _, r := range relations {
		next[r.Name] = r
	}
	for name, p := range s.relations {
		switch r := next[name]; {
		case r == nil:
			s.endShapes(p, reasonTableChanged)
			delete(s.relations, name)
		case !restsAlike(p.relation, r):
			s.endShapes(p, changeReason(p.relation, r))
			p.drifted = true
		}
	}
}

// restsAlike tells that all tables of a relation are carried for the next one in the same way.
func restsAlike(was, is *relay.Relation) bool {
	return was.InsertOnly == is.InsertOnly && !slices.ContainsFunc(was.Leaves, func(l relay.Leaf) bool { return !rests(is, l.OID) })
}

// changeReason is schema_changed where columns or key differ, else table_changed.
func changeReason(was, is *relay.Relation) string {
	same := was.Bag == is.Bag && slices.Equal(was.KeyNames(), is.KeyNames()) &&
		slices.EqualFunc(was.Columns, is.Columns, func(a, b relay.Column) bool {
			return a.Name == b.Name && a.TypeName == b.TypeName && a.Type.OID == b.Type.OID
		})
	if same {
		return reasonTableChanged
	}
	return reasonSchemaChanged
}

// Lose says that changes of a table are missing from the stream, in the open transaction or before it: the shapes of
// what rests on it end.
func (s *Source) Lose(table uint32) {
	for _, p := range s.relations {
		if !rests(p.relation, table) {
			continue
		}
		s.endShapes(p, reasonTableChanged)
		if p.barrier = s.position; s.tx.open {
			p.barrier++
		}
	}
}

// rests tells that a relation is of the table.
func rests(r *relay.Relation, table uint32) bool {
	return r.OID == table || slices.ContainsFunc(r.Leaves, func(l relay.Leaf) bool { return l.OID == table })
}
