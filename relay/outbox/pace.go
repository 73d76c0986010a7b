package outbox

import "time"

// pace is how long to pause between looks. One after the other would take a core of its own from the writers, and each
// that records something is a commit. So the busier the writers are, the more of their transactions go into one delivery:
// few are handed over at once, at busy and more a second longest passes between looks.
type pace struct {
	looked time.Time
	rate   float64 // transactions a second, of late
}

const (
	// quiet and busy are transactions a second.
	quiet   = 250
	busy    = 4000
	longest = 20 * time.Millisecond
	// lately is how long a rate counts for.
	lately = 50 * time.Millisecond
)

// note takes in how many transactions a look has found.
func (p *pace) note(now time.Time, transactions int) {
	passed := now.Sub(p.looked)
	p.looked = now
	if passed <= 0 {
		return
	}
	// An average over lately, to which a longer stretch contributes more.
	weight := min(float64(passed)/float64(lately), 1)
	p.rate += weight * (float64(transactions)/passed.Seconds() - p.rate)
}

// pause is how long to wait after a look that took so long and found something: as long again where the writers are quiet.
func (p *pace) pause(took time.Duration) time.Duration {
	share := min(max(p.rate-quiet, 0)/(busy-quiet), 1)
	return max(time.Duration(share*float64(longest)), min(took, longest))
}
