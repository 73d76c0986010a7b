package bench

import "sync/atomic"

// tally counts rows and tells when as many as were announced have come.
type tally struct {
	rows, want *atomic.Int64
	reached    chan struct{}
}

func newTally() tally {
	return tally{new(atomic.Int64), new(atomic.Int64), make(chan struct{}, 1)}
}

// expect announces rows, before the first of them can come.
func (t tally) expect(rows int) { t.want.Store(t.rows.Load() + int64(rows)) }

func (t tally) add(rows int) {
	if n := t.rows.Add(int64(rows)); n >= t.want.Load() && n-int64(rows) < t.want.Load() {
		t.reached <- struct{}{}
	}
}
