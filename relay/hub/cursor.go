package hub

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"pgrelay/relay"
)

// A cursor is base64url of 33 bytes: 8 name the source, 16 the shape, 1 is the version, 8 the position.
// The first 24 are the same for all cursors of a shape, and their text ends on a boundary of the encoding.
const (
	cursorVersion = 1
	prefixBytes   = 24
	cursorBytes   = prefixBytes + 9
	cursorText    = cursorBytes * 4 / 3
)

// ErrCursor tells of a text that is no cursor.
var ErrCursor = errors.New("not a cursor")

// prefix is the constant part of a shape's cursors.
type prefix [prefixBytes]byte

// newPrefix hashes what identifies a source (system identifier, database, timeline, epoch) and what a shape
// (relation, rules with their claim values, where, params, columns, schema, key).
func newPrefix(source, shape string) (p prefix) {
	s := sha256.Sum256([]byte(source))
	h := sha256.Sum256([]byte(shape))
	copy(p[:8], s[:])
	copy(p[8:], h[:16])
	return p
}

// appendText appends the part that all cursors of the shape begin with.
func (p prefix) appendText(dst []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(dst, p[:])
}

// appendPosition appends the part that follows it.
func appendPosition(dst []byte, lsn relay.LSN) []byte {
	var b [9]byte
	b[0] = cursorVersion
	binary.BigEndian.PutUint64(b[1:], uint64(lsn))
	return base64.RawURLEncoding.AppendEncode(dst, b[:])
}

// parseCursor reads a cursor.
func parseCursor(text string) (p prefix, lsn relay.LSN, err error) {
	if len(text) != cursorText {
		return p, 0, ErrCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorBytes || b[prefixBytes] != cursorVersion {
		return p, 0, ErrCursor
	}
	copy(p[:], b)
	return p, relay.LSN(binary.BigEndian.Uint64(b[prefixBytes+1:])), nil
}
