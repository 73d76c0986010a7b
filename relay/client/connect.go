package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pgrelay/relay/wire"
)

// Connect dials and subscribes to everything that is open, each set of rows continued by the first id that shows it.
// It waits for the former connection's last message to be applied.
func (m *Mirror) Connect(ctx context.Context, url string, o Options) error {
	if err := m.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	connected := m.link != nil
	m.mu.Unlock()
	if connected {
		return errors.New("the mirror is connected already")
	}
	conn, err := Dial(ctx, url, o)
	if err != nil {
		return err
	}
	l := &link{conn: conn, strict: o.Strict, streams: map[string]*stream{}, order: map[string]*txLog{}, done: make(chan struct{}), lent: map[*rows]bool{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link = l
	m.stats.Connections++
	for _, id := range slices.Sorted(maps.Keys(m.subs)) {
		if s := m.subs[id]; !s.ended() {
			if err = m.send(s); err != nil {
				conn.Drop() // the receiver finds it and clears up
				break
			}
		}
	}
	m.wake()
	go m.receive(l)
	return err
}

// lend tells whether rows may go with a since: each set once per connection.
func (l *link) lend(r *rows) bool {
	if r == nil {
		return true
	}
	if l.lent[r] {
		return false
	}
	l.lent[r] = true
	return true
}

// receive applies messages until the connection ends.
func (m *Mirror) receive(l *link) {
	defer close(l.done)
	for {
		raw, msg, err := l.conn.Receive()
		if err == nil {
			err = m.take(l, raw, msg)
		}
		if err != nil {
			m.unlink(l, err)
			return
		}
	}
}

// take applies one message and calls the hooks.
func (m *Mirror) take(l *link, raw []byte, msg *wire.ServerMessage) error {
	m.mu.Lock()
	err := m.apply(l, msg)
	if err != nil {
		err = fmt.Errorf("%w\n%.2000s", err, raw)
		m.violated(err)
	}
	later := m.later
	m.later = nil
	m.wake()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if m.hooks.Message != nil {
		m.hooks.Message(raw, msg)
	}
	for _, f := range later {
		f()
	}
	select {
	case <-l.conn.ended: // a hook dropped the connection: nothing more is applied
		return errDropped
	default:
		return nil
	}
}

// unlink takes every subscription off the connection: unfinished sets and transactions are thrown away.
func (m *Mirror) unlink(l *link, err error) {
	l.conn.Drop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.violated(err)
	l.err = err
	for _, st := range l.streams {
		m.abandon(st)
	}
	for _, s := range m.subs {
		s.stream, s.base = nil, held{}
		switch {
		case s.ended():
		case s.leaving:
			s.phase = Closed
		default:
			s.phase = Asked
		}
		s.leaving = false
	}
	m.former, m.link = l, nil
	m.wake()
}

// Connected tells whether there is a connection.
func (m *Mirror) Connected() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.link != nil
}

// Lost is why the last connection ended; nil before the first one did.
func (m *Mirror) Lost() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.former == nil {
		return nil
	}
	return m.former.err
}

// Conn is the present connection, for messages of the caller's own; nil without one.
func (m *Mirror) Conn() *Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.link == nil {
		return nil
	}
	return m.link.conn
}

// Cut resets the connection and doesn't wait for anything; of use in a hook too.
func (m *Mirror) Cut() {
	if c := m.Conn(); c != nil {
		c.Drop()
	}
}

// Drop resets the connection as a cut cable would, and waits until nothing of it is applied any more.
func (m *Mirror) Drop() { m.hangUp((*Conn).Drop) }

// Close says goodbye to the server and waits for its answer.
func (m *Mirror) Close() { m.hangUp(func(c *Conn) { _ = c.Close() }) }

func (m *Mirror) hangUp(how func(*Conn)) {
	m.mu.Lock()
	l := m.link
	m.mu.Unlock()
	if l == nil {
		return
	}
	how(l.conn)
	<-l.done
}
