package predicate

import (
	"math"
	"strings"
	"unicode/utf8"
)

func texts() map[string]any {
	m := map[string]any{
		"textcat":        fn2(func(a, b datum) (datum, *Fault) { return datum{s: a.s + b.s}, nil }),
		"byteacat":       fn2(func(a, b datum) (datum, *Fault) { return datum{s: a.s + b.s[2:]}, nil }),
		"textlen":        fn1(func(a datum) (datum, *Fault) { return count(utf8.RuneCountInString(a.s)) }),
		"bpcharlen":      fn1(func(a datum) (datum, *Fault) { return count(utf8.RuneCountInString(unpad(a.s))) }),
		"textoctetlen":   fn1(func(a datum) (datum, *Fault) { return count(len(a.s)) }),
		"bpcharoctetlen": fn1(func(a datum) (datum, *Fault) { return count(len(a.s)) }),
		"byteaoctetlen":  fn1(func(a datum) (datum, *Fault) { return count(len(a.s)/2 - 1) }),
		"text_left":      fn2(func(a, b datum) (datum, *Fault) { return datum{s: leftOf(a.s, b.i)}, nil }),
		"text_right": fn2(func(a, b datum) (datum, *Fault) {
			if b.i == math.MinInt32 {
				return datum{}, inexact("versions differ in this length")
			}
			return datum{s: rightOf(a.s, b.i)}, nil
		}),
		"text_substr":        fnN(func(a []datum) (datum, *Fault) { return substring(a[0].s, a[1].i, a[2].i, true) }),
		"text_substr_no_len": fn2(func(a, b datum) (datum, *Fault) { return substring(a.s, b.i, 0, false) }),
		"textpos": fn2(func(a, b datum) (datum, *Fault) {
			i := strings.Index(a.s, b.s)
			if i < 0 {
				return datum{}, nil
			}
			return count(utf8.RuneCountInString(a.s[:i]) + 1)
		}),
		"text_starts_with": fn2(func(a, b datum) (datum, *Fault) { return boolean(strings.HasPrefix(a.s, b.s)), nil }),
		"replace_text": fnNw(func(w *work, a []datum) (datum, *Fault) {
			if a[1].s == "" {
				return a[0], nil
			}
			if fault := w.charge(strings.Count(a[0].s, a[1].s) * len(a[2].s)); fault != nil {
				return datum{}, fault
			}
			return datum{s: strings.ReplaceAll(a[0].s, a[1].s, a[2].s)}, nil
		}),
		"btrim1": fn1(func(a datum) (datum, *Fault) { return datum{s: strings.Trim(a.s, " ")}, nil }),
		"ltrim1": fn1(func(a datum) (datum, *Fault) { return datum{s: strings.TrimLeft(a.s, " ")}, nil }),
		"rtrim1": fn1(func(a datum) (datum, *Fault) { return datum{s: unpad(a.s)}, nil }),
		"btrim":  trimmer(strings.Trim), "ltrim": trimmer(strings.TrimLeft), "rtrim": trimmer(strings.TrimRight),
		"lower": fn1(func(a datum) (datum, *Fault) { return datum{s: mapASCII(a.s, 'A', 'Z')}, nil }),
		"upper": fn1(func(a datum) (datum, *Fault) { return datum{s: mapASCII(a.s, 'a', 'z')}, nil }),
		"text_reverse": fn1(func(a datum) (datum, *Fault) {
			out := make([]byte, 0, len(a.s))
			for s := a.s; s != ""; {
				_, n := utf8.DecodeLastRuneInString(s)
				out = append(out, s[len(s)-n:]...)
				s = s[:len(s)-n]
			}
			return datum{s: string(out)}, nil
		}),
		"split_part":  fnNw(splitPart),
		"like_escape": fn2(likeEscape),
		"bpchar":      fnN(func(a []datum) (datum, *Fault) { return fitChar(a[0].s, int(a[1].i)-4, a[2].i != 0) }),
		"varchar":     fnN(func(a []datum) (datum, *Fault) { return fitVarchar(a[0].s, int(a[1].i)-4, a[2].i != 0) }),
		"text_name":   fn1(func(a datum) (datum, *Fault) { return nameIn(a.s) }),
		"bpchar_name": fn1(func(a datum) (datum, *Fault) { return nameIn(unpad(a.s)) }),
		"textanycat":  concatAny(1), "anytextcat": concatAny(0), "textanycat/2": concatAny(1), "anytextcat/2": concatAny(0),
		"name_text": fn1(same1), "name_bpchar": fn1(same1),
	}
	for _, prefix := range []string{"text", "name"} {
		m[prefix+"like"], m[prefix+"nlike"] = liker(false, false), liker(true, false)
		m[prefix+"iclike"], m[prefix+"icnlike"] = liker(false, true), liker(true, true)
	}
	return m
}

func count(n int) (datum, *Fault) { return datum{i: int64(n)}, nil }

func trimmer(trim func(s, set string) string) fn2w {
	return func(w *work, a, b datum) (datum, *Fault) {
		ascii := 0
		for ascii < len(b.s) && b.s[ascii] < utf8.RuneSelf {
			ascii++
		}
		if ascii < len(b.s) {
			if fault := w.charge(len(a.s) * utf8.RuneCountInString(b.s)); fault != nil {
				return datum{}, fault
			}
		}
		return datum{s: trim(a.s, b.s)}, nil
	}
}

// mapASCII changes the case of ASCII letters alone, as the collation C does.
func mapASCII(s string, from, to byte) string {
	for i := range len(s) {
		if s[i] >= from && s[i] <= to {
			out := []byte(s)
			for j := i; j < len(out); j++ {
				if out[j] >= from && out[j] <= to {
					out[j] ^= 0x20
				}
			}
			return string(out)
		}
	}
	return s
}

// cutAt is the byte offset behind n characters.
func cutAt(s string, n int64) int {
	for i := range s {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(s)
}

func leftOf(s string, n int64) string {
	if n < 0 {
		n += int64(utf8.RuneCountInString(s))
	}
	return s[:cutAt(s, n)]
}

func rightOf(s string, n int64) string {
	if n < 0 {
		n = -n
	} else {
		n = int64(utf8.RuneCountInString(s)) - n
	}
	return s[cutAt(s, n):]
}

// substring counts from 1; a start before the text shortens the length.
func substring(s string, start, length int64, limited bool) (datum, *Fault) {
	if limited && length < 0 {
		return datum{}, faultSubstring
	}
	from := max(start, 1)
	s = s[cutAt(s, from-1):]
	if limited {
		s = s[:cutAt(s, start+length-from)]
	}
	return datum{s: s}, nil
}

func splitPart(w *work, a []datum) (datum, *Fault) {
	s, separator, n := a[0].s, a[1].s, a[2].i
	if n == 0 {
		return datum{}, &Fault{"22023", "field position must not be zero"}
	}
	if s == "" {
		return datum{}, nil
	}
	parts := int64(1)
	if separator != "" {
		parts += int64(strings.Count(s, separator))
	}
	if fault := w.charge(parsing * int(parts)); fault != nil {
		return datum{}, fault
	}
	if n < 0 {
		n += parts + 1
	}
	if n < 1 || n > parts {
		return datum{}, nil
	}
	for ; n > 1; n-- {
		_, s, _ = strings.Cut(s, separator)
	}
	if separator != "" {
		s, _, _ = strings.Cut(s, separator)
	}
	return datum{s: s}, nil
}

// fitChar pads or cuts to n characters; only spaces are cut where the cast isn't explicit.
func fitChar(s string, n int, explicitly bool) (datum, *Fault) {
	if n < 0 {
		return datum{s: s}, nil
	}
	have := utf8.RuneCountInString(s)
	if have <= n {
		return datum{s: s + strings.Repeat(" ", n-have)}, nil
	}
	at := cutAt(s, int64(n))
	if !explicitly && unpad(s[at:]) != "" {
		return datum{}, &Fault{"22001", "value too long for type character"}
	}
	return datum{s: s[:at]}, nil
}

func fitVarchar(s string, n int, explicitly bool) (datum, *Fault) {
	if n < 0 || utf8.RuneCountInString(s) <= n {
		return datum{s: s}, nil
	}
	return fitChar(s, n, explicitly)
}

// concatAny is text || anything, or the other way round: the operand that at names is cast to text.
func concatAny(at int) maker {
	return func(b *builder, n *node) any {
		write := b.toText(n.args[at].typ)
		if write == nil {
			b.refuse(n, "values of type "+b.display(n.args[at].typ)+" are not supported here", hintColumn)
		}
		return fn2w(func(w *work, x, y datum) (datum, *Fault) {
			if fault := w.charge(x.whole() + y.whole()); fault != nil {
				return datum{}, fault
			}
			if at == 0 {
				return datum{s: write(x) + y.s}, nil
			}
			return datum{s: x.s + write(y)}, nil
		})
	}
}

// toText is the explicit cast to text, which for a few types isn't what they print.
func (t *types) toText(oid uint32) func(datum) string {
	switch t.baseOf(oid) {
	case oidBool:
		return func(d datum) string {
			if d.i != 0 {
				return "true"
			}
			return "false"
		}
	case oidBpchar:
		return func(d datum) string { return unpad(d.s) }
	case oidInet, oidCIDR:
		return inetOut(true)
	}
	return t.output(oid)
}
