package predicate

import (
	"math"
	"strconv"
	"strings"
)

// clock is what stands in the text of a date or a moment.
type clock struct {
	year, month, day int
	time             int64
	hasTime          bool
	offset           int64 // of the zone, east is positive
	hasZone          bool
}

// scanner reads a text from the left.
type scanner struct{ s string }

func (s *scanner) digits(least, most int) (int, bool) {
	n := 0
	for n < len(s.s) && n < most && s.s[n] >= '0' && s.s[n] <= '9' {
		n++
	}
	if n < least || n < len(s.s) && n == most && s.s[n] >= '0' && s.s[n] <= '9' {
		return 0, false
	}
	v := 0
	for i := range n {
		v = v*10 + int(s.s[i]-'0')
	}
	s.s = s.s[n:]
	return v, true
}

func (s *scanner) take(c byte) bool {
	if s.s != "" && s.s[0] == c {
		s.s = s.s[1:]
		return true
	}
	return false
}

func (s *scanner) spaces() bool {
	n := len(s.s)
	s.s = strings.TrimLeft(s.s, " ")
	return len(s.s) < n
}

var errForm = inexact("dates and times are read in the form 2006-01-02 15:04:05.999999+00 alone")

// readClock reads the ISO form, of which Postgres' own output is a part. Of the many other forms that Postgres reads
// nothing is guessed.
func readClock(text string) (c clock, fault *Fault) {
	s := &scanner{trimSpace(text)}
	var ok bool
	if c.year, ok = s.digits(4, 7); !ok || !s.take('-') {
		return c, errForm
	}
	if c.month, ok = s.digits(1, 2); !ok || !s.take('-') {
		return c, errForm
	}
	if c.day, ok = s.digits(1, 2); !ok {
		return c, errForm
	}
	spaced := s.spaces()
	if !spaced && (s.take('T') || s.take('t')) || spaced && s.s != "" && s.s[0] <= '9' {
		if fault := s.time(&c); fault != nil {
			return c, fault
		}
	}
	s.spaces()
	bc := false
	switch s.s {
	case "BC":
		bc = true
	case "", "AD":
	default:
		return c, errForm
	}
	return c, c.check(bc)
}

func (s *scanner) time(c *clock) *Fault {
	var h, m, sec int
	var ok bool
	if h, ok = s.digits(1, 2); !ok || !s.take(':') {
		return errForm
	}
	if m, ok = s.digits(2, 2); !ok {
		return errForm
	}
	c.hasTime = true
	if s.take(':') {
		if sec, ok = s.digits(2, 2); !ok {
			return errForm
		}
	} else if strings.HasPrefix(s.s, ".") {
		// Minutes and seconds.
		return errForm
	}
	fraction, ok := s.fraction()
	if !ok || h > 24 || sec == 60 || h == 24 && (m > 0 || sec > 0 || fraction > 0) {
		return errForm
	}
	if m > 59 || sec > 60 {
		return faultClock
	}
	c.time = int64(h)*hour + int64(m)*minute + int64(sec)*second + fraction
	spaced := s.spaces()
	return s.zone(c, spaced)
}

// fraction reads ".digits" as microseconds, rounded as rint does.
func (s *scanner) fraction() (int64, bool) {
	if !s.take('.') {
		return 0, true
	}
	n := 0
	for n < len(s.s) && s.s[n] >= '0' && s.s[n] <= '9' {
		n++
	}
	text := s.s[:n]
	s.s = s.s[n:]
	if n <= 6 {
		v := int64(0)
		for i := range 6 {
			v *= 10
			if i < n {
				v += int64(text[i] - '0')
			}
		}
		return v, true
	}
	f, err := strconv.ParseFloat("0."+text, 64)
	return int64(math.RoundToEven(f * 1e6)), err == nil
}

func (s *scanner) zone(c *clock, spaced bool) *Fault {
	for _, utc := range []string{"UTC", "Z", "z"} {
		if rest, ok := strings.CutPrefix(s.s, utc); ok && (rest == "" || rest[0] == ' ') {
			s.s, c.hasZone = rest, true
			return nil
		}
	}
	if s.s == "" || s.s[0] != '+' && s.s[0] != '-' {
		return nil
	}
	negative := s.s[0] == '-'
	s.s = s.s[1:]
	h, ok := s.digits(2, 2)
	if !ok {
		return errForm
	}
	m, sec := 0, 0
	if s.take(':') {
		if m, ok = s.digits(2, 2); !ok {
			return errForm
		}
		if s.take(':') {
			if sec, ok = s.digits(2, 2); !ok {
				return errForm
			}
		}
	}
	if h > 15 || m > 59 || sec > 59 {
		return &Fault{"22009", "time zone displacement out of range"}
	}
	c.hasZone, c.offset = true, int64(h)*hour+int64(m)*minute+int64(sec)*second
	if negative {
		c.offset = -c.offset
	}
	return nil
}

func (c *clock) check(bc bool) *Fault {
	if c.year == 0 || c.month < 1 || c.month > 12 || c.day < 1 {
		return faultClock
	}
	if bc {
		c.year = 1 - c.year
	}
	if c.day > monthDays(c.year, c.month) {
		return faultClock
	}
	return nil
}

func monthDays(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

func (c *clock) days() int64 { return int64(toJulian(c.year, c.month, c.day) - epochJulian) }
