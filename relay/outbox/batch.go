package outbox

import (
	"encoding/binary"
	"errors"
)

// The bounds of what is read before the handler's lock is taken. One row of the outbox may be larger: triggers pack up to
// 256 KiB of rows, and a row of the table alone may be as large as Postgres lets it.
const (
	batchBytes = 64 << 10
	batchRows  = 256
)

// outboxRow is a row of the outbox; its slices alias the batch's bytes.
type outboxRow struct {
	xid      uint64
	relation uint32
	kind     byte
	at       int64 // when the transaction wrote last, in Unix microseconds
	old, new rowTexts
}

// rowTexts are the elements of a text[] in binary form, each with its length before it.
type rowTexts struct {
	count int
	bytes []byte
}

// batch is rows that were read and not handed over yet.
type batch struct {
	rows  []outboxRow
	bytes []byte
}

func (b *batch) reset() {
	b.rows = b.rows[:0]
	if cap(b.bytes) > 4*batchBytes {
		b.bytes = nil
	}
	b.bytes = b.bytes[:0]
}

func (b *batch) full() bool { return len(b.rows) >= batchRows || len(b.bytes) >= batchBytes }

var errRow = errors.New("a row of the outbox has another form than it should")

// postgresEpoch is 2000-01-01 in Unix microseconds, where Postgres counts from.
const postgresEpoch = 946684800 * 1_000_000

// add copies a row of rowsSQL's result.
func (b *batch) add(values [][]byte) error {
	if len(values) != 6 || len(values[0]) != 8 || len(values[1]) != 4 || len(values[2]) != 1 || len(values[3]) != 8 {
		return errRow
	}
	row := outboxRow{
		xid: binary.BigEndian.Uint64(values[0]), relation: binary.BigEndian.Uint32(values[1]), kind: values[2][0],
		at: int64(binary.BigEndian.Uint64(values[3])) + postgresEpoch,
	}
	var err error
	if row.old, err = b.texts(values[4]); err != nil {
		return err
	}
	if row.new, err = b.texts(values[5]); err != nil {
		return err
	}
	b.rows = append(b.rows, row)
	return nil
}

// texts copies an array. Its header is dimensions, flags, the element's type, length, lower bound, 4 bytes each (array_send).
func (b *batch) texts(array []byte) (rowTexts, error) {
	if len(array) == 0 {
		return rowTexts{}, nil
	}
	if len(array) < 20 || binary.BigEndian.Uint32(array) != 1 {
		return rowTexts{}, errRow
	}
	from := len(b.bytes)
	b.bytes = append(b.bytes, array[20:]...)
	return rowTexts{count: int(binary.BigEndian.Uint32(array[12:])), bytes: b.bytes[from:len(b.bytes):len(b.bytes)]}, nil
}

// next returns the next element, which is valid as long as the batch is.
func (t *rowTexts) next() ([]byte, error) {
	if len(t.bytes) < 4 {
		return nil, errRow
	}
	size := int(int32(binary.BigEndian.Uint32(t.bytes)))
	if size < 0 || size > len(t.bytes)-4 {
		return nil, errRow
	}
	text := t.bytes[4 : 4+size]
	t.bytes = t.bytes[4+size:]
	return text, nil
}
