package outbox

import (
	"testing"
	"time"
)

// TestPace: few transactions are handed over one look after the other; the more there are a second, the longer is the pause,
// and it follows a change of the rate within a few times lately.
func TestPace(t *testing.T) {
	const took = 2 * time.Millisecond
	now := time.Now()
	p := pace{looked: now}
	at := func(rate float64) time.Duration {
		for range 20 {
			now = now.Add(lately / 2)
			p.note(now, int(rate*(lately/2).Seconds()))
		}
		return p.pause(took)
	}
	last := time.Duration(0)
	for _, rate := range []float64{0, quiet, 1000, 2000, busy, 3 * busy} {
		pause := at(rate)
		switch {
		case rate <= quiet && pause != took:
			t.Errorf("at %v a second: got a pause of %s, want as long as a look takes", rate, pause)
		case rate > quiet && rate <= busy && pause <= last:
			t.Errorf("at %v a second: got a pause of %s, want a longer one than %s", rate, pause, last)
		case rate >= busy && (pause < longest-longest/100 || pause > longest):
			t.Errorf("at %v a second: got a pause of %s, want %s", rate, pause, longest)
		}
		last = pause
	}
	if pause := at(0); pause != took {
		t.Errorf("calm again: got a pause of %s, want %s", pause, took)
	}
	// A stretch without a look counts for as long as it was.
	at(busy)
	now = now.Add(time.Second)
	p.note(now, 10)
	if pause := p.pause(took); pause != took {
		t.Errorf("after a quiet second: got a pause of %s, want %s", pause, took)
	}
	if pause := p.pause(time.Minute); pause != longest {
		t.Errorf("after a look that took long: got a pause of %s, want %s at the most", pause, longest)
	}
	p.note(now, 1000) // a clock that stands still
	if pause := p.pause(took); pause != took {
		t.Errorf("within no time: got a pause of %s, want %s", pause, took)
	}
}
