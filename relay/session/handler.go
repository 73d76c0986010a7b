package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/metrics"
	"pgrelay/relay/wire"
	"pgrelay/relay/ws"
)

// Config is how sessions behave; the zero value works but for Verify.
type Config struct {
	// Verify turns a token into who is asking; the empty token is anon's.
	Verify func(token string, now time.Time) (relay.Principal, error)
	// Retryable tells of an error of Verify that the same token may not meet a moment later.
	Retryable func(error) bool
	// Leeway is for how long a token is good past its expiry.
	Leeway time.Duration
	// Version is the relay's, told in welcome.
	Version string
	// Limits default to those of DefaultLimits, field by field.
	Limits wire.Limits
	// Heartbeat is how often a text frame comes at least; default 25 s.
	Heartbeat time.Duration
	// HelloTimeout is from the connection to hello; default 10 s.
	HelloTimeout time.Duration
	// AnswerBytes bounds a connection's own answers that it has not taken; past it 4409. Default 1 MiB.
	AnswerBytes int
	Logger      zerolog.Logger
	Metrics     *metrics.Metrics
}

// DefaultLimits are the limits where the operator sets none.
var DefaultLimits = wire.Limits{
	MessageBytes: 64 << 10, MessagesPerSecond: 200, Subscriptions: 500,
	PredicateBytes: 8 << 10, PredicateDepth: 50, Params: 100, Snapshots: 200,
}

func (c Config) withDefaults() Config {
	set := func(field *int, is int) {
		if *field <= 0 {
			*field = is
		}
	}
	set(&c.Limits.MessageBytes, DefaultLimits.MessageBytes)
	set(&c.Limits.MessagesPerSecond, DefaultLimits.MessagesPerSecond)
	set(&c.Limits.Subscriptions, DefaultLimits.Subscriptions)
	set(&c.Limits.PredicateBytes, DefaultLimits.PredicateBytes)
	set(&c.Limits.PredicateDepth, DefaultLimits.PredicateDepth)
	set(&c.Limits.Params, DefaultLimits.Params)
	set(&c.Limits.Snapshots, DefaultLimits.Snapshots)
	set(&c.AnswerBytes, 1<<20)
	if c.Heartbeat <= 0 {
		c.Heartbeat = 25 * time.Second
	}
	if c.Retryable == nil {
		c.Retryable = func(error) bool { return false }
	}
	if c.HelloTimeout <= 0 {
		c.HelloTimeout = 10 * time.Second
	}
	return c
}

// Handler makes a session of every connection of a ws.Server.
type Handler struct {
	cfg       Config
	log       zerolog.Logger
	directory atomic.Pointer[Directory]
	mu        sync.Mutex
	loops     []*loop
}

// NewHandler is a handler whose directory is empty.
func NewHandler(cfg Config) *Handler {
	h := &Handler{cfg: cfg.withDefaults(), log: cfg.Logger.With().Str("component", "session").Logger()}
	h.directory.Store(&Directory{})
	return h
}

// Limits are the limits in force.
func (h *Handler) Limits() wire.Limits { return h.cfg.Limits }

// SetDirectory puts a directory in force: every session looks at its subscriptions anew before it sends
// another frame.
func (h *Handler) SetDirectory(d *Directory) {
	h.directory.Store(d)
	h.mu.Lock()
	loops := h.loops
	h.mu.Unlock()
	for _, l := range loops {
		l.reconcile.Store(true)
		l.ws.Wake()
	}
}

// Settled returns when every session has looked at its subscriptions under the directory in force.
func (h *Handler) Settled(ctx context.Context) error {
	h.mu.Lock()
	loops := h.loops
	h.mu.Unlock()
	for _, l := range loops {
		done := make(chan struct{})
		l.ws.Post(func() {
			h.Wake(l.ws)
			close(done)
		})
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Notify is the hub's word that shapes have something new.
func (h *Handler) Notify(s *hub.Source, shapes []*hub.Shape, upTo uint64) {
	h.mu.Lock()
	loops := h.loops
	h.mu.Unlock()
	for _, l := range loops {
		l.notify(s, shapes, upTo)
	}
}

// loop is what the sessions of one ws.Loop share.
type loop struct {
	ws        *ws.Loop
	index     int
	sessions  map[*session]struct{}
	streams   map[*hub.Shape][]*stream
	reconcile atomic.Bool

	mu     sync.Mutex
	news   []news
	shapes []*hub.Shape // those of news
	woken  []*session
}

// news tell that all frames of a source up to a number are those of shapes that were queued.
type news struct {
	source *hub.Source
	upTo   uint64
}

func (h *Handler) loop(l *ws.Loop) *loop {
	if own, ok := l.Data().(*loop); ok {
		return own
	}
	own := &loop{ws: l, index: l.Index(), sessions: map[*session]struct{}{}, streams: map[*hub.Shape][]*stream{}}
	l.SetData(own)
	h.mu.Lock()
	h.loops = append(append([]*loop(nil), h.loops...), own)
	h.mu.Unlock()
	return own
}

func (l *loop) notify(source *hub.Source, shapes []*hub.Shape, upTo uint64) {
	added, bit := false, uint64(1)<<l.index
	l.mu.Lock()
	for _, s := range shapes {
		if s.Queued.Or(bit)&bit == 0 {
			l.shapes = append(l.shapes, s)
			added = true
		}
	}
	if at := slices.IndexFunc(l.news, func(n news) bool { return n.source == source }); at >= 0 {
		l.news[at].upTo = max(l.news[at].upTo, upTo)
	} else {
		l.news = append(l.news, news{source, upTo})
	}
	l.mu.Unlock()
	if added {
		l.ws.Wake()
	}
}

// wake marks a session due, from any goroutine.
func (l *loop) wake(s *session) {
	l.mu.Lock()
	l.woken = append(l.woken, s)
	l.mu.Unlock()
	l.ws.Wake()
}

// Wake marks the connections due that have something to send.
func (h *Handler) Wake(wl *ws.Loop) {
	l := h.loop(wl)
	if l.reconcile.Swap(false) {
		for s := range l.sessions {
			s.reconcile(false)
			s.conn.Due()
		}
	}
	l.mu.Lock()
	sources, shapes, woken := l.news, l.shapes, l.woken
	l.news, l.shapes, l.woken = nil, nil, nil
	for _, shape := range shapes {
		shape.Queued.And(^(uint64(1) << l.index))
	}
	l.mu.Unlock()
	for _, shape := range shapes {
		for _, st := range l.streams[shape] {
			st.reader.Due(st.Stream)
			st.reader.session.conn.Due()
		}
	}
	for _, n := range sources {
		n.source.Heard(l.index, n.upTo)
	}
	for _, s := range woken {
		if !s.closed {
			s.conn.Due()
		}
	}
}

// Open begins a session.
func (h *Handler) Open(c *ws.Conn, r ws.Request) {
	l := h.loop(c.Loop())
	s := newSession(h, l, c, r)
	c.SetData(s)
	l.sessions[s] = struct{}{}
	h.cfg.Metrics.Connections.Inc()
	h.cfg.Metrics.ConnectionsTotal.Inc()
}

// Message takes in a client's message.
func (h *Handler) Message(c *ws.Conn, payload []byte) { c.Data().(*session).message(payload) }

// Pull adds what is due.
func (h *Handler) Pull(c *ws.Conn, out *ws.Batch) (more bool) { return c.Data().(*session).pull(out) }

// Tick looks at the session's times.
func (h *Handler) Tick(c *ws.Conn, now time.Time) { c.Data().(*session).tick(now) }

// Closed ends a session.
func (h *Handler) Closed(c *ws.Conn, _ error) {
	s := c.Data().(*session)
	s.close()
	delete(s.loop.sessions, s)
	h.cfg.Metrics.Connections.Dec()
}
