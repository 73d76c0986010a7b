package hub

import (
	"strconv"
	"sync/atomic"

	"pgrelay/relay"
)

// Spec is what makes two subscriptions one shape.
type Spec struct {
	// Columns are the columns that it shows, the key's apart, which come anyway.
	Columns []string
	// All tells that the client named no columns.
	All bool
	// Grows tells that added columns join the shape.
	Grows bool
	// Filter decides its rows; nil: it shows all of them.
	Filter Filter
	// Rule is equal for equal filters, and for them alone: the texts of the rules and of the client's where, with the
	// values of the claims and parameters that they read.
	Rule string
	// Snapshot tells that rows come before changes.
	Snapshot bool
}

// names counts the shapes of the process; the count is a shape's name.
var names atomic.Uint64

// Shape is what any number of subscriptions share: a relation through the same rules and columns.
// Its unexported fields are guarded by the source's lock.
type Shape struct {
	// Name is the shape's name on every connection; never used again.
	Name     string
	Source   *Source
	Snapshot bool
	// Queued has a bit for each listener in whose list the shape waits.
	Queued atomic.Uint64

	key   string
	owner *published
	// Where its relation finds it: its place in a list, or the cover that it is indexed by.
	slot    int
	indexed bool
	cover   []relay.Equality
	// asked is the number of the change that its filter has decided last.
	asked   uint64
	set     *columnSet
	spec    Spec
	framer  framer
	touched bool
	// split tells that the open transaction's frames have a schema message among them.
	split bool
	ring  ring
	refs  int
	// fenced counts the streams that wait for the source to pass a position.
	fenced int
	// ended is the reason of the resync that ended the shape; empty while it lives.
	ended string
	dirty bool
	// load is the load that newcomers may join.
	load *Load
}

func newShape(p *published, set *columnSet, key string, spec Spec) *Shape {
	s := &Shape{
		Name: "s" + strconv.FormatUint(names.Add(1), 36), Source: p.source, Snapshot: spec.Snapshot,
		key: key, owner: p, set: set, spec: spec,
	}
	s.framer.name = s.Name
	s.spec.Columns = nil // the set has them
	s.rename()
	return s
}

// rename makes what the cursors begin with anew after the columns changed.
func (s *Shape) rename() {
	s.framer.prefix = newPrefix(s.owner.source.identity, s.key+"\x00"+s.set.describe())
}

// note is a frame of the shape with a cursor and nothing else: live or cursor.
func (s *Shape) note(kind string, lsn relay.LSN) []byte {
	b := make([]byte, headerRoom, 160)
	b = append(b, `{"type":"`+kind+`","shape":"`+s.Name+`"`...)
	return finishFrame(s.framer.appendCursor(b, lsn))
}

// Columns are the relation that the shape shows and the indexes of its columns in it.
func (s *Shape) Columns() (r *relay.Relation, columns []int) {
	s.Source.mu.Lock()
	defer s.Source.mu.Unlock()
	return s.set.relation, s.set.columns
}

// Ended tells that the shape's connections start over.
func (s *Shape) Ended() bool {
	s.Source.mu.Lock()
	defer s.Source.mu.Unlock()
	return s.ended != ""
}

// Relation is the relation that the shape shows.
func (s *Shape) Relation() *relay.Relation {
	r, _ := s.Columns()
	return r
}
