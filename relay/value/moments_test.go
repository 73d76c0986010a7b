package value

import (
	"fmt"
	"math/rand/v2"
)

// randomDay makes dates that timestamps reach too, mostly of our time; era goes behind a time of day.
func randomDay(r *rand.Rand) (day, era string) {
	year := 1900 + r.IntN(200)
	switch r.IntN(10) {
	case 0:
		year = 1 + r.IntN(9999)
	case 1:
		year = 10000 + r.IntN(284000)
	case 2:
		year, era = 1+r.IntN(4712), " BC"
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, 1+r.IntN(12), 1+r.IntN(28)), era
}

func randomClock(r *rand.Rand) string {
	s := fmt.Sprintf("%02d:%02d:%02d", r.IntN(24), r.IntN(60), r.IntN(60))
	if n := r.IntN(7); n > 0 {
		s += "." + digitsOf(r, n)
	}
	return s
}

func randomOffset(r *rand.Rand) string {
	return fmt.Sprintf("%s%02d:%02d", pick("+", "-")(r), r.IntN(15), r.IntN(60))
}

func randomDate(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return pick("infinity", "-infinity", "5874897-12-31", "4713-01-01 BC", "epoch")(r)
	}
	day, era := randomDay(r)
	return day + era
}

func randomTime(r *rand.Rand) string {
	if r.IntN(50) == 0 {
		return "24:00:00"
	}
	return randomClock(r)
}

func randomTimetz(r *rand.Rand) string { return randomTime(r) + randomOffset(r) }

func randomTimestamp(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return pick("infinity", "-infinity", "294276-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "epoch")(r)
	}
	day, era := randomDay(r)
	return day + " " + randomClock(r) + era
}

func randomTimestamptz(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return pick("infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "4713-01-01 00:00:00+00 BC", "epoch")(r)
	}
	day, era := randomDay(r)
	return day + " " + randomClock(r) + randomOffset(r) + era
}

func randomInterval(r *rand.Rand) string {
	sign := pick("", "-")
	clock := randomClock(r)
	if r.IntN(4) == 0 {
		clock = "1" + digitsOf(r, 5) + clock
	}
	switch r.IntN(5) {
	case 0:
		return sign(r) + clock
	case 1:
		return "0"
	}
	return fmt.Sprintf("%s%d years %s%d mons %s%d days %s%s",
		sign(r), r.IntN(3000), sign(r), r.IntN(12), sign(r), r.IntN(40), sign(r), clock)
}
