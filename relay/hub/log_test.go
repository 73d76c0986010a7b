package hub

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLogAgainstAList: whatever comes, is dropped and ends, each ring has the newest frames of its shape without a gap, and
// a reader gets those that it has not read, or is told that some are gone.
func TestLogAgainstAList(t *testing.T) {
	type model struct {
		shape  *Shape
		seqs   []uint64 // of all its frames
		reader uint64
	}
	lagged, read := 0, 0
	for trial := range 40 {
		random := rand.New(rand.NewPCG(uint64(trial), 1))
		f := frames{limit: 1 << (8 + trial%8)}
		models := make([]*model, 1+random.IntN(12))
		for range 3000 {
			at := random.IntN(len(models))
			m := models[at]
			switch {
			case m == nil:
				models[at] = &model{shape: &Shape{}}
			case random.IntN(60) == 0:
				f.forget(m.shape)
				models[at] = nil
			case random.IntN(3) == 0:
				kept, ok := f.since(&m.shape.ring, m.reader)
				want := m.seqs[slices.Index(append([]uint64{0}, m.seqs...), m.reader):]
				if !ok {
					lagged++
					if len(want) == 0 || want[0] > f.gone(&m.shape.ring) {
						t.Fatalf("lagged at %d without need: %v, gone %d", m.reader, want, f.gone(&m.shape.ring))
					}
					m.reader = m.shape.ring.head
					continue
				}
				for i := range want {
					if kept.empty() || kept.first.seq != want[i] || int(kept.first.xid) != len(kept.first.frame) {
						t.Fatalf("frame %d: got %+v, want seq %d", i, kept.first, want[i])
					}
					m.reader = kept.take().seq
					read++
				}
				if !kept.empty() {
					t.Fatalf("a frame too much: %d", kept.first.seq)
				}
			default:
				size := 1 + random.IntN(60)
				f.add(m.shape, entry{xid: uint64(size), frame: f.keep(make([]byte, size))})
				m.seqs = append(m.seqs, m.shape.ring.head)
			}
			if len(f.blocks) > 1 && f.bytes > f.limit {
				t.Fatalf("%d bytes, limit %d", f.bytes, f.limit)
			}
		}
		for _, m := range models {
			if m != nil {
				f.forget(m.shape)
			}
		}
		if len(f.blocks) != 0 || f.bytes != 0 {
			t.Errorf("%d blocks with %d bytes are left", len(f.blocks), f.bytes)
		}
	}
	if lagged == 0 || read == 0 {
		t.Errorf("%d frames were read, %d times some were gone", read, lagged)
	}
}

// TestIndexAgainstAList: shapes are found under each of their values, whatever others are found there, until they leave.
func TestIndexAgainstAList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	i := &index{more: map[uint64][]*Shape{}}
	under := map[string][]*Shape{}
	values := []string{"", "a", "b", "a value that is longer than what is short enough to lie in a shape"}
	for range 5000 {
		v := values[random.IntN(len(values))]
		if n := len(under[v]); n > 0 && random.IntN(2) == 0 {
			at := random.IntN(n)
			i.remove(v, under[v][at])
			under[v] = slices.Delete(under[v], at, at+1)
		} else {
			s := &Shape{}
			i.add(v, s)
			under[v] = append(under[v], s)
		}
		for _, v := range values {
			one, more := i.find([]byte(v))
			got := slices.DeleteFunc(append([]*Shape{one}, more...), func(s *Shape) bool { return s == nil })
			for _, s := range under[v] {
				if !slices.Contains(got, s) {
					t.Fatalf("a shape isn't found under %q", v)
				}
			}
			if len(got) != len(under[v]) || i.load(v) != len(got) {
				t.Fatalf("%d are found under %q, %d counted, want %d", len(got), v, i.load(v), len(under[v]))
			}
		}
	}
}

// TestSlotsAgainstAMap: whatever is set and removed, a hash leads to its shape and to none after that, also where many begin
// at one place or at the table's end.
func TestSlotsAgainstAMap(t *testing.T) {
	for trial := range 40 {
		random := rand.New(rand.NewPCG(uint64(trial), 3))
		var table slots
		want := map[uint64]*Shape{}
		hashes := make([]uint64, 1+random.IntN(300))
		for i := range hashes {
			if hashes[i] = random.Uint64(); trial%2 == 0 {
				hashes[i] = hashes[i]<<32 | uint64(random.IntN(4)) - 2 // a few places, on both sides of the end
			}
		}
		for range 3000 {
			h := hashes[random.IntN(len(hashes))]
			if random.IntN(2) == 0 {
				delete(want, h)
				table.remove(h)
			} else {
				want[h] = &Shape{}
				table.set(h, want[h])
			}
			if h := hashes[random.IntN(len(hashes))]; table.get(h) != want[h] {
				t.Fatalf("%x leads to another shape", h)
			}
		}
		found := 0
		for _, s := range table.list {
			if s.shape != nil {
				found++
			}
		}
		if found != len(want) || table.used != len(want) {
			t.Errorf("%d slots are in use, %d counted, want %d", found, table.used, len(want))
		}
		for _, h := range hashes {
			if table.get(h) != want[h] {
				t.Errorf("%x leads to another shape in the end", h)
			}
		}
	}
}

// TestLogBehindAnIdleRecord: shapes that come and go behind a record that nobody adds to leave nothing behind either.
func TestLogBehindAnIdleRecord(t *testing.T) {
	f := frames{limit: 1 << 20}
	idle := &Shape{}
	f.add(idle, entry{xid: 1, frame: f.keep(make([]byte, 10))})
	for range 20_000 {
		s := &Shape{}
		f.add(s, entry{xid: 1, frame: f.keep(make([]byte, 10))})
		f.forget(s)
	}
	if len(f.blocks) > 2048 || f.kept > 1 || f.bytes > 10 {
		t.Errorf("%d blocks are listed and %d kept, with %d bytes", len(f.blocks), f.kept, f.bytes)
	}
	if kept, ok := f.since(&idle.ring, idle.ring.head); !ok || !kept.empty() {
		t.Error("who has read the idle shape's only frame lacks something")
	}
}
