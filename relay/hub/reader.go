package hub

import (
	"slices"

	"pgrelay/relay"
)

// Sink takes ready frames, which it must not change and may keep.
type Sink interface {
	Add(frames []byte)
	Len() int
}

// Reader is one connection's place in one source. It is used by one goroutine.
type Reader struct {
	source  *Source
	loop    int
	streams []*Stream
	// due are the streams that Pull looks at: those that aren't live, and those of which Due told.
	due []*Stream
	// upTo is the number of the frame up to which a look has taken all that each of the streams has.
	upTo uint64
	// refresh is the position before which a stream's last cursor is too old: it gets a newer one.
	refresh relay.LSN
	// Frames counts what was added to sinks.
	Frames uint64
}

// NewReader is the reader of a connection on that loop.
func NewReader(s *Source, loop int) *Reader { return &Reader{source: s, loop: loop} }

// Due says that there may be something new for a stream of the reader.
func (r *Reader) Due(st *Stream) {
	if !st.due {
		st.due = true
		r.due = append(r.due, st)
	}
}

// Renew has streams whose last cursor is from before a position get a newer one, and tells whether any stream is due.
func (r *Reader) Renew(before relay.LSN) bool {
	if before != r.refresh {
		r.refresh = before
		for _, st := range r.streams {
			if st.stale(before) {
				r.Due(st)
			}
		}
	}
	return len(r.due) > 0
}

func (st *Stream) stale(before relay.LSN) bool { return st.Live && st.Cursor < before }

// Lost are the streams that have come to an end by themselves, until they are detached.
func (r *Reader) Lost() (lost []*Stream) {
	for _, st := range r.due {
		if st.ended() {
			lost = append(lost, st)
		}
	}
	return lost
}

// Stream is a connection's stream of one shape.
type Stream struct {
	Shape *Shape
	// Live tells that the message live was sent.
	Live bool
	// Cursor is the position of the last cursor that was sent; 0 for none.
	Cursor relay.LSN
	// Lost is why the stream ends: a reason of resync, or an error of the load in Err.
	Lost string
	Err  error

	after uint64 // the seq of the last frame of the ring that is done with
	// fresh: brought in by nothing, so it begins at its live.
	fresh   bool
	load    *loadReader
	skip    uint64
	visible *Visibility
	fence   relay.LSN
	fenced  bool
	partial bool
	due     bool
	view    span // during Pull: what the ring has
	// What the source was in when the stream was attached.
	position relay.LSN
	open     uint64
}

// Attach registers a stream of the shape from here on. It delivers nothing until Start, Snapshot or Resume.
func (r *Reader) Attach(shape *Shape) *Stream {
	s := r.source
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &Stream{Shape: shape, after: shape.ring.head, position: s.position, fresh: true}
	if s.tx.open {
		// A cursor from before its end would promise it.
		st.open, st.skip, st.fence = s.tx.xid, s.tx.xid, s.position+1
		st.waitForFence()
	}
	r.streams = append(r.streams, st)
	r.Due(st)
	return st
}

// Detach ends a stream.
func (r *Reader) Detach(st *Stream) {
	is := func(o *Stream) bool { return o == st }
	r.streams = slices.DeleteFunc(r.streams, is)
	if st.due {
		r.due = slices.DeleteFunc(r.due, is)
	}
	if st.load != nil {
		st.load.leave()
	}
	st.unfence()
}

// Streams are the streams that are attached.
func (r *Reader) Streams() []*Stream { return r.streams }

// Snapshot brings the stream in by a snapshot. It joins one that is under way for the shape; else it returns
// a load that the caller must run. wake is called from any goroutine when there is more to Pull.
func (st *Stream) Snapshot(wake func()) *Load {
	s := st.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	st.fresh = false
	if l := st.Shape.load; l != nil && l.set == st.Shape.set {
		if reader := l.join(wake); reader != nil {
			st.load = reader
			return nil
		}
	}
	l := newLoad(st)
	st.load = l.join(wake)
	st.Shape.load = l
	return l
}

// Resume brings the stream in by a replay of the journal, which the caller must run into the load.
func (st *Stream) Resume(since relay.LSN, wake func()) (*Load, *Replay) {
	s := st.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	st.fresh = false
	l := newLoad(st)
	st.load, st.Cursor = l.join(wake), since
	return l, newReplay(l)
}

// Since reads a cursor; ok is false where the shape can't go on after it.
func (s *Source) Since(shape *Shape, cursor string) (position relay.LSN, ok bool) {
	p, position, err := parseCursor(cursor)
	if err != nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return position, p == shape.label.prefix && position >= shape.owner.barrier && position <= s.position
}

// Pull adds what is due to sink, up to about limit bytes, and tells whether there is more at hand. Streams
// that have come to an end have Lost or Err set afterwards.
func (r *Reader) Pull(sink Sink, limit int) (more bool) {
	for _, st := range r.due {
		if st.load != nil && !st.ended() {
			r.Frames += st.pullLoad(sink, limit)
			if sink.Len() >= limit {
				return true
			}
		}
	}
	if slices.ContainsFunc(r.due, (*Stream).joining) {
		// Who becomes live does so where the others are.
		for _, st := range r.streams {
			r.Due(st)
		}
	}
	position := r.look()
	more = r.pullLive(sink, limit) || r.pullJoining(sink, limit, position)
	r.due = slices.DeleteFunc(r.due, func(st *Stream) bool {
		rest := r.heard(st)
		more = more || st.Live && rest // it has only just become live, within a transaction
		st.due = !st.Live || st.ended() || st.stale(r.refresh) || rest
		st.view = span{} // an idle connection keeps no memory of the log
		return !st.due
	})
	return more
}

// heard tells that a stream's next frame is among those that the loop knows of. Of a later one it is told soon. It must not
// go out before: a stream that isn't due yet may have frames from before it.
func (r *Reader) heard(st *Stream) bool {
	return !st.view.empty() && st.view.first.seq <= max(r.upTo, r.source.heard[r.loop])
}

func (st *Stream) ended() bool { return st.Lost != "" || st.Err != nil }

// joining tells that what brings the stream in is done, and that it isn't live yet.
func (st *Stream) joining() bool { return !st.Live && st.load == nil && !st.ended() }

func (st *Stream) pullLoad(sink Sink, limit int) (frames uint64) {
	for sink.Len() < limit {
		entries, more, err := st.load.take(limit - sink.Len())
		for i := range entries {
			sink.Add(entries[i].frame)
			frames++
			if entries[i].end != 0 {
				st.Cursor = entries[i].end
			}
		}
		switch {
		case err != nil:
			st.Err = err
			return frames
		case !more:
			st.join()
			return frames
		case len(entries) == 0:
			return frames
		}
	}
	return frames
}

// join goes over from the load to the ring.
func (st *Stream) join() {
	l := st.load.load
	st.visible, st.fence = l.visible, l.fence
	st.load.leave()
	st.load = nil
	s := st.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	st.after, st.skip = l.after, l.open
	// The transaction that was open is among the load's frames, and the source brings it to its end later: a cursor from
	// before that would have it come again.
	st.fence = max(st.fence, st.Cursor)
	if st.visible != nil || st.fence > s.position {
		st.waitForFence()
	}
}

func (st *Stream) unfence() {
	if !st.fenced {
		return
	}
	st.fenced = false
	s := st.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.Shape.fenced--; st.Shape.fenced == 0 {
		delete(s.fenced, st.Shape)
	}
}

// look takes, at one moment of the source, what each stream has in its ring.
func (r *Reader) look() (position relay.LSN) {
	s := r.source
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range r.due {
		st.view = span{}
		if st.Lost != "" {
			continue
		}
		if st.Shape.ended {
			st.Lost = st.Shape.reason
			continue
		}
		if st.load != nil || st.Err != nil {
			continue
		}
		ok := false
		if st.view, ok = s.frames.since(&st.Shape.ring, st.after); !ok {
			st.Lost = "lagged"
		}
	}
	if len(r.due) == len(r.streams) {
		r.upTo = s.frames.seq
	}
	return s.position
}

// pullLive merges the live streams in the source's order.
func (r *Reader) pullLive(sink Sink, limit int) (more bool) {
	for {
		var first *Stream
		for _, st := range r.due {
			if st.Live && r.heard(st) && (first == nil || st.view.first.seq < first.view.first.seq) {
				first = st
			}
		}
		if first == nil {
			return false
		}
		if sink.Len() >= limit {
			return true
		}
		r.advance(first, sink)
	}
}

// advance sends the stream's next frame, or leaves it out.
func (r *Reader) advance(st *Stream, sink Sink) {
	e := st.view.take()
	st.after = e.seq
	if !e.schema() && (e.xid == st.skip || st.visible != nil && st.visible.Sees(e.xid)) {
		return
	}
	sink.Add(e.frame)
	r.Frames++
	if e.schema() {
		return
	}
	st.partial = e.more()
	if !st.partial {
		st.Cursor = e.end
	}
}

// pullJoining brings the streams that aren't live yet to where the live ones are; there they become live. The
// cursors of live ones that have become too old are renewed.
func (r *Reader) pullJoining(sink Sink, limit int, position relay.LSN) (more bool) {
	for _, st := range r.due {
		if st.load != nil || st.ended() || st.Live && !st.view.empty() {
			continue
		}
		if st.fresh {
			r.jump(st, sink)
		}
		for !st.fresh && !st.view.empty() {
			if sink.Len() >= limit {
				return true
			}
			r.advance(st, sink)
		}
		switch {
		case st.partial:
		case !st.Live && position >= st.fence:
			st.Live, st.fresh, st.visible = true, false, nil
			st.unfence()
			r.note(st, sink, "live", position)
		case st.stale(r.refresh) && st.Cursor < position:
			r.note(st, sink, "cursor", position)
		}
	}
	return false
}

// waitForFence has the source tell when it moves; with its lock held.
func (st *Stream) waitForFence() {
	if st.fenced {
		return
	}
	st.fenced = true
	st.Shape.fenced++
	st.Shape.Source.fenced[st.Shape] = struct{}{}
}

// jump leaves out the transactions that have come to their end before live. What columns were added goes out.
func (r *Reader) jump(st *Stream, sink Sink) {
	last := st.after
	for rest := st.view; !rest.empty(); {
		if e := rest.take(); e.end != 0 {
			last = e.seq
		}
	}
	for st.after < last {
		e := st.view.take()
		if st.after = e.seq; e.schema() {
			sink.Add(e.frame)
			r.Frames++
		}
	}
}

func (r *Reader) note(st *Stream, sink Sink, kind string, position relay.LSN) {
	s := st.Shape.Source
	s.mu.Lock()
	frame := st.Shape.note(kind, position)
	s.mu.Unlock()
	sink.Add(frame)
	r.Frames++
	st.Cursor = position
}

// CursorText is the text of the stream's last cursor; empty where there is none that counts.
func (st *Stream) CursorText() string {
	if st.Cursor == 0 {
		return ""
	}
	s := st.Shape.Source
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(appendPosition(st.Shape.label.prefix.appendText(nil), st.Cursor))
}
