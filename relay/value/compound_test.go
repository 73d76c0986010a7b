package value

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

var (
	arrayQuotes  = strings.NewReplacer(`"`, `\"`, `\`, `\\`)
	recordQuotes = strings.NewReplacer(`"`, `""`, `\`, `\\`)
)

// arrays makes arrays of what element makes: mostly of one dimension, at times empty, with nulls, of more dimensions
// where deep allows it, and with lower bounds.
func arrays(element random, delimiter string, deep bool) random {
	return func(r *rand.Rand) string {
		switch kind := r.IntN(20); {
		case kind == 0:
			return "{}"
		case kind < 4 && deep:
			sizes := []int{1 + r.IntN(3), 1 + r.IntN(3), 1 + r.IntN(2)}[:2+r.IntN(2)]
			return bounds(r, sizes) + dimension(r, element, delimiter, sizes)
		}
		sizes := []int{1 + r.IntN(4)}
		return bounds(r, sizes) + dimension(r, element, delimiter, sizes)
	}
}

func bounds(r *rand.Rand, sizes []int) string {
	if r.IntN(5) > 0 {
		return ""
	}
	var b strings.Builder
	for _, size := range sizes {
		low := r.IntN(7) - 3
		b.WriteString("[" + strconv.Itoa(low) + ":" + strconv.Itoa(low+size-1) + "]")
	}
	return b.String() + "="
}

func dimension(r *rand.Rand, element random, delimiter string, sizes []int) string {
	parts := make([]string, sizes[0])
	for i := range parts {
		switch {
		case len(sizes) > 1:
			parts[i] = dimension(r, element, delimiter, sizes[1:])
		case r.IntN(8) == 0:
			parts[i] = "NULL"
		default:
			parts[i] = `"` + arrayQuotes.Replace(element(r)) + `"`
		}
	}
	return "{" + strings.Join(parts, delimiter) + "}"
}

// composites makes rows of what the attributes make, with nulls.
func composites(attributes ...random) random {
	return func(r *rand.Rand) string {
		parts := make([]string, len(attributes))
		for i, attribute := range attributes {
			if r.IntN(8) > 0 {
				parts[i] = `"` + recordQuotes.Replace(attribute(r)) + `"`
			}
		}
		return "(" + strings.Join(parts, ",") + ")"
	}
}

// ranges makes ranges whose bounds are two of the given values, which are in order.
func ranges(values ...string) random {
	return func(r *rand.Rand) string {
		if r.IntN(15) == 0 {
			return "empty"
		}
		low := r.IntN(len(values))
		high := low + r.IntN(len(values)-low)
		from, to := `"`+values[low]+`"`, `"`+values[high]+`"`
		return pick("[", "(")(r) + pick(from, from, "")(r) + "," + pick(to, to, "")(r) + pick("]", ")")(r)
	}
}

func multiranges(one random) random {
	return func(r *rand.Rand) string {
		parts := make([]string, r.IntN(4))
		for i := range parts {
			parts[i] = one(r)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
}
