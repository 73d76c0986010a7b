package outbox

import (
	"encoding/binary"
	"errors"

	"pgrelay/relay"
)

// errRecord tells of a text that is no record of a layout.
var errRecord = errors.New("malformed record")

// appendTuple appends the tuple of a row that record_out printed: (1,"a ""b""",,""), where nothing is null and "" is empty.
// captured says which fields the tuple has. A record of another number of fields is an error.
// https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX
func appendTuple(dst, text []byte, captured []bool) (relay.Tuple, error) {
	if len(text) < 2 || text[0] != '(' {
		return dst, errRecord
	}
	start := len(dst)
	dst = append(dst, 0, 0)
	columns := 0
	b := text[1:]
	for field := 0; ; field++ {
		if field == len(captured) {
			return dst, errRecord
		}
		before := len(dst)
		var err error
		if dst, b, err = appendField(dst, b); err != nil {
			return dst, err
		}
		if captured[field] {
			columns++
		} else {
			dst = dst[:before]
		}
		if len(b) == 1 && b[0] == ')' && field == len(captured)-1 {
			binary.BigEndian.PutUint16(dst[start:], uint16(columns))
			return dst, nil
		}
		if len(b) == 0 || b[0] != ',' {
			return dst, errRecord
		}
		b = b[1:]
	}
}

// appendField appends one value and returns what follows it: a comma or a parenthesis.
func appendField(dst, b []byte) (_, rest []byte, err error) {
	if len(b) == 0 {
		return dst, nil, errRecord
	}
	if b[0] == ',' || b[0] == ')' {
		return append(dst, relay.ValueNull), b, nil
	}
	dst = append(dst, relay.ValueText, 0, 0, 0, 0)
	from := len(dst)
	if b[0] != '"' {
		end := 0
		for end < len(b) && b[end] != ',' && b[end] != ')' {
			if b[end] == '"' || b[end] == '\\' || b[end] == '(' {
				return dst, nil, errRecord // it would be in quotes
			}
			end++
		}
		dst = append(dst, b[:end]...)
		rest = b[end:]
	} else if dst, rest, err = appendQuoted(dst, b[1:]); err != nil {
		return dst, nil, err
	}
	binary.BigEndian.PutUint32(dst[from-4:], uint32(len(dst)-from))
	return dst, rest, nil
}

// appendQuoted appends what is in quotes: record_out doubles quotes and backslashes and escapes nothing else.
func appendQuoted(dst, b []byte) (_, rest []byte, err error) {
	plain := 0
	for i := 0; i < len(b); i++ {
		if b[i] != '"' && b[i] != '\\' {
			continue
		}
		dst = append(dst, b[plain:i]...)
		doubled := i+1 < len(b) && b[i+1] == b[i]
		switch {
		case doubled:
			dst = append(dst, b[i])
			i++
			plain = i + 1
		case b[i] == '"':
			return dst, b[i+1:], nil
		default:
			return dst, nil, errRecord
		}
	}
	return dst, nil, errRecord
}

// fields counts a record's fields; -1 where it is none.
func fields(text []byte) int {
	if len(text) < 2 || text[0] != '(' || text[len(text)-1] != ')' {
		return -1
	}
	n, quoted := 1, false
	for _, c := range text[1 : len(text)-1] {
		switch {
		case c == '"':
			quoted = !quoted // a doubled quote changes nothing
		case c == ',' && !quoted:
			n++
		}
	}
	return n
}
