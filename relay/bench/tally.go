package bench

import (
	"sync/atomic"
	"time"
)

// tally counts rows and tells when as many as were announced have come.
type tally struct {
	rows, want *atomic.Int64
	at         *atomic.Int64 // when the last row came, in ns since 1970
	reached    chan struct{}
}

func newTally() tally {
	return tally{new(atomic.Int64), new(atomic.Int64), new(atomic.Int64), make(chan struct{}, 1)}
}

// expect announces rows, before the first of them can come.
func (t tally) expect(rows int) { t.want.Store(t.rows.Load() + int64(rows)) }

// came is when the last row did.
func (t tally) came() time.Time { return time.Unix(0, t.at.Load()) }

func (t tally) add(rows int) {
	t.at.Store(time.Now().UnixNano())
	if n := t.rows.Add(int64(rows)); n >= t.want.Load() && n-int64(rows) < t.want.Load() {
		t.reached <- struct{}{}
	}
}
