package client

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pgrelay/relay/wire"
)

// maxCursor is the longest cursor, in characters.
const maxCursor = 64

// withdrawal is how long rows stay on screen after a resync because of a rule.
const withdrawal = 5 * time.Second

// apply takes one message. The caller holds the lock.
func (m *Mirror) apply(l *link, msg *wire.ServerMessage) error {
	m.stats.Frames++
	switch msg.Type {
	case wire.TypeSubscribed:
		return m.subscribed(l, msg)
	case wire.TypeSnapshot, wire.TypeChanges, wire.TypeLive, wire.TypeCursor, wire.TypeSchema, wire.TypeResync:
		return m.ofShape(l, msg)
	case wire.TypeWaiting, wire.TypeClosed:
		return m.notice(l, msg)
	case wire.TypeError:
		return m.refused(msg)
	case wire.TypePong, wire.TypeEvent:
		return nil
	case wire.TypeWelcome:
		return m.welcomed(l, msg)
	}
	if l.strict {
		return violation(msg.Type, "", "is no type of message")
	}
	return nil
}

func (m *Mirror) welcomed(l *link, msg *wire.ServerMessage) error {
	if msg.Session != l.conn.welcome.Session {
		return violation(msg.Type, "", "names another session")
	}
	return nil
}

// ofShape handles the frames that belong to a stream.
func (m *Mirror) ofShape(l *link, msg *wire.ServerMessage) error {
	st := l.streams[msg.Shape]
	switch {
	case st == nil:
		return violation(msg.Type, msg.Shape, "which no id holds")
	case st.ending:
		return violation(msg.Type, msg.Shape, "which has ended")
	}
	switch msg.Type {
	case wire.TypeSnapshot:
		return m.snapshot(st, msg)
	case wire.TypeChanges:
		return m.changes(l, st, msg)
	case wire.TypeLive:
		return m.live(st, msg)
	case wire.TypeCursor:
		return st.onCursor(msg)
	case wire.TypeSchema:
		return st.onSchema(msg)
	}
	return m.resync(l, st, msg)
}

func (m *Mirror) snapshot(st *stream, msg *wire.ServerMessage) error {
	switch {
	case !st.keeps:
		return violation(msg.Type, st.name, "which was asked for without one")
	case st.live, st.owner != 0:
		return violation(msg.Type, st.name, "which isn't building a set")
	case st.moved:
		return violation(msg.Type, st.name, "after changes or schema")
	}
	for _, row := range msg.Rows {
		if err := st.rows.insert(row, false); err != nil {
			return violation(msg.Type, st.name, "insert %v", err)
		}
	}
	return nil
}

func (m *Mirror) live(st *stream, msg *wire.ServerMessage) error {
	switch {
	case st.live:
		return violation(msg.Type, st.name, "which is live already")
	case st.unfinished != nil:
		return violation(msg.Type, st.name, "between the frames of transaction %s", st.unfinished.tx)
	}
	if err := checkCursor(msg); err != nil {
		return err
	}
	st.live = true
	st.advance(msg.Cursor)
	for _, s := range st.subs {
		m.turnLive(s)
	}
	return nil
}

func (m *Mirror) turnLive(s *subscription) {
	s.phase = Live
	s.withdraw = time.Time{}
	s.lives++
	m.stats.Lives++
}

func (st *stream) onCursor(msg *wire.ServerMessage) error {
	switch {
	case !st.live:
		return violation(msg.Type, st.name, "which isn't live")
	case st.unfinished != nil:
		return violation(msg.Type, st.name, "between the frames of transaction %s", st.unfinished.tx)
	}
	if err := checkCursor(msg); err != nil {
		return err
	}
	st.advance(msg.Cursor)
	return nil
}

func (st *stream) onSchema(msg *wire.ServerMessage) error {
	if err := st.grows(msg); err != nil {
		return err
	}
	st.moved = true
	p := step{columns: msg.Columns, fill: msg.Fill}
	if st.unfinished != nil {
		st.unfinished.steps = append(st.unfinished.steps, p)
		return nil
	}
	st.addColumns(p)
	return nil
}

// grows checks that a schema message keeps the columns and that fill has the added ones. Within a transaction the
// columns are those of the schema message before it.
func (st *stream) grows(msg *wire.ServerMessage) error {
	now := st.columns
	if st.unfinished != nil {
		for _, p := range st.unfinished.steps {
			if p.columns != nil {
				now = p.columns
			}
		}
	}
	if len(msg.Columns) <= len(now) {
		return violation(msg.Type, st.name, "adds no column")
	}
	had := map[string]string{}
	for _, c := range now {
		had[c.Name] = c.Type
	}
	added := 0
	for _, c := range msg.Columns {
		if kind, old := had[c.Name]; old {
			if kind != c.Type {
				return violation(msg.Type, st.name, "changes the type of %q", c.Name)
			}
			delete(had, c.Name)
			continue
		}
		added++
		if _, ok := msg.Fill[c.Name]; !ok {
			return violation(msg.Type, st.name, "has no fill for %q", c.Name)
		}
	}
	if len(had) > 0 || added != len(msg.Fill) {
		return violation(msg.Type, st.name, "loses a column or fills an old one")
	}
	return nil
}

func (m *Mirror) resync(l *link, st *stream, msg *wire.ServerMessage) error {
	switch msg.Reason {
	case wire.ReasonLagged, wire.ReasonRuleChanged, wire.ReasonSchemaChanged, wire.ReasonTableChanged, wire.ReasonJournalGap:
	default:
		return violation(msg.Type, st.name, "for the reason %q", msg.Reason)
	}
	m.stats.Resyncs++
	m.stats.Reasons[msg.Reason]++
	m.abandon(st)
	for _, s := range st.subs {
		s.detach()
		s.phase, s.reason, s.restart = Resyncing, msg.Reason, true
		if msg.Reason == wire.ReasonRuleChanged {
			s.withdraw = time.Now().Add(withdrawal)
		}
	}
	delete(l.streams, st.name)
	return nil
}

// abandon throws an unfinished transaction away.
func (m *Mirror) abandon(st *stream) {
	if st.unfinished != nil {
		st.unfinished = nil
		m.stats.Abandoned++
	}
}

func checkCursor(msg *wire.ServerMessage) error {
	if n := utf8.RuneCountInString(msg.Cursor); n == 0 || n > maxCursor {
		return violation(msg.Type, msg.Shape, "a cursor of %d characters", n)
	}
	return nil
}

// subscriptionID reads the id of a message that has an integer one.
func subscriptionID(raw json.RawMessage) (uint64, bool) {
	id, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	return id, err == nil
}
