package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgrelay/relay"
)

// TestResume goes on from every position that was given out, and gets exactly what followed it.
func TestResume(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, stop := d.start(d.config(), s)
		s.names.set(d.table("public.a", "id int primary key"), "a")
		var positions []relay.LSN
		var counts []int
		for i := range 10 {
			// Several transactions in one delivery: the reader sees them together or apart.
			var both sync.WaitGroup
			for k := range 3 {
				conn := d.connect()
				both.Go(func() { d.execOn(conn, `insert into a values ($1)`, 10*i+k) })
			}
			both.Wait()
			s.passed(t, r)
			s.Lock()
			positions, counts = append(positions, s.end), append(counts, len(s.got))
			s.Unlock()
		}
		all := slices.Clone(s.got)
		for i, p := range positions {
			again := newSink()
			again.names = s.names
			if err := d.replay(r, p, again); err != nil {
				t.Fatal(err)
			}
			if want := all[counts[i]:]; !slices.Equal(again.got, want) {
				t.Errorf("after %x: got %v, want %v", p, again.got, want)
			}
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation", err)
		}
		// A new reader goes on, too, and takes in what came meanwhile.
		d.exec(`insert into a values (1000)`)
		again := newSink()
		again.names = s.names
		other := d.open(d.config())
		if other.New || other.Epoch != r.Epoch {
			t.Errorf("a new epoch was begun: %s", other.Reason)
		}
		d.run(other, positions[4], again)
		again.passed(t, other)
		got := again.whats()
		var want []string
		for _, c := range all[counts[4]:] {
			want = append(want, c.what)
		}
		if want = append(want, "I a ('1000')"); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if err := d.replay(other, 5, newSink()); !errors.Is(err, ErrGone) {
			t.Errorf("got %v for a position of another epoch, want ErrGone", err)
		}
	})
}

// TestDiesInTheMiddle has a relay die between recording a delivery and having handed it over. The next one hands over the same.
func TestDiesInTheMiddle(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		s.failAfter = 5
		s.names.set(d.table("public.a", "id int primary key"), "a")
		r := d.open(d.config())
		from, _ := r.Window()
		for i := range 4 {
			d.exec(`insert into a select g from generate_series($1::int, $1 + 2) g`, 10*i)
		}
		if err := r.Run(t.Context(), from, s); !errors.Is(err, errDied) {
			t.Fatalf("got %v, want the handler's error", err)
		}
		_, recorded := r.Window()
		if s.end >= recorded {
			t.Errorf("position %x was given out, and %x recorded: want some recorded that wasn't", s.end, recorded)
		}
		d.exec(`insert into a values (1000)`)
		s.failAfter = 0
		other := d.open(d.config())
		d.run(other, s.end, s)
		s.passed(t, other)
		var want []string
		for i := range 4 {
			for k := range 3 {
				want = append(want, fmt.Sprintf("I a ('%d')", 10*i+k))
			}
		}
		s.want(t, append(want, "I a ('1000')")...)
	})
}

// TestOneReader: a second one is refused and told who the first is; behind a pooler, where a lock means nothing, the
// delivery's number stops it.
func TestOneReader(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		r := d.open(d.config())
		cfg := d.config()
		cfg.Takeover = time.Millisecond
		_, err := Open(t.Context(), cfg)
		var p *relay.Problem
		if !errors.As(err, &p) || !strings.Contains(p.What, "the relay") || !strings.Contains(p.Remedy, fmt.Sprint(r.conn.PgConn().PID())) {
			t.Errorf("got %v with remedy %q, want the other reader's name and process", err, relay.Remedy(err))
		}
		r.layouts, r.border = layouts{}, border{}
		s := newSink()
		d.run(r, r.base, s)
		d.table("public.a", "id int primary key")
		s.passed(t, r)
		var n int64 = 1
		_, err = d.conn.Exec(t.Context(), `select relay.record($1, '1:1:', true)`, n)
		if !isCode(err, "55006") {
			t.Errorf("got %v, want that the delivery was recorded by another", err)
		}
	})
}

// TestWindow turns the outbox over: what is older than the window is gone, the rest can be gone on from, and the outbox stays
// as small as the window.
func TestWindow(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.RetainBytes, cfg.tendEvery = 1<<20, time.Millisecond
		r, stop := d.start(cfg, s)
		s.names.set(d.table("public.a", "id bigserial primary key, n text"), "a")
		begin := s.position()
		d.exec(`insert into a (n) values ('old')`)
		s.passed(t, r)
		for scan[int64](d, `select generation from relay.state`) < 6 {
			d.exec(`insert into a (n) select repeat('x', 1000) from generate_series(1, 100)`)
			s.passed(t, r)
		}
		middle := s.position()
		d.exec(`insert into a (n) values ('new')`)
		s.passed(t, r)
		_ = stop()
		if size := scan[int64](d, `select sum(pg_total_relation_size(format('relay.outbox_%s', k)))::int8 from generate_series(0, 2) k`); size > 2<<20 {
			t.Errorf("the outbox has %d bytes, want at most 2 MiB for a window of 1", size)
		}
		if dead := scan[int64](d, `select coalesce(sum(pg_stat_get_dead_tuples(c.oid)), 0)::int8 from pg_class c where relnamespace = 'relay'::regnamespace and relname ~ 'outbox'`); dead > 0 {
			t.Errorf("the outbox has %d dead tuples", dead)
		}
		other := d.open(cfg)
		if err := d.replay(other, begin, newSink()); !errors.Is(err, ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
		again := newSink()
		again.names = s.names
		if err := d.replay(other, middle, again); err != nil {
			t.Fatal(err)
		}
		again.want(t, fmt.Sprintf("I a ('%d', 'new')", scan[int64](d, `select max(id) from a`)))
		start, _ := other.Window()
		whole := newSink()
		whole.names = s.names
		if err := d.replay(other, start, whole); err != nil {
			t.Fatal(err)
		}
		got, all := whole.whats(), s.whats()
		if len(got) < 20 || len(got) >= len(all) || !slices.Equal(got, all[len(all)-len(got):]) {
			t.Errorf("the window's start brings %d of %d changes, not the last ones", len(got), len(all))
		}
	})
}

// TestKeep: what is kept outlives the window, as far as half of the budget goes.
func TestKeep(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.RetainBytes, cfg.tendEvery = 1<<20, time.Millisecond
		d.exec(`update relay.state set budget = 16 << 20`)
		d.table("public.a", "id bigserial primary key, n text")
		r, _ := d.start(cfg, s)
		s.passed(t, r)
		size := func() int64 {
			return scan[int64](d, `select sum(pg_total_relation_size(format('relay.outbox_%s', k)))::int8 from generate_series(0, 2) k`)
		}
		write := func() {
			d.exec(`insert into a (n) select repeat('x', 1000) from generate_series(1, 100)`)
			s.passed(t, r)
		}
		release := r.Keep()
		kept := s.position()
		for size() < 6<<20 {
			write()
		}
		if start, _ := r.Window(); start > kept {
			t.Errorf("the window begins at %x, after %x, which is kept", start, kept)
		}
		again := newSink()
		if err := d.replay(r, kept, again); err != nil {
			t.Errorf("what is kept can't be replayed: %v", err)
		}
		for start := relay.LSN(0); start <= kept; start, _ = r.Window() { // half of the budget is 8 MiB
			if got := size(); got > 10<<20 {
				t.Fatalf("the outbox has %d bytes, of a budget of 16 MiB", got)
			}
			write()
		}
		release()
		release()
		for size() > 2<<20 {
			write()
		}
	})
}

// TestTurnWaitsForNobody: a transaction that wrote to the table which would be emptied keeps it from being so, and nobody waits.
func TestTurnWaitsForNobody(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, stop := d.start(d.config(), s)
		s.names.set(d.table("public.a", "id int primary key"), "a")
		s.passed(t, r)
		idle := d.connect()
		d.execOn(idle, `begin; insert into a values (1)`)
		for _, want := range []bool{true, true, false, false} {
			d.turn(want)
			d.exec(fmt.Sprintf(`insert into a values (%d)`, scan[int](d, `select count(*)::int + 10 from a`)))
			s.passed(t, r)
		}
		d.execOn(idle, `commit`)
		// Committed, and not delivered by the time that it is asked: then it stays, too.
		s.passed(t, r)
		d.turn(true)
		d.exec(`insert into a values (100)`)
		s.passed(t, r)
		_ = stop()
		s.want(t, "I a ('10')", "I a ('11')", "I a ('12')", "I a ('13')", "I a ('1')", "I a ('100')")
	})
}

// TestUndeliveredStays: a table that wasn't read isn't emptied.
func TestUndeliveredStays(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		r := d.open(d.config())
		_ = r.Close()
		d.table("public.a", "id int primary key")
		d.exec(`insert into a values (1)`)
		for _, want := range []bool{true, true, false} {
			d.turn(want)
		}
		s := newSink()
		r, _ = d.start(d.config(), s)
		s.passed(t, r)
		if len(s.whats()) != 1 {
			t.Errorf("got %v, want one insert", s.whats())
		}
	})
}

// turn turns the outbox over, or sees that it can't be. The reader's look, which comes at any time, is in the way for a moment.
func (d *db) turn(want bool) {
	d.t.Helper()
	got := scan[bool](d, `select relay.turn()`)
	for want && !got && d.t.Context().Err() == nil {
		got = scan[bool](d, `select relay.turn()`)
	}
	if got != want {
		d.t.Errorf("got turned %t, want %t", got, want)
	}
}
