package predicate

import (
	"math"
	"strconv"
	"strings"
)

// interval is a datum's x for the type of that name.
type interval struct {
	months, days int32
	time         int64
}

// total is the length as whole days and the rest, a month taken for 30 days, as interval_cmp_value does.
func (v interval) total() (int64, int64) {
	days, rest := splitDay(v.time)
	return int64(v.months)*30 + int64(v.days) + days, rest
}

func compareInterval(a, b datum) int {
	da, ra := a.x.(interval).total()
	db, rb := b.x.(interval).total()
	if c := compareInt(datum{i: da}, datum{i: db}); c != 0 {
		return c
	}
	return compareInt(datum{i: ra}, datum{i: rb})
}

var errInterval = inexact("intervals are read in the form 1 year 2 months 3 days 04:05:06.7 alone")

// units are the words that are read, as months, days or microseconds.
var units = map[string]struct {
	months, days int64
	time         int64
}{
	"year": {months: 12}, "years": {months: 12}, "mon": {months: 1}, "mons": {months: 1}, "month": {months: 1}, "months": {months: 1},
	"week": {days: 7}, "weeks": {days: 7}, "day": {days: 1}, "days": {days: 1}, "hour": {time: hour}, "hours": {time: hour},
	"min": {time: minute}, "mins": {time: minute}, "minute": {time: minute}, "minutes": {time: minute},
	"sec": {time: second}, "secs": {time: second}, "second": {time: second}, "seconds": {time: second},
}

// intervalIn reads whole numbers of units, each at most once and from large to small, and a time behind them.
func intervalIn(s string) (datum, *Fault) {
	var months, days, time int64
	words := strings.Fields(s)
	if len(words) == 0 || len(s) > 200 {
		return datum{}, errInterval
	}
	last := math.MaxInt
	for len(words) > 0 {
		if strings.Contains(words[0], ":") {
			t, fault := intervalTime(words[0])
			if fault != nil || len(words) > 1 || last <= 3 {
				return datum{}, errInterval
			}
			time += t
			break
		}
		n, ok := smallInt(words[0])
		if !ok || len(words) < 2 || n > math.MaxInt32/12 || n < -math.MaxInt32/12 {
			return datum{}, errInterval
		}
		u, ok := units[words[1]]
		place := unitPlace(words[1])
		if !ok || place >= last {
			return datum{}, errInterval
		}
		last = place
		months, days, time = months+int64(n)*u.months, days+int64(n)*u.days, time+int64(n)*u.time
		words = words[2:]
	}
	return newInterval(months, days, time)
}

// unitPlace orders the units from seconds to years.
func unitPlace(unit string) int {
	for i, letters := range []string{"sec", "min", "hou", "day", "wee", "mon", "yea"} {
		if strings.HasPrefix(unit, letters) {
			return i + 1
		}
	}
	return 0
}

func intervalTime(text string) (int64, *Fault) {
	s := &scanner{text}
	negative := false
	if s.take('-') {
		negative = true
	} else {
		s.take('+')
	}
	h, ok := s.digits(2, 9)
	if !ok || !s.take(':') {
		return 0, errInterval
	}
	m, ok := s.digits(2, 2)
	if !ok || m > 59 || !s.take(':') {
		return 0, errInterval
	}
	sec, ok := s.digits(2, 2)
	if !ok || sec > 59 {
		return 0, errInterval
	}
	fraction, ok := s.fraction()
	if !ok || s.s != "" {
		return 0, errInterval
	}
	t := int64(h)*hour + int64(m)*minute + int64(sec)*second + fraction
	if negative {
		t = -t
	}
	return t, nil
}

func newInterval(months, days, time int64) (datum, *Fault) {
	if months != int64(int32(months)) || days != int64(int32(days)) {
		return datum{}, faultInterval
	}
	v := interval{int32(months), int32(days), time}
	if v == (interval{math.MaxInt32, math.MaxInt32, math.MaxInt64}) || v == (interval{math.MinInt32, math.MinInt32, math.MinInt64}) {
		return datum{}, inexact("Postgres 15 and 17 read this interval differently")
	}
	return datum{x: v}, nil
}

// intervalOut prints the style postgres.
func intervalOut(d datum) string {
	v := d.x.(interval)
	var b []byte
	before := false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if b != nil {
			b = append(b, ' ')
		}
		if before && n > 0 {
			b = append(b, '+')
		}
		b = strconv.AppendInt(b, n, 10)
		b = append(append(b, ' '), unit...)
		if n != 1 {
			b = append(b, 's')
		}
		before = n < 0
	}
	part(int64(v.months/12), "year")
	part(int64(v.months%12), "mon")
	part(int64(v.days), "day")
	if v.time == 0 && b != nil {
		return string(b)
	}
	if b != nil {
		b = append(b, ' ')
	}
	t := v.time
	switch {
	case t < 0:
		b, t = append(b, '-'), -t
	case before:
		b = append(b, '+')
	}
	h := strconv.FormatInt(t/hour, 10)
	if len(h) < 2 {
		b = append(b, '0')
	}
	b = append(append(b, h...), ':')
	b = two(b, int(t/minute%60))
	return string(appendSeconds(append(b, ':'), t%minute))
}

func addChecked(a, b int64) (int64, bool) {
	r := a + b
	return r, (r > a) == (b > 0) || b == 0
}

func intervalAdd(a, b datum) (datum, *Fault) {
	x, y := a.x.(interval), b.x.(interval)
	t, ok := addChecked(x.time, y.time)
	if !ok {
		return datum{}, faultInterval
	}
	return newInterval(int64(x.months)+int64(y.months), int64(x.days)+int64(y.days), t)
}

func intervalNeg(a datum) (datum, *Fault) {
	v := a.x.(interval)
	if v.time == math.MinInt64 {
		return datum{}, faultInterval
	}
	return newInterval(-int64(v.months), -int64(v.days), -v.time)
}

func intervalSub(a, b datum) (datum, *Fault) {
	n, fault := intervalNeg(b)
	if fault != nil {
		return n, fault
	}
	return intervalAdd(a, n)
}

// timestampAdd adds months, then days, then time, as timestamp_pl_interval does. In UTC a day has 24 hours.
func timestampAdd(a, b datum) (datum, *Fault) {
	if a.i == infinite || a.i == negInfinite {
		return a, nil
	}
	v, t := b.x.(interval), a.i
	if v.months != 0 {
		days, rest := splitDay(t)
		y, m, d := fromJulian(int(days) + epochJulian)
		months := int64(m-1) + int64(v.months)
		years := months / 12
		if months%12 < 0 {
			years--
		}
		y, m = y+int(years), int(months-years*12)+1
		if y < -4713 || y > 300000 {
			return datum{}, faultStamp
		}
		d = min(d, monthDays(y, m))
		t = int64(toJulian(y, m, d)-epochJulian)*day + rest
		if _, fault := checkTimestamp(t); fault != nil {
			return datum{}, fault
		}
	}
	if v.days != 0 {
		days, rest := splitDay(t)
		days += int64(v.days)
		if days < minDate-1 || days > endTimestamp/day {
			return datum{}, faultStamp
		}
		t = days*day + rest
	}
	t, ok := addChecked(t, v.time)
	if !ok {
		return datum{}, faultStamp
	}
	return checkTimestamp(t)
}

func timestampSub(a, b datum) (datum, *Fault) {
	n, fault := intervalNeg(b)
	if fault != nil {
		return n, fault
	}
	return timestampAdd(a, n)
}

// timestampDiff is in days and time. Versions differ in what they say of infinity.
func timestampDiff(a, b datum) (datum, *Fault) {
	for _, x := range []int64{a.i, b.i} {
		if x == infinite || x == negInfinite {
			return datum{}, inexact("versions differ in what the difference of infinite timestamps is")
		}
	}
	d, ok := addChecked(a.i, -b.i)
	if !ok {
		return datum{}, faultInterval
	}
	return newInterval(0, d/day, d%day)
}

// intervalMul follows interval_mul: what of a month or a day is left over goes down to days and time, a month of 30 days. The
// conversions keep a compiler from fusing the steps.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/timestamp.c
func intervalMul(a, b datum) (datum, *Fault) {
	v, factor := a.x.(interval), b.float()
	if math.IsInf(factor, 0) {
		return datum{}, inexact("versions differ in what an interval times infinity is")
	}
	months, days := float64(v.months)*factor, float64(v.days)*factor
	fits := func(f float64) bool { return f >= math.MinInt32 && f <= math.MaxInt32 }
	if !fits(months) || !fits(days) {
		return datum{}, faultInterval
	}
	wholeMonths, wholeDays := math.Trunc(months), math.Trunc(days)
	restDays := microsecond(float64((months - wholeMonths) * 30))
	rest := microsecond(float64((days - wholeDays + restDays - math.Trunc(restDays)) * 86400))
	if math.Abs(rest) >= 86400 {
		more := math.Trunc(rest / 86400)
		wholeDays, rest = wholeDays+more, rest-float64(more*86400)
	}
	time := math.RoundToEven(float64(float64(v.time)*factor) + float64(rest*1e6))
	if !(time >= math.MinInt64 && time < -math.MinInt64) {
		return datum{}, faultInterval
	}
	return newInterval(int64(wholeMonths), int64(wholeDays)+int64(restDays), int64(time))
}

// microsecond rounds seconds, as TSROUND does.
func microsecond(seconds float64) float64 { return math.RoundToEven(float64(seconds*1e6)) / 1e6 }
