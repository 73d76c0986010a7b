package client

import (
	"pgrelay/relay"
	"pgrelay/relay/wire"
)

// stream is one shape on one connection.
type stream struct {
	name            string
	server, capture string
	table           string
	key             []string
	bag             bool
	columns         []wire.Column
	subs            map[uint64]*subscription
	// keeps: rows are kept (not ChangesOnly); rows is nil otherwise.
	keeps bool
	rows  *rows
	// owner is the id whose since is being continued; 0 with a snapshot.
	owner  uint64
	live   bool
	cursor string
	// moved: changes or schema came, so no snapshot may.
	moved bool
	// ending: waiting or closed came for one of the ids; the others' is to follow, and no frame.
	ending     bool
	unfinished *transaction
	// last is the last transaction that was complete.
	last string
}

// transaction gathers a transaction's parts.
type transaction struct {
	tx, at string
	parts  int
	steps  []step
	n      int
}

// step is a run of changes or the schema message between two parts.
type step struct {
	changes []wire.Change
	columns []wire.Column
	fill    Row
}

// counts tells whether the stream's rows and cursor are the subscription's own already.
func (st *stream) counts(s *subscription) bool { return st.live || s.id == st.owner }

// advance notes that the rows stand at the cursor.
func (st *stream) advance(cursor string) {
	st.cursor = cursor
	for _, s := range st.subs {
		if st.counts(s) {
			s.shown = held{st.rows, cursor}
			s.base = s.shown
		}
	}
}

func (st *stream) lenient() bool {
	return !st.live && st.capture == string(relay.CaptureWarehouse) && !st.bag
}

// run makes the steps in their order.
func (st *stream) run(steps []step) error {
	for _, p := range steps {
		if p.columns != nil {
			st.addColumns(p)
			continue
		}
		for _, c := range p.changes {
			if st.rows == nil {
				continue
			}
			if err := st.rows.apply(c, st.lenient()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stream) addColumns(p step) {
	st.columns = p.columns
	if st.rows != nil {
		st.rows.fill(p.columns, p.fill)
	}
}

// txLog knows which transactions of one source a connection has seen lately, to find one that comes back.
type txLog struct {
	current string
	seen    map[string]struct{}
	ring    []string
	next    int
}

// txLogSize is how many transactions are remembered.
const txLogSize = 1 << 16

// enter tells whether a frame of tx is in order: of the current transaction, or of one not seen before.
func (l *txLog) enter(tx string) bool {
	if tx == l.current {
		return true
	}
	if _, again := l.seen[tx]; again {
		return false
	}
	l.current = tx
	l.seen[tx] = struct{}{}
	if len(l.ring) < txLogSize {
		l.ring = append(l.ring, tx)
		return true
	}
	delete(l.seen, l.ring[l.next])
	l.ring[l.next] = tx
	l.next = (l.next + 1) % txLogSize
	return true
}
