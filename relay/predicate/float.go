package predicate

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A float is the bits of a float64; a float4 is widened, which is exact.

func floatOf(f float64) datum { return datum{i: int64(math.Float64bits(f))} }

func (d datum) float() float64 { return math.Float64frombits(uint64(d.i)) }

// floatIn reads what strtod reads of decimal numbers.
func floatIn(bits int, typeName string) func(string) (datum, *Fault) {
	return func(s string) (datum, *Fault) {
		s = trimSpace(s)
		switch strings.ToLower(s) {
		case "nan":
			return floatOf(math.NaN()), nil
		case "inf", "+inf", "infinity", "+infinity":
			return floatOf(math.Inf(1)), nil
		case "-inf", "-infinity":
			return floatOf(math.Inf(-1)), nil
		}
		_, digits, _, ok := scanDecimal(s)
		if !ok {
			return datum{}, floatFault(s, typeName)
		}
		f, err := strconv.ParseFloat(s, bits)
		if err != nil || f == 0 && strings.Trim(digits, "0") != "" {
			return datum{}, &Fault{"22003", "value is out of range for type " + typeName}
		}
		return floatOf(f), nil
	}
}

// floatFault is that of a text that is no decimal number; strtod reads more than those.
func floatFault(s, typeName string) *Fault {
	lower := strings.ToLower(s)
	if strings.Contains(lower, "0x") || strings.Contains(lower, "nan") {
		return inexact("this form of a floating-point number is not supported")
	}
	return syntax(typeName)
}

// floatOut prints the shortest text that reads back, as extra_float_digits = 1 does.
func floatOut(bits int) func(datum) string {
	most := 15
	if bits == 32 {
		most = 6
	}
	return func(d datum) string {
		f := d.float()
		switch {
		case math.IsNaN(f):
			return nan
		case math.IsInf(f, 1):
			return infinity
		case math.IsInf(f, -1):
			return negInfinity
		}
		s := strconv.FormatFloat(f, 'e', -1, bits)
		digits := -1
		for halfway(s, f, bits) {
			digits = len(strings.NewReplacer("-", "", ".", "").Replace(s[:strings.IndexByte(s, 'e')]))
			s = strconv.FormatFloat(f, 'e', digits, 64)
		}
		e, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
		if e < -4 || e >= most {
			return s
		}
		if digits >= 0 {
			return strconv.FormatFloat(f, 'f', max(0, digits-e), 64)
		}
		return strconv.FormatFloat(f, 'f', -1, bits)
	}
}

// halfway tells that a shortest text lies in the middle between the number and a neighbour. It reads back only because
// ties go to even digits; Postgres' shortest texts lie strictly nearer.
func halfway(s string, f float64, bits int) bool {
	up, down := math.Nextafter(f, math.Inf(1)), math.Nextafter(f, math.Inf(-1))
	if bits == 32 {
		up, down = float64(math.Nextafter32(float32(f), float32(math.Inf(1)))), float64(math.Nextafter32(float32(f), float32(math.Inf(-1))))
	}
	printed, ok := new(big.Rat).SetString(s)
	if !ok || math.IsInf(up, 0) || math.IsInf(down, 0) {
		return false
	}
	for _, next := range []float64{up, down} {
		middle := new(big.Rat).Add(new(big.Rat).SetFloat64(f), new(big.Rat).SetFloat64(next))
		if middle.Quo(middle, big.NewRat(2, 1)).Cmp(printed) == 0 {
			return true
		}
	}
	return false
}

func compareFloat(a, b datum) int {
	x, y := a.float(), b.float()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	case x != x && y != y:
		return 0
	case x != x:
		return 1
	}
	return -1
}

// floatOp checks a result as float8_pl and its like do.
func floatOp(bits int, op byte) fn2 {
	return func(a, b datum) (datum, *Fault) {
		x, y := a.float(), b.float()
		var r float64
		switch op {
		case '+':
			r = x + y
		case '-':
			r = x - y
		case '*':
			r = x * y
		case '/':
			if y == 0 && !math.IsNaN(x) {
				return datum{}, faultZero
			}
			r = x / y
		}
		if bits == 32 {
			r = float64(float32(r))
		}
		switch {
		case math.IsInf(r, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0):
			return datum{}, faultOverflow
		case op == '*' && r == 0 && x != 0 && y != 0, op == '/' && r == 0 && x != 0 && !math.IsInf(y, 0):
			return datum{}, faultUnderflow
		}
		return floatOf(r), nil
	}
}

// floatToInt rounds half to even, as rint does.
func floatToInt(low, high float64, out *Fault) fn1 {
	return func(a datum) (datum, *Fault) {
		f := math.RoundToEven(a.float())
		if math.IsNaN(f) || f < low || f >= high {
			return datum{}, out
		}
		return datum{i: int64(f)}, nil
	}
}

// floatToNumeric goes by the 15 (or 6) digits that %g prints.
func floatToNumeric(digits int) fn1 {
	return func(a datum) (datum, *Fault) {
		f := a.float()
		switch {
		case math.IsNaN(f):
			return datum{s: nan}, nil
		case math.IsInf(f, 1):
			return datum{s: infinity}, nil
		case math.IsInf(f, -1):
			return datum{s: negInfinity}, nil
		}
		return numericIn(percentG(f, digits))
	}
}

// percentG prints as C's %.<digits>g does: without trailing zeros.
func percentG(f float64, digits int) string {
	s := strconv.FormatFloat(f, 'e', digits-1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exponent)
	if e < -4 || e >= digits {
		if strings.Contains(mantissa, ".") {
			mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
		}
		return mantissa + "e" + exponent
	}
	s = strconv.FormatFloat(f, 'f', digits-1-e, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// numericToFloat reads the numeric's text.
func numericToFloat(bits int, typeName string) fn1 {
	read := floatIn(bits, typeName)
	return func(a datum) (datum, *Fault) { return read(a.s) }
}

func narrow(a datum) (datum, *Fault) {
	f := a.float()
	r := float64(float32(f))
	switch {
	case math.IsInf(r, 0) && !math.IsInf(f, 0):
		return datum{}, faultOverflow
	case r == 0 && f != 0:
		return datum{}, faultUnderflow
	}
	return floatOf(r), nil
}
