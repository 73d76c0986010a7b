package hub

// chunkSize is how much memory the frames of a source take at a time. Frames of one shape that follow each
// other lie side by side, so that a connection gets them in one contiguous write.
const chunkSize = 128 << 10

// blockRecords is how many records a block of the log has at the most.
const blockRecords = 32

// block is a stretch of the log, which is forgotten as one; records[i] has a seq that is i modulo blockRecords. It is never
// used again for other records: readers hold what they took.
type block struct {
	records [blockRecords]record
	live    int // how many of them are of shapes that live
	bytes   int // of their frames
}

// frames is the memory of a source's rings: a first-in, first-out log bounded in bytes, but for the block that is written.
type frames struct {
	limit int
	bytes int
	chunk []byte
	seq   uint64 // of the newest record
	// blocks have the records from seq front*blockRecords on; nil where all shapes of a block have ended, but the first
	// never is.
	blocks []*block
	front  uint64
	kept   int // how many of them aren't nil
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

// maxGone is how many of the blocks that are listed may be nil, beside four for each that isn't.
const maxGone = 1024

// add puts an entry into its shape's ring and drops the oldest blocks past the limit, and where nearly all that follow are
// nil. It looks at none of their records nor at their shapes, which are in no cache by then.
func (f *frames) add(s *Shape, e entry) {
	f.seq++
	if f.seq%blockRecords == 0 || len(f.blocks) == 0 {
		f.blocks = append(f.blocks, new(block))
		f.kept++
	}
	b := f.blocks[len(f.blocks)-1]
	r := &b.records[f.seq%blockRecords]
	r.entry, r.seq, r.prev, r.skip = e, f.seq, s.ring.head, s.ring.head
	if f.has(r.prev) {
		prev := f.at(r.prev)
		if prev.next = r; prev.seq/stretch == r.seq/stretch {
			r.skip = prev.skip
		}
	}
	s.ring.head = r.seq
	b.live++
	b.bytes += len(e.frame)
	f.bytes += len(e.frame)
	for len(f.blocks) > 1 && (f.bytes > f.limit || len(f.blocks) > maxGone+4*f.kept) {
		f.release(0)
	}
	if b.bytes > f.limit/16 {
		f.next()
	}
}

// has tells that a record of a shape that lives is in the log still.
func (f *frames) has(seq uint64) bool { return seq >= f.front*blockRecords && seq > 0 }

// at returns a record that the log has.
func (f *frames) at(seq uint64) *record {
	return &f.blocks[seq/blockRecords-f.front].records[seq%blockRecords]
}

// next has the log go on in another block.
func (f *frames) next() { f.seq |= blockRecords - 1 }

// release lets go of a block.
func (f *frames) release(i uint64) {
	f.bytes -= f.blocks[i].bytes
	f.blocks[i] = nil
	f.kept--
	for len(f.blocks) > 0 && f.blocks[0] == nil {
		f.blocks = f.blocks[1:]
		f.front++
	}
}

// first returns the ring's oldest record that the log has, nil where there is none.
func (f *frames) first(r *ring) *record {
	if !f.has(r.head) {
		return nil
	}
	if !f.has(r.first) {
		for r.first = r.head; f.has(f.at(r.first).skip); {
			r.first = f.at(r.first).skip
		}
		for f.has(f.at(r.first).prev) {
			r.first = f.at(r.first).prev
		}
	}
	return f.at(r.first)
}

// gone returns the seq of the ring's newest record that the log has dropped, 0 for none.
func (f *frames) gone(r *ring) uint64 {
	if first := f.first(r); first != nil {
		return first.prev
	}
	return r.head
}

// since returns the ring's records after seq, which is 0, the ring's head at some time, or one of its records. ok is false
// when some of them are gone.
func (f *frames) since(r *ring, seq uint64) (s span, ok bool) {
	switch {
	case seq == r.head:
		return s, true
	case f.has(seq):
		return span{f.at(seq).next, f.at(r.head)}, true
	case seq < r.first && !f.has(r.first), seq < f.gone(r):
		return s, false
	}
	return span{f.first(r), f.at(r.head)}, true
}

// forget gives up the records of a shape that has ended. Their memory goes with the rest of their blocks.
func (f *frames) forget(s *Shape) {
	for seq := s.ring.head; f.has(seq); {
		i := seq/blockRecords - f.front
		seq = f.at(seq).prev
		if f.blocks[i].live--; f.blocks[i].live > 0 {
			continue
		}
		if int(i) == len(f.blocks)-1 {
			f.next()
		}
		f.release(i)
	}
}
