package predicate

import "unsafe"

// datum is a value. What holds it depends on its type:
//
//	i   bool (0, 1), integers, oid, float (the bits of a float64), date (days since 2000), time, timestamp (µs since 2000)
//	s   text, varchar, char(n), name, "char", json, enum (its label); numeric, uuid, bytea (the text that Postgres prints)
//	x   interval, jsonb, inet, cidr, arrays, ranges
//
// A string aliases the row's bytes and lives as long as these.
type datum struct {
	s    string
	x    any
	i    int64
	null bool
}

func boolean(b bool) datum {
	if b {
		return datum{i: 1}
	}
	return datum{}
}

var nullDatum = datum{null: true}

// alias is the bytes as a string, without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Truth is the value of a predicate.
type Truth uint8

// The truth values. A row is visible where a predicate is True, never else.
const (
	False Truth = iota
	True
	Null
	Failed
)

// String is what Postgres prints for it.
func (t Truth) String() string {
	return [...]string{"false", "true", "null", "error"}[t&3]
}

func (d datum) truth() Truth {
	if d.null {
		return Null
	}
	return Truth(d.i)
}

func (t Truth) datum() datum {
	if t == Null {
		return nullDatum
	}
	return datum{i: int64(t)}
}
