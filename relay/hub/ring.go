package hub

import (
	"slices"

	"pgrelay/relay"
)

// entry is one ready frame in a shape's ring.
type entry struct {
	// seq is its number among all frames of the source.
	seq uint64
	// xid is the source transaction's full id; 0 for a frame that belongs to none.
	xid uint64
	// end is the position that the frame's cursor names; 0 for a part that more parts follow.
	end relay.LSN
	// schema tells that it is no transaction's, and for everybody.
	schema bool
	frame  []byte
}

// more tells that the transaction goes on in a later frame.
func (e *entry) more() bool { return e.end == 0 }

// ring is the recent frames of one shape. Entries are only appended and dropped from the front, and an
// entry never changes, so a slice of entries taken under the source's lock may be read without it.
type ring struct {
	entries []entry
	// base is the index of entries[0] since the shape began.
	base uint64
}

func (r *ring) head() uint64 { return r.base + uint64(len(r.entries)) }

// from returns the entries from index on; ok is false when some of them are gone.
func (r *ring) from(index uint64) (entries []entry, ok bool) {
	if index < r.base {
		return nil, false
	}
	return r.entries[index-r.base:], true
}

// add appends an entry. Readers hold what they took, so the array is never moved in place; that it doubles keeps the
// copying below an entry for each that is added.
func (r *ring) add(e entry) {
	if n := len(r.entries); n == cap(r.entries) {
		r.entries = append(make([]entry, 0, max(2*n, 1)), r.entries...)
	}
	r.entries = append(r.entries, e)
}

func (r *ring) dropFirst() {
	r.entries = r.entries[1:]
	r.base++
}

// chunkSize is how much memory the frames of a source take at a time. Frames of one shape that follow each
// other lie side by side, so that a connection gets them in one contiguous write.
const chunkSize = 128 << 10

// frames is the memory of a source's rings: a first-in, first-out log bounded in bytes.
type frames struct {
	limit int
	bytes int
	chunk []byte
	order []*Shape // from first on: the ring of each entry, oldest first
	first int
	dead  int // how many of order belong to shapes that have ended
}

// keep copies a frame into the log.
func (f *frames) keep(frame []byte) []byte {
	if cap(f.chunk)-len(f.chunk) < len(frame) {
		f.chunk = make([]byte, 0, max(chunkSize, len(frame)))
	}
	from := len(f.chunk)
	f.chunk = append(f.chunk, frame...)
	return f.chunk[from:] // its capacity reaches over what follows, so that a writer can see that they lie side by side
}

// add puts an entry into its shape's ring and drops the oldest entries past the limit.
func (f *frames) add(s *Shape, e entry) {
	s.ring.add(e)
	if len(f.order) == cap(f.order) && f.first > len(f.order)/2 {
		n := copy(f.order, f.order[f.first:])
		clear(f.order[n:])
		f.order, f.first = f.order[:n], 0
	}
	f.order = append(f.order, s)
	f.bytes += len(e.frame)
	for f.bytes > f.limit && len(f.order)-f.first > 1 {
		f.dropFirst()
	}
}

func (f *frames) dropFirst() {
	s := f.order[f.first]
	f.order[f.first] = nil
	f.first++
	if len(s.ring.entries) == 0 {
		f.dead--
		return // the shape has ended and took its entries along
	}
	f.bytes -= len(s.ring.entries[0].frame)
	s.ring.dropFirst()
}

// forget drops all entries of a shape that has ended.
func (f *frames) forget(s *Shape) {
	for i := range s.ring.entries {
		f.bytes -= len(s.ring.entries[i].frame)
	}
	f.dead += len(s.ring.entries)
	s.ring.base = s.ring.head()
	s.ring.entries = nil
	if f.dead > 1024 && f.dead > len(f.order)/2 {
		f.order = slices.DeleteFunc(f.order, func(o *Shape) bool { return o == nil || o.ended != "" })
		f.first, f.dead = 0, 0
	}
}
