package hub

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgrelay/relay"
)

var plain = Spec{Columns: []string{"status", "note"}, All: true, Rule: "true"}

// TestAttachedWithinATransaction: a stream without rows that begins while a transaction is open gets nothing of it, and
// is live, with its cursor, behind it.
func TestAttachedWithinATransaction(t *testing.T) {
	for _, shared := range []bool{false, true} {
		r := relation()
		s := newTestSource(r)
		reader, other := NewReader(s, 0), NewReader(s, 0)
		if shared { // somebody holds the shape, so that the transaction has frames of it
			other.Attach(s.Shape(r, plain))
			check(t, pull(t, other), "live")
		}
		s.Lock()
		s.Begin(7, 0)
		if err := s.Row('I', table, nil, tuple("1", "a", nil)); err != nil {
			t.Fatal(err)
		}
		s.Unlock()
		st := reader.Attach(s.Shape(r, plain))
		check(t, pull(t, reader))
		s.Lock()
		if err := s.Row('I', table, nil, tuple("2", "b", nil)); err != nil {
			t.Fatal(err)
		}
		s.Commit(200)
		s.Unlock()
		check(t, pull(t, reader), "live")
		if st.Cursor != 200 {
			t.Errorf("live at %d, want 200, the end of the transaction that was open", st.Cursor)
		}
		write(t, s, 8, 300, func() error { return s.Row('I', table, nil, tuple("3", "c", nil)) })
		check(t, pull(t, reader), `changes tx 8 insert row id="3",note=null,status="c"`)
		if shared {
			check(t, pull(t, other), `changes tx 7 insert row id="1",note=null,status="a" insert row id="2",note=null,status="b"`,
				`changes tx 8 insert row id="3",note=null,status="c"`)
		}
		if len(s.fenced) != 0 {
			t.Error("the source goes on telling a stream that waits for nothing")
		}
	}
}

// TestUnchangedKey: a long key that an update left alone, or changed in part, is in its row: a row always has the key.
func TestUnchangedKey(t *testing.T) {
	r := relation()
	r.Columns[0].Type, r.Columns[0].TypeName = r.Columns[1].Type, "text"
	r.Key = []int{0, 1}
	r.Leaves[0].Key = []string{"id", "status"}
	s := newTestSource(r)
	reader := NewReader(s, 0)
	reader.Attach(s.Shape(r, plain))
	check(t, pull(t, reader), "live")
	write(t, s, 7, 200, func() error {
		return s.Row('U', table, tuple("long", "open", nil), tuple('u', "paid", "x"))
	})
	check(t, pull(t, reader), `changes tx 7 update key id="long",status="open" row id="long",note="x",status="paid"`)
}

// TestEndedShapesAreForgotten: shapes that come and go leave nothing behind.
func TestEndedShapesAreForgotten(t *testing.T) {
	const shapes, transactions, most = 500, 20, 1
	r := relation()
	s := newTestSource(r)
	end := relay.LSN(1000)
	for range shapes {
		shape := s.Shape(r, plain)
		for range transactions {
			end++
			write(t, s, uint64(end), end, func() error { return s.Row('I', table, nil, tuple("1", "a", nil)) })
		}
		s.Release(shape)
	}
	if n := len(s.frames.blocks); n > most || s.frames.bytes != 0 {
		t.Errorf("%d blocks with %d bytes are in mind after %d frames, want %d with none at most", n, s.frames.bytes, shapes*transactions, most)
	}
	// What lives is dropped in its order still.
	shape := s.Shape(r, plain)
	s.frames.limit = 2000
	for range 100 {
		end++
		write(t, s, uint64(end), end, func() error { return s.Row('I', table, nil, tuple("1", "a", nil)) })
	}
	kept, ok := s.frames.since(&shape.ring, s.frames.gone(&shape.ring))
	bytes := 0
	for !kept.empty() {
		bytes += len(kept.take().frame)
	}
	if bytes != s.frames.bytes || bytes == 0 || bytes > s.frames.limit || !ok {
		t.Errorf("%d bytes of %d, limit %d", bytes, s.frames.bytes, s.frames.limit)
	}
}

// fill puts frames into a load until the load's end.
func fill(t *testing.T, load *Load) (ended chan error) {
	ended = make(chan error, 1)
	frame := make([]byte, headerRoom+partBytes)
	go func() {
		for range 4 * loadBytes / partBytes {
			if err := load.PutRows(t.Context(), append([]byte(nil), frame...)); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	return ended
}

// TestStalledConnection: one that takes nothing gives the load's place back after a time; where another takes all, it
// is let go of soon and the other goes on.
func TestStalledConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relation()
		s := newTestSource(r)
		spec := plain
		spec.Snapshot = true
		stalled := NewReader(s, 0)
		st := stalled.Attach(s.Shape(r, spec))
		began := time.Now()
		if err := <-fill(t, st.Snapshot(func() {})); !errors.Is(err, ErrAbandoned) {
			t.Errorf("got %v, want %v", err, ErrAbandoned)
		}
		if took := time.Since(began); took < stall || took > stall+straggle {
			t.Errorf("the load ended after %s, want %s", took, stall)
		}
		for stalled.Pull(&sink{}, 1<<20) {
		}
		if !errors.Is(st.Err, ErrLagged) {
			t.Errorf("the connection ended with %v, want %v", st.Err, ErrLagged)
		}
		stalled.Detach(st)

		fast := NewReader(s, 0)
		slow, quick := stalled.Attach(s.Shape(r, spec)), fast.Attach(s.Shape(r, spec))
		wake := make(chan struct{}, 1)
		load := slow.Snapshot(func() {})
		if quick.Snapshot(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}) != nil {
			t.Fatal("two snapshots for one shape")
		}
		began = time.Now()
		ended := fill(t, load)
		for taken := false; !taken; {
			select {
			case <-wake:
				fast.Pull(&sink{}, 1<<30)
			case err := <-ended:
				if err != nil {
					t.Errorf("the load ended with %v", err)
				}
				taken = true
			}
		}
		if took := time.Since(began); took > 2*straggle {
			t.Errorf("the slow connection held the quick one up for %s", took)
		}
		load.Finish(&Visibility{XMin: 1, XMax: 1}, 0, nil)
		fast.Pull(&sink{}, 1<<30)
		if !quick.Live {
			t.Errorf("the quick connection ended with %v", quick.Err)
		}
	})
}

// TestReplayOfAnOpenTransaction: a load that brings the transaction that was open at its registration isn't followed by a
// cursor from before it, from which it would come again.
func TestReplayOfAnOpenTransaction(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	write(t, s, 6, 100, func() error { return nil })
	s.Lock()
	s.Begin(7, 0)
	if err := s.Row('I', table, nil, tuple("1", "a", nil)); err != nil {
		t.Fatal(err)
	}
	s.Unlock()
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, plain))
	load, replay := st.Resume(100, func() {})
	replay.Begin(7, 0)
	if err := replay.Row(t.Context(), 'I', table, nil, tuple("1", "a", nil)); err != nil {
		t.Fatal(err)
	}
	if err := replay.Commit(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	load.Finish(nil, 0, nil)
	// The source breaks off within the transaction; the stream is pulled before it comes again.
	pull(t, reader)
	if st.Cursor < 200 {
		t.Errorf("the client has transaction 7, which ends at 200, and the cursor %d (live: %t)", st.Cursor, st.Live)
	}
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "a", nil)) })
	if check(t, pull(t, reader), "live"); st.Cursor != 200 {
		t.Errorf("got cursor %d, want 200: live when the source has brought the transaction, which doesn't come again", st.Cursor)
	}
}
