package oracle

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// options of a run; the zero value is what the test runs.
type options struct {
	// Seed of all decisions; default: of the moment. It is printed.
	Seed uint64
	// Writers and Clients; default 8 and 100.
	Writers, Clients int
	// Duration of the writing; default 10 s.
	Duration time.Duration
	// Token for hello; default none. The rules that prepare makes are for anon.
	Token string
	// Disturb is what else happens while the writers write: restarts of the relay, say. It returns when stop is closed.
	// With it clients take lost and refused connections as they come.
	Disturb func(ctx context.Context, stop <-chan struct{}) error
}

func (o *options) setDefaults() {
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Writers == 0 {
		o.Writers = 8
	}
	if o.Clients == 0 {
		o.Clients = 100
	}
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
}

// settling bounds the time from the last commit to the last mirror that has it.
const settling = 2 * time.Minute

// run lets writers and clients loose on tables that prepare made, seen through the relay at url, and compares.
func run(t *testing.T, url string, dsn string, o options) {
	t.Helper()
	o.setDefaults()
	t.Logf("PGRELAY_ORACLE_SEED=%d", o.Seed)
	ctx, cancel := context.WithTimeout(t.Context(), longest*o.Duration+settling)
	defer cancel()
	visitors := make([]*visitor, o.Clients)
	for i := range visitors {
		visitors[i] = newVisitor(i, o.Seed, url, client.Options{Token: o.Token, Strict: true}, o.Disturb != nil)
		defer visitors[i].mirror.Drop()
	}
	wrote := &done{}
	if err := act(ctx, dsn, o, visitors, wrote); err != nil {
		t.Fatal(err)
	}
	t.Log(wrote)
	want := finish(ctx, t, dsn)
	settle(ctx, t, visitors)
	compare(t, visitors, want)
	report(t, visitors)
}

// act is the time of writing.
func act(ctx context.Context, dsn string, o options, visitors []*visitor, wrote *done) error {
	writers := make([]*writer, o.Writers)
	for i := range writers {
		conn, err := open(ctx, dsn)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		writers[i] = &writer{conn: conn, rnd: rand.New(rand.NewPCG(o.Seed, 1<<32+uint64(i))), done: wrote, large: i == 0}
	}
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer end()
		for began := time.Now(); time.Since(began) < o.Duration || tame(total(visitors)) && time.Since(began) < longest*o.Duration; {
			select {
			case <-stop:
				return nil
			case <-time.After(o.Duration / 20):
			}
		}
		return nil
	})
	context.AfterFunc(ctx, end) // the first error ends it for all
	for _, w := range writers {
		group.Go(func() error { return w.run(ctx, stop) })
	}
	for _, v := range visitors {
		group.Go(func() error { return v.visit(ctx, stop) })
	}
	if o.Disturb != nil {
		group.Go(func() error { return o.Disturb(ctx, stop) })
	}
	return group.Wait()
}

// finish writes the sentinels and returns each table's contents.
func finish(ctx context.Context, t *testing.T, dsn string) map[string][]client.Row {
	t.Helper()
	conn := connect(ctx, t, dsn)
	want := map[string][]client.Row{}
	for _, k := range tables {
		if _, err := conn.Exec(ctx, k.last); err != nil {
			t.Fatalf("write the sentinel of %s: %v", k.name, err)
		}
	}
	for _, k := range tables {
		rows, err := contents(ctx, conn, k.name)
		if err != nil {
			t.Fatal(err)
		}
		want[k.name] = rows
	}
	return want
}

func settle(ctx context.Context, t *testing.T, visitors []*visitor) {
	t.Helper()
	start := time.Now()
	var group errgroup.Group
	for _, v := range visitors {
		group.Go(func() error { return v.settle(ctx) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("all mirrors settled in %s", time.Since(start).Round(time.Millisecond))
}

func compare(t *testing.T, visitors []*visitor, want map[string][]client.Row) {
	t.Helper()
	compared := map[string]int{}
	for _, v := range visitors {
		for _, id := range v.open {
			a := v.asks[id]
			if a.ChangesOnly || v.mirror.Status(id).Phase != client.Live {
				continue
			}
			compared[a.table.name]++
			if diff := differences(v.mirror.Rows(id), want[a.table.name], names(v.mirror.Status(id).Columns)); diff != nil {
				t.Errorf("visitor %d, subscription %d of %s, columns %q: %q", v.number, id, a.table.name, a.Columns, diff)
			}
		}
		for _, m := range v.mirror.Loose() {
			t.Errorf("visitor %d got the error %s: %s", v.number, m.Code, m.Message)
		}
	}
	for _, k := range tables {
		t.Logf("%s: %d rows, compared with %d mirrors", k.name, len(want[k.name]), compared[k.name])
	}
}

func names(columns []wire.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// longest is how many times its Duration a run may take that was too tame until then.
const longest = 4

// tame tells that a run shows nothing: it resumed nothing, shared nothing, or cut no transaction in two.
func tame(s client.Stats) bool { return s.Resumed == 0 || s.Shared == 0 || s.Abandoned == 0 }

// report says what the visitors went through.
func report(t *testing.T, visitors []*visitor) {
	t.Helper()
	sum := total(visitors)
	t.Logf("%+v", sum)
	if tame(sum) {
		t.Error("the run resumed nothing, shared nothing, or cut no transaction in two: too tame")
	}
}

// total sums up what the visitors went through.
func total(visitors []*visitor) client.Stats {
	sum := client.Stats{Reasons: map[string]int{}}
	for _, v := range visitors {
		s := v.mirror.Stats()
		sum.Connections += s.Connections
		sum.Frames += s.Frames
		sum.Snapshots += s.Snapshots
		sum.Refused += s.Refused
		sum.Resumed += s.Resumed
		sum.Shared += s.Shared
		sum.Lives += s.Lives
		sum.Resyncs += s.Resyncs
		for reason, n := range s.Reasons {
			sum.Reasons[reason] += n
		}
		sum.Waitings += s.Waitings
		sum.Transactions += s.Transactions
		sum.Changes += s.Changes
		sum.Abandoned += s.Abandoned
	}
	return sum
}
