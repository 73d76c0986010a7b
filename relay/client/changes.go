package client

import (
	"strconv"
	"time"

	"pgrelay/relay/wire"
)

// commitTime is RFC 3339 in UTC with microseconds.
const commitTime = "2006-01-02T15:04:05.000000Z"

// changes takes a frame of a transaction and applies the transaction at its last one.
func (m *Mirror) changes(l *link, st *stream, msg *wire.ServerMessage) error {
	if err := checkChanges(msg); err != nil {
		return err
	}
	if !st.keeps && !st.live && st.owner == 0 {
		return violation(msg.Type, st.name, "before live, with neither rows nor a cursor to continue")
	}
	if st.live && !l.log(st).enter(msg.Tx) {
		return violation(msg.Type, st.name, "transaction %s after a later one of source %s", msg.Tx, st.server)
	}
	st.moved = true
	if err := m.gather(st, msg); err != nil {
		return err
	}
	if msg.More {
		return nil
	}
	t := st.unfinished
	st.unfinished = nil
	if t.tx == st.last {
		return violation(msg.Type, st.name, "transaction %s a second time", t.tx)
	}
	st.last = t.tx
	if err := st.run(t.steps); err != nil {
		return violation(msg.Type, st.name, "transaction %s: %v", t.tx, err)
	}
	m.stats.Transactions++
	m.stats.Changes += t.n
	st.advance(msg.Cursor)
	m.handOver(st, t, msg.Cursor)
	return nil
}

// gather adds a frame to the stream's unfinished transaction, which it begins where the frame is a first one.
func (m *Mirror) gather(st *stream, msg *wire.ServerMessage) error {
	if msg.Part == nil || *msg.Part == 0 {
		m.abandon(st)
		st.unfinished = &transaction{tx: msg.Tx, at: msg.At}
	}
	t := st.unfinished
	switch {
	case t == nil:
		return violation(msg.Type, st.name, "part %d of transaction %s, whose part 0 never came", *msg.Part, msg.Tx)
	case t.tx != msg.Tx:
		return violation(msg.Type, st.name, "part %d of transaction %s within transaction %s", *msg.Part, msg.Tx, t.tx)
	case t.at != msg.At:
		return violation(msg.Type, st.name, "two times of commit for transaction %s", t.tx)
	case msg.Part != nil && *msg.Part != t.parts:
		return violation(msg.Type, st.name, "part %d of transaction %s after %d parts", *msg.Part, t.tx, t.parts)
	}
	t.parts++
	t.steps = append(t.steps, step{changes: msg.Changes})
	t.n += len(msg.Changes)
	return nil
}

func checkChanges(msg *wire.ServerMessage) error {
	bad := func(what string) error { return violation(msg.Type, msg.Shape, "%s", what) }
	if _, err := strconv.ParseUint(msg.Tx, 10, 64); err != nil {
		return bad("without a transaction's id")
	}
	if _, err := time.Parse(commitTime, msg.At); err != nil {
		return bad("with a time that isn't RFC 3339 in UTC with microseconds: " + strconv.Quote(msg.At))
	}
	switch {
	case msg.More && msg.Cursor != "":
		return bad("with both more and a cursor")
	case msg.More && msg.Part == nil:
		return bad("with more and no part")
	case !msg.More && msg.Part != nil && *msg.Part == 0:
		return bad("with part 0 and no more")
	case msg.Part != nil && *msg.Part < 0:
		return bad("with a negative part")
	case len(msg.Changes) == 0 && (msg.More || msg.Part == nil):
		return bad("without changes")
	case !msg.More:
		return checkCursor(msg)
	}
	return nil
}

// handOver queues the transaction for the hook, for each id that shows it.
func (m *Mirror) handOver(st *stream, t *transaction, cursor string) {
	if m.hooks.Transaction == nil {
		return
	}
	whole := &Transaction{Table: st.table, Server: st.server, At: t.at, Tx: t.tx, Cursor: cursor}
	for _, p := range t.steps {
		whole.Changes = append(whole.Changes, p.changes...)
	}
	for id, s := range st.subs {
		if st.counts(s) {
			m.later = append(m.later, func() { m.hooks.Transaction(id, whole) })
		}
	}
}

// log is the order of one source's one way of capture on this connection.
func (l *link) log(st *stream) *txLog {
	source := st.server + "\x00" + st.capture
	if l.order[source] == nil {
		l.order[source] = &txLog{seen: map[string]struct{}{}}
	}
	return l.order[source]
}
