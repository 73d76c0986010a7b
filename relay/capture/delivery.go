package capture

import (
	"context"
	"errors"
	"slices"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/outbox"
)

// delivery takes what the reader hands over into the hub.
type delivery struct {
	c     *Outbox
	ctx   context.Context
	fence relay.LSN // from here on the source answers
	asked time.Time // when the fence was asked for
	live  bool

	xid     uint64
	changes int
	touched bool
	done    []uint64 // transactions of this stretch that wrote to the watched relation
}

// Lock takes the hub's lock.
func (d *delivery) Lock() { d.c.Hub.Lock() }

// Unlock gives it back, and tells of what was written.
func (d *delivery) Unlock() {
	for _, xid := range d.done {
		d.c.cfg.Touched(xid)
	}
	d.done = d.done[:0]
	d.c.brought.Store(time.Now().UnixNano())
	passed := d.c.Hub.Passed(d.fence)
	d.c.Hub.Unlock()
	if passed && !d.live {
		d.live = true
		d.c.mu.Lock()
		d.c.heard = d.asked
		d.c.mu.Unlock()
		d.c.alive()
		d.c.log.Info().Msg("source live")
	}
}

// Relation has the catalog looked at where the tuples have another form than it said.
func (d *delivery) Relation(table uint32, columns []outbox.Column) error {
	d.c.Hub.Lock()
	drifted, extra := d.c.Hub.Layout(table, described(columns))
	d.c.Hub.Unlock()
	if drifted || extra {
		return d.c.awaitInspection(d.ctx)
	}
	return nil
}

// described are the columns as the hub takes them: old tuples carry all.
func described(columns []outbox.Column) []hub.StreamColumn {
	all := make([]hub.StreamColumn, len(columns))
	for i, c := range columns {
		all[i] = hub.StreamColumn{Name: c.Name, Type: c.Type, Key: true}
	}
	return all
}

// Begin opens a transaction.
func (d *delivery) Begin(xid uint64, at int64) {
	d.xid, d.changes, d.touched = xid, 0, false
	d.c.Hub.Begin(xid, at)
}

// Row takes in a change.
func (d *delivery) Row(kind byte, table uint32, old, new relay.Tuple) error {
	d.changes++
	d.touched = d.touched || slices.Contains(*d.c.watched.Load(), table)
	return d.c.Hub.Row(kind, table, old, new)
}

// Truncate takes in a TRUNCATE.
func (d *delivery) Truncate(tables []uint32) {
	d.changes++
	d.touched = d.touched || slices.ContainsFunc(tables, func(oid uint32) bool { return slices.Contains(*d.c.watched.Load(), oid) })
	d.c.Hub.Truncate(tables)
}

// Lost ends the shapes of a table: changes are missing.
func (d *delivery) Lost(table uint32, reason string) {
	d.touched = d.touched || slices.Contains(*d.c.watched.Load(), table)
	d.c.Hub.Lose(table)
	d.c.log.Warn().Uint32("oid", table).Str("reason", reason).Msg("changes were not captured: clients load the table anew")
}

// Commit ends the transaction.
func (d *delivery) Commit(position relay.LSN) {
	d.c.Hub.Commit(position)
	d.c.cfg.Metrics.Transaction(d.changes)
	if d.touched && d.c.cfg.Touched != nil {
		d.done = append(d.done, d.xid)
	}
}

// Advance moves the hub's position.
func (d *delivery) Advance(position relay.LSN, _ string) { d.c.Hub.Advance(position) }

// errEnough ends a redelivery that has brought what it was for.
var errEnough = errors.New("the registration is reached")

// redelivery takes what was delivered up to a load's registration, and the transaction that was open there, into a replay.
type redelivery struct {
	ctx     context.Context
	replay  *hub.Replay
	visible *hub.Visibility // what it sees is left out; nil: nothing
	to      relay.LSN
	open    uint64 // 0 for none

	reached bool // what comes is past to
	over    bool
	takes   bool // the transaction at hand is taken
	xid     uint64
	end     relay.LSN // of the last transaction that it was for
	err     error
}

func newRedelivery(ctx context.Context, replay *hub.Replay, visible *hub.Visibility, from, to relay.LSN, open uint64) *redelivery {
	return &redelivery{ctx: ctx, replay: replay, visible: visible, to: to, open: open, reached: from >= to}
}

// until is the position up to which deliveries are asked for: the one after to may have begun with the open transaction.
func (r *redelivery) until() relay.LSN {
	if r.open == 0 {
		return r.to
	}
	return r.to + outbox.Delivery
}

// outcome is the error of the redelivery, given that of the reading.
func (r *redelivery) outcome(err error) error {
	switch {
	case r.err != nil:
		return r.err
	case err == nil, errors.Is(err, errEnough):
		return nil
	case errors.Is(err, outbox.ErrGone):
		return hub.ErrLagged
	}
	return err // of Describe among others
}

// Lock does nothing: a replay is its own.
func (r *redelivery) Lock() {}

// Unlock does nothing.
func (r *redelivery) Unlock() {}

// Relation says how the tuples of a table are to be read.
func (r *redelivery) Relation(table uint32, columns []outbox.Column) error {
	return r.replay.Describe(table, described(columns))
}

// Begin opens a transaction.
func (r *redelivery) Begin(xid uint64, at int64) {
	r.xid = xid
	r.over = r.over || r.reached && xid != r.open
	if r.takes = !r.over && (r.visible == nil || !r.visible.Sees(xid)); r.takes {
		r.replay.Begin(xid, at)
	}
}

// Row takes in a change.
func (r *redelivery) Row(kind byte, table uint32, old, new relay.Tuple) error {
	switch {
	case r.over:
		return errEnough
	case r.err == nil && r.takes:
		r.err = r.replay.Row(r.ctx, kind, table, old, new)
	}
	return r.err
}

// Truncate takes in a TRUNCATE.
func (r *redelivery) Truncate(tables []uint32) {
	if r.err == nil && r.takes {
		r.err = r.replay.Truncate(r.ctx, tables)
	}
}

// Lost ends the replay where the table is its relation's.
func (r *redelivery) Lost(table uint32, _ string) {
	if r.err == nil && r.takes {
		r.err = r.replay.Lose(table)
	}
}

// Commit ends the transaction.
func (r *redelivery) Commit(position relay.LSN) {
	if r.err == nil && r.takes {
		r.err = r.replay.Commit(r.ctx, position)
	}
	if !r.over {
		r.end = position
	}
	r.over = r.over || r.reached && r.xid == r.open || r.open == 0 && position >= r.to
	r.reached = r.reached || position >= r.to
}

// Advance does nothing: the load ends where its registration was.
func (r *redelivery) Advance(relay.LSN, string) {}
