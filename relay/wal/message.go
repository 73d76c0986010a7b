package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"pgrelay/relay"
)

// ErrMessage tells of bytes that are no pgoutput message.
var ErrMessage = errors.New("malformed pgoutput message")

// postgresEpoch is 2000-01-01 in Unix microseconds, where Postgres counts from.
const postgresEpoch = 946684800 * 1_000_000

// The kinds of pgoutput messages that the relay reads.
const (
	KindBegin    = 'B'
	KindCommit   = 'C'
	KindRelation = 'R'
	KindInsert   = 'I'
	KindUpdate   = 'U'
	KindDelete   = 'D'
	KindTruncate = 'T'
	KindType     = 'Y'
	KindOrigin   = 'O'
	KindMessage  = 'M'
)

// Message is one pgoutput message of protocol version 1, parsed in place: its slices alias the input.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
type Message struct {
	Kind byte
	// XID (Begin) is the transaction's 32-bit id.
	XID uint32
	// Time (Begin, Commit) is the commit time in Unix microseconds.
	Time int64
	// Final (Begin) is the position of the commit record, which lies before the transaction's End.
	Final relay.LSN
	// End (Commit) is the position after the commit record, from which a stream goes on.
	End relay.LSN
	// Relation (Relation, Insert, Update, Delete) is the table's oid.
	Relation uint32
	// Relations (Truncate) are the tables' oids.
	Relations []uint32
	// Old is the old tuple of an update or delete, nil when there is none; OldTag is 'K' or 'O'.
	Old    relay.Tuple
	OldTag byte
	// New is the new tuple of an insert or update.
	New relay.Tuple
	// Schema, Table and Columns (Relation) describe the table as the following tuples have it.
	Schema, Table string
	Columns       []StreamColumn
}

// StreamColumn is a column as a Relation message describes it.
type StreamColumn struct {
	Name     string
	Type     uint32
	Modifier int32
	// Key tells that it belongs to the replica identity; with FULL every column does.
	Key bool
}

// CommitTime is Time as a time in UTC.
func (m *Message) CommitTime() time.Time { return time.UnixMicro(m.Time).UTC() }

// Parse reads a message into m. Insert, update and delete allocate nothing.
func (m *Message) Parse(b []byte) error {
	if len(b) == 0 {
		return ErrMessage
	}
	m.Kind = b[0]
	m.Old, m.New, m.OldTag = nil, nil, 0
	body := b[1:]
	switch m.Kind {
	case KindInsert:
		return m.parseRow(body)
	case KindUpdate, KindDelete:
		return m.parseRow(body)
	case KindBegin:
		if len(body) < 20 {
			return ErrMessage
		}
		m.Final = relay.LSN(binary.BigEndian.Uint64(body))
		m.Time = int64(binary.BigEndian.Uint64(body[8:])) + postgresEpoch
		m.XID = binary.BigEndian.Uint32(body[16:])
	case KindCommit:
		if len(body) < 25 {
			return ErrMessage
		}
		m.End = relay.LSN(binary.BigEndian.Uint64(body[9:]))
		m.Time = int64(binary.BigEndian.Uint64(body[17:])) + postgresEpoch
	case KindTruncate:
		return m.parseTruncate(body)
	case KindRelation:
		return m.parseRelation(body)
	case KindType, KindOrigin, KindMessage:
	default:
		return fmt.Errorf("%w: kind %q", ErrMessage, m.Kind)
	}
	return nil
}

func (m *Message) parseRow(b []byte) error {
	if len(b) < 5 {
		return ErrMessage
	}
	m.Relation = binary.BigEndian.Uint32(b)
	b = b[4:]
	if b[0] == 'K' || b[0] == 'O' {
		m.OldTag = b[0]
		rest, err := relay.Tuple(b[1:]).Skip()
		if err != nil {
			return err
		}
		m.Old = relay.Tuple(b[1 : len(b)-len(rest)])
		b = rest
	}
	if m.Kind == KindDelete {
		if m.Old == nil {
			return ErrMessage
		}
		return nil
	}
	if len(b) == 0 || b[0] != 'N' {
		return ErrMessage
	}
	m.New = relay.Tuple(b[1:])
	return nil
}

func (m *Message) parseTruncate(b []byte) error {
	if len(b) < 5 {
		return ErrMessage
	}
	n := int(binary.BigEndian.Uint32(b))
	b = b[5:]
	if n < 0 || len(b)/4 < n {
		return ErrMessage
	}
	m.Relations = m.Relations[:0]
	for i := range n {
		m.Relations = append(m.Relations, binary.BigEndian.Uint32(b[4*i:]))
	}
	return nil
}

func (m *Message) parseRelation(b []byte) error {
	if len(b) < 4 {
		return ErrMessage
	}
	m.Relation = binary.BigEndian.Uint32(b)
	var ok bool
	if m.Schema, b, ok = cutString(b[4:]); !ok {
		return ErrMessage
	}
	if m.Schema == "" {
		m.Schema = "pg_catalog"
	}
	if m.Table, b, ok = cutString(b); !ok || len(b) < 3 {
		return ErrMessage
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	m.Columns = make([]StreamColumn, 0, min(n, len(b)/10))
	for range n {
		if len(b) < 1 {
			return ErrMessage
		}
		c := StreamColumn{Key: b[0]&1 != 0}
		if c.Name, b, ok = cutString(b[1:]); !ok || len(b) < 8 {
			return ErrMessage
		}
		c.Type = binary.BigEndian.Uint32(b)
		c.Modifier = int32(binary.BigEndian.Uint32(b[4:]))
		b = b[8:]
		m.Columns = append(m.Columns, c)
	}
	return nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}
