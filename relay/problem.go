package relay

import "errors"

// Problem is an error that an operator can mend: what is wrong, in one line, and what mends it.
// Neither holds a password.
type Problem struct {
	What string
	// Remedy is exact SQL, a setting or a line of pgrelay.yaml, in the order in which to try them; empty where there is none.
	Remedy string
}

// Error is What; the remedy is printed apart, since it may have several lines.
func (p *Problem) Error() string { return p.What }

// Remedy is what mends err, where it is or wraps a Problem; else it is empty.
func Remedy(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Remedy
	}
	return ""
}

// Explain is the error's text and, behind it, its remedy.
func Explain(err error) string {
	if remedy := Remedy(err); remedy != "" {
		return err.Error() + "; remedy: " + remedy
	}
	return err.Error()
}
