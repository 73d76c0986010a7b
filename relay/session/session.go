package session

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/rule"
	"pgrelay/relay/wire"
	"pgrelay/relay/ws"
)

// session is one connection's state, on its loop's goroutine.
type session struct {
	h         *Handler
	loop      *loop
	conn      *ws.Conn
	principal relay.Principal
	header    string // the token of the upgrade request
	// holds tells that hello's token waits for its key, and what follows it is held.
	holds    bool
	token    string
	held     [][]byte
	greeted  bool
	closed   bool
	lagClose bool
	opened   time.Time
	lastText time.Time
	tokens   float64 // messages that may still come, by the rate limit
	refilled time.Time
	lastID   uint64
	subs     map[uint64]*subscription
	readers  []*reader
	next     int // the reader whose turn is first
	out      [][]byte
	outBytes int
	rules    *rule.Set // that the subscriptions were looked at with
	retryAt  time.Time // when one that waits is to be tried; zero where none does
}

// reader is the session's place in one source.
type reader struct {
	*hub.Reader
	session *session
	source  Source
	streams map[*hub.Shape]*stream
}

// stream is one shape on the connection and the ids that hold it.
type stream struct {
	*hub.Stream
	reader  *reader
	ids     []*subscription
	resumed bool
	basis   basis
	// owner is the id whose rows a resumed stream goes on from.
	owner *subscription
}

// subscription is one id of the client.
type subscription struct {
	id       uint64
	table    string
	request  rule.Request
	snapshot bool
	// since is the cursor that the next subscribed may go on from.
	since  string
	stream *stream
	// shape is the name of the last one.
	shape string
	// attached is the stream's cursor when the id was attached: only a later one counts for the id.
	attached relay.LSN
	// waiting is the reason of the last waiting, empty while there is a stream.
	waiting string
	retryAt time.Time
}

func newSession(h *Handler, l *loop, c *ws.Conn, r ws.Request) *session {
	now := time.Now()
	return &session{h: h, loop: l, conn: c, header: bearer(r), opened: now, lastText: now, refilled: now,
		tokens: float64(h.cfg.Limits.MessagesPerSecond), subs: map[uint64]*subscription{}}
}

// say queues an answer of the connection's own.
func (s *session) say(message any) {
	payload, err := json.Marshal(message)
	if err != nil {
		s.h.log.Error().Err(err).Msg("encode an answer")
		return
	}
	frame := hub.Frame(payload)
	s.out = append(s.out, frame)
	if s.outBytes += len(frame); s.outBytes > s.h.cfg.AnswerBytes {
		s.end(wire.CloseTooSlow, "answers are not being read")
		return
	}
	s.conn.Due()
}

// end closes the connection.
func (s *session) end(code int, reason string) {
	if s.closed {
		return
	}
	s.h.cfg.Metrics.Close(code)
	s.close()
	s.conn.Close(code, reason)
}

// close gives everything back; it may be called twice.
func (s *session) close() {
	if s.closed {
		return
	}
	s.closed = true
	for _, sub := range s.subs {
		s.detach(sub)
	}
	s.h.cfg.Metrics.Subscriptions.Sub(float64(len(s.subs)))
	s.subs, s.out, s.readers = nil, nil, nil
}

func (s *session) reader(c Source) *reader {
	for _, r := range s.readers {
		if r.source == c {
			return r
		}
	}
	r := &reader{Reader: hub.NewReader(c.Shapes(), s.loop.index), session: s, source: c, streams: map[*hub.Shape]*stream{}}
	s.readers = append(s.readers, r)
	return r
}

// pull adds what is due.
func (s *session) pull(out *ws.Batch) (more bool) {
	if s.closed {
		return false
	}
	more = s.fill(out)
	if out.Len() > 0 {
		s.lastText = time.Now()
		s.h.cfg.Metrics.BytesSent.Add(float64(out.Len()))
	}
	return more
}

// fill adds own answers first, then each source in turn, and then what is to be said of streams that were lost.
func (s *session) fill(out *ws.Batch) (more bool) {
	for {
		for _, frame := range s.out {
			out.Add(frame)
		}
		s.h.cfg.Metrics.FramesSent.Add(float64(len(s.out)))
		clear(s.out)
		s.out, s.outBytes = s.out[:0], 0
		if out.Len() >= out.Limit {
			return true
		}
		full := false
		for i := range s.readers {
			r := s.readers[(s.next+i)%len(s.readers)]
			before := r.Frames
			full = r.Pull(out, out.Limit) || full
			s.h.cfg.Metrics.FramesSent.Add(float64(r.Frames - before))
		}
		s.next++
		s.lostStreams()
		if s.closed {
			return false
		}
		if full || len(s.out) == 0 {
			return full
		}
	}
}

// tick looks at the times of a connection about once a second.
func (s *session) tick(now time.Time) {
	switch {
	case s.closed:
		return
	case !s.greeted && now.Sub(s.opened) > s.h.cfg.HelloTimeout:
		s.end(wire.CloseNoSign, "no hello in time")
		return
	case !s.principal.Expires.IsZero() && now.After(s.principal.Expires.Add(s.h.cfg.Leeway)):
		s.end(wire.CloseUnauthorized, "the token has expired")
		return
	}
	if s.holds {
		s.greet(s.token)
	}
	if s.greeted && now.Sub(s.lastText) > s.h.cfg.Heartbeat-2*time.Second && len(s.out) == 0 {
		s.lastText = now
		s.say(struct {
			Type string `json:"type"`
		}{wire.TypePong})
	}
	for _, r := range s.readers {
		if r.Renew(r.source.Refresh()) {
			s.conn.Due()
		}
	}
	if s.retryAt.IsZero() || !now.After(s.retryAt) {
		return
	}
	s.retryAt = time.Time{}
	for _, sub := range s.subs {
		if s.closed {
			return
		}
		if sub.waiting == wire.WaitUnavailable {
			if now.After(sub.retryAt) {
				s.begin(sub)
			} else {
				s.retryBy(sub.retryAt)
			}
		}
	}
}

// retryBy has the subscriptions that wait be looked at then, or earlier.
func (s *session) retryBy(at time.Time) {
	if s.retryAt.IsZero() || at.Before(s.retryAt) {
		s.retryAt = at
	}
}

// sorted are the subscriptions in the order of their ids.
func sorted(subs map[uint64]*subscription) []*subscription {
	all := make([]*subscription, 0, len(subs))
	for _, sub := range subs {
		all = append(all, sub)
	}
	slices.SortFunc(all, func(a, b *subscription) int { return int(min(max(int64(a.id)-int64(b.id), -1), 1)) })
	return all
}

func rawID(id uint64) json.RawMessage { return strconv.AppendUint(nil, id, 10) }
