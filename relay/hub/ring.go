package hub

import "pgrelay/relay"

// entry is one ready frame.
type entry struct {
	// xid is the source transaction's full id; 0 for a frame that belongs to none. In a ring that is a schema message,
	// which is for everybody.
	xid uint64
	// end is the position that the frame's cursor names; 0 for a part that more parts follow, and for a schema message.
	end   relay.LSN
	frame []byte
}

// schema tells of an entry in a ring that it is no transaction's.
func (e *entry) schema() bool { return e.xid == 0 }

// more tells that the transaction goes on in a later frame.
func (e *entry) more() bool { return e.end == 0 }

// stretch is how many numbers of frames are skipped at once.
const stretch = 512

// record is an entry in the source's log. It is written once, under the source's lock; what may be read without it are
// the entry and seq of a record that was taken from a ring under it, and next up to the last of these.
type record struct {
	entry
	// seq is its number among all frames of the source; prev is that of the shape's record before it, and skip that of the
	// newest in an earlier stretch; 0 for none.
	seq, prev, skip uint64
	// next is the shape's following record.
	next *record
}

// ring is the recent frames of one shape: a chain through the source's log.
type ring struct {
	head  uint64 // the seq of the newest; 0 for none
	first uint64 // that of the oldest which the log had when it was last asked for
}

// span is the records of a ring from first to last; the zero value has none. Holding it keeps their memory, and that of
// all records after them.
type span struct{ first, last *record }

func (s *span) empty() bool { return s.first == nil }

// take returns the first record and goes on to the next.
func (s *span) take() *record {
	r := s.first
	if r == s.last {
		*s = span{}
	} else {
		s.first = r.next
	}
	return r
}
