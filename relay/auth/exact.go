package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deeply objects and arrays may be nested.
const maxDepth = 64

// exactObject tells whether text is one JSON object that has one reading. A decoder that is less strict than Postgres
// or the issuer would take another value for what was signed: the last of two equal names (RFC 7519, section 4, lets a
// reader refuse those), U+FFFD for half a surrogate pair or a byte that is no UTF-8, the first of two values.
func exactObject(text []byte) bool {
	first := bytes.TrimLeft(text, " \t\r\n")
	if len(first) == 0 || first[0] != '{' || !utf8.Valid(text) || !paired(text) {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if !exactValue(decoder, maxDepth) {
		return false
	}
	_, err := decoder.Token()
	return err == io.EOF
}

// exactValue reads one value, at most depth levels of it.
func exactValue(decoder *json.Decoder, depth int) bool {
	token, err := decoder.Token()
	delim, nested := token.(json.Delim)
	if err != nil || !nested {
		return err == nil
	}
	if depth == 0 {
		return false
	}
	seen := map[string]struct{}{}
	for decoder.More() {
		if delim == '{' && !fresh(decoder, seen) || !exactValue(decoder, depth-1) {
			return false
		}
	}
	_, err = decoder.Token() // the end, or where the text breaks off
	return err == nil
}

// fresh reads a member's name that is none of those seen.
func fresh(decoder *json.Decoder, seen map[string]struct{}) bool {
	token, err := decoder.Token()
	name, ok := token.(string)
	if err != nil || !ok {
		return false
	}
	_, again := seen[name]
	seen[name] = struct{}{}
	return !again
}

// paired tells whether every escaped surrogate has its other half (RFC 8259, section 7).
func paired(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 || at+1 >= len(text) {
			return true
		}
		text = text[at:]
		first := escaped(text)
		if !utf16.IsSurrogate(first) {
			text = text[2:]
			continue
		}
		if utf16.DecodeRune(first, escaped(text[6:])) == utf8.RuneError {
			return false
		}
		text = text[12:]
	}
}

// escaped is the code unit of the escape \uXXXX that text begins with, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}
