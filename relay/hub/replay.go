package hub

import (
	"context"
	"slices"

	"pgrelay/relay"
)

// Replay turns a shape's transactions of the journal into frames of a load. It is made at the registration,
// and reads tuples as the stream described them then: positions before a change of the description are not
// replayed.
type Replay struct {
	load    *Load
	set     *columnSet
	targets map[uint32]target
	framer  framer
	tx      transaction
	touched bool
	change  change
	old     []relay.Value
	new     []relay.Value
}

// newReplay is called with the source's lock held.
func newReplay(l *Load) *Replay {
	shape := l.Shape
	r := &Replay{load: l, set: newColumnSet(l.set.relation, l.set.columns), targets: map[uint32]target{},
		framer: framer{label: shape.label}}
	for table, layout := range shape.Source.layouts {
		for _, t := range layout.targets {
			if t.owner == shape.owner {
				r.targets[table] = t
			}
		}
	}
	return r
}

// Describe says how a table's tuples look from here on, for a replay of what the stream hasn't described since it began.
// ErrTable tells that they don't have the shape's columns.
func (r *Replay) Describe(table uint32, columns []StreamColumn) error {
	i := slices.IndexFunc(r.set.relation.Leaves, func(leaf relay.Leaf) bool { return leaf.OID == table })
	if i < 0 {
		return nil
	}
	t := target{owner: &published{relation: r.set.relation}}
	if !t.find(columns, nil) || !r.set.relation.InsertOnly && !identifies(columns, &r.set.relation.Leaves[i]) {
		return ErrTable
	}
	t.hold(&r.set.relation.Leaves[i])
	r.targets[table] = t
	return nil
}

// Begin opens a transaction.
func (r *Replay) Begin(xid uint64, at int64) {
	r.tx.begin(xid, at)
	r.touched = false
}

// Row takes in a change; ErrTable where it can't be told what it is to the shape.
func (r *Replay) Row(ctx context.Context, kind byte, table uint32, old, new relay.Tuple) (err error) {
	t, ok := r.targets[table]
	if !ok || t.owner.relation.InsertOnly && kind != 'I' {
		return nil
	}
	if r.old, r.new, err = values(r.old, r.new, old, new); err != nil {
		return err
	}
	r.change.number++
	r.change.take(&t, kind, r.old, r.new, old != nil)
	op := kind
	if f := r.load.Shape.filter; f != nil {
		known := false
		if op, known = r.change.decide(f); !known {
			return ErrTable
		}
	}
	if op == 0 {
		return nil
	}
	switch e := r.set.encode(op, &r.change); {
	case e.lacks:
		return ErrTable
	case e.shown:
		return r.add(ctx, e.bytes)
	}
	return nil
}

// Truncate takes in a TRUNCATE; ErrTable where it can't be replayed, because it was of some partitions alone.
func (r *Replay) Truncate(ctx context.Context, tables []uint32) error {
	switch n := hit(r.set.relation, tables); {
	case n == 0:
		return nil
	case n < len(r.set.relation.Leaves):
		return ErrTable
	}
	return r.add(ctx, truncate)
}

func (r *Replay) add(ctx context.Context, change []byte) error {
	if !r.touched {
		r.touched = true
		r.framer.begin(r.tx.opening())
	}
	if !r.framer.add(change) {
		return nil
	}
	err := r.put(ctx, r.framer.endPart(), 0)
	r.framer.begin(r.tx.opening())
	return err
}

// Commit ends the transaction.
func (r *Replay) Commit(ctx context.Context, end relay.LSN) error {
	if !r.touched {
		return nil
	}
	return r.put(ctx, r.framer.endLast(end), end)
}

func (r *Replay) put(ctx context.Context, frame []byte, end relay.LSN) error {
	return r.load.put(ctx, entry{xid: r.tx.xid, end: end, frame: append([]byte(nil), frame...)})
}

// Lose is ErrTable where changes of a table are missing that the shape rests on.
func (r *Replay) Lose(table uint32) error {
	if rests(r.set.relation, table) {
		return ErrTable
	}
	return nil
}
