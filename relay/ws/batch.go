package ws

import gobwas "github.com/gobwas/ws"

// Batch is what one connection writes in one round. It belongs to the loop: it is valid during Pull only.
type Batch struct {
	// Limit is about how many bytes may be added, so that the other connections have their turn; what is added past
	// it is written all the same.
	Limit int

	segments []segment
	size     int
	arena    []byte
}

// segment is bytes to be written; private ones lie in the loop's arena and are copied where they outlive the round.
type segment struct {
	bytes   []byte
	private bool
}

// Add appends ready server frames, one or several whole ones. They are kept by reference until they are written, and
// shared between connections: they must never change. Slices that lie next to each other in one array are written as
// one, if the capacity of the first reaches over the second.
func (b *Batch) Add(frames []byte) {
	if len(frames) > 0 {
		b.add(frames, false)
	}
}

// Text appends a text message for this connection alone; the payload is copied.
func (b *Batch) Text(payload []byte) {
	start := b.grow(len(payload))
	b.arena = AppendFrame(b.arena, payload)
	b.add(b.arena[start:], true)
}

// TextString is Text for a string.
func (b *Batch) TextString(payload string) {
	start := b.grow(len(payload))
	b.arena = append(AppendFrameHeader(b.arena, len(payload)), payload...)
	b.add(b.arena[start:], true)
}

// Len is the number of bytes that were added, headers included.
func (b *Batch) Len() int { return b.size }

func (b *Batch) control(op gobwas.OpCode, payload []byte) {
	start := b.grow(len(payload))
	b.arena = append(appendHeader(b.arena, op, len(payload)), payload...)
	b.add(b.arena[start:], true)
}

func (b *Batch) raw(p []byte) {
	start := b.grow(len(p))
	b.arena = append(b.arena, p...)
	b.add(b.arena[start:], true)
}

// grow makes room for a frame with so large a payload; where the arena must move, earlier segments keep the old one.
func (b *Batch) grow(payload int) int {
	if need := MaxFrameHeader + payload; cap(b.arena)-len(b.arena) < need {
		b.arena = make([]byte, 0, max(2*cap(b.arena), need, 4<<10))
	}
	return len(b.arena)
}

func (b *Batch) add(p []byte, private bool) {
	b.size += len(p)
	if n := len(b.segments); n > 0 {
		last := &b.segments[n-1]
		if last.private == private && adjacent(last.bytes, p) {
			last.bytes = last.bytes[:len(last.bytes)+len(p)]
			return
		}
	}
	b.segments = append(b.segments, segment{p, private})
}

// adjacent tells whether q follows p in the same array.
func adjacent(p, q []byte) bool {
	return cap(p)-len(p) >= len(q) && &p[:len(p)+1][len(p)] == &q[0]
}

// maxArena is what a loop keeps of its arena between rounds.
const maxArena = 256 << 10

func (b *Batch) reset() {
	clear(b.segments)
	b.segments, b.size = b.segments[:0], 0
	if b.arena = b.arena[:0]; cap(b.arena) > maxArena {
		b.arena = nil
	}
}
