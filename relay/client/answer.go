package client

import (
	"slices"

	"pgrelay/relay/wire"
)

// subscribed attaches an id to a shape.
func (m *Mirror) subscribed(l *link, msg *wire.ServerMessage) error {
	id, ok := subscriptionID(msg.ID)
	s := m.subs[id]
	switch {
	case !ok || s == nil:
		return violation(msg.Type, msg.Shape, "for the id %s, which isn't open", msg.ID)
	case s.phase != Asked && s.phase != Resyncing && s.phase != Waiting:
		return violation(msg.Type, msg.Shape, "for the id %d, which is %s", id, s.phase)
	case msg.Shape == "":
		return violation(msg.Type, "", "without a shape")
	}
	if err := s.described(msg); err != nil {
		return err
	}
	if msg.Shared {
		return m.join(l, s, msg)
	}
	return m.begin(l, s, msg)
}

// described checks what subscribed says about the shape against what was asked.
func (s *subscription) described(msg *wire.ServerMessage) error {
	bad := func(what string) error { return violation(msg.Type, msg.Shape, "for the id %d %s", s.id, what) }
	if msg.Table != s.ask.Table || msg.Server == "" || len(msg.Columns) == 0 {
		return bad("with another table, no server or no columns")
	}
	if msg.Bag && len(msg.Key) > 0 {
		return bad("with both a key and bag")
	}
	switch msg.Capture {
	case "logical", "trigger", "warehouse":
	default:
		return bad("with an unknown capture")
	}
	seen := map[string]bool{}
	for _, c := range msg.Columns {
		if seen[c.Name] || c.Name == "" || c.Type == "" {
			return bad("with a column that is there twice or has no name or type")
		}
		seen[c.Name] = true
		if s.ask.Columns != nil && !slices.Contains(s.ask.Columns, c.Name) && !slices.Contains(msg.Key, c.Name) {
			return bad("with a column that wasn't asked for")
		}
	}
	for _, name := range slices.Concat(msg.Key, s.ask.Columns) {
		if !seen[name] {
			return bad("without the column " + name)
		}
	}
	return nil
}

// join attaches an id to a shape that the connection holds already.
func (m *Mirror) join(l *link, s *subscription, msg *wire.ServerMessage) error {
	st := l.streams[msg.Shape]
	switch {
	case st == nil || st.ending:
		return violation(msg.Type, msg.Shape, "shared, but no id holds it")
	case !msg.Resumed:
		return violation(msg.Type, msg.Shape, "shared and not resumed")
	case st.keeps == s.ask.ChangesOnly:
		return violation(msg.Type, msg.Shape, "shared by subscriptions with and without snapshot")
	case !st.same(msg):
		return violation(msg.Type, msg.Shape, "shared with another description")
	}
	m.stats.Shared++
	s.attach(st)
	if st.live {
		s.shown = held{st.rows, st.cursor}
		m.turnLive(s)
	}
	return nil
}

// same compares a description with the stream's. A schema message that waits for its transaction's end counts.
func (st *stream) same(msg *wire.ServerMessage) bool {
	columns := st.columns
	if st.unfinished != nil {
		for _, p := range st.unfinished.steps {
			if p.columns != nil && slices.Equal(p.columns, msg.Columns) {
				columns = p.columns
			}
		}
	}
	return st.table == msg.Table && st.server == msg.Server && st.capture == msg.Capture && st.bag == msg.Bag &&
		slices.Equal(st.key, msg.Key) && slices.Equal(columns, msg.Columns)
}

// begin makes a stream: with an empty set, or with the rows that the id continues.
func (m *Mirror) begin(l *link, s *subscription, msg *wire.ServerMessage) error {
	if old := l.streams[msg.Shape]; old != nil {
		return violation(msg.Type, msg.Shape, "not shared, but another id holds it")
	}
	st := &stream{
		name: msg.Shape, table: msg.Table, server: msg.Server, capture: msg.Capture,
		key: msg.Key, bag: msg.Bag, columns: msg.Columns,
		subs: map[uint64]*subscription{}, keeps: !s.ask.ChangesOnly,
	}
	if msg.Resumed {
		if err := m.resume(st, s); err != nil {
			return err
		}
		m.stats.Resumed++
	} else {
		m.stats.Snapshots++
		if s.phase == Asked && s.base.cursor != "" {
			m.stats.Refused++
		}
		if st.keeps {
			st.rows = newRows(st.key, st.bag, st.columns)
		}
	}
	l.streams[st.name] = st
	s.attach(st)
	return nil
}

// resume lends the id's rows to the stream; a copy where other ids show them too.
func (m *Mirror) resume(st *stream, s *subscription) error {
	bad := func(what string) error {
		return violation(wire.TypeSubscribed, st.name, "resumed for the id %d, %s", s.id, what)
	}
	switch {
	case s.restart:
		return bad("after a resync")
	case s.base.cursor == "":
		return bad("which has nothing to continue")
	case st.keeps:
		r := s.base.rows
		if !slices.Equal(r.key, st.key) || r.bag != st.bag || !slices.Equal(r.columns, st.columns) {
			return bad("whose rows have other columns or another key")
		}
		if m.others(s, r) {
			r = r.clone()
		}
		st.rows = r
	}
	st.owner, st.cursor = s.id, s.base.cursor
	s.shown = held{st.rows, st.cursor}
	s.base = s.shown
	return nil
}

// others tells whether another id shows or could continue the same rows.
func (m *Mirror) others(s *subscription, r *rows) bool {
	for _, o := range m.subs {
		if o != s && (o.shown.rows == r || o.base.rows == r) {
			return true
		}
	}
	return false
}

func (s *subscription) attach(st *stream) {
	s.stream, s.phase, s.reason, s.message, s.restart = st, Building, "", "", false
	st.subs[s.id] = s
}

// notice handles what befalls one id: waiting and closed.
func (m *Mirror) notice(l *link, msg *wire.ServerMessage) error {
	id, ok := subscriptionID(msg.ID)
	s := m.subs[id]
	switch {
	case !ok || s == nil || s.ended():
		return violation(msg.Type, "", "for the id %s, which isn't open", msg.ID)
	case msg.Type == wire.TypeWaiting:
		return m.wait(l, s, msg)
	case msg.Code == wire.CodeUnsubscribed && s.leaving:
		m.leave(l, s)
	case msg.Code == wire.CodeLimit:
		m.endStream(l, s)
		s.shown = held{}
	default:
		return violation(msg.Type, "", "for the id %d with the code %q", id, msg.Code)
	}
	s.phase, s.code, s.message, s.base = Closed, msg.Code, msg.Message, held{}
	return nil
}

func (m *Mirror) wait(l *link, s *subscription, msg *wire.ServerMessage) error {
	m.stats.Waitings++
	m.endStream(l, s)
	s.phase, s.reason, s.message, s.restart = Waiting, msg.Reason, msg.Message, false
	switch msg.Reason {
	case wire.WaitUnavailable:
	case wire.WaitNotFound:
		s.shown, s.base = held{}, held{}
	default:
		return violation(msg.Type, "", "for the id %d for the reason %q", s.id, msg.Reason)
	}
	return nil
}

// endStream takes an id off a shape that has ended: from now on no frame of it may come.
func (m *Mirror) endStream(l *link, s *subscription) {
	st := s.stream
	if st == nil {
		return
	}
	st.ending = true
	s.detach()
	m.drop(l, st)
}

// leave takes an id off a shape that may live on; the rows that it keeps no longer change.
func (m *Mirror) leave(l *link, s *subscription) {
	st := s.stream
	if st == nil {
		return
	}
	s.detach()
	m.drop(l, st)
	if len(st.subs) > 0 && s.shown.rows != nil && s.shown.rows == st.rows {
		s.shown.rows = st.rows.clone()
	}
}

// drop forgets a shape that no id holds.
func (m *Mirror) drop(l *link, st *stream) {
	if len(st.subs) == 0 {
		m.abandon(st)
		delete(l.streams, st.name)
	}
}

// refused handles error: it ends the subscription that it names.
func (m *Mirror) refused(msg *wire.ServerMessage) error {
	if msg.Code == "" || msg.Message == "" {
		return violation(msg.Type, "", "without code or message")
	}
	id, ok := subscriptionID(msg.ID)
	if !ok || msg.Code == wire.CodeDuplicateID {
		m.loose = append(m.loose, *msg)
		return nil
	}
	s := m.subs[id]
	if s == nil || s.phase != Asked && s.phase != Resyncing && s.phase != Waiting {
		return violation(msg.Type, "", "%s for the id %d, which asks for nothing", msg.Code, id)
	}
	s.phase, s.code, s.message = Failed, msg.Code, msg.Message
	if msg.Hint != "" {
		s.message += " (" + msg.Hint + ")"
	}
	s.shown, s.base = held{}, held{}
	return nil
}
