package predicate

import (
	"math"
	"strconv"
	"strings"
)

// Days and moments count from 2000-01-01, as Postgres does.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/datatype/timestamp.h
const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour

	epochJulian = 2451545 // of 2000-01-01
	unixDays    = 10957   // from 1970-01-01 to 2000-01-01

	minDate      = -2451545                 // 4713-11-24 BC
	maxDate      = 2147483493 - epochJulian // 5874897-12-31
	minTimestamp = -211813488000000000
	endTimestamp = 9223371331200000000

	dateInfinity    = math.MaxInt32
	dateNegInfinity = math.MinInt32
	infinite        = math.MaxInt64
	negInfinite     = math.MinInt64
)

// toJulian is date2j, fromJulian j2date: the Gregorian calendar, for all years.
func toJulian(year, month, mday int) int {
	if month > 2 {
		month++
		year += 4800
	} else {
		month += 13
		year += 4799
	}
	century := year / 100
	return year*365 - 32167 + year/4 - century + century/4 + 7834*month/256 + mday
}

func fromJulian(julian int) (year, month, mday int) {
	j := uint64(julian) + 32044
	quad := j / 146097
	extra := (j-quad*146097)*4 + 3
	j += 60 + quad*3 + extra/146097
	quad = j / 1461
	j -= quad * 1461
	y := j * 4 / 1461
	if y != 0 {
		j = (j+305)%365 + 123
	} else {
		j = (j+306)%366 + 123
	}
	y += quad * 4
	quad = j * 2141 / 65536
	return int(y) - 4800, int((quad+10)%12 + 1), int(j - 7834*quad/256)
}

// word reads the special values that don't depend on when they are read.
func word(s string, positive, negative, epoch int64) (datum, bool) {
	if s == "" || s[len(s)-1] <= '9' && s[0] <= '9' {
		return datum{}, false
	}
	switch strings.ToLower(trimSpace(s)) {
	case "infinity":
		return datum{i: positive}, true
	case "-infinity":
		return datum{i: negative}, true
	case "epoch":
		return datum{i: epoch}, true
	}
	return datum{}, false
}

func dateIn(s string) (datum, *Fault) {
	if d, ok := word(s, dateInfinity, dateNegInfinity, -unixDays); ok {
		return d, nil
	}
	c, fault := readClock(s)
	if fault != nil {
		return datum{}, fault
	}
	return checkDate(c.days())
}

func checkDate(days int64) (datum, *Fault) {
	if days < minDate || days > maxDate {
		return datum{}, faultDate
	}
	return datum{i: days}, nil
}

// printed is the fast way for what Postgres prints of years from 1 to 9999, in UTC.
func printed(s string) (int64, bool) {
	s = strings.TrimSuffix(s, "+00")
	if len(s) < 19 || len(s) > 26 || s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	var c clock
	var n [6]int
	bad := byte(0)
	for i, at := range [...]int{2, 5, 8, 11, 14, 17} {
		x, y := s[at]-'0', s[at+1]-'0'
		bad |= boolByte(x > 9 || y > 9)
		n[i] = int(x)*10 + int(y)
	}
	x, y := s[0]-'0', s[1]-'0'
	if bad != 0 || x > 9 || y > 9 {
		return 0, false
	}
	c.year, c.month, c.day = (int(x)*10+int(y))*100+n[0], n[1], n[2]
	fraction, unit := int64(0), second
	if len(s) > 19 {
		if s[19] != '.' || len(s) == 20 {
			return 0, false
		}
		for i := 20; i < len(s); i++ {
			if s[i] < '0' || s[i] > '9' {
				return 0, false
			}
			unit /= 10
			fraction += int64(s[i]-'0') * unit
		}
	}
	if c.check(false) != nil || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return 0, false
	}
	return c.days()*day + int64(n[3])*hour + int64(n[4])*minute + int64(n[5])*second + fraction, true
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// timestampIn reads a moment; a zone counts for timestamptz alone, whose session's zone is UTC.
func timestampIn(zoned bool) func(string) (datum, *Fault) {
	return func(s string) (datum, *Fault) {
		if t, ok := printed(s); ok {
			return checkTimestamp(t)
		}
		if d, ok := word(s, infinite, negInfinite, -unixDays*day); ok {
			return d, nil
		}
		c, fault := readClock(s)
		if fault != nil {
			return datum{}, fault
		}
		days := c.days()
		if days < minDate-1 || days > endTimestamp/day {
			return datum{}, faultStamp
		}
		t := days*day + c.time
		if zoned {
			t -= c.offset
		}
		return checkTimestamp(t)
	}
}

func checkTimestamp(t int64) (datum, *Fault) {
	if t < minTimestamp || t >= endTimestamp {
		return datum{}, faultStamp
	}
	return datum{i: t}, nil
}

func timeIn(text string) (datum, *Fault) {
	s := &scanner{trimSpace(text)}
	if s.s == "24:00:00" {
		return datum{i: day}, nil
	}
	var c clock
	if fault := s.time(&c); fault != nil {
		return datum{}, fault
	}
	if s.s != "" || c.hasZone || c.time >= day {
		return datum{}, errForm
	}
	return datum{i: c.time}, nil
}

func two(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

func appendDate(b []byte, days int64) (out []byte, bc bool) {
	y, m, d := fromJulian(int(days) + epochJulian)
	if bc = y <= 0; bc {
		y = 1 - y
	}
	text := strconv.Itoa(y)
	for range 4 - len(text) {
		b = append(b, '0')
	}
	b = append(b, text...)
	b = two(append(b, '-'), m)
	return two(append(b, '-'), d), bc
}

func appendTime(b []byte, t int64) []byte {
	b = two(b, int(t/hour))
	b = two(append(b, ':'), int(t/minute%60))
	return appendSeconds(append(b, ':'), t%minute)
}

func appendSeconds(b []byte, t int64) []byte {
	b = two(b, int(t/second))
	if f := t % second; f != 0 {
		digits := strconv.FormatInt(second+f, 10)
		b = append(append(b, '.'), strings.TrimRight(digits[1:], "0")...)
	}
	return b
}

func dateOut(d datum) string {
	switch d.i {
	case dateInfinity:
		return "infinity"
	case dateNegInfinity:
		return "-infinity"
	}
	b, bc := appendDate(nil, d.i)
	if bc {
		b = append(b, " BC"...)
	}
	return string(b)
}

func timestampOut(zone string) func(datum) string {
	return func(d datum) string {
		switch d.i {
		case infinite:
			return "infinity"
		case negInfinite:
			return "-infinity"
		}
		days, t := splitDay(d.i)
		b, bc := appendDate(nil, days)
		b = appendTime(append(b, ' '), t)
		b = append(b, zone...)
		if bc {
			b = append(b, " BC"...)
		}
		return string(b)
	}
}

// splitDay is the day and the time within it.
func splitDay(t int64) (int64, int64) {
	days := t / day
	if t%day < 0 {
		days--
	}
	return days, t - days*day
}

func timeOut(d datum) string { return string(appendTime(nil, d.i)) }

// dateToTimestamp is midnight; out of range it is a fault.
func dateToTimestamp(d datum) (datum, *Fault) {
	switch d.i {
	case dateInfinity:
		return datum{i: infinite}, nil
	case dateNegInfinity:
		return datum{i: negInfinite}, nil
	}
	if d.i >= endTimestamp/day {
		return datum{}, &Fault{"22008", "date out of range for timestamp"}
	}
	return datum{i: d.i * day}, nil
}

func timestampToDate(d datum) (datum, *Fault) {
	switch d.i {
	case infinite:
		return datum{i: dateInfinity}, nil
	case negInfinite:
		return datum{i: dateNegInfinity}, nil
	}
	days, _ := splitDay(d.i)
	return datum{i: days}, nil
}

func timestampToTime(d datum) (datum, *Fault) {
	if d.i == infinite || d.i == negInfinite {
		return nullDatum, nil
	}
	_, t := splitDay(d.i)
	return datum{i: t}, nil
}

// compareDateTimestamp never fails: a date beyond all timestamps is later than each but infinity.
func compareDateTimestamp(a, b datum) int {
	t, fault := dateToTimestamp(a)
	if fault != nil {
		if b.i == infinite {
			return -1
		}
		return 1
	}
	return compareInt(t, b)
}

func compareTimestampDate(a, b datum) int { return -compareDateTimestamp(b, a) }
