package value

// quotedArray measures an element up to its closing quote, which it must have; a backslash escapes the byte after it.
func quotedArray(s []byte) (length int, escapes, ok bool) {
	for i := clean(s); i < len(s); i += clean(s[i:]) {
		switch s[i] {
		case '"':
			return i, escapes, true
		case '\\':
			escapes = true
			i++
		}
		if i++; i > len(s) {
			break
		}
	}
	return 0, false, false
}

// quotedRecord measures an attribute up to its closing quote, which it must have; a backslash escapes the byte after it,
// and a doubled quote is one.
func quotedRecord(s []byte) (length int, escapes, ok bool) {
	for i := clean(s); i < len(s); i += clean(s[i:]) {
		switch s[i] {
		case '"':
			if i+1 == len(s) || s[i+1] != '"' {
				return i, escapes, true
			}
			escapes = true
			i++
		case '\\':
			escapes = true
			i++
		}
		if i++; i > len(s) {
			break
		}
	}
	return 0, false, false
}

// appendUnquoted appends what stands for itself in a quoted element or attribute: of a backslash and the byte after it,
// and of a doubled quote, the second.
func appendUnquoted(dst, quoted []byte) []byte {
	for len(quoted) > 0 {
		n := clean(quoted)
		dst = append(dst, quoted[:n]...)
		if quoted = quoted[n:]; len(quoted) == 0 {
			break
		}
		if c := quoted[0]; (c == '"' || c == '\\') && len(quoted) > 1 {
			quoted = quoted[1:]
		}
		dst = append(dst, quoted[0])
		quoted = quoted[1:]
	}
	return dst
}
