package value

// appendComposite writes the text form of a row as record_out prints it, as an object.
// Another number of attributes than the type has makes it malformed.
// https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX
func (e *Encoder) appendComposite(dst, text []byte) ([]byte, bool) {
	if len(e.fields) == 0 {
		return append(dst, "{}"...), string(text) == "()"
	}
	if len(text) == 0 || text[0] != '(' {
		return dst, false
	}
	s := text[1:]
	for i := range e.fields {
		dst = append(dst, e.fields[i].prefix...)
		var ok bool
		if dst, s, ok = e.fields[i].encoder.appendAttribute(dst, s); !ok {
			return dst, false
		}
		separator := byte(',')
		if i == len(e.fields)-1 {
			separator = ')'
		}
		if len(s) == 0 || s[0] != separator {
			return dst, false
		}
		s = s[1:]
	}
	return append(dst, '}'), len(s) == 0
}

// appendAttribute writes the attribute that s begins with, nothing at all being null, and returns what follows it.
func (e *Encoder) appendAttribute(dst, s []byte) (out, rest []byte, ok bool) {
	if len(s) > 0 && s[0] == '"' {
		n, escapes, ok := quotedRecord(s[1:])
		if !ok {
			return dst, s, false
		}
		return e.appendQuoted(dst, s[1:1+n], escapes), s[n+2:], true
	}
	n := 0
	for n < len(s) && s[n] != ',' && s[n] != ')' {
		switch s[n] {
		case '(', '"', '\\':
			return dst, s, false
		}
		n++
	}
	if n == 0 {
		return append(dst, "null"...), s, true
	}
	return e.Append(dst, s[:n]), s[n:], true
}
