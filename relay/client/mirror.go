package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"pgrelay/relay/wire"
)

// Subscription is what to subscribe to.
type Subscription struct {
	// Table is "schema.name" as the warehouse names it.
	Table string
	// Columns to read; nil for all.
	Columns []string
	// ChangesOnly keeps no rows: the protocol's snapshot: false.
	ChangesOnly bool
	Where       string
	Params      []json.RawMessage
	// From is the id of a closed subscription whose rows and cursor are taken over; 0 for none.
	From uint64
}

// Transaction is one source transaction's changes to one subscription.
type Transaction struct {
	Table  string
	Server string
	// At is the commit time, as the protocol has it.
	At      string
	Tx      string
	Cursor  string
	Changes []wire.Change
}

// Hooks are called from the goroutine that receives, one after another, after the message was applied. They may call
// the Mirror's methods, Connect, Run and Close apart. Any may be nil.
type Hooks struct {
	// Message gets every message, as text and decoded.
	Message func(raw []byte, m *wire.ServerMessage)
	// Transaction gets each transaction that changed what a subscription shows, for each subscription of the shape.
	Transaction func(id uint64, t *Transaction)
}

// Mirror keeps the rows of its subscriptions over one connection after another. Its zero value isn't usable: NewMirror.
// It is safe for concurrent use, but only one goroutine connects and closes.
type Mirror struct {
	hooks Hooks

	mu      sync.Mutex
	last    uint64
	subs    map[uint64]*subscription
	link    *link // nil without a connection
	former  *link
	changed chan struct{}
	err     error
	stats   Stats
	loose   []wire.ServerMessage
	later   []func()
}

// Stats count what a mirror went through.
type Stats struct {
	Connections, Frames, Snapshots, Resumed, Shared, Lives, Resyncs, Waitings int
	// Reasons count the resyncs by theirs.
	Reasons map[string]int
	// Refused counts those of Snapshots that answered a since.
	Refused int
	// Transactions and Changes count what was applied to a shape, once per shape.
	Transactions, Changes int
	// Abandoned counts unfinished transactions that were thrown away.
	Abandoned int
}

// link is a connection with the streams on it.
type link struct {
	conn    *Conn
	strict  bool
	streams map[string]*stream
	order   map[string]*txLog
	lent    map[*rows]bool
	done    chan struct{}
	err     error
}

// NewMirror returns a mirror without subscriptions or connection.
func NewMirror(h Hooks) *Mirror {
	return &Mirror{hooks: h, subs: map[uint64]*subscription{}, changed: make(chan struct{}), stats: Stats{Reasons: map[string]int{}}}
}

// Subscribe adds a subscription, sends it if there is a connection, and returns its id.
func (m *Mirror) Subscribe(ask Subscription) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &subscription{id: m.last + 1, ask: ask, phase: Asked}
	if ask.From != 0 {
		old := m.subs[ask.From]
		if old == nil || old.phase != Closed {
			return 0, fmt.Errorf("subscription %d isn't closed", ask.From)
		}
		s.shown, old.shown = old.shown, held{}
		if ask.ChangesOnly {
			s.shown.rows = nil
		} else if s.shown.rows == nil {
			s.shown = held{} // a cursor without the rows that it stands for continues nothing
		}
	}
	m.last++
	m.subs[s.id] = s
	defer m.wake()
	if m.link == nil {
		return s.id, nil
	}
	return s.id, m.send(s)
}

// Unsubscribe ends a subscription. It is Closed at the server's answer, or at once without a connection; its rows and
// cursor stay for a Subscription's From.
func (m *Mirror) Unsubscribe(id uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil || s.ended() || s.leaving {
		return fmt.Errorf("subscription %d isn't open", id)
	}
	defer m.wake()
	if m.link == nil {
		s.phase = Closed
		return nil
	}
	s.leaving = true
	return m.link.conn.Send(wire.ClientMessage{Type: wire.TypeUnsubscribe, ID: number(id)})
}

// Forget drops a subscription that has ended, with its rows.
func (m *Mirror) Forget(id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.subs[id]; s != nil && s.ended() {
		delete(m.subs, id)
	}
}

// Await returns when the condition holds; with an error when the context ends before, or at a violation. The condition
// is asked after every message and may call the mirror's methods.
func (m *Mirror) Await(ctx context.Context, condition func(*Mirror) bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		holds := condition(m)
		if err := m.Err(); err != nil || holds {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await a condition: %w; %s", context.Cause(ctx), m)
		}
	}
}

// Err is the first violation, which ended the connection for good; nil while there was none.
func (m *Mirror) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Stats returns the counts so far.
func (m *Mirror) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Reasons = maps.Clone(s.Reasons)
	return s
}

// Loose returns the error messages that named no subscription.
func (m *Mirror) Loose() []wire.ServerMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]wire.ServerMessage(nil), m.loose...)
}

// String tells the state of each subscription in a line.
func (m *Mirror) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	if m.link == nil {
		b.WriteString("not connected")
	} else {
		b.WriteString("connected")
	}
	for id := uint64(1); id <= m.last; id++ {
		if s := m.subs[id]; s != nil {
			fmt.Fprintf(&b, "; %d %s %s", id, s.ask.Table, s.phase)
			if s.message != "" {
				fmt.Fprintf(&b, " (%s)", s.message)
			}
		}
	}
	return b.String()
}

// wake lets every Await look again. The caller holds the lock.
func (m *Mirror) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// violated stops the mirror. The caller holds the lock.
func (m *Mirror) violated(err error) {
	if m.err == nil && errors.As(err, new(*Violation)) {
		m.err = err
	}
}

// expire withdraws rows whose rule changed five seconds ago. The caller holds the lock.
func (s *subscription) expire() {
	if !s.withdraw.IsZero() && !time.Now().Before(s.withdraw) {
		s.shown, s.base, s.withdraw = held{}, held{}, time.Time{}
	}
}
