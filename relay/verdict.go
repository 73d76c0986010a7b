package relay

// Verdict is what a filter says of a row.
type Verdict uint8

// The verdicts.
const (
	// Hidden: the row isn't shown.
	Hidden Verdict = iota
	// Shown: the row is shown.
	Shown
	// Unknown: it can't be said, because the tuple lacks a value that must be read.
	Unknown
)
