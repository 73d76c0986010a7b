package session

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"pgrelay/relay/hub"
	"pgrelay/relay/rule"
	"pgrelay/relay/wire"
)

// retryUnavailable is how long a subscription waits for a source before it tries by itself; mostly it is told.
const retryUnavailable = 5 * time.Second

// begin answers a subscription: with a stream, with waiting, or with an error that ends it.
func (s *session) begin(sub *subscription) {
	directory := s.h.directory.Load()
	c, relation, spec, err := directory.resolve(s.principal, sub)
	var shape *hub.Shape
	if err == nil {
		if shape = c.Shapes().Shape(relation, spec); shape == nil {
			err = errUnavailable // the table is just being looked at anew
		}
	}
	if err != nil {
		s.deny(sub, err)
		return
	}
	r := s.reader(c)
	if st := r.streams[shape]; st != nil {
		c.Shapes().Release(shape)
		s.attach(sub, st)
		s.subscribed(sub, true, true)
		return
	}
	st := &stream{Stream: r.Attach(shape), reader: r, basis: basis{directory.Rules.Of(sub.table), relation}}
	r.streams[shape] = st
	s.loop.streams[shape] = append(s.loop.streams[shape], st)
	position, ok := c.Shapes().Since(shape, sub.since)
	st.resumed = sub.since != "" && ok && c.Covers(position)
	st.owner = sub
	s.attach(sub, st)
	s.subscribed(sub, st.resumed, false)
	if s.closed {
		return // the answer was one too many
	}
	wake := func() { s.loop.wake(s) }
	switch {
	case st.resumed:
		s.h.cfg.Metrics.ResumesTotal.Inc()
		load, replay := st.Resume(position, wake)
		c.Replay(load, replay, position)
	case sub.snapshot:
		if load := st.Snapshot(wake); load != nil {
			c.Snapshot(load)
		}
	}
	s.conn.Due()
}

// deny answers a subscription that gets no stream now.
func (s *session) deny(sub *subscription, err error) {
	var refusal *rule.Refusal
	switch {
	case errors.Is(err, rule.ErrHidden):
		s.wait(sub, wire.WaitNotFound, "no such table")
	case errors.As(err, &refusal):
		s.refuse(sub, refusalCode(refusal), refusal.Message, refusal.Hint)
	default:
		s.wait(sub, wire.WaitUnavailable, errUnavailable.Error())
	}
}

func refusalCode(r *rule.Refusal) string {
	switch {
	case errors.Is(r, rule.ErrWhere):
		return wire.CodeBadWhere
	case errors.Is(r, rule.ErrParams):
		return wire.CodeBadParams
	case errors.Is(r, rule.ErrDepth):
		return wire.CodeLimit
	}
	return wire.CodeBadColumns
}

func (s *session) attach(sub *subscription, st *stream) {
	sub.stream, sub.waiting, sub.attached, sub.shape = st, "", st.Cursor, st.Shape.Name()
	st.ids = append(st.ids, sub)
}

func (s *session) subscribed(sub *subscription, resumed, shared bool) {
	shape := sub.stream.Shape
	relation, columns := shape.Columns()
	m := wire.Subscribed{Type: wire.TypeSubscribed, ID: sub.id, Shape: shape.Name(), Table: relation.Name, Server: relation.Server,
		Capture: string(relation.Capture), Key: relation.KeyNames(), Bag: relation.Bag, Resumed: resumed, Shared: shared}
	for _, c := range columns {
		m.Columns = append(m.Columns, wire.Column{Name: relation.Columns[c].Name, Type: relation.Columns[c].TypeName})
	}
	s.say(m)
}

// detach takes a subscription off its stream; the stream ends with its last id. The cursor that counts for the
// id is kept.
func (s *session) detach(sub *subscription) {
	st := sub.stream
	if st == nil {
		return
	}
	if counts := st.Live || st.resumed && sub == st.owner; counts && st.Cursor != sub.attached {
		sub.since = st.CursorText()
	}
	sub.stream = nil
	st.ids = slices.DeleteFunc(st.ids, func(o *subscription) bool { return o == sub })
	if len(st.ids) > 0 {
		return
	}
	shape := st.Shape
	st.reader.Detach(st.Stream)
	delete(st.reader.streams, shape)
	streams := slices.DeleteFunc(s.loop.streams[shape], func(o *stream) bool { return o == st })
	if len(streams) == 0 {
		delete(s.loop.streams, shape)
	} else {
		s.loop.streams[shape] = streams
	}
	shape.Source.Release(shape)
}

// wait says that nothing comes for a subscription for now.
func (s *session) wait(sub *subscription, reason, message string) {
	s.detach(sub)
	if reason == wire.WaitNotFound {
		sub.since = ""
	}
	sub.retryAt = time.Now().Add(retryUnavailable)
	s.retryBy(sub.retryAt)
	if sub.waiting == reason {
		return
	}
	sub.waiting = reason
	s.say(wire.Notice{Type: wire.TypeWaiting, ID: rawID(sub.id), Reason: reason, Message: message})
}

// refuse ends a subscription with an error.
func (s *session) refuse(sub *subscription, code, message, hint string) {
	s.detach(sub)
	s.forget(sub)
	s.h.cfg.Metrics.Error(code)
	s.say(wire.Notice{Type: wire.TypeError, ID: rawID(sub.id), Code: code, Message: message, Hint: hint})
}

func (s *session) forget(sub *subscription) {
	if s.subs[sub.id] == sub {
		delete(s.subs, sub.id)
		s.h.cfg.Metrics.Subscriptions.Dec()
	}
}

// restart starts every subscription of a stream over.
func (s *session) restart(st *stream, reason string) {
	s.h.cfg.Metrics.Resync(reason)
	s.say(struct {
		Type   string `json:"type"`
		Shape  string `json:"shape"`
		Reason string `json:"reason"`
	}{wire.TypeResync, st.Shape.Name(), reason})
	ids := slices.Clone(st.ids)
	for _, sub := range ids {
		s.detach(sub)
		sub.since = ""
	}
	for _, sub := range ids {
		if !s.closed {
			s.begin(sub)
		}
	}
}

// lostStreams answers for the streams that have come to an end by themselves.
func (s *session) lostStreams() {
	var lost []*stream
	for _, r := range s.readers {
		for _, st := range r.Lost() {
			lost = append(lost, r.streams[st.Shape])
		}
	}
	for _, st := range lost {
		if s.closed {
			return
		}
		s.lostStream(st)
	}
}

func (s *session) lostStream(st *stream) {
	lagged := st.Lost == wire.ReasonLagged || errors.Is(st.Err, hub.ErrLagged)
	switch {
	case lagged && s.lagClose:
		s.end(wire.CloseTooSlow, "the backlog ran past what the journal keeps")
	case lagged:
		s.restart(st, wire.ReasonLagged)
	case st.Lost != "":
		s.restart(st, st.Lost)
	case errors.Is(st.Err, hub.ErrSchema):
		s.restart(st, wire.ReasonSchemaChanged)
	case errors.Is(st.Err, hub.ErrTable):
		s.restart(st, wire.ReasonTableChanged)
	case errors.Is(st.Err, hub.ErrLimit):
		for _, sub := range slices.Clone(st.ids) {
			s.detach(sub)
			s.forget(sub)
			s.say(wire.Notice{Type: wire.TypeClosed, ID: rawID(sub.id), Code: wire.CodeLimit, Message: st.Err.Error()})
		}
	default:
		for _, sub := range slices.Clone(st.ids) {
			s.wait(sub, wire.WaitUnavailable, errUnavailable.Error())
		}
	}
}

// reconcile looks at every subscription anew after the directory changed: what rules and tables say now holds
// before another frame is sent. anew tells that who is asking has changed as well.
func (s *session) reconcile(anew bool) {
	if s.closed {
		return
	}
	for _, r := range s.readers {
		for _, st := range r.streams {
			if s.closed {
				return
			}
			s.reconcileStream(st, anew)
		}
	}
	if rules := s.h.directory.Load().Rules; anew || rules != s.rules {
		s.rules = rules
		s.withdraw()
	}
	for _, sub := range sorted(s.subs) {
		if sub.waiting != "" && !s.closed {
			s.begin(sub)
		}
	}
}

// reconcileStream leaves a stream alone whose subscriptions all lead to its shape still. Else they start over, each by
// its own request; where the table itself is out of reach now, they wait.
func (s *session) reconcileStream(st *stream, anew bool) {
	directory, table := s.h.directory.Load(), st.ids[0].table
	if !anew && directory.unchanged(table, st.basis) {
		return
	}
	for _, sub := range st.ids {
		same, err := s.leadsTo(directory, sub, st)
		switch {
		case errors.Is(err, rule.ErrHidden), errors.Is(err, errUnavailable):
			for _, sub := range slices.Clone(st.ids) {
				s.deny(sub, err)
			}
			return
		case !same:
			if st.Lost == "" && !st.Shape.Ended() {
				s.restart(st, wire.ReasonRuleChanged)
			}
			return
		}
	}
}

// leadsTo tells whether a subscription leads to the stream's shape still.
func (s *session) leadsTo(directory *Directory, sub *subscription, st *stream) (bool, error) {
	c, relation, spec, err := directory.resolve(s.principal, sub)
	if err != nil {
		return false, err
	}
	shape := c.Shapes().Shape(relation, spec)
	if shape == nil {
		return false, nil
	}
	c.Shapes().Release(shape)
	if shape != st.Shape {
		return false, nil
	}
	st.basis = basis{directory.Rules.Of(sub.table), relation}
	return true, nil
}

// withdraw takes back the frames that the socket has not taken of streams that are gone or have ended: they were made
// under other rules. One of which a part is written goes out whole.
func (s *session) withdraw() {
	standing := map[string]bool{}
	for _, r := range s.readers {
		for _, st := range r.streams {
			standing[st.Shape.Name()] = st.Lost == "" && !st.Shape.Ended()
		}
	}
	gone := map[string]bool{}
	s.conn.Retract(func(payload []byte) bool {
		name := shapeOf(payload)
		if name == "" || standing[name] {
			return false
		}
		gone[name] = true
		return true
	})
	for _, sub := range s.subs {
		if gone[sub.shape] {
			sub.since = "" // the cursor that it would go on from wasn't sent
		}
	}
}

// dataTypes are the messages that tell of a shape's rows.
var dataTypes = []string{wire.TypeSnapshot, wire.TypeChanges, wire.TypeLive, wire.TypeCursor, wire.TypeSchema}

// shapeOf is the shape of a message that tells of rows, as the hub writes it; empty for others.
func shapeOf(payload []byte) string {
	rest, ok := bytes.CutPrefix(payload, []byte(`{"type":"`))
	kind, rest, found := bytes.Cut(rest, []byte(`"`))
	if !ok || !found || !slices.Contains(dataTypes, string(kind)) {
		return ""
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"shape":"`)); !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}
