package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Figure is one measurement and, where there is one, the limit that was measured beside it.
type Figure struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Runs are the single measurements, Median that of them.
	Runs   []float64 `json:"runs"`
	Median float64   `json:"median"`
	// Limit says what LimitRuns and LimitMedian measure in the same unit; Ratio is Median to LimitMedian.
	Limit       string    `json:"limit,omitempty"`
	LimitRuns   []float64 `json:"limit_runs,omitempty"`
	LimitMedian float64   `json:"limit_median,omitempty"`
	Ratio       float64   `json:"ratio,omitempty"`
	// Bar is what the figure should be.
	Bar string `json:"bar,omitempty"`
}

// Report is what a run found, and on which machine.
type Report struct {
	Machine
	Rows    int      `json:"rows"`
	Figures []Figure `json:"figures"`
}

func (r *Report) add(f Figure) {
	f.Median = median(f.Runs)
	if len(f.LimitRuns) > 0 {
		f.LimitMedian = median(f.LimitRuns)
		f.Ratio = f.Median / f.LimitMedian
	}
	r.Figures = append(r.Figures, f)
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n > 0 {
		return (sorted[(n-1)/2] + sorted[n/2]) / 2
	}
	return 0
}

// Markdown writes the report as a table.
func (r *Report) Markdown(w io.Writer) {
	fmt.Fprintf(w, "%s; backlogs of %d rows, medians.\n\n", r.Machine, r.Rows)
	fmt.Fprintln(w, "| | this run | its runs | limit | limit's runs | ratio | bar |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, f := range r.Figures {
		limit, runs, ratio := "", "", ""
		if f.Limit != "" {
			limit, runs, ratio = number(f.LimitMedian)+" "+f.Limit, numbers(f.LimitRuns), fmt.Sprintf("%.2f×", f.Ratio)
		}
		fmt.Fprintf(w, "| %s | %s %s | %s | %s | %s | %s | %s |\n",
			f.Name, number(f.Median), f.Unit, numbers(f.Runs), limit, runs, ratio, f.Bar)
	}
}

// quantile is the value below which the part q of the values lies.
func quantile(of []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func number(f float64) string {
	switch {
	case f >= 100_000:
		return fmt.Sprintf("%.0fk", f/1000)
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

func numbers(of []float64) string {
	texts := make([]string, len(of))
	for i, f := range of {
		texts[i] = number(f)
	}
	return strings.Join(texts, " ")
}
