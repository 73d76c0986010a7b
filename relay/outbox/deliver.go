package outbox

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// deliverer hands a delivery over.
type deliverer struct {
	h       Handler
	layouts layouts
	told    map[uint32]*layout // what the handler knows of each table
	batch   batch
	old     []byte
	new     []byte

	n          int64
	skip       int // so many of the delivery's first transactions are left out
	place      int // of the open transaction
	xid        uint64
	open       bool
	truncated  []uint32
	unreadable map[uint32]bool // tables of this delivery that the handler was told of
}

func newDeliverer(h Handler, k layouts) *deliverer {
	return &deliverer{h: h, layouts: k, told: map[uint32]*layout{}, unreadable: map[uint32]bool{}}
}

// errPlaces: a delivery has more transactions than a position can tell apart.
var errPlaces = fmt.Errorf("%w: more than %d transactions in one delivery", ErrGap, lastPlace-1)

// run hands the rows of delivery n over, whose snapshot is s1, but for its first skip transactions.
func (d *deliverer) run(n int64, skip int, s1 string, rows *pgconn.ResultReader) error {
	d.n, d.skip, d.place, d.open, d.truncated = n, skip, 0, false, d.truncated[:0]
	d.batch.reset()
	clear(d.unreadable)
	for rows.NextRow() {
		if err := d.batch.add(rows.Values()); err != nil {
			return err
		}
		if d.batch.full() {
			if err := d.flush(); err != nil {
				return err
			}
		}
	}
	if _, err := rows.Close(); err != nil {
		return fmt.Errorf("read delivery %d: %w", n, err)
	}
	if err := d.flush(); err != nil {
		return err
	}
	d.h.Lock()
	defer d.h.Unlock()
	if d.open {
		d.endTruncate()
		d.h.Commit(wholly(n))
	}
	d.h.Advance(wholly(n), s1)
	return nil
}

// flush hands the batch over.
func (d *deliverer) flush() error {
	d.h.Lock()
	defer d.h.Unlock()
	for i := range d.batch.rows {
		if err := d.row(&d.batch.rows[i]); err != nil {
			return err
		}
	}
	d.batch.reset()
	return nil
}

func (d *deliverer) row(r *outboxRow) error {
	if r.xid != d.xid || d.place == 0 {
		if d.place >= lastPlace-1 {
			return errPlaces
		}
		if d.open {
			d.endTruncate()
			d.h.Commit(position(d.n, d.place))
		}
		d.place++
		d.xid = r.xid
		if d.open = d.place > d.skip; d.open {
			d.h.Begin(r.xid, r.at)
		}
	}
	if !d.open {
		return nil
	}
	if r.kind == 'T' {
		d.truncated = append(d.truncated, r.relation)
		return nil
	}
	d.endTruncate()
	switch r.kind {
	case 'X':
		reason, err := r.new.next()
		d.h.Lost(r.relation, string(reason))
		return err
	case 'I', 'U', 'D':
		return d.rows(r)
	}
	return fmt.Errorf("%w: kind %q", errRow, r.kind)
}

// endTruncate hands the tables of a TRUNCATE over, whose rows in the outbox follow one another.
func (d *deliverer) endTruncate() {
	if len(d.truncated) > 0 {
		d.h.Truncate(d.truncated)
		d.truncated = d.truncated[:0]
	}
}

func (d *deliverer) rows(r *outboxRow) error {
	var l *layout
	for range max(r.old.count, r.new.count) {
		var oldText, newText []byte
		var err error
		if r.old.count > 0 {
			if oldText, err = r.old.next(); err != nil {
				return err
			}
		}
		if r.new.count > 0 {
			if newText, err = r.new.next(); err != nil {
				return err
			}
		}
		if l == nil {
			if l, err = d.layout(r.relation, oldText, newText); err != nil {
				return err
			}
			if l == nil {
				d.lost(r.relation, "its columns changed while it was written to")
				return nil
			}
		}
		old, new, err := d.tuples(l, r, oldText, newText)
		if errors.Is(err, errRecord) {
			d.lost(r.relation, "a row of it can't be read")
			return nil
		}
		if err := d.h.Row(r.kind, r.relation, old, new); err != nil {
			return err
		}
	}
	return nil
}

// lost says once in a delivery that a table's rows can't be read.
func (d *deliverer) lost(table uint32, reason string) {
	if !d.unreadable[table] {
		d.unreadable[table] = true
		d.h.Lost(table, reason)
	}
}

func (d *deliverer) tuples(l *layout, r *outboxRow, oldText, newText []byte) (old, new relay.Tuple, err error) {
	if r.old.count > 0 {
		if old, err = appendTuple(d.old[:0], oldText, l.captured); err != nil {
			return nil, nil, err
		}
		d.old = old
	}
	if r.new.count > 0 {
		if new, err = appendTuple(d.new[:0], newText, l.captured); err != nil {
			return nil, nil, err
		}
		d.new = new
	}
	return old, new, nil
}

// layout finds the columns of a row, and tells the handler where they are other than it knows. It gives the lock back for that.
func (d *deliverer) layout(table uint32, old, new []byte) (*layout, error) {
	text := new
	if text == nil {
		text = old
	}
	l := d.layouts.of(table, d.n, fields(text))
	if l == nil || d.told[table] == l {
		return l, nil
	}
	if t := d.told[table]; t == nil || !t.same(l) {
		d.h.Unlock()
		err := d.h.Relation(table, l.columns)
		d.h.Lock()
		if err != nil {
			return nil, fmt.Errorf("take the columns of table %d: %w", table, err)
		}
	}
	d.told[table] = l
	return l, nil
}
