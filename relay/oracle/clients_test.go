package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// The habits of visitors.
const (
	mostOpen = 4 // subscriptions of one visitor
	patience = time.Second
)

// visitor is one client that comes and goes.
type visitor struct {
	number  int
	rnd     *rand.Rand
	url     string
	options client.Options
	// unsteady: the relay may be away, so a refused or lost connection is no error.
	unsteady bool

	mirror *client.Mirror
	open   []uint64 // in the order in which they were asked for
	closed []uint64
	asks   map[uint64]ask
	// cut says at which message the visitor's connection breaks; nil: at none.
	cut atomic.Pointer[func(*wire.ServerMessage) bool]
}

// ask is what a subscription asked for, of which table.
type ask struct {
	table table
	client.Subscription
}

func newVisitor(number int, seed uint64, url string, o client.Options, unsteady bool) *visitor {
	v := &visitor{
		number: number, rnd: rand.New(rand.NewPCG(seed, uint64(number))), url: url, options: o, unsteady: unsteady,
		asks: map[uint64]ask{},
	}
	v.mirror = client.NewMirror(client.Hooks{Message: v.message})
	return v
}

// message breaks the connection where the plan says so.
func (v *visitor) message(_ []byte, m *wire.ServerMessage) {
	if plan := v.cut.Load(); plan != nil && (*plan)(m) {
		v.cut.CompareAndSwap(plan, nil)
		v.mirror.Cut()
	}
}

// visit acts at random until stop is closed.
func (v *visitor) visit(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := v.act(ctx); err != nil {
			return fmt.Errorf("visitor %d: %w", v.number, err)
		}
		if err := v.watch(ctx, stop); err != nil {
			return fmt.Errorf("visitor %d: %w", v.number, err)
		}
	}
}

// watch lets some messages come.
func (v *visitor) watch(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() { // stop ends the wait
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	enough := v.mirror.Stats().Frames + 1 + v.rnd.IntN(60)
	err := v.mirror.Await(ctx, func(m *client.Mirror) bool { return m.Stats().Frames >= enough || !m.Connected() })
	if err != nil && ctx.Err() != nil {
		return v.mirror.Err()
	}
	return err
}

// act does one thing that a person's browser does.
func (v *visitor) act(ctx context.Context) error {
	if !v.mirror.Connected() {
		if err := v.connect(ctx); err != nil || !v.mirror.Connected() {
			return err
		}
	}
	switch n := v.rnd.IntN(20); {
	case n < 6 && len(v.open) < mostOpen:
		return v.subscribe()
	case n < 9:
		return v.unsubscribe()
	case n < 11:
		v.mirror.Drop()
	case n == 11:
		v.mirror.Close()
	case n < 14:
		v.plan(func(m *wire.ServerMessage) bool { return m.Type == wire.TypeSnapshot })
		return v.subscribe()
	case n < 16:
		v.plan(func(m *wire.ServerMessage) bool { return m.Type == wire.TypeChanges && m.More })
	case n == 16:
		v.plan(func(m *wire.ServerMessage) bool { return m.Type == wire.TypeSubscribed && m.Resumed && !m.Shared })
	case n == 17:
		left := v.rnd.IntN(40)
		v.plan(func(*wire.ServerMessage) bool { left--; return left < 0 })
	}
	return nil
}

func (v *visitor) plan(cut func(*wire.ServerMessage) bool) { v.cut.Store(&cut) }

// connect opens the next connection, after a look at how the last one ended.
func (v *visitor) connect(ctx context.Context) error {
	v.tidy()
	if lost := v.mirror.Lost(); lost != nil && !v.unsteady {
		var closed *client.CloseError
		if errors.Is(lost, client.ErrSilent) || errors.As(lost, &closed) && closed.Code != wire.CloseNormal {
			return lost
		}
	}
	connections := v.mirror.Stats().Connections
	err := v.mirror.Connect(ctx, v.url, v.options)
	if err != nil && ctx.Err() == nil && (v.unsteady || v.mirror.Stats().Connections > connections) {
		// A relay that is away is asked again in a while, as a browser does.
		pause, cancel := context.WithTimeout(ctx, time.Duration(50+v.rnd.IntN(200))*time.Millisecond)
		defer cancel()
		<-pause.Done()
		return v.lost(err)
	}
	return err
}

// tidy notes which subscriptions have ended.
func (v *visitor) tidy() {
	v.open = slices.DeleteFunc(v.open, func(id uint64) bool {
		ended := v.mirror.Status(id).Phase == client.Closed
		if ended {
			v.closed = append(v.closed, id)
		}
		return ended
	})
}

// subscribe opens one more subscription: a fresh one, or one that takes over the rows of a closed one.
func (v *visitor) subscribe() error {
	v.tidy()
	if len(v.open) >= mostOpen {
		return nil
	}
	if n := len(v.closed); n > 0 && v.rnd.IntN(2) == 0 {
		from := v.closed[n-1]
		v.closed = v.closed[:n-1]
		a := v.asks[from]
		a.From = from
		if v.rnd.IntN(5) == 0 {
			a.Columns = nil // another shape, perhaps: its cursor is good for nothing then
		}
		return v.begin(a)
	}
	k := v.pick()
	a := ask{k, client.Subscription{Table: k.name}}
	switch v.rnd.IntN(8) {
	case 0:
		a.ChangesOnly = true
	case 1:
		a.Columns = narrow[k.name]
	}
	return v.begin(a)
}

// narrow are columns to ask for; the bag's must tell its sentinel.
var narrow = map[string][]string{
	"oracle.keyed": {"amount", "note"}, "oracle.whole": {"v"}, "oracle.parts": {"v", "id"}, "oracle.bulk": {"n"},
	"oracle.pairs": {"v"}, "oracle.indexed": {"note"}, "oracle.bag": {"n"},
}

func (v *visitor) begin(a ask) error {
	id, err := v.mirror.Subscribe(a.Subscription)
	if id != 0 {
		v.open = append(v.open, id)
		v.asks[id] = a
	}
	return v.lost(err)
}

// lost lets a write to a connection that has just ended pass: what it asked for is asked again on the next.
func (v *visitor) lost(err error) error {
	if err == nil || v.mirror.Err() != nil {
		return v.mirror.Err()
	}
	v.mirror.Drop()
	return nil
}

// unsubscribe ends one subscription.
func (v *visitor) unsubscribe() error {
	v.tidy()
	if len(v.open) == 0 {
		return nil
	}
	id := v.open[v.rnd.IntN(len(v.open))]
	if status := v.mirror.Status(id); status.Phase == client.Failed {
		return fmt.Errorf("the subscription to %s was refused: %s %s", status.Table, status.Code, status.Message)
	}
	err := v.mirror.Unsubscribe(id)
	if err != nil && v.mirror.Connected() {
		return nil // it was asked to end before, and the answer is on its way
	}
	return v.lost(err)
}

func (v *visitor) pick() table {
	sum := 0
	for _, k := range tables {
		sum += k.weight
	}
	n := v.rnd.IntN(sum)
	for _, k := range tables {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	return tables[0]
}

// settle connects for good and waits until every subscription has seen the sentinel of its table.
func (v *visitor) settle(ctx context.Context) error {
	v.cut.Store(nil)
	for {
		if !v.mirror.Connected() {
			if err := v.connect(ctx); err != nil {
				return fmt.Errorf("visitor %d: %w", v.number, err)
			}
		}
		if v.tidy(); len(v.open) == 0 {
			if err := v.subscribe(); err != nil {
				return fmt.Errorf("visitor %d: %w", v.number, err)
			}
		}
		err := v.mirror.Await(ctx, func(m *client.Mirror) bool { return !m.Connected() || v.settled() })
		if err != nil {
			return fmt.Errorf("visitor %d: %w", v.number, err)
		}
		if v.settled() {
			return nil
		}
	}
}

func (v *visitor) settled() bool {
	for _, id := range v.open {
		switch v.mirror.Status(id).Phase {
		case client.Closed:
			continue
		case client.Live:
		default:
			return false
		}
		a := v.asks[id]
		if _, there := v.mirror.Find(id, a.table.find); !there && !a.ChangesOnly {
			return false
		}
	}
	return true
}
