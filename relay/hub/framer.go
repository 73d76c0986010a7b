package hub

import "pgrelay/relay"

// partBytes is the size at which a transaction's frame is ended and another part begun.
const partBytes = 64 << 10

// framer builds the changes frames of one shape. A transaction is framed as one message, or as parts.
type framer struct {
	// number is the shape's, and prefix what its cursors begin with.
	number uint64
	prefix prefix
	build  []byte
	count  int
	part   int
}

// begin opens a frame; head is the transaction's part of it.
func (f *framer) begin(head []byte) {
	if cap(f.build) < headerRoom {
		f.build = make([]byte, headerRoom, 512)
	}
	f.build = append(f.build[:headerRoom], `{"type":"changes","shape":"`...)
	f.build = appendName(f.build, f.number)
	f.build = append(f.build, `","at":"`...)
	f.build = append(f.build, head...)
	f.count = 0
}

// add puts an encoded change into the open frame and tells whether the frame is large enough to be a part.
func (f *framer) add(change []byte) (full bool) {
	if f.count > 0 {
		f.build = append(f.build, ',')
	}
	f.build = append(f.build, change...)
	f.count++
	return len(f.build) >= partBytes
}

// endPart ends a frame that more parts follow. The frame is valid until the next begin.
func (f *framer) endPart() []byte {
	b := append(f.build, `],"part":`...)
	b = appendUint(b, uint64(f.part))
	b = append(b, `,"more":true}`...)
	f.build = b
	f.part++
	return finishFrame(b)
}

// endLast ends the transaction's last frame. The frame is valid until the next begin.
func (f *framer) endLast(end relay.LSN) []byte {
	b := append(f.build, ']')
	if f.part > 0 {
		b = append(b, `,"part":`...)
		b = appendUint(b, uint64(f.part))
	}
	b = f.appendCursor(b, end)
	f.build = b
	f.part = 0
	return finishFrame(b)
}

// appendCursor appends the field cursor and the end of the message.
func (f *framer) appendCursor(dst []byte, lsn relay.LSN) []byte {
	dst = f.prefix.appendText(append(dst, `,"cursor":"`...))
	dst = appendPosition(dst, lsn)
	return append(dst, `"}`...)
}

// transaction is the source's open transaction.
type transaction struct {
	open bool
	xid  uint64
	// head is the rest of a frame's beginning: commit time, id, and the bracket of the changes.
	head    []byte
	touched []*Shape
}

func (t *transaction) begin(xid uint64, at int64) {
	t.open, t.xid = true, xid
	t.head = appendTime(t.head[:0], at)
	t.head = append(t.head, `","tx":"`...)
	t.head = appendUint(t.head, xid)
	t.head = append(t.head, `","changes":[`...)
}

// builds are the buffers in which frames are built. A shape has one while a transaction is open that it has changes in.
type builds [][]byte

// Of the buffers that no shape has, this many are kept, of this size at the most.
const (
	maxIdleBuilds = 256
	maxIdleBuild  = 4 << 10
)

// lend gives a framer a buffer.
func (b *builds) lend(f *framer) {
	if n := len(*b); n > 0 {
		f.build = (*b)[n-1]
		*b = (*b)[:n-1]
	}
}

// give takes it back.
func (b *builds) give(f *framer) {
	if len(*b) < maxIdleBuilds && cap(f.build) <= maxIdleBuild {
		*b = append(*b, f.build)
	}
	f.build = nil
}
