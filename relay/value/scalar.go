package value

import "bytes"

func appendBoolean(dst, text []byte) []byte {
	if len(text) == 1 {
		switch text[0] {
		case 't':
			return append(dst, "true"...)
		case 'f':
			return append(dst, "false"...)
		}
	}
	return AppendString(dst, text)
}

// isInteger tells whether the text is a JSON number without fraction and exponent.
func isInteger(text []byte) bool {
	rest, ok := integer(text)
	return ok && len(rest) == 0
}

// isNumber tells whether the text is a JSON number; NaN and the infinities are none.
// https://www.rfc-editor.org/rfc/rfc8259#section-6
func isNumber(text []byte) bool {
	rest, ok := integer(text)
	if !ok {
		return false
	}
	if len(rest) > 0 && rest[0] == '.' {
		if rest, ok = digits(rest[1:]); !ok {
			return false
		}
	}
	if len(rest) > 0 && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		if rest, ok = digits(rest); !ok {
			return false
		}
	}
	return len(rest) == 0
}

// integer cuts an optional minus sign and digits without a leading zero off the text.
func integer(text []byte) (rest []byte, ok bool) {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	if len(text) > 0 && text[0] == '0' {
		return text[1:], true
	}
	return digits(text)
}

// digits cuts one digit or more off the text.
func digits(text []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return text[i:], i > 0
}

// appendTimestamp writes ISO 8601 as to_json does: "2026-11-24 03:13:31.5+00 BC" becomes "2026-11-24T03:13:31.5+00:00 BC".
// Infinities have no time of day and stay as they are.
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/adt/datetime.c (EncodeDateTime, USE_XSD_DATES)
func appendTimestamp(dst, text []byte, zoned bool) []byte {
	i := bytes.IndexByte(text, ' ')
	if i < 0 || clean(text) < len(text) {
		return AppendString(dst, text)
	}
	dst = append(dst, '"')
	dst = append(dst, text[:i]...)
	dst = append(dst, 'T')
	clock, before := bytes.CutSuffix(text[i+1:], []byte(" BC"))
	dst = append(dst, clock...)
	if n := len(clock) - 3; zoned && n >= 0 && (clock[n] == '+' || clock[n] == '-') {
		dst = append(dst, ":00"...)
	}
	if before {
		dst = append(dst, " BC"...)
	}
	return append(dst, '"')
}
