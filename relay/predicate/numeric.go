package predicate

import (
	"math/big"
	"strings"
)

// A numeric is its canonical text, as numeric_out prints it: exact, with its scale, comparable without allocation.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/numeric.c

const (
	nan         = "NaN"
	infinity    = "Infinity"
	negInfinity = "-Infinity"
	// maxDigits before the point, and maxScale behind it, of any numeric.
	maxDigits = 131072
	maxScale  = 16383
	// maxDisplayScale of a quotient.
	maxDisplayScale = 1000
	minSigDigits    = 16
)

// decimal is coef / 10^scale.
type decimal struct {
	coef  *big.Int
	scale int
}

func special(s string) bool { return s == nan || s == infinity || s == negInfinity }

func toDecimal(s string) decimal {
	whole, fraction, found := strings.Cut(s, ".")
	if found {
		whole += fraction
	}
	coef, _ := new(big.Int).SetString(whole, 10)
	return decimal{coef, len(fraction)}
}

// text is the canonical form; a fault where it has too many digits.
func (d decimal) text() (datum, *Fault) {
	if d.scale > maxScale {
		d = d.rescale(maxScale)
	}
	s := d.coef.String()
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= d.scale {
		s = strings.Repeat("0", d.scale+1-len(s)) + s
	}
	if len(s)-d.scale > maxDigits {
		return datum{}, faultNumeric
	}
	if d.scale > 0 {
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	return datum{s: sign + s}, nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// rescale rounds half away from zero, or adds zeros; the scale may be negative.
func (d decimal) rescale(scale int) decimal {
	if scale >= d.scale {
		return decimal{new(big.Int).Mul(d.coef, pow10(scale-d.scale)), scale}
	}
	return decimal{quotient(d.coef, pow10(d.scale-scale)), scale}
}

// quotient is x/y rounded half away from zero.
func quotient(x, y *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	r.Abs(r).Lsh(r, 1)
	if r.CmpAbs(y) >= 0 {
		one := int64(1)
		if x.Sign()*y.Sign() < 0 {
			one = -1
		}
		q.Add(q, big.NewInt(one))
	}
	return q
}

// canonicalNumeric tells of a text that numeric_out could have printed.
func canonicalNumeric(s string) bool {
	if special(s) {
		return true
	}
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	start, point, zero := i, -1, true
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && point < 0 && i > start:
			point = i
		case c >= '0' && c <= '9':
			zero = zero && c == '0'
		default:
			return false
		}
	}
	end := point
	if point < 0 {
		end = len(s)
	} else if point == len(s)-1 {
		return false
	}
	return end > start && (s[start] != '0' || end == start+1) && (start == 0 || !zero)
}

// numericIn reads what numeric_in of every version reads. Hexadecimal and underscores, new in 16, are refused.
func numericIn(s string) (datum, *Fault) {
	if canonicalNumeric(s) && len(s) < 1000 {
		return datum{s: s}, nil
	}
	s = trimSpace(s)
	switch strings.ToLower(s) {
	case "nan":
		return datum{s: nan}, nil
	case "inf", "+inf", "infinity", "+infinity":
		return datum{s: infinity}, nil
	case "-inf", "-infinity":
		return datum{s: negInfinity}, nil
	}
	sign, digits, scale, ok := scanDecimal(s)
	if !ok {
		return datum{}, numberFault(s, "numeric")
	}
	return placePoint(sign, digits, scale)
}

// maxExpanded is by how many digits an exponent may lengthen a number, which is read where 1e308 is. Else a short text
// would take a long time and much memory.
const maxExpanded = 400

// placePoint is the canonical text of digits / 10^scale.
func placePoint(sign, digits string, scale int) (datum, *Fault) {
	long := len(digits) + maxExpanded
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "" && scale < 0 && scale > -1<<30+1:
		return datum{s: "0"}, nil
	case scale > maxScale || len(digits)-scale > maxDigits:
		return datum{}, faultNumeric
	case max(scale, len(digits)-scale) > long:
		return datum{}, inexact("a number of this many digits isn't read for each row")
	case digits == "":
		sign = ""
	}
	if scale < 0 {
		digits += strings.Repeat("0", -scale)
		scale = 0
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale+1-len(digits)) + digits
	}
	if digits == "" {
		digits = "0"
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	return datum{s: sign + digits}, nil
}

// numberFault is that of a text that is no decimal number; one of the newer forms may be one.
func numberFault(s, typeName string) *Fault {
	digits := strings.TrimLeft(s, "+-")
	based := len(digits) > 2 && digits[0] == '0' && strings.IndexByte("xob", digits[1]|0x20) >= 0 && strings.Trim(strings.ToLower(digits[2:]), "0123456789abcdef_") == ""
	if based || strings.Contains(s, "_") && strings.Trim(digits, "0123456789_.eE+-") == "" {
		return inexact("Postgres 15 and 16 read this number differently")
	}
	return syntax(typeName)
}

// scanDecimal takes a decimal number apart: [sign] digits [. digits] [e [sign] digits].
func scanDecimal(s string) (sign, digits string, scale int, ok bool) {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = "-"
		}
		s = s[1:]
	}
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], s[i+1:]
		if exponent == "" {
			return "", "", 0, false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = whole + fraction
	if digits == "" || !allDigits(digits) {
		return "", "", 0, false
	}
	scale = len(fraction)
	if exponent != "" {
		e, ok := smallInt(exponent)
		if !ok {
			return "", "", 0, false
		}
		scale -= e
	}
	return sign, digits, scale, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// smallInt reads a signed integer; one far out of range becomes one that every caller takes for out of range.
func smallInt(s string) (int, bool) {
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative, s = s[0] == '-', s[1:]
	}
	if !allDigits(s) {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		n = min(n*10+int(s[i]-'0'), 1<<30)
	}
	if negative {
		n = -n
	}
	return n, true
}

func rank(s string) int {
	switch s {
	case negInfinity:
		return -1
	case infinity:
		return 1
	case nan:
		return 2
	}
	return 0
}

func compareNumeric(a, b datum) int {
	x, y := a.s, b.s
	if x[0] > '9' || y[0] > '9' || len(x) > 1 && x[1] == 'I' || len(y) > 1 && y[1] == 'I' {
		if rx, ry := rank(x), rank(y); rx != ry || rx != 0 {
			return sign(rx - ry)
		}
	}
	nx, ny := x[0] == '-', y[0] == '-'
	switch {
	case nx && ny:
		return compareMagnitude(y[1:], x[1:])
	case nx:
		return -1
	case ny:
		return 1
	}
	return compareMagnitude(x, y)
}

func compareMagnitude(x, y string) int {
	px, py := strings.IndexByte(x, '.'), strings.IndexByte(y, '.')
	wx, wy, fx, fy := x, y, "", ""
	if px >= 0 {
		wx, fx = x[:px], x[px+1:]
	}
	if py >= 0 {
		wy, fy = y[:py], y[py+1:]
	}
	if len(wx) != len(wy) {
		return sign(len(wx) - len(wy))
	}
	if c := strings.Compare(wx, wy); c != 0 {
		return c
	}
	n := min(len(fx), len(fy))
	if c := strings.Compare(fx[:n], fy[:n]); c != 0 {
		return c
	}
	switch {
	case strings.Trim(fx[n:], "0") != "":
		return 1
	case strings.Trim(fy[n:], "0") != "":
		return -1
	}
	return 0
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func numericSign(s string) int {
	switch {
	case s[0] == '-':
		return -1
	case strings.Trim(s, "0.") == "":
		return 0
	}
	return 1
}

// exponent of the first significant digit, and the significant digits; of zero ok is false.
func leading(s string) (exponent int, digits string, ok bool) {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, _ := strings.Cut(s, ".")
	all := whole + fraction
	rest := strings.TrimLeft(all, "0")
	if rest == "" {
		return 0, "", false
	}
	return len(whole) - 1 - (len(all) - len(rest)), rest, true
}

// weight is the position of the first non-zero digit in base 10,000, and that digit.
func weight(s string) (int, int) {
	e, digits, ok := leading(s)
	if !ok {
		return 0, 0
	}
	w := e >> 2
	first := 0
	for i := range e - w*4 + 1 {
		first *= 10
		if i < len(digits) {
			first += int(digits[i] - '0')
		}
	}
	return w, first
}
