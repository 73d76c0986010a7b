package predicate

import (
	"encoding/hex"
	"strings"
)

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// boolIn reads any unambiguous beginning of the words, as parse_bool_with_len does.
func boolIn(s string) (datum, *Fault) {
	if s == "t" || s == "f" {
		return boolean(s == "t"), nil
	}
	s = strings.ToLower(trimSpace(s))
	begins := func(word string, least int) bool { return len(s) >= least && strings.HasPrefix(word, s) }
	switch {
	case begins("true", 1), begins("yes", 1), s == "on", s == "1":
		return boolean(true), nil
	case begins("false", 1), begins("no", 1), begins("off", 2), s == "0":
		return boolean(false), nil
	}
	return datum{}, syntax("boolean")
}

func boolOut(d datum) string {
	if d.i != 0 {
		return "t"
	}
	return "f"
}

// boolText is the cast to text, which is not what boolout prints.
func boolText(a datum) (datum, *Fault) {
	if a.i != 0 {
		return datum{s: "true"}, nil
	}
	return datum{s: "false"}, nil
}

// uuidIn reads 32 hexadecimal digits, a hyphen after any four, braces around.
func uuidIn(s string) (datum, *Fault) {
	if canonicalUUID(s) {
		return datum{s: s}, nil
	}
	text := s
	if strings.HasPrefix(text, "{") {
		if !strings.HasSuffix(text, "}") {
			return datum{}, syntax("uuid")
		}
		text = text[1 : len(text)-1]
	}
	var digits [36]byte
	n := 0
	for i := range 16 {
		if len(text) < 2 || !isHex(text[0]) || !isHex(text[1]) {
			return datum{}, syntax("uuid")
		}
		if i == 4 || i == 6 || i == 8 || i == 10 {
			digits[n] = '-'
			n++
		}
		digits[n], digits[n+1] = lowerHex(text[0]), lowerHex(text[1])
		n += 2
		text = text[2:]
		if i%2 == 1 && i < 15 && strings.HasPrefix(text, "-") {
			text = text[1:]
		}
	}
	if text != "" {
		return datum{}, syntax("uuid")
	}
	return datum{s: string(digits[:])}, nil
}

func canonicalUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range 36 {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func lowerHex(c byte) byte {
	if c >= 'A' && c <= 'F' {
		return c | 0x20
	}
	return c
}

// byteaIn reads both forms, hexadecimal and escaped.
func byteaIn(s string) (datum, *Fault) {
	if rest, ok := strings.CutPrefix(s, `\x`); ok {
		return byteaHex(s, rest)
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			out = append(out, s[i])
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i++
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3' && octal(s[i+2]) && octal(s[i+3]):
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		default:
			return datum{}, syntax("bytea")
		}
	}
	return datum{s: `\x` + hex.EncodeToString(out)}, nil
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

func byteaHex(whole, digits string) (datum, *Fault) {
	canonical := len(digits)%2 == 0
	for i := range len(digits) {
		c := digits[i]
		canonical = canonical && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
	}
	if canonical {
		return datum{s: whole}, nil
	}
	var out strings.Builder
	out.WriteString(`\x`)
	for i := 0; i < len(digits); i++ {
		if isSpace(digits[i]) && digits[i] != '\v' && digits[i] != '\f' {
			continue
		}
		if i+1 >= len(digits) || !isHex(digits[i]) || !isHex(digits[i+1]) {
			return datum{}, &Fault{"22023", "invalid hexadecimal data"}
		}
		out.WriteByte(lowerHex(digits[i]))
		out.WriteByte(lowerHex(digits[i+1]))
		i++
	}
	return datum{s: out.String()}, nil
}

func compareBytes(a, b datum) int { return strings.Compare(a.s, b.s) }

// comparePadded compares char(n), whose trailing spaces don't count.
func comparePadded(a, b datum) int { return strings.Compare(unpad(a.s), unpad(b.s)) }

func unpad(s string) string { return strings.TrimRight(s, " ") }

func textIn(s string) (datum, *Fault) { return datum{s: s}, nil }

func textOut(d datum) string { return d.s }

// nameIn cuts off at 63 bytes, between characters.
func nameIn(s string) (datum, *Fault) {
	if len(s) > 63 {
		end := 63
		for end > 0 && s[end]&0xC0 == 0x80 {
			end--
		}
		s = s[:end]
	}
	return datum{s: s}, nil
}

func enumIn(t *typ) func(string) (datum, *Fault) {
	known := map[string]string{}
	for _, l := range t.labels {
		known[l] = l
	}
	fault := &Fault{"22P02", "invalid input value for enum " + t.display}
	return func(s string) (datum, *Fault) {
		label, ok := known[s]
		if !ok {
			return datum{}, fault
		}
		return datum{s: label}, nil
	}
}

// compareEnum goes by the declared order.
func compareEnum(t *typ) compare {
	place := map[string]int{}
	for i, l := range t.labels {
		place[l] = i
	}
	return func(a, b datum) int {
		if a.s == b.s {
			return 0
		}
		return sign(place[a.s] - place[b.s])
	}
}
