package hub

import (
	"bytes"
	"slices"
	"sync"

	"pgrelay/relay"
)

// defaultFrameBytes bounds the frames that a source's rings hold.
const defaultFrameBytes = 32 << 20

// Listener is told which shapes have something new. Notify is called without the source's lock, possibly
// more than once for a shape, must not block, and doesn't keep the slice. Of each frame up to the number upTo the
// listener has been told by then.
type Listener interface {
	Notify(s *Source, shapes []*Shape, upTo uint64)
}

// MaxLoops is how many loops the readers of a source may be on.
const MaxLoops = 64

// Source is the state of one source: its relations, their shapes, and the frames of the recent changes.
//
// The goroutine that reads the stream takes Lock, calls Begin to Advance, and calls Unlock, which tells the
// listeners. All other methods take the lock themselves.
type Source struct {
	Name string

	mu        sync.Mutex
	telling   bool // some goroutine tells the listeners
	identity  string
	relations map[string]*published
	streams   map[uint32][]StreamColumn
	layouts   map[uint32]*layout
	frames    frames
	position  relay.LSN
	tx        transaction
	old, new  []relay.Value // of the tuples
	change    change
	lost      []*Shape // can't be told what a change is to them
	dirty     *batch   // nil for none
	fenced    map[*Shape]struct{}
	listeners []Listener
	// heard is the number of the frame up to which a loop knows of all; each is its loop's own.
	heard [MaxLoops]uint64
}

// NewSource is a source without relations. frameBytes bounds the frames in memory; default 32 MiB.
func NewSource(name string, frameBytes int, listeners ...Listener) *Source {
	if frameBytes <= 0 {
		frameBytes = defaultFrameBytes
	}
	return &Source{
		Name: name, relations: map[string]*published{}, streams: map[uint32][]StreamColumn{},
		layouts: map[uint32]*layout{}, frames: frames{limit: frameBytes}, fenced: map[*Shape]struct{}{}, listeners: listeners,
	}
}

// Lock takes the source's lock for the methods of its stream.
func (s *Source) Lock() { s.mu.Lock() }

// Unlock tells the listeners what is new and gives the lock back. One goroutine tells at a time: with two, a later number
// might come before what it counts.
func (s *Source) Unlock() {
	if s.telling {
		s.mu.Unlock() // the other tells this too
		return
	}
	s.telling = true
	for s.dirty != nil {
		s.tell()
	}
	s.telling = false
	s.mu.Unlock()
}

// tell is called with the lock held, which it gives back meanwhile.
func (s *Source) tell() {
	dirty, upTo := s.dirty, s.frames.seq
	s.dirty = nil
	for _, shape := range dirty.shapes {
		shape.dirty = false
	}
	s.mu.Unlock()
	for _, l := range s.listeners {
		l.Notify(s, dirty.shapes, upTo)
	}
	clear(dirty.shapes)
	dirty.shapes = dirty.shapes[:0]
	batches.Put(dirty)
	s.mu.Lock()
}

// Heard says, on a loop's goroutine, that its readers know by Due of all frames up to this one.
func (s *Source) Heard(loop int, upTo uint64) { s.heard[loop] = max(s.heard[loop], upTo) }

// batch is the shapes that have something new; batches are those that nobody uses.
type batch struct{ shapes []*Shape }

var batches = sync.Pool{New: func() any { return new(batch) }}

func (s *Source) markDirty(shape *Shape) {
	if shape.dirty {
		return
	}
	if s.dirty == nil {
		s.dirty = batches.Get().(*batch)
	}
	shape.dirty = true
	s.dirty.shapes = append(s.dirty.shapes, shape)
}

// Reset says which stream this is (system identifier, database, timeline, epoch) and where it begins.
// Where the identity is another than before, every shape ends with reason.
func (s *Source) Reset(identity string, position relay.LSN, reason string) {
	s.Lock()
	defer s.Unlock()
	if s.identity != identity {
		for _, p := range s.relations {
			s.endShapes(p, reason)
			p.barrier = position
		}
		s.identity, s.position = identity, position
	}
	s.abandon()
}

// Position is the end of the last transaction that was taken in whole.
func (s *Source) Position() relay.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

// Passed tells that everything before lsn was taken in. It is called between Lock and Unlock.
func (s *Source) Passed(lsn relay.LSN) bool { return s.position >= lsn }

// Shapes counts the shapes that some connection holds.
func (s *Source) Shapes() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.relations {
		n += len(p.shapes)
	}
	return n
}

// Begin opens a transaction; at is its commit time in Unix microseconds.
func (s *Source) Begin(xid uint64, at int64) {
	s.abandon()
	s.tx.begin(xid, at)
}

// abandon throws the open transaction away; it will come again from its beginning.
func (s *Source) abandon() {
	for i := range s.tx.touched {
		if shape := s.tx.touched[i].shape; shape.split && !shape.ended {
			// Clients throw the transaction away, and the schema message with it.
			s.endShape(shape, reasonSchemaChanged)
		}
	}
	s.tx.end()
}

// Row takes in an insert ('I'), update ('U') or delete ('D') of a table; old is nil where the source sent none.
// It returns ErrDrift where a tuple doesn't have the columns that it should.
func (s *Source) Row(kind byte, table uint32, old, new relay.Tuple) error {
	l := s.layouts[table]
	if l == nil || !l.wanted() {
		return nil
	}
	var err error
	if s.old, s.new, err = values(s.old, s.new, old, new); err != nil {
		return err
	}
	for i := range l.targets {
		t := &l.targets[i]
		if t.owner.relation.InsertOnly && kind != 'I' {
			continue // another relation has the table's updates published
		}
		t.owner.wider = t.owner.wider || t.wider
		s.change.number++
		s.change.take(t, kind, s.old, s.new, old != nil)
		s.deliver(t.owner)
	}
	return nil
}

// deliver gives a change to the shapes that it concerns.
func (s *Source) deliver(p *published) {
	c := &s.change
	for _, shape := range p.open {
		s.show(shape, c.kind)
	}
	for _, shape := range p.asked {
		s.ask(shape)
	}
	for _, i := range p.indexes {
		s.look(i)
	}
	for _, shape := range s.lost {
		if !shape.ended {
			s.endShape(shape, reasonTableChanged)
		}
	}
	s.lost = s.lost[:0]
}

// look gives a change to the shapes that are found by a column's text: of the old row, of the new one, or, where one of
// them isn't known, to each that may be concerned.
func (s *Source) look(i *index) {
	c := &s.change
	old, new := c.old[i.column], c.new[i.column]
	switch {
	case c.kind != 'I' && old.Kind == relay.ValueUnchanged || c.kind != 'D' && new.Kind == relay.ValueUnchanged:
		for _, slot := range i.one.list {
			if slot.shape != nil {
				s.ask(slot.shape)
			}
		}
		for _, shapes := range i.more {
			for _, shape := range shapes {
				s.ask(shape)
			}
		}
	case c.kind == 'U' && old.Kind == new.Kind && bytes.Equal(old.Text, new.Text):
		s.found(i, new, 'U')
	default:
		s.found(i, old, 'D')
		s.found(i, new, 'I')
	}
}

// found gives a change to the shapes under a value. To those whose filter asks for nothing else it is op.
func (s *Source) found(i *index, v relay.Value, op byte) {
	if v.Kind != relay.ValueText {
		return
	}
	one, more := i.find(v.Text)
	if one == nil {
		return
	}
	fetch(one)
	s.tx.opening() // what give needs as well is made while the shape is on its way
	s.give(one, v.Text, op)
	for _, shape := range more {
		s.give(shape, v.Text, op)
	}
}

func (s *Source) give(shape *Shape, text []byte, op byte) {
	switch {
	case shape.sole.is(text):
		s.show(shape, op)
	case shape.sole.none():
		s.ask(shape)
	}
}

// ask has a shape's filter decide the change, unless that was done.
func (s *Source) ask(shape *Shape) {
	if shape.asked == s.change.number {
		return
	}
	shape.asked = s.change.number
	switch op, known := s.change.decide(shape.filter); {
	case !known:
		s.lost = append(s.lost, shape)
	case op != 0:
		s.show(shape, op)
	}
}

// show puts the change, as op, into the shape's frame.
func (s *Source) show(shape *Shape, op byte) {
	e := shape.set.encode(op, &s.change)
	switch {
	case e.lacks:
		s.lost = append(s.lost, shape)
	case e.shown:
		s.publish(shape, e.bytes)
	}
}

func values(oldBuf, newBuf []relay.Value, old, new relay.Tuple) (o, n []relay.Value, err error) {
	o, n = oldBuf[:0], newBuf[:0]
	if old != nil {
		if o, _, err = old.Values(o); err != nil {
			return o, n, err
		}
	}
	if new != nil {
		n, _, err = new.Values(n)
	}
	return o, n, err
}

var truncate = []byte(`{"op":"truncate"}`)

// Truncate takes in a TRUNCATE of tables. That of some of a relation's partitions ends its shapes: they still have
// the rows of the others, and which were in these is not known.
func (s *Source) Truncate(tables []uint32) {
	for _, p := range s.relations {
		switch n := hit(p.relation, tables); {
		case n == 0:
		case n < len(p.relation.Leaves):
			s.endShapes(p, reasonTableChanged)
		default:
			for _, shape := range p.shapes {
				s.publish(shape, truncate)
			}
		}
	}
}

// hit counts the relation's leaves that are among tables.
func hit(r *relay.Relation, tables []uint32) (n int) {
	for _, leaf := range r.Leaves {
		if slices.Contains(tables, leaf.OID) {
			n++
		}
	}
	return n
}

func (s *Source) publish(shape *Shape, change []byte) {
	f := s.tx.frame(shape)
	if f.add(change) {
		s.emit(shape, f.endPart(), s.tx.xid, 0)
		f.begin(s.tx.opening())
	}
}

// emit puts a frame into the shape's ring.
func (s *Source) emit(shape *Shape, frame []byte, xid uint64, end relay.LSN) {
	s.frames.add(shape, entry{xid: xid, end: end, frame: s.frames.keep(frame)})
	s.markDirty(shape)
}

// Commit ends the open transaction at end.
func (s *Source) Commit(end relay.LSN) {
	for i := range s.tx.touched {
		if f := &s.tx.touched[i]; !f.shape.ended {
			s.emit(f.shape, f.endLast(end), s.tx.xid, end)
		}
	}
	s.tx.end()
	s.Advance(end)
}

// Advance says that everything before lsn was taken in. It is not called within a transaction.
func (s *Source) Advance(lsn relay.LSN) {
	if lsn <= s.position {
		return
	}
	s.position = lsn
	for shape := range s.fenced {
		s.markDirty(shape)
	}
}

// published is a relation and its shapes.
type published struct {
	source   *Source
	relation *relay.Relation
	sets     []*columnSet
	shapes   map[identity]*Shape
	// Each shape is in open (without a filter), in asked (asked about every change), or found by indexes.
	open, asked shapeList
	indexes     []*index
	// barrier is the position before which cursors are answered with a snapshot.
	barrier relay.LSN
	// wider tells that rows came with columns that the relation doesn't know: it can't grow by them any more.
	wider bool
	// drifted tells that the stream no longer has the relation's columns.
	drifted bool
}

// Relation returns a published relation by its name in the warehouse, or nil.
func (s *Source) Relation(name string) *relay.Relation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.relations[name]; p != nil {
		return p.relation
	}
	return nil
}

// Shape returns the relation's shape of this spec, making it where it is new. It holds a reference, which
// Release gives back. It returns nil when relation is no longer what the source publishes.
func (s *Source) Shape(relation *relay.Relation, spec Spec) *Shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.relations[relation.Name]
	if p == nil || p.relation != relation || p.drifted {
		return nil
	}
	columns := p.columns(spec.Columns)
	base := identify(relation, &spec)
	shape := p.shapes[base.with(relation, columns)]
	if shape == nil {
		set := p.set(columns)
		shape = newShape(p, set, base, &spec)
		set.shapes++
		p.shapes[shape.key] = shape
		p.enter(shape)
	}
	shape.refs++
	return shape
}

// columns are the indexes of the named columns and the key's, in the relation's order.
func (p *published) columns(names []string) []int {
	var columns []int
	for i := range p.relation.Columns {
		if slices.Contains(p.relation.Key, i) || slices.Contains(names, p.relation.Columns[i].Name) {
			columns = append(columns, i)
		}
	}
	return columns
}

func (p *published) set(columns []int) *columnSet {
	for _, set := range p.sets {
		if slices.Equal(set.columns, columns) {
			return set
		}
	}
	set := newColumnSet(p.relation, columns)
	p.sets = append(p.sets, set)
	return set
}

// Release gives a reference back; a shape without one is gone.
func (s *Source) Release(shape *Shape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shape.refs--; shape.refs > 0 || shape.ended {
		return
	}
	s.endShape(shape, reasonUnused)
}

// endShape takes a shape out of everything that writes to it; its connections start over.
func (s *Source) endShape(shape *Shape, reason string) {
	shape.ended, shape.reason = true, reason
	s.markDirty(shape)
	p := shape.owner
	delete(p.shapes, shape.key)
	p.leave(shape)
	set := shape.set
	if set.shapes--; set.shapes == 0 {
		p.sets = slices.DeleteFunc(p.sets, func(o *columnSet) bool { return o == set })
	}
	s.frames.forget(shape)
	delete(s.fenced, shape)
}

// endShapes ends every shape of a relation: their connections start over.
func (s *Source) endShapes(p *published, reason string) {
	for _, shape := range p.shapes {
		s.endShape(shape, reason)
	}
}
