package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// layout is the columns that a table had from a delivery on.
type layout struct {
	n        int64
	columns  []Column // the captured ones
	captured []bool   // of all
}

// same tells that rows read by one are read alike by the other.
func (l *layout) same(o *layout) bool {
	return slices.Equal(l.columns, o.columns) && slices.Equal(l.captured, o.captured)
}

// layouts are what is known of each table, the oldest first.
type layouts map[uint32][]*layout

// parseLayout reads what relay.columns_of made.
func parseLayout(n int64, text []byte) (*layout, error) {
	var columns [][3]any
	if err := json.Unmarshal(text, &columns); err != nil {
		return nil, fmt.Errorf("read a table's columns: %w", err)
	}
	l := &layout{n: n}
	for _, c := range columns {
		name, _ := c[0].(string)
		oid, _ := c[1].(float64)
		captured, _ := c[2].(bool)
		l.captured = append(l.captured, captured)
		if captured {
			l.columns = append(l.columns, Column{Name: name, Type: uint32(oid)})
		}
	}
	return l, nil
}

// note adds the layouts that delivery n brought: an object of columns by the table's oid; nil for none.
func (k layouts) note(n int64, text []byte) error {
	if text == nil {
		return nil
	}
	var tables map[string]json.RawMessage
	if err := json.Unmarshal(text, &tables); err != nil {
		return fmt.Errorf("read the columns of delivery %d: %w", n, err)
	}
	for table, columns := range tables {
		oid, err := strconv.ParseUint(table, 10, 32)
		if err != nil {
			return fmt.Errorf("read the columns of delivery %d: %w", n, err)
		}
		l, err := parseLayout(n, columns)
		if err != nil {
			return err
		}
		k[uint32(oid)] = append(k[uint32(oid)], l)
	}
	return nil
}

// forget drops what only deliveries up to n need.
func (k layouts) forget(n int64) {
	for table, all := range k {
		first := 0
		for first+1 < len(all) && all[first+1].n <= n {
			first++
		}
		k[table] = all[first:]
	}
}

// of is the layout of a row of delivery n that has so many fields; nil where that can't be told. Where the columns changed
// since the delivery before, its rows may be of either form: ALTER TABLE waits for the table's writers, and they for it, but
// the order of their ids is unknown.
func (k layouts) of(table uint32, n int64, fields int) *layout {
	all := k[table]
	i := len(all) - 1
	for i > 0 && all[i].n > n {
		i--
	}
	if i < 0 {
		return nil
	}
	now := all[i]
	fits := len(now.captured) == fields
	if now.n != n || i == 0 {
		if !fits {
			return nil
		}
		return now
	}
	before := all[i-1]
	fitted := len(before.captured) == fields
	switch {
	case fits && (!fitted || now.same(before)):
		return now
	case fitted && !fits:
		return before
	}
	return nil
}
