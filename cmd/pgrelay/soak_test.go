package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/triggers"
)

// soakWindow is the window of the outbox in the soak, small enough to be passed often.
const soakWindow = 4 << 20

// soakTurns is how often the outbox goes over to its next table at least: it has three, so the first half of a run has filled
// the window.
const soakTurns = 8

// soakFigures are what a database under trigger capture, and its relay, take at a moment.
type soakFigures struct {
	outbox int64 // bytes of relay.outbox_* and relay.delivery_*, with their indexes and TOAST
	dead   int64 // dead rows in schema relay, as the server estimates them
	live   int64
	turns  int64 // how often the outbox went over to its next table
	memory int   // the relay's VmRSS, in MB
}

// TestTriggerSoak: however many changes pass through the outbox, it is as large as its window, vacuum finds nothing to do
// there, the relay's memory is flat, and every change arrives once.
func TestTriggerSoak(t *testing.T) {
	changes := envInt("PGRELAY_SOAK_CHANGES", 250_000)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Duration(changes)*time.Millisecond)
	defer cancel()
	_, dsn := attached(ctx, t, `create table soak (id int primary key, n int not null, note text not null);
		insert into soak select i, 0, 'row ' || i from generate_series(0, 500) i;
		insert into web_socket_event_system_events.rules (name, relation, roles) values ('soak', 'public.soak', '{anon}')`)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	s := &soak{t: t, conn: conn}
	s.exec(ctx, triggers.Install(""))
	s.exec(ctx, triggers.Enable(triggers.Table{Name: "public.soak"}))
	relay := startServe(t, binary(t), dsn, "127.0.0.1:0", "--log-level", "warn", "--journal-wal", strconv.Itoa(soakWindow))
	m, id := liveMirror(ctx, t, relay.url, "public.soak", client.Options{})
	s.mirror, s.id = m, id

	began := time.Now()
	var figures []soakFigures
	for round, turns := 1, int64(0); s.written < changes || turns < soakTurns; round++ {
		s.round(ctx, round)
		f := s.figures(ctx)
		f.memory = relay.resident(t, "VmRSS")
		figures = append(figures, f)
		if f.turns == turns {
			continue
		}
		turns = f.turns
		t.Logf("%9d changes after %7s: outbox %5.1f MB, %d dead rows and %d live, relay %d MB", s.written, time.Since(began).Round(100*time.Millisecond),
			float64(f.outbox)/(1<<20), f.dead, f.live, f.memory)
	}
	if got := m.Stats(); got.Changes != s.written || got.Resyncs > 0 {
		t.Errorf("%d changes came, and %d resyncs; want %d and none", got.Changes, got.Resyncs, s.written)
	}
	if got, want := mirrorRows(m.Rows(id)), tableRows(ctx, t, dsn, "soak"); !maps.Equal(got, want) {
		t.Errorf("the mirror differs from the table: %s", difference(got, want))
	}
	s.bounded(figures)
}

// soak writes and counts.
type soak struct {
	t       *testing.T
	conn    *pgx.Conn
	mirror  *client.Mirror
	id      uint64
	written int // changes
}

func (s *soak) exec(ctx context.Context, sql string) (rows int) {
	s.t.Helper()
	tag, err := s.conn.Exec(ctx, sql)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(tag.RowsAffected())
}

// round makes some thousand changes in large and in small transactions, and returns when the client has them.
func (s *soak) round(ctx context.Context, n int) {
	s.t.Helper()
	for range 10 {
		s.written += s.exec(ctx, fmt.Sprintf(`update soak set n = n + 1, note = 'row ' || id || ' in round %d' where id > 0`, n))
	}
	for i := range 20 {
		s.written += s.exec(ctx, fmt.Sprintf(`insert into soak values (%d, %d, 'for a while')`, 1000+i, n))
	}
	s.written += s.exec(ctx, `delete from soak where id >= 1000`)
	s.written += s.exec(ctx, fmt.Sprintf(`update soak set n = %d where id = 0`, n))
	awaitN(ctx, s.t, s.mirror, s.id, 0, n)
}

func (s *soak) figures(ctx context.Context) (f soakFigures) {
	s.t.Helper()
	if err := s.conn.QueryRow(ctx, `select sum(pg_total_relation_size(relid))::int8, sum(n_dead_tup)::int8, sum(n_live_tup)::int8, (select generation from relay.state)
		from pg_stat_user_tables where schemaname = 'relay' and relname ~ '^(outbox|delivery)_'`).Scan(&f.outbox, &f.dead, &f.live, &f.turns); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// bounded compares the first half, when the window has filled, with the second.
func (s *soak) bounded(figures []soakFigures) {
	half := len(figures) / 2
	most := func(of []soakFigures, figure func(soakFigures) int64) int64 {
		return figure(slices.MaxFunc(of, func(a, b soakFigures) int { return int(figure(a) - figure(b)) }))
	}
	size := func(f soakFigures) int64 { return f.outbox }
	memory := func(f soakFigures) int64 { return int64(f.memory) }
	if was, is := most(figures[:half], size), most(figures[half:], size); is > was+was/2+soakWindow {
		s.t.Errorf("the outbox grew from %d to %d bytes", was, is)
	}
	if was, is := most(figures[:half], memory), most(figures[half:], memory); is > was+was/2+32 {
		s.t.Errorf("the relay grew from %d to %d MB", was, is)
	}
	if dead := most(figures, func(f soakFigures) int64 { return f.dead }); dead > 1000 {
		s.t.Errorf("vacuum has %d rows to remove from the outbox", dead)
	}
}
