package doctor

import (
	"cmp"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	// Error: something isn't served, or the application's own statements fail, or soon will.
	Error Severity = "error"
	// Warning: it works, and will not under conditions that occur.
	Warning Severity = "warning"
	// Info: worth knowing; nothing has to be done.
	Info Severity = "info"
)

// WarehousePlace is the Source of findings about the warehouse as such.
const WarehousePlace = "warehouse"

// Finding is one thing that is wrong or risky. None of its texts holds a password or a value of a row.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of the check that found it, as Checks lists them.
	Check string `json:"check"`
	// Source is the source's name, or WarehousePlace.
	Source string `json:"source"`
	// Object is what it is about: "slot x", "table a.b", "server".
	Object  string `json:"object"`
	Problem string `json:"problem"`
	// Remedy is exact SQL for the database of Source unless it says otherwise, or settings; empty where there is none.
	Remedy string `json:"remedy,omitempty"`
}

// Report is what Examine found.
type Report struct {
	// OK: nothing is worse than Info.
	OK       bool `json:"ok"`
	Errors   int  `json:"errors"`
	Warnings int  `json:"warnings"`
	Infos    int  `json:"infos"`
	// Ignored is how many findings were left out as asked.
	Ignored int `json:"ignored"`
	// Sources are the names of the sources looked at.
	Sources []string `json:"sources"`
	Tables  int      `json:"tables"`
	Rules   int      `json:"rules"`
	// Findings are the worst first, then by source, and within it by check.
	Findings []Finding `json:"findings"`
}

// findings collects what one check finds; the rest of a Finding is filled in by who runs it.
type findings []Finding

func (f *findings) add(s Severity, object, remedy, problem string) {
	*f = append(*f, Finding{Severity: s, Object: object, Problem: problem, Remedy: remedy})
}

// count sorts the findings and counts them.
func (r *Report) count() {
	rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.Source, b.Source))
	})
	for _, f := range r.Findings {
		switch f.Severity {
		case Error:
			r.Errors++
		case Warning:
			r.Warnings++
		default:
			r.Infos++
		}
	}
	r.OK = r.Errors+r.Warnings == 0
}
