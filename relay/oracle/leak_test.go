package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pgrelay/relay"
	"pgrelay/relay/auth"
	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
	"pgrelay/sql"
	"pgrelay/triggers"
)

// The size of a run of the leak test.
const (
	leakClients = 50
	leakWriters = 3
	leakPause   = 8 * time.Millisecond // of a writer between two transactions
	// A run ends with so many transactions and edits of rules, on a saturated machine with what there is after leakTime.
	leakCommits = 1000
	leakEdits   = 30
	leakTime    = 15 * time.Second
)

// TestLeaks: every key and every value that any of 50 clients was sent belongs to a row that its rules showed it at that
// moment, Postgres being the judge, while rows and rules change; and at the end every client has all that it may see.
//
// "At that moment" is told by the order of messages, not by clocks: after each edit of the rules that is in force every
// client is sent a ping, and what comes behind the pong was made under that edit or a later one. A stream, from its
// subscribed to its end, must have been made under one and the same grant as a whole.
func TestLeaks(t *testing.T) {
	seconds := number(t, "PGRELAY_LEAK_SECONDS")
	for _, c := range []struct {
		version int
		trigger bool
	}{{15, false}, {18, false}, {18, true}} {
		name := fmt.Sprintf("postgres %d", c.version)
		if c.trigger {
			name += ", captured by triggers"
		}
		t.Run(name, func(t *testing.T) {
			server := pgserver.ForTest(t, pgserver.Config{Version: c.version, Settings: map[string]string{"track_commit_timestamp": "on", "deadlock_timeout": "50ms"}})
			for began, round := time.Now(), 0; round == 0 || time.Since(began) < time.Duration(seconds)*time.Second; round++ {
				seed := number(t, "PGRELAY_LEAK_SEED")
				if seed == 0 {
					seed = rand.Uint64()
				}
				leakRound(t, server, fmt.Sprint("leak", round), seed, c.trigger)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// leakRun is one database with one relay.
type leakRun struct {
	t       *testing.T
	dsn     string
	server  *serve.Server
	rules   *leakRules
	clients []*leakClient
	commits atomic.Int64
	edits   int
	capture relay.Capture
	slowest time.Duration // from an edit to its being in force
}

func leakRound(t *testing.T, server *pgserver.Server, name string, seed uint64, trigger bool) {
	t.Helper()
	t.Logf("PGRELAY_LEAK_SEED=%d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), settling)
	defer cancel()
	if err := server.CreateDatabase(ctx, name); err != nil {
		t.Fatal(err)
	}
	r := &leakRun{t: t, dsn: server.DSN(name), capture: relay.CaptureLogical}
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(ctx, t, r.dsn)
	scripts := []string{system, leakSchema}
	if trigger {
		r.capture = relay.CaptureTrigger
		scripts = append(scripts, triggers.Install(""))
		for relation := range leakTables {
			scripts = append(scripts, triggers.Enable(triggers.Table{Name: relation}))
		}
	}
	for _, script := range scripts {
		if _, err := conn.Exec(ctx, script); err != nil {
			t.Fatal(err)
		}
	}
	if r.rules, err = newLeakRules(ctx, connect(ctx, t, r.dsn), rand.New(rand.NewPCG(seed, 1<<40)), r.capture); err != nil {
		t.Fatal(err)
	}
	defer r.serve()()
	if err := r.server.RulesInForce(ctx); err != nil {
		t.Fatal(err)
	}
	_, started := r.rules.bounds()
	r.rules.reached(started)
	for i := range leakClients {
		c := newLeakClient(i, seed, "ws://"+r.server.Addr().String()+wire.Path, r.rules)
		defer c.mirror.Drop()
		r.clients = append(r.clients, c)
	}
	if err := r.act(ctx, seed); err != nil {
		t.Fatal(err)
	}
	if err := r.settle(ctx, conn); err != nil {
		t.Fatal(err)
	}
	r.judge(ctx, conn)
}

// serve starts a relay and returns its end.
func (r *leakRun) serve() (stop func()) {
	s, err := serve.New(serve.Config{
		Warehouse: warehouse.Config{DSN: r.dsn}, Listen: "127.0.0.1:0", Auth: auth.Config{Secret: leakSecret},
		Logger: zerolog.Nop(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	ready, enough := context.WithTimeout(ctx, settling)
	defer enough()
	if err := s.Ready(ready); err != nil {
		r.t.Errorf("the relay isn't ready: %q", s.Reasons())
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the relay ended with %v", err)
		}
	}
}

// act is the time of writing, editing and visiting.
func (r *leakRun) act(ctx context.Context, seed uint64) error {
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	timer := time.AfterFunc(leakTime, end)
	defer timer.Stop()
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, end)
	for i := range leakWriters {
		conn, err := open(ctx, r.dsn)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		w := &leakWriter{conn: conn, rnd: rand.New(rand.NewPCG(seed, 1<<41+uint64(i))), commits: &r.commits}
		if _, err := conn.Exec(ctx, "set lock_timeout = '300ms'"); err != nil {
			return err
		}
		group.Go(func() error {
			return until(stop, func() time.Duration { return leakPause }, func() error { return w.transaction(ctx) })
		})
	}
	for _, c := range r.clients {
		group.Go(func() error { return c.visit(ctx, stop) })
	}
	rnd := rand.New(rand.NewPCG(seed, 1<<42))
	group.Go(func() error {
		return until(stop, func() time.Duration {
			return []time.Duration{0, 10, 50, 100, 200, 400}[rnd.IntN(6)] * time.Millisecond
		}, func() error {
			if r.edits >= leakEdits && r.commits.Load() >= leakCommits {
				end()
			}
			return r.edit(ctx, rnd)
		})
	})
	return group.Wait()
}

// until does something again and again, with pauses between.
func until(stop <-chan struct{}, pause func() time.Duration, do func() error) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(pause()):
		}
		if err := do(); err != nil {
			return err
		}
	}
}

// edit makes an edit, or some at once, waits until it is in force, and has every connection tell when that is so there.
func (r *leakRun) edit(ctx context.Context, rnd *rand.Rand) error {
	for range 1 + rnd.IntN(3)/2 {
		r.edits++
		if err := r.rules.edit(ctx); err != nil {
			return err
		}
	}
	return r.inForce(ctx)
}

func (r *leakRun) inForce(ctx context.Context) error {
	_, version := r.rules.bounds()
	began := time.Now()
	if err := r.server.RulesInForce(ctx); err != nil {
		return err
	}
	r.slowest = max(r.slowest, time.Since(began))
	r.rules.reached(version)
	for _, c := range r.clients {
		c.ping(version)
	}
	return nil
}

// settle ends with rules that can be used and waits until every mirror is what Postgres shows.
func (r *leakRun) settle(ctx context.Context, conn *pgx.Conn) error {
	if err := r.rules.mend(ctx); err != nil {
		return err
	}
	if err := r.inForce(ctx); err != nil {
		return err
	}
	for _, c := range r.clients {
		if !c.mirror.Connected() {
			if err := c.connect(ctx); err != nil {
				return err
			}
		}
		for len(c.open()) < 2 {
			if err := c.subscribe(); err != nil {
				return err
			}
			if err := c.mirror.Await(ctx, func(*client.Mirror) bool { return c.answered() }); err != nil {
				return err
			}
		}
		if err := c.mirror.Await(ctx, func(*client.Mirror) bool { return c.answered() }); err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
	return nil
}

// answered tells that all tokens and subscriptions have been answered.
func (c *leakClient) answered() bool {
	for _, id := range c.open() {
		if p := c.mirror.Status(id).Phase; p != client.Live && p != client.Waiting {
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.renewing) == 0
}
