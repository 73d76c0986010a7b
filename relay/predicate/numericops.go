package predicate

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

func numericAdd(a, b datum) (datum, *Fault) {
	if special(a.s) || special(b.s) {
		switch {
		case a.s == nan || b.s == nan || special(a.s) && special(b.s) && a.s != b.s:
			return datum{s: nan}, nil
		case special(a.s):
			return a, nil
		}
		return b, nil
	}
	if long(a.s, b.s) {
		return datum{}, faultLong
	}
	x, y := aligned(a.s, b.s)
	return decimal{new(big.Int).Add(x.coef, y.coef), x.scale}.text()
}

func numericSub(a, b datum) (datum, *Fault) {
	return numericAdd(a, numericNeg(b))
}

func numericNeg(a datum) datum {
	switch {
	case a.s == nan || numericSign(a.s) == 0:
		return a
	case a.s[0] == '-':
		return datum{s: a.s[1:]}
	}
	return datum{s: "-" + a.s}
}

func aligned(a, b string) (decimal, decimal) {
	x, y := toDecimal(a), toDecimal(b)
	scale := max(x.scale, y.scale)
	return x.rescale(scale), y.rescale(scale)
}

func signed(s int) string {
	switch {
	case s > 0:
		return infinity
	case s < 0:
		return negInfinity
	}
	return nan
}

func numericMul(a, b datum) (datum, *Fault) {
	if a.s == nan || b.s == nan {
		return datum{s: nan}, nil
	}
	if special(a.s) || special(b.s) {
		return datum{s: signed(numericSign(a.s) * numericSign(b.s))}, nil
	}
	if long(a.s, b.s) {
		return datum{}, faultLong
	}
	x, y := toDecimal(a.s), toDecimal(b.s)
	return decimal{new(big.Int).Mul(x.coef, y.coef), x.scale + y.scale}.text()
}

func numericDiv(a, b datum) (datum, *Fault) {
	switch {
	case a.s == nan || b.s == nan:
		return datum{s: nan}, nil
	case special(a.s):
		if special(b.s) {
			return datum{s: nan}, nil
		}
		if numericSign(b.s) == 0 {
			return datum{}, faultZero
		}
		return datum{s: signed(numericSign(a.s) * numericSign(b.s))}, nil
	case special(b.s):
		return datum{s: "0"}, nil
	case numericSign(b.s) == 0:
		return datum{}, faultZero
	}
	if long(a.s, b.s) {
		return datum{}, faultLong
	}
	x, y := toDecimal(a.s), toDecimal(b.s)
	scale := divScale(a.s, b.s, x.scale, y.scale)
	// x/10^sx / (y/10^sy) * 10^scale
	up, down := x.coef, y.coef
	if shift := scale + y.scale - x.scale; shift >= 0 {
		up = new(big.Int).Mul(up, pow10(shift))
	} else {
		down = new(big.Int).Mul(down, pow10(-shift))
	}
	return decimal{quotient(up, down), scale}.text()
}

// divScale is select_div_scale.
func divScale(a, b string, sa, sb int) int {
	wa, fa := weight(a)
	wb, fb := weight(b)
	q := wa - wb
	if fa <= fb {
		q--
	}
	return min(max(minSigDigits-q*4, sa, sb, 0), maxDisplayScale)
}

func numericMod(a, b datum) (datum, *Fault) {
	switch {
	case a.s == nan || b.s == nan:
		return datum{s: nan}, nil
	case numericSign(b.s) == 0:
		return datum{}, faultZero
	case special(a.s):
		return datum{s: nan}, nil
	case special(b.s):
		return a, nil
	}
	if long(a.s, b.s) {
		return datum{}, faultLong
	}
	x, y := aligned(a.s, b.s)
	return decimal{new(big.Int).Rem(x.coef, y.coef), x.scale}.text()
}

// numericRound rounds half away from zero to a scale that may be negative; trunc cuts off instead.
func numericRound(a datum, scale int, trunc bool) (datum, *Fault) {
	if special(a.s) {
		return a, nil
	}
	if scale > 2000 || scale < -2000 {
		return datum{}, inexact("versions differ in scales beyond 2000")
	}
	if long(a.s) {
		return datum{}, faultLong
	}
	d := toDecimal(a.s)
	switch {
	case scale >= d.scale || !trunc:
		d = d.rescale(scale)
	default:
		d = decimal{new(big.Int).Quo(d.coef, pow10(d.scale-scale)), scale}
	}
	if scale < 0 {
		d = d.rescale(0)
	}
	return d.text()
}

// numericFit applies the modifier of numeric(precision, scale).
func numericFit(a datum, mod int32) (datum, *Fault) {
	if mod < 4 {
		return a, nil
	}
	mod -= 4
	precision, scale := int(mod>>16&0xffff), int(mod&0x7ff)
	if scale >= 1024 {
		scale -= 2048
	}
	if special(a.s) {
		if a.s == nan {
			return a, nil
		}
		return datum{}, faultField
	}
	out, fault := numericRound(a, scale, false)
	if fault != nil {
		return out, fault
	}
	if e, _, ok := leading(out.s); ok && e+1 > precision-scale {
		return datum{}, faultField
	}
	return out, nil
}

func numericFloor(a datum, up bool) (datum, *Fault) {
	if special(a.s) {
		return a, nil
	}
	if long(a.s) {
		return datum{}, faultLong
	}
	d := toDecimal(a.s)
	q, r := new(big.Int).QuoRem(d.coef, pow10(d.scale), new(big.Int))
	switch {
	case r.Sign() > 0 && up:
		q.Add(q, big.NewInt(1))
	case r.Sign() < 0 && !up:
		q.Sub(q, big.NewInt(1))
	}
	return decimal{q, 0}.text()
}

// numericToInt rounds to an integer within the limits.
func numericToInt(a datum, low, high int64, out *Fault) (datum, *Fault) {
	if special(a.s) {
		return datum{}, &Fault{"0A000", "cannot convert NaN or infinity to an integer"}
	}
	if e, _, ok := leading(a.s); ok && e > 20 {
		return datum{}, out
	}
	digits, negative := strings.CutPrefix(a.s, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n == math.MaxUint64 {
		return datum{}, out
	}
	if fraction != "" && fraction[0] >= '5' {
		n++
	}
	switch {
	case negative && n <= uint64(-(low+1))+1:
		return datum{i: -int64(n)}, nil
	case !negative && n <= uint64(high):
		return datum{i: int64(n)}, nil
	}
	return datum{}, out
}

// maxOperand is how many characters an operand of arithmetic may have; it takes time by the square of that.
const maxOperand = 2000

var faultLong = inexact("numbers of more than 2000 digits are not computed with for each row")

func long(numbers ...string) bool {
	return slices.ContainsFunc(numbers, func(s string) bool { return len(s) > maxOperand })
}
