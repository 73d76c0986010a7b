package client

import (
	"encoding/json"
	"strconv"
	"time"

	"pgrelay/relay/wire"
)

// Phase is where a subscription stands.
type Phase string

// The phases. Closed and Failed are the last ones.
const (
	Asked     Phase = "asked"
	Building  Phase = "building"
	Live      Phase = "live"
	Resyncing Phase = "resyncing"
	Waiting   Phase = "waiting"
	Closed    Phase = "closed"
	Failed    Phase = "failed"
)

// held is a set of rows with the cursor that says where it stands. rows is nil for ChangesOnly.
type held struct {
	rows   *rows
	cursor string
}

// subscription is one id.
type subscription struct {
	id      uint64
	ask     Subscription
	phase   Phase
	leaving bool // unsubscribe was sent
	stream  *stream
	// shown is what Rows returns, and what a since on the next connection continues.
	shown held
	// base is what a later subscribed on this connection continues if it says resumed: what the server knows this id to
	// have. It differs from shown where the id joined a live shape and no cursor came since.
	base held
	// restart: after resync, until waiting, a subscribed can't be resumed.
	restart  bool
	withdraw time.Time
	reason   string // of the last resync or waiting
	code     string // of closed or error
	message  string
	lives    int
}

func (s *subscription) ended() bool { return s.phase == Closed || s.phase == Failed }

// detach leaves the shape. The caller sees to the phase.
func (s *subscription) detach() {
	if s.stream == nil {
		return
	}
	delete(s.stream.subs, s.id)
	s.stream = nil
}

// Status is a subscription's state at one moment.
type Status struct {
	ID    uint64
	Table string
	Phase Phase
	// Shape, Server, Capture, Key, Bag, Columns are those of the last subscribed, Columns with later schema messages;
	// empty while the id has no shape.
	Shape, Server, Capture string
	Key                    []string
	Bag                    bool
	Columns                []wire.Column
	// Cursor is what the next connection's since would be.
	Cursor string
	// Rows is the number of rows on show, Building that of the set being built, Parts that of the parts of an unfinished
	// transaction.
	Rows, Building, Parts int
	// Lives counts how often the subscription became live.
	Lives int
	// Reason is that of the last resync or waiting; Code and Message are those of closed, error or waiting.
	Reason, Code, Message string
}

// Status returns a subscription's state; the zero Status if there is no such id.
func (m *Mirror) Status(id uint64) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil {
		return Status{}
	}
	s.expire()
	status := Status{
		ID: id, Table: s.ask.Table, Phase: s.phase, Cursor: s.shown.cursor, Lives: s.lives,
		Reason: s.reason, Code: s.code, Message: s.message,
	}
	if s.shown.rows != nil {
		status.Rows = s.shown.rows.size
	}
	if st := s.stream; st != nil {
		status.Shape, status.Server, status.Capture = st.name, st.server, st.capture
		status.Key, status.Bag, status.Columns = st.key, st.bag, st.columns
		if st.rows != nil && !st.live {
			status.Building = st.rows.size
		}
		if st.unfinished != nil {
			status.Parts = st.unfinished.parts
		}
	}
	return status
}

// Rows returns the rows that a subscription shows, ordered by key where there is one. They must not be changed.
func (m *Mirror) Rows(id uint64) []Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil {
		return nil
	}
	s.expire()
	if s.shown.rows == nil {
		return nil
	}
	return s.shown.rows.all()
}

// Find returns a shown row by its key; in a bag by all of its columns. Not for insert-only tables.
func (m *Mirror) Find(id uint64, key Row) (Row, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil {
		return nil, false
	}
	s.expire()
	r := s.shown.rows
	if r == nil {
		return nil, false
	}
	identity, err := r.identity(key)
	if err != nil {
		return nil, false
	}
	if r.bag {
		c, there := r.counts[identity]
		return c.row, there
	}
	row, there := r.byKey[identity]
	return row, there
}

// Live tells whether a subscription is live.
func (m *Mirror) Live(id uint64) bool { return m.Status(id).Phase == Live }

// send sends a subscribe, with a since where the id has rows to lend. The caller holds the lock.
func (m *Mirror) send(s *subscription) error {
	s.expire()
	s.phase, s.base, s.restart, s.reason, s.code, s.message = Asked, held{}, false, "", "", ""
	message := wire.ClientMessage{
		Type: wire.TypeSubscribe, ID: number(s.id),
		Table: s.ask.Table, Columns: s.ask.Columns, Where: s.ask.Where, Params: s.ask.Params,
	}
	if s.ask.ChangesOnly {
		no := false
		message.Snapshot = &no
	}
	if s.shown.cursor != "" && m.link.lend(s.shown.rows) {
		s.base = s.shown
		message.Since = s.shown.cursor
	}
	return m.link.conn.Send(message)
}

func number(id uint64) json.RawMessage { return strconv.AppendUint(nil, id, 10) }
