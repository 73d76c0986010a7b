package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"pgrelay/relay"
)

// loadBytes bounds the frames of one load that some connection has not taken yet; its producer waits.
const loadBytes = 2 << 20

// straggle is how long a load waits for its slowest connection while another has taken everything: then the
// slow one starts over alone.
const straggle = 2 * time.Second

// stall is how long it waits for a connection that takes nothing when no other waits: a place among the snapshots is
// worth more.
const stall = 15 * time.Second

// Errors that a load ends with.
var (
	// ErrAbandoned: no connection wants the load any more.
	ErrAbandoned = errors.New("nobody waits for the load")
	// ErrLagged: the position has left the journal, or the connection fell behind the others.
	ErrLagged = errors.New("fell behind what is kept")
	// ErrTable: the table changed in a way that can't be told by changes.
	ErrTable = errors.New("the table changed as a whole")
	// ErrLimit: the load took too long.
	ErrLimit = errors.New("the snapshot took longer than it may")
	// ErrUnavailable: the source cannot be read now.
	ErrUnavailable = errors.New("the source cannot be read")
	// ErrSchema: the table changed under the load.
	ErrSchema = errors.New("the table changed meanwhile")
)

// Load is what brings a stream from its registration to where the ring goes on: the frames of a snapshot, or
// of a replay of the journal. Equal snapshots that are asked for at the same moment are one load. A load's
// frames are read by connections at their own pace, within loadBytes.
type Load struct {
	Shape *Shape
	// The registration, guarded by the source's lock: what the source brings after it follows seq after in the ring.
	position relay.LSN // the end of the last transaction before it
	open     uint64    // the transaction that the source was in the middle of; 0 for none
	after    uint64
	set      *columnSet

	mu      sync.Mutex
	entries []entry
	base    int
	bytes   int
	readers map[*loadReader]struct{}
	changed chan struct{} // closed and made anew whenever a reader moved or left
	done    bool
	err     error
	visible *Visibility
	fence   relay.LSN
	// abandoned is called when the last reader leaves.
	abandoned func()
}

// loadReader is one connection's place in a load.
type loadReader struct {
	load   *Load
	at     int
	wake   func()
	kicked bool
	moved  time.Time
}

// newLoad is called with the source's lock held.
func newLoad(st *Stream) *Load {
	return &Load{Shape: st.Shape, position: st.position, open: st.open, after: st.after, set: st.Shape.set,
		readers: map[*loadReader]struct{}{}, changed: make(chan struct{})}
}

// register moves the registration to now.
func (l *Load) register() {
	s := l.Shape.Source
	l.position, l.open, l.after = s.position, 0, l.Shape.ring.head
	if s.tx.open {
		l.open = s.tx.xid
	}
}

// Register moves the registration to now: for a snapshot that is about to be taken. ErrSchema tells that the shape
// has other columns by now than its connections were told.
//
// also is called under the source's lock, with the stream between two messages.
func (l *Load) Register(also func()) error {
	l.Shape.Source.mu.Lock()
	defer l.Shape.Source.mu.Unlock()
	if l.set != l.Shape.set {
		return ErrSchema
	}
	l.register()
	also()
	return nil
}

// Registered is the end of the last transaction before the registration, and the transaction that the source was in
// the middle of, 0 for none.
func (l *Load) Registered() (position relay.LSN, open uint64) {
	l.Shape.Source.mu.Lock()
	defer l.Shape.Source.mu.Unlock()
	return l.position, l.open
}

// Behind tells that the ring no longer reaches back to the registration. It then moves the registration to now, and
// the gap since the old one is to be replayed. ErrLagged tells that it can't be, because the table's form changed.
func (l *Load) Behind() (bool, error) {
	s := l.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.frames.since(&l.Shape.ring, l.after); ok || l.Shape.ended {
		return false, nil
	}
	if l.set != l.Shape.set || l.Shape.owner.barrier > l.position {
		return false, ErrLagged
	}
	l.register()
	return true, nil
}

// Delivered says that a transaction after the registration is among the load's frames already: the ring's are left
// out. It can be the next one alone.
func (l *Load) Delivered(xid uint64) {
	l.Shape.Source.mu.Lock()
	defer l.Shape.Source.mu.Unlock()
	l.open = xid
}

// Replay returns what turns transactions since the registration into frames of the load.
func (l *Load) Replay() *Replay {
	l.Shape.Source.mu.Lock()
	defer l.Shape.Source.mu.Unlock()
	return newReplay(l)
}

// join adds a reader; nil where the first frames are gone or the load has failed.
func (l *Load) join(wake func()) *loadReader {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base > 0 || l.err != nil {
		return nil
	}
	r := &loadReader{load: l, wake: wake, moved: time.Now()}
	l.readers[r] = struct{}{}
	return r
}

func (l *Load) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (r *loadReader) leave() {
	l := r.load
	l.mu.Lock()
	delete(l.readers, r)
	l.trim()
	l.signal()
	abandoned := l.abandoned
	if len(l.readers) > 0 || l.done {
		abandoned = nil
	}
	l.mu.Unlock()
	if abandoned != nil {
		abandoned()
	}
}

// OnAbandoned says what to call when no connection wants the load any more; at once where that is so already.
func (l *Load) OnAbandoned(f func()) {
	l.mu.Lock()
	l.abandoned = f
	gone := len(l.readers) == 0
	l.mu.Unlock()
	if gone {
		f()
	}
}

// take returns the next frames, at most about limit bytes but at least one.
func (r *loadReader) take(limit int) (entries []entry, more bool, err error) {
	l := r.load
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.kicked {
		return nil, false, ErrLagged
	}
	from := r.at - l.base
	to, size := from, 0
	for to < len(l.entries) && (size < limit || to == from) {
		size += len(l.entries[to].frame)
		to++
	}
	entries = l.entries[from:to:to]
	if to > from {
		r.at, r.moved = l.base+to, time.Now()
		l.trim()
		l.signal()
	}
	if r.at-l.base == len(l.entries) && l.err != nil {
		return entries, false, l.err
	}
	return entries, r.at < l.base+len(l.entries) || !l.done, nil
}

// trim forgets the frames that every reader has taken. Before the producer has need of the room they stay,
// so that newcomers can join.
func (l *Load) trim() {
	if l.bytes < loadBytes && !l.done {
		return
	}
	low := l.base + len(l.entries)
	for r := range l.readers {
		low = min(low, r.at)
	}
	n := low - l.base
	if n == 0 {
		return
	}
	for i := range n {
		l.bytes -= len(l.entries[i].frame)
	}
	// A copy: readers hold what they took.
	l.entries = append([]entry(nil), l.entries[n:]...)
	l.base = low
}

// put adds a frame, waiting for room. The frame is kept as it is.
func (l *Load) put(ctx context.Context, e entry) error {
	for {
		l.mu.Lock()
		l.trim()
		if len(l.readers) == 0 {
			l.err = ErrAbandoned // nobody joins any more
			l.mu.Unlock()
			return ErrAbandoned
		}
		if l.bytes < loadBytes {
			l.entries = append(l.entries, e)
			l.bytes += len(e.frame)
			wakes := l.wakes()
			l.mu.Unlock()
			wakeAll(wakes)
			return nil
		}
		changed := l.changed
		wakes, again := l.kickStragglers()
		l.mu.Unlock()
		wakeAll(wakes)
		timer := time.NewTimer(again)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
}

// kickStragglers lets go of readers that hold the others up.
func (l *Load) kickStragglers() (wakes []func(), again time.Duration) {
	patience := stall
	for r := range l.readers {
		if r.at == l.base+len(l.entries) {
			patience = straggle
		}
	}
	for r := range l.readers {
		if r.at == l.base && time.Since(r.moved) > patience {
			r.kicked = true
			delete(l.readers, r)
			wakes = append(wakes, r.wake)
		}
	}
	return wakes, straggle / 4
}

func (l *Load) wakes() []func() {
	wakes := make([]func(), 0, len(l.readers))
	for r := range l.readers {
		wakes = append(wakes, r.wake)
	}
	return wakes
}

func wakeAll(wakes []func()) {
	for _, wake := range wakes {
		wake()
	}
}

// PutRows adds a snapshot message whose rows are in payload, made by RowEncoder.
func (l *Load) PutRows(ctx context.Context, payload []byte) error {
	return l.put(ctx, entry{frame: finishFrame(payload)})
}

// Finish ends a load. visible and fence are those of a snapshot: transactions that it sees are left out of the
// ring until the source has passed the fence. err, where there is one, is what the connections are told.
func (l *Load) Finish(visible *Visibility, fence relay.LSN, err error) {
	s := l.Shape.Source
	s.mu.Lock()
	if l.Shape.load == l {
		l.Shape.load = nil
	}
	s.mu.Unlock()
	l.mu.Lock()
	l.done, l.err, l.visible, l.fence = true, err, visible, fence
	wakes := l.wakes()
	l.mu.Unlock()
	wakeAll(wakes)
}

// Condition is what the source may leave rows out by, as Filter.SQL says.
func (l *Load) Condition(first int) (condition string, args []string) {
	if f := l.Shape.filter; f != nil {
		return f.SQL(first)
	}
	return "", nil
}

// RowEncoder turns a snapshot's rows into snapshot messages.
type RowEncoder struct {
	set     *columnSet
	filter  Filter
	columns []int
	row     []relay.Value
	open    []byte
	build   []byte
	rows    int
}

// RowEncoder returns an encoder for the shape's rows, the relation, and the indexes of the columns that a
// row's texts must have, in order: those that it shows, and others that its filter reads.
func (l *Load) RowEncoder() (e *RowEncoder, r *relay.Relation, columns []int) {
	s := l.Shape
	r, columns = l.set.relation, slices.Clone(l.set.columns)
	e = &RowEncoder{set: newColumnSet(r, l.set.columns), filter: s.filter, row: slices.Repeat([]relay.Value{unchanged}, len(r.Columns)),
		open: []byte(`{"type":"snapshot","shape":"` + s.Name() + `","rows":[`)}
	if e.filter != nil {
		for _, c := range e.filter.Columns() {
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	e.columns = columns
	return e, r, columns
}

// Add takes in a row of texts, nil for null, unless the filter hides it. It returns a message's payload once it is
// large enough, else nil.
func (e *RowEncoder) Add(texts [][]byte) []byte {
	for i, c := range e.columns {
		e.row[c] = relay.Value{Kind: relay.ValueText, Text: texts[i]}
		if texts[i] == nil {
			e.row[c].Kind = relay.ValueNull
		}
	}
	if e.filter != nil && e.filter.Match(e.row) != relay.Shown {
		return nil
	}
	if e.rows == 0 {
		e.build = append(make([]byte, headerRoom, partBytes+partBytes/8), e.open...)
	} else {
		e.build = append(e.build, ',')
	}
	e.rows++
	e.build, _ = e.set.appendRow(e.build, e.row)
	if len(e.build) < partBytes {
		return nil
	}
	return e.Rest()
}

// Rest returns the payload of what is left, or nil.
func (e *RowEncoder) Rest() []byte {
	if e.rows == 0 {
		return nil
	}
	e.rows = 0
	return append(e.build, `]}`...)
}
