package auth

import (
	"encoding/json"
	"strconv"
	"strings"
)

// What numeric holds: digits before the point and after it.
// https://www.postgresql.org/docs/current/datatype-numeric.html
const (
	maxWhole    = 131072
	maxFraction = 16383
	// maxExponent is beyond any exponent in its text. https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/numeric.c
	maxExponent = 1<<30 - 1
)

// storable tells whether jsonb can hold the value: U+0000 has no place in it, and its numbers are numeric.
// https://www.postgresql.org/docs/current/datatype-json.html
func storable(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.IndexByte(v, 0) < 0
	case json.Number:
		return numeric(string(v))
	case []any:
		for _, element := range v {
			if !storable(element) {
				return false
			}
		}
	case map[string]any:
		for name, element := range v {
			if !storable(name) || !storable(element) {
				return false
			}
		}
	}
	return true
}

// numeric tells whether numeric can hold a JSON number.
func numeric(number string) bool {
	mantissa, power := number, 0
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		var err error
		if power, err = strconv.Atoi(number[at+1:]); err != nil || power >= maxExponent || power <= -maxExponent {
			return false
		}
		mantissa = number[:at]
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	if len(fraction)-power > maxFraction {
		return false
	}
	digits := strings.TrimLeft(whole+fraction, "0")
	leading := len(whole+fraction) - len(digits)
	return digits == "" || len(whole)-leading+power <= maxWhole
}
