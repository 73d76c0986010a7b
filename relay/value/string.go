package value

import (
	"encoding/binary"
	"math/bits"
)

// AppendString appends s, which must be UTF-8, as a JSON string, escaped as Postgres' escape_json does.
func AppendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for {
		n := clean(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// AppendText is AppendString for a Go string.
func AppendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		if escaped(s[i]) {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, s[i])
			start = i + 1
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// escaped tells whether JSON wants the byte escaped in a string.
// https://www.rfc-editor.org/rfc/rfc8259#section-7
func escaped(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

// clean is the length of the longest prefix of s without a byte that is escaped; it looks at eight bytes at a time.
func clean(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if mask := marks(binary.LittleEndian.Uint64(s[i:])); mask != 0 {
			return i + bits.TrailingZeros64(mask)/8
		}
	}
	if rest := len(s) - i; rest > 0 && i > 0 {
		// The last eight bytes again; those before i are known to be clean.
		if mask := marks(binary.LittleEndian.Uint64(s[len(s)-8:])); mask != 0 {
			return len(s) - 8 + bits.TrailingZeros64(mask)/8
		}
		return len(s)
	}
	for ; i < len(s); i++ {
		if escaped(s[i]) {
			return i
		}
	}
	return len(s)
}

// marks sets the highest bit of each byte that is escaped. Bits above the lowest set one may be wrong, that one never is.
// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
func marks(x uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote := x ^ ones*'"'
	backslash := x ^ ones*'\\'
	return ((x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
}

const hexDigits = "0123456789abcdef"

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
