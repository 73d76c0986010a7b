package hub

import "pgrelay/relay"

// partBytes is the size at which a transaction's frame is ended and another part begun.
const partBytes = 64 << 10

// label is what the frames of a shape carry of it: its number, and what its cursors begin with.
type label struct {
	number uint64
	prefix prefix
}

// framer builds the changes frames of one shape. A transaction is framed as one message, or as parts.
type framer struct {
	label
	build []byte
	count int
	part  int
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
func (f *label) appendCursor(dst []byte, lsn relay.LSN) []byte {
	dst = f.prefix.appendText(append(dst, `,"cursor":"`...))
	dst = appendPosition(dst, lsn)
	return append(dst, `"}`...)
}

// transaction is the source's open transaction.
type transaction struct {
	open bool
	xid  uint64
	at   int64 // its commit time in Unix microseconds
	// head is the rest of a frame's beginning: commit time, id, and the bracket of the changes; empty until a frame needs it.
	head []byte
	// touched are the shapes that it has changes for. What lies behind them is kept for the buffers.
	touched []touched
}

// touched is a shape and its open frame.
type touched struct {
	shape *Shape
	framer
}

func (t *transaction) begin(xid uint64, at int64) {
	t.open, t.xid, t.at, t.head = true, xid, at, t.head[:0]
}

func (t *transaction) opening() []byte {
	if len(t.head) == 0 {
		t.head = appendTime(t.head, t.at)
		t.head = append(t.head, `","tx":"`...)
		t.head = appendUint(t.head, t.xid)
		t.head = append(t.head, `","changes":[`...)
	}
	return t.head
}

// frame is the shape's open frame, begun where it has none.
func (t *transaction) frame(s *Shape) *framer {
	if s.touched > 0 {
		return &t.touched[s.touched-1].framer
	}
	if n := len(t.touched); n < cap(t.touched) {
		t.touched = t.touched[:n+1]
	} else {
		t.touched = append(t.touched, touched{})
	}
	s.touched = len(t.touched)
	f := &t.touched[s.touched-1]
	f.shape, f.label, f.part = s, s.label, 0
	f.begin(t.opening())
	return &f.framer
}

// Of the buffers of a transaction that has ended this many are kept, of this size at the most.
const (
	maxIdleBuilds = 1024
	maxIdleBuild  = 4 << 10
)

// end forgets what was touched.
func (t *transaction) end() {
	t.open = false
	for i := range t.touched {
		f := &t.touched[i]
		if f.shape.touched, f.shape.split = 0, false; cap(f.build) > maxIdleBuild {
			f.build = nil
		}
	}
	if t.touched = t.touched[:0]; cap(t.touched) > maxIdleBuilds {
		t.touched = nil
	}
}
