package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WritersReport is what capture costs those who write.
type WritersReport struct {
	Machine
	Rounds  int          `json:"rounds"`
	Seconds int          `json:"seconds"`
	Forms   []string     `json:"forms"`
	Loads   []LoadReport `json:"loads"`
	Latency *Latency     `json:"latency,omitempty"`
}

// LoadReport is a load under each form of capture.
type LoadReport struct {
	Name string `json:"name"`
	Bar  string `json:"bar"`
	// Rates are transactions a second, by form and round; none of forms that aren't measured under this load.
	Rates [][]float64 `json:"rates"`
	// Ratios are to the first form's rate in the same round.
	Ratios [][]float64 `json:"ratios"`
}

func (r *WritersReport) add(l load, rates [][]float64) {
	report := LoadReport{Name: l.name, Bar: l.bar, Rates: rates}
	for _, of := range rates {
		ratios := make([]float64, len(of))
		for round := range of {
			ratios[round] = of[round] / rates[0][round]
		}
		report.Ratios = append(report.Ratios, ratios)
	}
	r.Loads = append(r.Loads, report)
}

// Markdown writes the report as a table: medians, and in parentheses the least and the most.
func (r *WritersReport) Markdown(w io.Writer) {
	fmt.Fprintf(w, "%s, fsync on; pgbench -M %s, %d rounds of %d s for each form, in turn.\n", r.Machine, protocol, r.Rounds, r.Seconds)
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "\nCommit to client through the outbox, calm: p50 %.2f ms, p99 %.2f ms above the insert's own round trip of %.2f ms (p50), where p50 should be at most %.2f ms.\n",
			l.Above.P50, l.Above.P99, l.Inserts.P50, l.Inserts.P50+0.6)
	}
	if len(r.Loads) == 0 {
		return
	}
	fmt.Fprintf(w, "\nThroughput beside no capture in the same round:\n\n|")
	for _, l := range r.Loads {
		fmt.Fprintf(w, " | %s", l.Name)
	}
	fmt.Fprintf(w, " |\n|---%s|\n", strings.Repeat("|---", len(r.Loads)))
	for i, name := range r.Forms {
		fmt.Fprintf(w, "| %s", name)
		for _, l := range r.Loads {
			switch {
			case i == 0:
				fmt.Fprintf(w, " | %.0f transactions/s", median(l.Rates[0]))
				continue
			case len(l.Ratios[i]) == 0:
				fmt.Fprint(w, " |")
				continue
			}
			fmt.Fprintf(w, " | %.2f (%.2f–%.2f)", median(l.Ratios[i]), slices.Min(l.Ratios[i]), slices.Max(l.Ratios[i]))
			if name == triggersName {
				fmt.Fprintf(w, ", bar ≥ %s", l.Bar)
			}
		}
		fmt.Fprintln(w, " |")
	}
}
