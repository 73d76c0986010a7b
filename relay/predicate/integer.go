package predicate

import (
	"math"
	"strconv"
)

// intIn reads what the input function of every version reads; 0x1F and 1_000, new in 16, are refused.
func intIn(low, high int64, typeName string, out *Fault) func(string) (datum, *Fault) {
	return func(s string) (datum, *Fault) {
		i, ok := decimalInt(s)
		if !ok {
			s = trimSpace(s)
			digits := s
			if s != "" && (s[0] == '+' || s[0] == '-') {
				digits = s[1:]
			}
			if !allDigits(digits) {
				return datum{}, numberFault(s, typeName)
			}
			var err error
			if i, err = strconv.ParseInt(s, 10, 64); err != nil {
				return datum{}, out
			}
		}
		if i < low || i > high {
			return datum{}, out
		}
		return datum{i: i}, nil
	}
}

// decimalInt is the fast way for what Postgres prints.
func decimalInt(s string) (int64, bool) {
	i := 0
	if len(s) > 0 && s[0] == '-' {
		i = 1
	}
	if len(s) == i || len(s) > 18 {
		return 0, false
	}
	var n int64
	for j := i; j < len(s); j++ {
		c := s[j] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if i == 1 {
		n = -n
	}
	return n, true
}

func intOut(d datum) string { return strconv.FormatInt(d.i, 10) }

func compareInt(a, b datum) int {
	switch {
	case a.i < b.i:
		return -1
	case a.i > b.i:
		return 1
	}
	return 0
}

// limits are those of an integer type.
type limits struct {
	low, high int64
	out       *Fault
}

var (
	int2Limits = limits{math.MinInt16, math.MaxInt16, faultInt2}
	int4Limits = limits{math.MinInt32, math.MaxInt32, faultInt4}
	int8Limits = limits{math.MinInt64, math.MaxInt64, faultInt8}
	oidLimits  = limits{0, math.MaxUint32, faultOID}
)

func (l limits) check(i int64) (datum, *Fault) {
	if i < l.low || i > l.high {
		return datum{}, l.out
	}
	return datum{i: i}, nil
}

func (l limits) convert(a datum) (datum, *Fault) { return l.check(a.i) }

// op is an arithmetic operator with Postgres' overflow errors.
func (l limits) op(op byte) fn2 {
	return func(a, b datum) (datum, *Fault) {
		x, y := a.i, b.i
		switch op {
		case '+':
			r := x + y
			if (r > x) != (y > 0) && y != 0 {
				return datum{}, l.out
			}
			return l.check(r)
		case '-':
			r := x - y
			if (r < x) != (y > 0) && y != 0 {
				return datum{}, l.out
			}
			return l.check(r)
		case '*':
			return l.multiply(x, y)
		}
		if y == 0 {
			return datum{}, faultZero
		}
		if op == '%' {
			if y == -1 {
				return datum{}, nil
			}
			return datum{i: x % y}, nil
		}
		if y == -1 {
			if x == l.low {
				return datum{}, l.out
			}
			return datum{i: -x}, nil
		}
		return l.check(x / y)
	}
}

func (l limits) multiply(x, y int64) (datum, *Fault) {
	if x == 0 || y == 0 {
		return datum{}, nil
	}
	r := x * y
	if x == -1 && y == math.MinInt64 || y == -1 && x == math.MinInt64 || r/y != x {
		return datum{}, l.out
	}
	return l.check(r)
}

func (l limits) negate(a datum) (datum, *Fault) {
	if a.i == l.low {
		return datum{}, l.out
	}
	return datum{i: -a.i}, nil
}

func (l limits) abs(a datum) (datum, *Fault) {
	if a.i < 0 {
		return l.negate(a)
	}
	return a, nil
}
