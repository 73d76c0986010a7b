package wal

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgrelay/relay"
)

// The builders write messages as the documentation lays them out.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

var (
	u16 = binary.BigEndian.AppendUint16
	u32 = binary.BigEndian.AppendUint32
	u64 = binary.BigEndian.AppendUint64
)

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// tuple makes TupleData of strings; nil is null, a rune an unchanged TOAST value.
func tuple(values ...any) []byte {
	b := u16(nil, uint16(len(values)))
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case rune:
			b = append(b, 'u')
		case string:
			b = append(u32(append(b, 't'), uint32(len(v))), v...)
		}
	}
	return b
}

// sample is a valid message of each kind and what it says.
type sample struct {
	name    string
	message []byte
	want    Message
}

func samples() []sample {
	const table = 4711
	at := time.Date(2026, 11, 24, 3, 13, 31, 123456000, time.UTC)
	pgTime := u64(nil, uint64(at.UnixMicro()-postgresEpoch))
	row, key, full := tuple("1", "open", nil), tuple("1", nil, nil), tuple("1", "paid", "x")
	old, fresh := append([]byte{'O'}, full...), append([]byte{'N'}, row...)
	return []sample{
		{"begin", join([]byte{'B'}, u64(nil, 0x1_0000_0002), pgTime, u32(nil, 77)),
			Message{Kind: KindBegin, Final: 0x1_0000_0002, Time: at.UnixMicro(), XID: 77}},
		{"commit", join([]byte{'C', 0}, u64(nil, 500), u64(nil, 540), pgTime),
			Message{Kind: KindCommit, End: 540, Time: at.UnixMicro()}},
		{"relation", join([]byte{'R'}, u32(nil, table), []byte("shop\x00orders\x00d"), u16(nil, 2),
			[]byte("\x01id\x00"), u32(nil, 20), u32(nil, 0xffffffff), []byte("\x00amount\x00"), u32(nil, 1700), u32(nil, 786438)),
			Message{Kind: KindRelation, Relation: table, Schema: "shop", Table: "orders",
				Columns: []StreamColumn{{"id", 20, -1, true}, {"amount", 1700, 786438, false}}}},
		{"relation of pg_catalog, without columns", join([]byte{'R'}, u32(nil, table), []byte("\x00t\x00n"), u16(nil, 0)),
			Message{Kind: KindRelation, Relation: table, Schema: "pg_catalog", Table: "t", Columns: []StreamColumn{}}},
		{"insert", join([]byte{'I'}, u32(nil, table), fresh),
			Message{Kind: KindInsert, Relation: table, New: row}},
		{"update", join([]byte{'U'}, u32(nil, table), fresh),
			Message{Kind: KindUpdate, Relation: table, New: row}},
		{"update of the key", join([]byte{'U'}, u32(nil, table), []byte{'K'}, key, fresh),
			Message{Kind: KindUpdate, Relation: table, Old: key, OldTag: 'K', New: row}},
		{"update with the old row", join([]byte{'U'}, u32(nil, table), old, fresh),
			Message{Kind: KindUpdate, Relation: table, Old: full, OldTag: 'O', New: row}},
		{"delete by key", join([]byte{'D'}, u32(nil, table), []byte{'K'}, key),
			Message{Kind: KindDelete, Relation: table, Old: key, OldTag: 'K'}},
		{"delete with the old row", join([]byte{'D'}, u32(nil, table), old),
			Message{Kind: KindDelete, Relation: table, Old: full, OldTag: 'O'}},
		{"truncate", join([]byte{'T'}, u32(nil, 2), []byte{1}, u32(nil, 5), u32(nil, 6)),
			Message{Kind: KindTruncate, Relations: []uint32{5, 6}}},
		{"type", join([]byte{'Y'}, u32(nil, 16400), []byte("public\x00mood\x00")), Message{Kind: KindType}},
		{"origin", join([]byte{'O'}, u64(nil, 9), []byte("elsewhere\x00")), Message{Kind: KindOrigin}},
		{"message", join([]byte{'M', 0}, u64(nil, 9), []byte("pgrelay\x00"), u32(nil, 1), []byte("x")), Message{Kind: KindMessage}},
	}
}

func TestParse(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			var m Message
			if err := m.Parse(s.message); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m, s.want) {
				t.Errorf("got  %+v\nwant %+v", m, s.want)
			}
		})
	}
}

func TestCommitTimeIsUTC(t *testing.T) {
	var m Message
	if err := m.Parse(samples()[0].message); err != nil {
		t.Fatal(err)
	}
	if got, want := m.CommitTime().Format(time.RFC3339Nano), "2026-11-24T03:13:31.123456Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestReuse parses every sample after every other into one Message: no tuple of the one before shows.
func TestReuse(t *testing.T) {
	for _, first := range samples() {
		for _, then := range samples() {
			var m Message
			for _, s := range []sample{first, then} {
				if err := m.Parse(s.message); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(m.Old, then.want.Old) || !slices.Equal(m.New, then.want.New) || m.OldTag != then.want.OldTag {
				t.Errorf("%s after %s: got old %q (%q) and new %q", then.name, first.name, m.Old, m.OldTag, m.New)
			}
		}
	}
}

func TestTruncatedMessages(t *testing.T) {
	for _, s := range samples() {
		for n := range len(s.message) {
			var m Message
			err := m.Parse(s.message[:n:n])
			if err == nil {
				// The new tuple is read where it is decoded.
				_, _, err = m.New.Values(nil)
				if m.New == nil && (s.name == "type" || s.name == "origin" || s.name == "message") && n > 0 {
					continue // the relay reads no more of these than their kind
				}
			}
			if !errors.Is(err, ErrMessage) && !errors.Is(err, relay.ErrTuple) {
				t.Errorf("%s cut to %d bytes: got %v", s.name, n, err)
			}
		}
	}
}

func TestUnknownKinds(t *testing.T) {
	for _, message := range []string{"", "S", "x", "\x00"} {
		if err := new(Message).Parse([]byte(message)); !errors.Is(err, ErrMessage) {
			t.Errorf("%q: got %v, want ErrMessage", message, err)
		}
	}
}

func TestRowsAllocateNothing(t *testing.T) {
	var m Message
	for _, s := range samples() {
		switch s.message[0] {
		case KindBegin, KindCommit, KindInsert, KindUpdate, KindDelete, KindTruncate:
			if n := testing.AllocsPerRun(100, func() { _ = m.Parse(s.message) }); n != 0 {
				t.Errorf("%s: %v allocations", s.name, n)
			}
		}
	}
}

// FuzzParse holds that no bytes make Parse panic, and that what it returns lies within them.
func FuzzParse(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.message)
	}
	f.Add(join([]byte{'T'}, u32(nil, 0x40000001), []byte{0, 1, 2, 3, 4}))
	f.Add(join([]byte{'R'}, u32(nil, 1), []byte("s\x00t\x00d"), u16(nil, 0xffff)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if m.Parse(b) != nil {
			return
		}
		if len(m.Old)+len(m.New) > len(b) || len(m.Relations)*4 > len(b) || len(m.Columns) > len(b) {
			t.Errorf("%q: the parts are larger than the whole: %+v", b, m)
		}
		for _, part := range []relay.Tuple{m.Old, m.New} {
			if part == nil {
				continue
			}
			values, rest, err := part.Values(nil)
			if err == nil && len(values) > len(part)-len(rest) {
				t.Errorf("%q: %d values in %d bytes", b, len(values), len(part))
			}
		}
	})
}
