package hub

import (
	"crypto/sha256"
	"fmt"
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

func appendName(dst []byte, number uint64) []byte {
	return strconv.AppendUint(append(dst, 's'), number, 36)
}

// identity is a hash of what makes two subscriptions one shape.
type identity [sha256.Size]byte

// identify hashes a spec of the relation without its columns.
func identify(r *relay.Relation, spec *Spec) identity {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%t\x00%t\x00%t", r.Name, spec.Rule, spec.All, spec.Grows, spec.Snapshot))
}

// with adds the columns.
func (i identity) with(r *relay.Relation, columns []int) identity {
	b := i[:]
	for _, c := range columns {
		b = append(append(b, r.Columns[c].Name...), 0)
	}
	return sha256.Sum256(b)
}

// Shape is what any number of subscriptions share: a relation through the same rules and columns.
// Its unexported fields are guarded by the source's lock.
//
// It is what a change reads and writes, and no more than two cache lines: with many shapes it is in no cache, and what is
// small stays in reach of the processor's page tables too. The rest lies apart.
type Shape struct {
	*about

	set *columnSet
	// touched is its place among those that the open transaction has touched, from 1 on.
	touched int
	// sole is the value that a filter asks for which asks for nothing else.
	sole  short
	dirty bool
	// split tells that the open transaction's frames have a schema message among them.
	split bool
	// ended tells that its connections start over.
	ended bool

	label label
	ring  ring
	// Queued has a bit for each listener in whose list the shape waits.
	Queued atomic.Uint64
}

// about is what a change doesn't need of a shape that it is shown to.
type about struct {
	Source   *Source
	Snapshot bool

	filter Filter // nil: it shows all rows
	// asked is the number of the change that the filter decided last.
	asked uint64
	// indexed: it is found by the cover at place of its filter, else place is where it is in a list.
	indexed bool
	place   int
	// grows tells that added columns join it.
	grows bool
	// base and key are its identity without and with its columns.
	base, key identity
	owner     *published
	refs      int
	// fenced counts the streams that wait for the source to pass a position.
	fenced int
	// reason is that of the resync that ended the shape; empty while it lives.
	reason string
	// load is the load that newcomers may join.
	load *Load
}

func newShape(p *published, set *columnSet, base identity, spec *Spec) *Shape {
	number := names.Add(1)
	s := &Shape{set: set, about: &about{
		Source: p.source, Snapshot: spec.Snapshot,
		owner: p, filter: spec.Filter, grows: spec.Grows, base: base, key: base.with(p.relation, set.columns),
	}}
	s.label.number = number
	s.rename()
	return s
}

// rename makes what the cursors begin with anew after the columns changed.
func (s *Shape) rename() {
	s.label.prefix = newPrefix(s.owner.source.identity, string(s.key[:])+s.set.describe())
}

// note is a frame of the shape with a cursor and nothing else: live or cursor.
func (s *Shape) note(kind string, lsn relay.LSN) []byte {
	b := make([]byte, headerRoom, 160)
	b = append(b, `{"type":"`+kind+`","shape":"`+s.Name()+`"`...)
	return finishFrame(s.label.appendCursor(b, lsn))
}

// short is a text of 36 bytes at the most that takes no memory access of its own: a uuid, a number, a label. The zero value
// is none.
type short struct {
	size byte // of the text with a byte more
	text [36]byte
}

// set makes it the text, where that is short enough.
func (s *short) set(text string) {
	if len(text) <= len(s.text) {
		s.size = byte(copy(s.text[:], text)) + 1
	}
}

func (s *short) none() bool { return s.size == 0 }

func (s *short) is(text []byte) bool {
	return s.size > 0 && string(s.text[:s.size-1]) == string(text)
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
	return s.ended
}

// Name is the shape's name on every connection; never used again.
func (s *Shape) Name() string { return string(appendName(nil, s.label.number)) }

// Relation is the relation that the shape shows.
func (s *Shape) Relation() *relay.Relation {
	r, _ := s.Columns()
	return r
}
