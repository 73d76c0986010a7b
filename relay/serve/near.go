package serve

import (
	"cmp"
	"slices"
	"strings"
)

// mostNear is how many names are offered for one that nothing has.
const mostNear = 3

// near are the names that somebody who wrote name may have meant, the likeliest first: the same but for case, the same
// behind the schema, or a few letters off.
func near(name string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var some []candidate
	lower, most := strings.ToLower(name), (len(unqualified(name))+1)/3
	for _, n := range names {
		d := distance(lower, strings.ToLower(n))
		if unqualified(lower) == unqualified(strings.ToLower(n)) {
			d = min(d, 1)
		}
		if d <= most {
			some = append(some, candidate{n, d})
		}
	}
	slices.SortStableFunc(some, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	some = some[:min(len(some), mostNear)]
	found := make([]string, len(some))
	for i, c := range some {
		found[i] = c.name
	}
	return found
}

func unqualified(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance is Levenshtein's: how many bytes must be inserted, deleted or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
