package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/rule"
	"pgrelay/relay/wire"
	"pgrelay/relay/ws"
)

// maxID is the largest integer that JavaScript holds exactly.
const maxID = 1<<53 - 1

// bearer is the token of the upgrade request's Authorization header, or empty.
func bearer(r ws.Request) string {
	scheme, token, _ := strings.Cut(r.Authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// message takes in one message of the client.
func (s *session) message(payload []byte) {
	switch {
	case s.closed || !s.admit():
	case s.holds:
		s.hold(payload)
	default:
		s.take(payload)
	}
}

func (s *session) take(payload []byte) {
	if s.closed {
		return
	}
	var kind struct {
		Type *string         `json:"type"`
		ID   json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(payload, &kind); err != nil || kind.Type == nil {
		s.end(wire.CloseBadMessage, "a message is a JSON object with a type")
		return
	}
	if !s.greeted && *kind.Type != wire.TypeHello {
		s.end(wire.CloseBadMessage, "hello must be first")
		return
	}
	var m wire.ClientMessage
	if err := json.Unmarshal(payload, &m); err != nil {
		s.badMessage(kind.ID, "a field has the wrong type")
		return
	}
	switch m.Type {
	case wire.TypeHello:
		s.hello(&m)
	case wire.TypeSubscribe:
		s.subscribe(&m)
	case wire.TypeUnsubscribe:
		s.unsubscribe(&m)
	case wire.TypePing:
		s.say(struct {
			Type string          `json:"type"`
			N    json.RawMessage `json:"n,omitempty"`
		}{wire.TypePong, m.N})
	case wire.TypeToken:
		s.renew(&m)
	case wire.TypeEmit, wire.TypeFollow:
		s.badMessage(m.ID, "this server does not take "+m.Type)
	default:
		s.badMessage(m.ID, "unknown type")
	}
}

// admit counts a message against the rate limit; past it the connection is closed.
func (s *session) admit() bool {
	now := time.Now()
	rate := float64(s.h.cfg.Limits.MessagesPerSecond)
	s.tokens = min(2*rate, s.tokens+now.Sub(s.refilled).Seconds()*rate)
	s.refilled = now
	if s.tokens < 1 {
		s.end(wire.CloseLimitExceeded, "messages_per_second")
		return false
	}
	s.tokens--
	return true
}

// badMessage refuses a message; its id is given back where it is one.
func (s *session) badMessage(id json.RawMessage, message string) {
	s.h.cfg.Metrics.Error(wire.CodeBadMessage)
	n := wire.Notice{Type: wire.TypeError, Code: wire.CodeBadMessage, Message: message}
	if len(id) > 0 && len(id) <= 64 && (id[0] == '"' || id[0] >= '0' && id[0] <= '9') {
		n.ID = id
	}
	s.say(n)
}

func (s *session) hello(m *wire.ClientMessage) {
	if s.greeted {
		s.badMessage(nil, "hello comes once")
		return
	}
	if m.Lagged != "" && m.Lagged != wire.LaggedResync && m.Lagged != wire.LaggedClose {
		s.end(wire.CloseBadMessage, "lagged is resync or close")
		return
	}
	token := m.Token
	if token == "" {
		token = s.header
	}
	s.lagClose, s.header = m.Lagged == wire.LaggedClose, ""
	s.greet(token)
}

// keysPatience is how long a hello waits for the keys that its token needs.
const keysPatience = 5 * time.Second

// heldBytes bounds what is held of a connection whose hello waits.
const heldBytes = 256 << 10

// greet answers hello. While the keys for the token are being fetched, it and what follows it are held.
func (s *session) greet(token string) {
	now := time.Now()
	p, err := s.h.cfg.Verify(token, now)
	if err != nil && s.h.cfg.Retryable(err) && now.Sub(s.opened) < keysPatience {
		s.holds, s.token = true, token
		return
	}
	s.holds, s.token = false, ""
	if err != nil {
		s.h.log.Info().Err(err).Str("peer", s.conn.RemoteAddr().String()).Msg("token refused")
		s.end(wire.CloseUnauthorized, "the token is missing or not valid")
		return
	}
	s.principal, s.greeted = p, true
	s.welcome()
	held := s.held
	s.held = nil
	for _, payload := range held {
		s.take(payload)
	}
}

// hold keeps a message until hello is answered.
func (s *session) hold(payload []byte) {
	size := len(payload)
	for _, m := range s.held {
		size += len(m)
	}
	if size > heldBytes {
		s.end(wire.CloseLimitExceeded, "too much before welcome")
		return
	}
	s.held = append(s.held, bytes.Clone(payload))
}

// renew replaces the token by another one of the same person; what the new one doesn't let be seen ends at once. A
// token that is refused leaves the old one good until it expires.
func (s *session) renew(m *wire.ClientMessage) {
	p, err := s.h.cfg.Verify(m.Token, time.Now())
	switch {
	case m.Token == "" || err != nil:
		s.badToken("the token is missing or not valid")
	case p.Subject != s.principal.Subject || (p.Role == relay.RoleAnon) != (s.principal.Role == relay.RoleAnon):
		s.badToken("the token is somebody else's")
	default:
		s.principal = p
		s.welcome()
		s.reconcile(true)
	}
}

func (s *session) badToken(message string) {
	s.h.cfg.Metrics.Error(wire.CodeBadToken)
	s.say(wire.Notice{Type: wire.TypeError, Code: wire.CodeBadToken, Message: message})
}

func (s *session) welcome() {
	cfg := &s.h.cfg
	w := wire.Welcome{Type: wire.TypeWelcome, Session: strconv.FormatUint(s.conn.ID(), 36), Version: cfg.Version,
		Sub: s.principal.Subject, Role: s.principal.Role, Limits: cfg.Limits, HeartbeatMS: int(cfg.Heartbeat.Milliseconds())}
	if !s.principal.Expires.IsZero() {
		w.Expires = s.principal.Expires.UTC().Format(time.RFC3339)
	}
	s.say(w)
}

// parseID reads a subscription's id: an integer from 1 to maxID, written as one.
func parseID(raw json.RawMessage) (uint64, bool) {
	id, err := strconv.ParseUint(string(raw), 10, 64)
	return id, err == nil && id >= 1 && id <= maxID
}

// whereCost is how many bytes of where count as a message against the rate limit.
const whereCost = 256

func (s *session) subscribe(m *wire.ClientMessage) {
	id, ok := parseID(m.ID)
	if !ok {
		s.badMessage(m.ID, "id is an integer from 1 to 2^53-1")
		return
	}
	if id <= s.lastID {
		s.refuseID(id, wire.CodeDuplicateID, "ids rise: this one, or a larger one, was used before", "")
		return
	}
	s.lastID = id
	s.tokens -= float64(len(m.Where) / whereCost) // compiling it is work for the loop
	switch {
	case m.Table == "":
		s.badMessage(m.ID, "table is missing")
		return
	case len(m.Where) > s.h.cfg.Limits.PredicateBytes:
		s.refuseID(id, wire.CodeLimit, "predicate_bytes: where may have "+strconv.Itoa(s.h.cfg.Limits.PredicateBytes), "")
		return
	case len(m.Params) > s.h.cfg.Limits.Params:
		s.refuseID(id, wire.CodeLimit, "params: there may be "+strconv.Itoa(s.h.cfg.Limits.Params), "")
		return
	case len(s.subs) >= s.h.cfg.Limits.Subscriptions:
		s.refuseID(id, wire.CodeLimit, "subscriptions: "+strconv.Itoa(s.h.cfg.Limits.Subscriptions)+" are open on this connection", "")
		return
	case s.snapshotsRunning() >= s.h.cfg.Limits.Snapshots:
		s.refuseID(id, wire.CodeLimit, "snapshots: "+strconv.Itoa(s.h.cfg.Limits.Snapshots)+" are under way on this connection", "")
		return
	}
	sub := &subscription{id: id, table: strings.Clone(m.Table), since: m.Since, snapshot: m.Snapshot == nil || *m.Snapshot}
	sub.request = rule.Request{Columns: m.Columns, Where: m.Where, Params: m.Params,
		Limits: rule.Limits{PredicateBytes: s.h.cfg.Limits.PredicateBytes, PredicateDepth: s.h.cfg.Limits.PredicateDepth}}
	if m.Columns != nil { // an empty list asks for the key alone
		slices.Sort(sub.request.Columns)
		sub.request.Columns = slices.Compact(sub.request.Columns)
	}
	s.subs[id] = sub
	s.h.cfg.Metrics.Subscriptions.Inc()
	s.begin(sub)
}

func (s *session) refuseID(id uint64, code, message, hint string) {
	s.h.cfg.Metrics.Error(code)
	s.say(wire.Notice{Type: wire.TypeError, ID: rawID(id), Code: code, Message: message, Hint: hint})
}

func (s *session) snapshotsRunning() (n int) {
	for _, r := range s.readers {
		for _, st := range r.streams {
			if !st.Live {
				n++
			}
		}
	}
	return n
}

func (s *session) unsubscribe(m *wire.ClientMessage) {
	id, ok := parseID(m.ID)
	if !ok {
		s.badMessage(m.ID, "id is an integer from 1 to 2^53-1")
		return
	}
	sub := s.subs[id]
	if sub == nil {
		return
	}
	s.detach(sub)
	s.forget(sub)
	s.say(wire.Notice{Type: wire.TypeClosed, ID: rawID(id), Code: wire.CodeUnsubscribed})
}
