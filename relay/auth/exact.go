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

// exactObject is one JSON object that has one reading; not ok where text is anything else. A decoder that is less
// strict than Postgres or the issuer would take another value for what was signed: the last of two equal names (RFC
// 7519, section 4, lets a reader refuse those), U+FFFD for half a surrogate pair or a byte that is no UTF-8, the first
// of two values. Numbers are json.Number.
func exactObject(text []byte) (object map[string]any, ok bool) {
	if !utf8.Valid(text) || !paired(text) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil || object == nil {
		return nil, false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, false
	}
	// Of members with the same name the last alone is there.
	count, ok := members(object, maxDepth)
	return object, ok && count == colons(text)
}

// members counts the members of all objects in a value; not ok where it is nested more than depth levels.
func members(value any, depth int) (count int, ok bool) {
	object, isObject := value.(map[string]any)
	array, isArray := value.([]any)
	if depth == 0 && (isObject || isArray) {
		return 0, false
	}
	for _, element := range object {
		n, ok := members(element, depth-1)
		if !ok {
			return 0, false
		}
		count += 1 + n
	}
	for _, element := range array {
		n, ok := members(element, depth-1)
		if !ok {
			return 0, false
		}
		count += n
	}
	return count, true
}

// colons counts those that stand between a member's name and its value.
func colons(text []byte) (count int) {
	inString := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // what it escapes is in the string
		case '"':
			inString = !inString
		case ':':
			if !inString {
				count++
			}
		}
	}
	return count
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
