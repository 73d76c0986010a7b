package ws

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// adoptions is how many new sockets a loop takes in one round, so that a storm of them leaves room for the rest.
	adoptions = 64
	// servings is how many due connections are written in one round, before the loop looks for events again.
	servings = 256
	// steps is into how many parts the wheel's turn is cut.
	steps = 16
	// readSize is the loop's read buffer, and so what one connection may send before the others have their turn.
	readSize = 64 << 10
)

// Loop is one epoll instance and the goroutine that serves its connections.
type Loop struct {
	server *Server
	index  int
	poll   *poller
	inbox  chan accepted
	data   any

	sleeping atomic.Bool
	woken    atomic.Bool
	posted   atomic.Bool
	mu       sync.Mutex
	posts    []func()
	ended    bool // guarded by mu

	slots []slot
	free  []int32
	live  int // slots that are taken
	open  int // connections between Open and Closed

	due     []*Conn
	dueHead int
	batch   Batch
	buffer  []byte
	vectors vectors

	now      time.Time
	step     int
	nextStep time.Time
	drained  chan struct{} // closed when draining and no connection is open
	draining bool
	stopping bool
}

// slot is a connection's place in its loop; the generation tells tenants apart.
type slot struct {
	conn       *Conn
	generation uint32
}

func newLoop(s *Server, index int) (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &Loop{
		server: s, index: index, poll: p, inbox: make(chan accepted, 2*adoptions),
		buffer: make([]byte, readSize), drained: make(chan struct{}),
	}, nil
}

// Index is the loop's place in Server.Loops.
func (l *Loop) Index() int { return l.index }

// Data is what SetData set: the handler's state for this loop.
func (l *Loop) Data() any { return l.data }

// SetData must be called before Run or on the loop's goroutine.
func (l *Loop) SetData(v any) { l.data = v }

// Now is the time at which the loop's present round began. Loop's goroutine only.
func (l *Loop) Now() time.Time { return l.now }

// Wake makes the loop call Handler.Wake soon. Any goroutine; while one is pending another costs an atomic load.
func (l *Loop) Wake() {
	if !l.woken.Load() && !l.woken.Swap(true) {
		l.rouse()
	}
}

// Post runs f on the loop's goroutine soon. Any goroutine, the loop's own included; after the end of Run f is dropped.
func (l *Loop) Post(f func()) { l.post(f) }

func (l *Loop) post(f func()) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.posts = append(l.posts, f)
	l.posted.Store(true)
	l.mu.Unlock()
	l.rouse()
	return true
}

// rouse ends the loop's sleep. The caller has set what the loop is to find; the loop says that it sleeps before it
// looks for the last time, so one of the two sees the other.
func (l *Loop) rouse() {
	if l.sleeping.Load() && l.sleeping.CompareAndSwap(true, false) {
		l.poll.ring()
	}
}

func (l *Loop) run() error {
	defer l.end()
	l.now = time.Now()
	for !l.stopping {
		if err := l.round(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loop) round() error {
	if err := l.dispatch(); err != nil {
		return err
	}
	l.adopt()
	l.runPosts()
	if l.woken.Load() && l.woken.Swap(false) {
		l.server.handler.Wake(l)
	}
	l.serveDue()
	l.turn()
	if l.draining && l.open == 0 {
		l.signalDrained()
	}
	return nil
}

// dispatch waits for events, if there is nothing else to do, and handles them.
func (l *Loop) dispatch() error {
	events, err := l.poll.now()
	switch {
	case err != nil || len(events) > 0:
	case l.busy():
		runtime.Gosched() // a round may take milliseconds: whoever else is ready comes first
	default:
		l.sleeping.Store(true)
		if !l.busy() {
			events, err = l.poll.wait(l.alarm())
		}
		l.sleeping.Store(false)
	}
	if err != nil {
		return err
	}
	l.now = time.Now()
	for i := range events {
		e := &events[i]
		if e.Fd == noSlot {
			l.poll.rung()
			continue
		}
		if s := &l.slots[e.Fd]; s.conn != nil && s.generation == uint32(e.Pad) {
			s.conn.event(e.Events)
		}
	}
	return nil
}

func (l *Loop) busy() bool {
	return l.woken.Load() || l.posted.Load() || len(l.inbox) > 0 || l.dueHead < len(l.due)
}

func (l *Loop) alarm() time.Time {
	if l.live == 0 {
		return time.Time{}
	}
	return l.nextStep
}

func (l *Loop) adopt() {
	for range adoptions {
		select {
		case a := <-l.inbox:
			l.take(a)
		default:
			return
		}
	}
}

func (l *Loop) runPosts() {
	if !l.posted.Load() {
		return
	}
	l.mu.Lock()
	posts := l.posts
	l.posts = nil
	l.posted.Store(false)
	l.mu.Unlock()
	for _, f := range posts {
		f()
	}
}

// serveDue lets a bounded number of due connections write; those that are due again go to the end.
func (l *Loop) serveDue() {
	for range min(servings, len(l.due)-l.dueHead) {
		c := l.due[l.dueHead]
		l.due[l.dueHead] = nil
		l.dueHead++
		c.queued = false
		c.serve()
	}
	switch {
	case l.dueHead == len(l.due):
		l.due, l.dueHead = l.due[:0], 0
	case l.dueHead > len(l.due)/2:
		l.due, l.dueHead = slices.Delete(l.due, 0, l.dueHead), 0
	}
}

// turn moves the wheel: each slot is visited once in a period.
func (l *Loop) turn() {
	period := l.server.period
	if l.now.Before(l.nextStep) || l.live == 0 {
		if l.live == 0 {
			l.nextStep = l.now.Add(period / steps)
		}
		return
	}
	n := len(l.slots)
	for i := n * l.step / steps; i < n*(l.step+1)/steps; i++ {
		if c := l.slots[i].conn; c != nil {
			c.visit()
		}
	}
	l.step = (l.step + 1) % steps
	l.nextStep = l.nextStep.Add(period / steps)
	if l.nextStep.Before(l.now) {
		l.nextStep = l.now
	}
}

func (l *Loop) place(c *Conn) {
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		c.slot = int32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[c.slot].conn = c
	l.live++
}

func (l *Loop) vacate(c *Conn) {
	s := &l.slots[c.slot]
	s.conn = nil
	s.generation++
	l.free = append(l.free, c.slot)
	l.live--
}

// drain asks every connection to close once what is due is written. Loop's goroutine only.
func (l *Loop) drain() {
	l.draining = true
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil && c.state == stateOpen {
			c.due = true
			c.enqueue()
		}
	}
}

func (l *Loop) signalDrained() {
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
}

// end closes what is left, what was still to come included.
func (l *Loop) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.runPosts()
	for len(l.inbox) > 0 {
		l.adopt()
	}
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			c.teardown(errShutdown)
		}
	}
	l.signalDrained()
}
