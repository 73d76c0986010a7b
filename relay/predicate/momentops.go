package predicate

import (
	"math"
	"strings"
)

func rounded(name string) fn1 {
	var f func(float64) float64
	switch name {
	case "abs":
		f = math.Abs
	case "dceil":
		f = math.Ceil
	case "dfloor":
		f = math.Floor
	case "dround":
		f = math.RoundToEven
	case "dtrunc":
		f = math.Trunc
	case "dsign":
		f = func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		}
	case "dsqrt":
		return func(a datum) (datum, *Fault) {
			if a.float() < 0 {
				return datum{}, &Fault{"2201F", "cannot take square root of a negative number"}
			}
			return floatOf(math.Sqrt(a.float())), nil
		}
	}
	return func(a datum) (datum, *Fault) { return floatOf(f(a.float())), nil }
}

func finite(t int64) bool { return t != infinite && t != negInfinite }

func moments() map[string]any {
	m := map[string]any{
		"date_timestamp": fn1(dateToTimestamp), "date_timestamptz": fn1(dateToTimestamp),
		"timestamp_date": fn1(timestampToDate), "timestamptz_date": fn1(timestampToDate),
		"timestamp_timestamptz": fn1(same1), "timestamptz_timestamp": fn1(same1),
		"timestamp_time": fn1(timestampToTime), "timestamptz_time": fn1(timestampToTime),
		"timestamp_scale": fn2(scaleTimestamp), "timestamptz_scale": fn2(scaleTimestamp), "time_scale": fn2(scaleTime),
		"date_pli": fn2(dateAdd), "integer_pl_date": fn2(func(a, b datum) (datum, *Fault) { return dateAdd(b, a) }),
		"date_mii": fn2(func(a, b datum) (datum, *Fault) { return dateAdd(a, datum{i: -b.i}) }),
		"date_mi": fn2(func(a, b datum) (datum, *Fault) {
			for _, d := range []int64{a.i, b.i} {
				if d == dateInfinity || d == dateNegInfinity {
					return datum{}, &Fault{"22008", "cannot subtract infinite dates"}
				}
			}
			return datum{i: a.i - b.i}, nil
		}),
		"datetime_timestamp": fn2(func(a, b datum) (datum, *Fault) {
			t, fault := dateToTimestamp(a)
			if fault != nil || !finite(t.i) {
				return t, fault
			}
			return checkTimestamp(t.i + b.i)
		}),
		"timedate_pl":         fn2(func(a, b datum) (datum, *Fault) { return dateTime(b, a) }),
		"timestamp_mi":        fn2(timestampDiff),
		"time_mi_time":        fn2(func(a, b datum) (datum, *Fault) { return newInterval(0, 0, a.i-b.i) }),
		"time_interval":       fn1(func(a datum) (datum, *Fault) { return newInterval(0, 0, a.i) }),
		"interval_pl":         fn2(intervalAdd),
		"interval_mi":         fn2(intervalSub),
		"interval_um":         fn1(intervalNeg),
		"interval_mul":        fn2(intervalMul),
		"mul_d_interval":      fn2(func(a, b datum) (datum, *Fault) { return intervalMul(b, a) }),
		"timestamp_trunc":     fn2(truncate),
		"timestamptz_trunc":   fn2(truncate),
		"extract_timestamp":   extractMoment(true),
		"extract_timestamptz": extractMoment(true),
		"extract_date":        fn2(extractDate),
		"timestamptz_zone":    fn2(inUTC),
		"timestamp_zone":      fn2(inUTC),
		"make_date": fnN(func(a []datum) (datum, *Fault) {
			c := clock{year: int(a[0].i), month: int(a[1].i), day: int(a[2].i)}
			bc := c.year < 0
			if bc {
				c.year = -c.year
			}
			if c.year > 10_000_000 {
				return datum{}, faultDate
			}
			if fault := c.check(bc); fault != nil {
				return datum{}, fault
			}
			return checkDate(c.days())
		}),
		"date_finite":      fn1(func(a datum) (datum, *Fault) { return boolean(a.i != dateInfinity && a.i != dateNegInfinity), nil }),
		"timestamp_finite": fn1(func(a datum) (datum, *Fault) { return boolean(finite(a.i)), nil }),
		"interval_finite":  fn1(func(datum) (datum, *Fault) { return boolean(true), nil }),
	}
	for _, name := range []string{"timestamp", "timestamptz"} {
		m[name+"_pl_interval"], m[name+"_mi_interval"] = fn2(timestampAdd), fn2(timestampSub)
		m["interval_pl_"+name] = fn2(func(a, b datum) (datum, *Fault) { return timestampAdd(b, a) })
	}
	m["date_pl_interval"] = fn2(func(a, b datum) (datum, *Fault) { return viaTimestamp(a, b, timestampAdd) })
	m["date_mi_interval"] = fn2(func(a, b datum) (datum, *Fault) { return viaTimestamp(a, b, timestampSub) })
	m["interval_pl_date"] = fn2(func(a, b datum) (datum, *Fault) { return viaTimestamp(b, a, timestampAdd) })
	m["time_pl_interval"] = fn2(func(a, b datum) (datum, *Fault) { return wrapTime(a.i, b.x.(interval).time) })
	m["time_mi_interval"] = fn2(func(a, b datum) (datum, *Fault) { return wrapTime(a.i, -(b.x.(interval).time % day)) })
	m["interval_pl_time"] = fn2(func(a, b datum) (datum, *Fault) { return wrapTime(b.i, a.x.(interval).time) })
	return m
}

func dateTime(a, b datum) (datum, *Fault) {
	t, fault := dateToTimestamp(a)
	if fault != nil || !finite(t.i) {
		return t, fault
	}
	return checkTimestamp(t.i + b.i)
}

func viaTimestamp(d, v datum, f fn2) (datum, *Fault) {
	t, fault := dateToTimestamp(d)
	if fault != nil {
		return t, fault
	}
	return f(t, v)
}

func wrapTime(t, by int64) (datum, *Fault) {
	_, rest := splitDay(t%day + by%day)
	return datum{i: rest}, nil
}

func dateAdd(a, b datum) (datum, *Fault) {
	if a.i == dateInfinity || a.i == dateNegInfinity {
		return a, nil
	}
	return checkDate(a.i + b.i)
}

// scale rounds to a number of digits behind the second.
func scale(t int64, digits int64) int64 {
	unit := int64(math.Pow10(6 - int(digits)))
	if t >= 0 {
		return (t + unit/2) / unit * unit
	}
	return -((-t + unit/2) / unit * unit)
}

func scaleTimestamp(a, b datum) (datum, *Fault) {
	if !finite(a.i) || b.i < 0 || b.i >= 6 {
		return a, nil
	}
	return checkTimestamp(scale(a.i, b.i))
}

func scaleTime(a, b datum) (datum, *Fault) {
	if b.i < 0 || b.i >= 6 {
		return a, nil
	}
	return datum{i: scale(a.i, b.i)}, nil
}

// inUTC is AT TIME ZONE 'UTC', the one zone whose rules never change.
func inUTC(a, b datum) (datum, *Fault) {
	if !strings.EqualFold(a.s, "UTC") {
		return datum{}, inexact("the rules of time zones other than UTC are not known here")
	}
	return b, nil
}

// truncate is date_trunc, in UTC.
func truncate(a, b datum) (datum, *Fault) {
	days, t := splitDay(b.i)
	y, m, d := 0, 0, 0
	if finite(b.i) {
		y, m, d = fromJulian(int(days) + epochJulian)
	}
	switch strings.ToLower(a.s) {
	case "microseconds", "microsecond":
		return b, nil
	case "milliseconds", "millisecond":
		t -= t % 1000
	case "second", "seconds":
		t -= t % second
	case "minute", "minutes":
		t -= t % minute
	case "hour", "hours":
		t -= t % hour
	case "day", "days":
		t = 0
	case "week", "weeks":
		if finite(b.i) {
			return checkTimestamp((days - weekday(days)) * day)
		}
	case "month", "months":
		t, d = 0, 1
	case "quarter":
		t, d, m = 0, 1, (m-1)/3*3+1
	case "year", "years":
		t, d, m = 0, 1, 1
	default:
		return datum{}, inexact("date_trunc is supported for microseconds to year")
	}
	if !finite(b.i) {
		return b, nil
	}
	return checkTimestamp(int64(toJulian(y, m, d)-epochJulian)*day + t)
}

// weekday is 0 on Monday. 2000-01-01 was a Saturday.
func weekday(days int64) int64 { return ((days+5)%7 + 7) % 7 }

// extractMoment is EXTRACT, a numeric.
func extractMoment(withTime bool) fn2 {
	return func(a, b datum) (datum, *Fault) {
		field := strings.ToLower(a.s)
		if !finite(b.i) {
			return extractInfinity(field, b.i > 0, withTime)
		}
		days, t := splitDay(b.i)
		if withTime {
			switch field {
			case "epoch":
				return fractional(b.i+unixDays*day, 6), nil
			case "second", "seconds":
				return fractional(t%minute, 6), nil
			case "milliseconds", "millisecond":
				return fractional(t%minute, 3), nil
			case "microseconds", "microsecond":
				return datum{s: intOut(datum{i: t % minute})}, nil
			case "minute", "minutes":
				return datum{s: intOut(datum{i: t / minute % 60})}, nil
			case "hour", "hours":
				return datum{s: intOut(datum{i: t / hour})}, nil
			}
		}
		return extractDay(field, days)
	}
}

func extractDate(a, b datum) (datum, *Fault) {
	field := strings.ToLower(a.s)
	if b.i == dateInfinity || b.i == dateNegInfinity {
		return extractInfinity(field, b.i > 0, false)
	}
	if field == "epoch" {
		return datum{s: intOut(datum{i: (b.i + unixDays) * 86400})}, nil
	}
	return extractDay(field, b.i)
}

// extractInfinity is infinite for what grows with time, and null for what returns.
func extractInfinity(field string, positive, withTime bool) (datum, *Fault) {
	switch field {
	case "year", "years", "epoch":
		if positive {
			return datum{s: infinity}, nil
		}
		return datum{s: negInfinity}, nil
	case "month", "months", "day", "days", "quarter", "dow", "isodow", "doy":
		return nullDatum, nil
	case "second", "seconds", "milliseconds", "millisecond", "microseconds", "microsecond", "minute", "minutes", "hour", "hours":
		if withTime {
			return nullDatum, nil
		}
	}
	return datum{}, inexact("EXTRACT of this field is not supported")
}

func extractDay(field string, days int64) (datum, *Fault) {
	y, m, d := fromJulian(int(days) + epochJulian)
	var n int64
	switch field {
	case "year", "years":
		if n = int64(y); y <= 0 {
			n--
		}
	case "month", "months":
		n = int64(m)
	case "day", "days":
		n = int64(d)
	case "quarter":
		n = int64(m-1)/3 + 1
	case "dow":
		n = (weekday(days) + 1) % 7
	case "isodow":
		n = weekday(days) + 1
	case "doy":
		n = days - int64(toJulian(y, 1, 1)-epochJulian) + 1
	default:
		return datum{}, inexact("EXTRACT of this field is not supported")
	}
	return datum{s: intOut(datum{i: n})}, nil
}

// fractional is n / 10^digits with that many digits.
func fractional(n int64, digits int) datum {
	s := intOut(datum{i: n})
	minus := ""
	if s[0] == '-' {
		minus, s = "-", s[1:]
	}
	if len(s) <= digits {
		s = strings.Repeat("0", digits+1-len(s)) + s
	}
	return datum{s: minus + s[:len(s)-digits] + "." + s[len(s)-digits:]}
}
