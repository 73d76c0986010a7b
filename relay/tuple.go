package relay

import (
	"encoding/binary"
	"errors"
)

// Tuple is a row's values in the form of pgoutput's TupleData: an int16 count, then for each column a byte
// ('n' null, 'u' unchanged TOAST, 't' text) and, for text, an int32 length and the value in text form.
// It aliases the buffer that it was read into.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
type Tuple []byte

// Value is one column of a tuple. Kind is 'n', 'u' or 't'; Text aliases the tuple and is nil unless Kind is 't'.
type Value struct {
	Kind byte
	Text []byte
}

// The kinds of values in a tuple.
const (
	ValueNull      = 'n'
	ValueUnchanged = 'u'
	ValueText      = 't'
)

// ErrTuple tells of bytes that are no TupleData.
var ErrTuple = errors.New("malformed tuple")

// Values appends the tuple's values to dst and returns them with the bytes that follow the tuple.
// Nothing is allocated where dst has room.
func (t Tuple) Values(dst []Value) ([]Value, []byte, error) {
	if len(t) < 2 {
		return dst, nil, ErrTuple
	}
	n := int(binary.BigEndian.Uint16(t))
	b := []byte(t[2:])
	for range n {
		if len(b) == 0 {
			return dst, nil, ErrTuple
		}
		kind := b[0]
		b = b[1:]
		switch kind {
		case ValueNull, ValueUnchanged:
			dst = append(dst, Value{Kind: kind})
		case ValueText:
			if len(b) < 4 {
				return dst, nil, ErrTuple
			}
			size := int(binary.BigEndian.Uint32(b))
			if size < 0 || len(b)-4 < size {
				return dst, nil, ErrTuple
			}
			dst = append(dst, Value{Kind: kind, Text: b[4 : 4+size : 4+size]})
			b = b[4+size:]
		default:
			return dst, nil, ErrTuple
		}
	}
	return dst, b, nil
}

// Skip returns the bytes that follow the tuple.
func (t Tuple) Skip() ([]byte, error) {
	var buf [32]Value
	_, rest, err := t.Values(buf[:0])
	return rest, err
}
