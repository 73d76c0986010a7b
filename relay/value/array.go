package value

import "bytes"

// maxDimensions is the server's MAXDIM.
const maxDimensions = 6

// appendArray writes the text form of an array as array_out prints it; lower bounds are dropped, as by to_json.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
func (e *Encoder) appendArray(dst, text []byte) ([]byte, bool) {
	s := text
	if len(s) > 0 && s[0] == '[' {
		s = s[bytes.IndexByte(s, '=')+1:]
	}
	depth := 0
	// Whether an element or a brace that opens may come, and whether the brace before was one that opens.
	want, opened := true, false
	for len(s) > 0 {
		c := s[0]
		switch {
		case want && c == '{' && depth < maxDimensions:
			dst = append(dst, '[')
			depth++
			opened = true
			s = s[1:]
		case (!want || opened) && c == '}' && depth > 0:
			dst = append(dst, ']')
			depth--
			s = s[1:]
			if depth == 0 {
				return dst, len(s) == 0
			}
			want, opened = false, false
		case !want && c == e.delimiter:
			dst = append(dst, ',')
			want = true
			s = s[1:]
		case want && depth > 0:
			var ok bool
			if dst, s, ok = e.appendElement(dst, s); !ok {
				return dst, false
			}
			want, opened = false, false
		default:
			return dst, false
		}
	}
	return dst, false
}

// appendElement writes the element that s begins with and returns what follows it.
func (e *Encoder) appendElement(dst, s []byte) (out, rest []byte, ok bool) {
	if s[0] == '"' {
		n, escapes, ok := quotedArray(s[1:])
		if !ok {
			return dst, s, false
		}
		return e.element.appendQuoted(dst, s[1:1+n], escapes), s[n+2:], true
	}
	n := 0
	for n < len(s) && s[n] != e.delimiter && s[n] != '}' {
		switch s[n] {
		case '{', '"', '\\':
			return dst, s, false
		}
		n++
	}
	if n == 0 {
		return dst, s, false
	}
	if string(s[:n]) == "NULL" {
		return append(dst, "null"...), s[n:], true
	}
	return e.element.Append(dst, s[:n]), s[n:], true
}

// appendVector writes the text form of int2vector and oidvector, whose elements are separated by blanks.
func (e *Encoder) appendVector(dst, text []byte) ([]byte, bool) {
	dst = append(dst, '[')
	for i := 0; len(text) > 0; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var element []byte
		element, text, _ = bytes.Cut(text, []byte{' '})
		dst = e.element.Append(dst, element)
	}
	return append(dst, ']'), true
}
