package wal

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgrelay/relay"
)

func TestPrepareMakesASlot(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		if !s.Gap || s.Epoch != 1 || s.Start != d.confirmed("pgrelay_7_1_live") {
			t.Errorf("got %+v, confirmed %s", s, d.confirmed("pgrelay_7_1_live"))
		}
		d.wantSlots("pgrelay_7_1_live")
		d.wantFailover()
	})
}

func TestPrepareGoesOnWithTheLiveSlot(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		first := d.prepare(7, false)
		at := d.advance(first.Live())
		if s := d.prepare(7, false); s.Gap || s.Epoch != 1 || s.Start != at || at <= first.Start {
			t.Errorf("got %+v after %s, want start %s", s, first.Start, at)
		}
		d.wantSlots("pgrelay_7_1_live")
	})
}

func TestPrepareRewindsToTheOldestAnchor(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		anchored := d.advance(s.Live())
		d.moveAnchor(s)
		d.advance(s.Live())
		d.moveAnchor(s)
		d.advance(s.Live())
		again := d.prepare(7, false)
		if again.Gap || again.Epoch != 1 || again.Start != anchored || d.confirmed(again.Live()) != anchored {
			t.Errorf("got %+v, live at %s; want start %s", again, d.confirmed(again.Live()), anchored)
		}
		d.wantSlots("pgrelay_7_1_live", "pgrelay_7_1_anchor_1", "pgrelay_7_1_anchor_2")
		d.wantFailover()
		d.moveAnchor(again)
		d.wantSlots("pgrelay_7_1_live", "pgrelay_7_1_anchor_2", "pgrelay_7_1_anchor_3")
	})
}

// TestPrepareAfterACrashBetweenItsSteps finds what a relay leaves that dies on the way.
func TestPrepareAfterACrashBetweenItsSteps(t *testing.T) {
	const copySlot = `select pg_copy_logical_replication_slot($1, $2)`
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		anchored := d.advance(s.Live())
		d.moveAnchor(s)
		d.advance(s.Live())

		// The live slot is dropped, its copy not made yet.
		d.exec(`select pg_drop_replication_slot($1)`, s.Live())
		if again := d.prepare(7, false); again.Gap || again.Start != anchored {
			t.Errorf("without a live slot: got %+v, want start %s", again, anchored)
		}
		d.wantSlots("pgrelay_7_1_live", "pgrelay_7_1_anchor_1")

		// New anchors are made, the oldest not dropped yet; copies have no failover property yet.
		d.exec(copySlot, s.Live(), "pgrelay_7_1_anchor_2")
		d.exec(copySlot, s.Live(), "pgrelay_7_1_anchor_3")
		again := d.prepare(7, false)
		if again.Gap || again.Start != anchored {
			t.Errorf("with an anchor too many: got %+v, want start %s", again, anchored)
		}
		d.wantFailover()
		d.moveAnchor(again)
		d.wantSlots("pgrelay_7_1_live", "pgrelay_7_1_anchor_3", "pgrelay_7_1_anchor_4")

		// A new epoch has begun, the slots of the old one are still there.
		d.exec(copySlot, s.Live(), "pgrelay_7_2_live")
		if again = d.prepare(7, false); again.Gap || again.Epoch != 2 {
			t.Errorf("with slots of an old epoch: got %+v, want epoch 2", again)
		}
		d.wantSlots("pgrelay_7_2_live")
	})
}

func TestPrepareRaisesTheEpoch(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		d.moveAnchor(d.prepare(7, false))
		if s := d.prepare(7, true); !s.Gap || s.Epoch != 2 {
			t.Errorf("fresh: got %+v, want a gap and epoch 2", s)
		}
		d.wantSlots("pgrelay_7_2_live")
		// The publication was dropped and made anew: what the old slots keep can't be decoded through it.
		if s := d.prepare(8, false); !s.Gap || s.Epoch != 3 {
			t.Errorf("another publication: got %+v, want a gap and epoch 3", s)
		}
		d.wantSlots("pgrelay_8_3_live")
	})
}

func TestPrepareLeavesOtherSlotsAlone(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		d.exec(`select pg_create_logical_replication_slot('somebody', 'pgoutput')`)
		d.exec(`select pg_create_physical_replication_slot('pgrelay_7_1_standby')`)
		if err := d.server.CreateDatabase(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		if err := d.server.Exec(t.Context(), "other", `select pg_create_logical_replication_slot('pgrelay_9_4_live', 'pgoutput')`); err != nil {
			t.Fatal(err)
		}
		if s := d.prepare(7, false); s.Epoch != 1 {
			t.Errorf("got %+v, want epoch 1", s)
		}
		d.prepare(7, true)
		d.wantSlots("somebody", "pgrelay_7_1_standby", "pgrelay_9_4_live", "pgrelay_7_2_live")
	})
}

// small is a server that takes idle slots their WAL early.
var small = map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}

// lose has the server take the slots their WAL.
func (d *db) lose(s *Slots) {
	d.t.Helper()
	for range 20 { // each round leaves a segment behind
		d.exec(`select pg_logical_emit_message(false, 'test', 'x')`)
		d.exec(`select pg_switch_wal()`)
		d.exec(`checkpoint`)
		if f, err := s.Figures(d.t.Context(), d.conn); err != nil {
			d.t.Fatal(err)
		} else if f.Status == "lost" {
			return
		}
	}
	d.t.Fatal("the slot is not lost")
}

func TestPrepareReplacesLostSlots(t *testing.T) {
	on(t, small, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		d.moveAnchor(s)
		if f, err := s.Figures(t.Context(), d.conn); err != nil || f.Status != "reserved" {
			t.Errorf("got %s, %v, want reserved", f.Status, err)
		}
		d.lose(s)
		if ok, err := s.Continue(t.Context(), d.conn, 7, 1<<62, nil); ok || err != nil {
			t.Errorf("a lost slot can be continued: %t, %v", ok, err)
		}
		if _, err := Start(t.Context(), d.conn.Config(), s.Live(), s.Start, []string{"p"}); err == nil {
			t.Error("a lost slot streams")
		}
		// The sender that failed may still hold the slot for a moment.
		again, err := Prepare(t.Context(), d.conn, 7, 0, func(string) {})
		if err != nil || !again.Gap || again.Epoch != 2 {
			t.Errorf("got %+v, %v, want a gap and epoch 2", again, err)
		}
		d.wantSlots("pgrelay_7_2_live")
	})
}

func TestPrepareReplacesALostLiveSlotByAnAnchor(t *testing.T) {
	on(t, small, func(t *testing.T, d *db) {
		d.lose(d.prepare(7, false))
		d.exec(`select pg_create_logical_replication_slot('pgrelay_7_1_anchor_1', 'pgoutput')`)
		if s := d.prepare(7, false); s.Gap || s.Epoch != 1 || s.Start != d.confirmed("pgrelay_7_1_anchor_1") {
			t.Errorf("got %+v, want the anchor's start %s", s, d.confirmed("pgrelay_7_1_anchor_1"))
		}
		d.wantSlots("pgrelay_7_1_anchor_1", "pgrelay_7_1_live")
		d.wantFailover()
	})
}

func TestMoveAnchorKeepsTwo(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		for range 4 {
			at := d.advance(s.Live())
			d.moveAnchor(s)
			names := d.slots()
			if newest := names[len(names)-2]; d.confirmed(newest) != at {
				t.Errorf("%s is at %s, want %s", newest, d.confirmed(newest), at)
			}
		}
		d.wantSlots("pgrelay_7_1_anchor_3", "pgrelay_7_1_anchor_4", "pgrelay_7_1_live")
		d.wantFailover()
		// Somebody drops the older one.
		d.exec(`select pg_drop_replication_slot('pgrelay_7_1_anchor_3')`)
		d.moveAnchor(s)
		d.wantSlots("pgrelay_7_1_anchor_4", "pgrelay_7_1_anchor_5", "pgrelay_7_1_live")
	})
}

// TestMoveAnchorAgain moves an anchor whose copy was made by an attempt that didn't hear of it.
func TestMoveAnchorAgain(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		d.exec(`select pg_copy_logical_replication_slot($1, 'pgrelay_7_1_anchor_1')`, s.Live())
		at := d.advance(s.Live())
		d.moveAnchor(s)
		d.wantSlots("pgrelay_7_1_anchor_1", "pgrelay_7_1_live")
		d.wantFailover()
		if got := d.confirmed("pgrelay_7_1_anchor_1"); got != at {
			t.Errorf("the anchor is at %s, want %s", got, at)
		}
	})
}

func TestContinue(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		s := d.prepare(7, false)
		position := d.advance(s.Live())
		check := func(name string, publication uint32, want bool) {
			t.Helper()
			if got, err := s.Continue(t.Context(), d.conn, publication, position, nil); err != nil || got != want {
				t.Errorf("%s: got %t, %v, want %t", name, got, err, want)
			}
		}
		check("the slot as it was", 7, true)
		check("another publication", 8, false)
		d.advance(s.Live())
		check("moved by somebody else", 7, false)
		position = d.confirmed(s.Live())
		check("behind the position again", 7, true)
		d.exec(`select pg_drop_replication_slot($1)`, s.Live())
		check("dropped", 7, false)
		if f, err := s.Figures(t.Context(), d.conn); err != nil || f.Status != "missing" {
			t.Errorf("got %s, %v, want missing", f.Status, err)
		}
	})
}

func TestPrepareWaitsForAnotherProcess(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		d.exec(`create publication p`)
		s := d.prepare(7, false)
		stream, err := Start(t.Context(), d.conn.Config(), s.Live(), s.Start, []string{"p"})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		pid := scan[string](d, `select active_pid::text from pg_replication_slots where slot_name = $1`, s.Live())
		waited := 0
		again, err := Prepare(t.Context(), d.conn, 7, 0, func(reason string) {
			waited++
			if want := "slot pgrelay_7_1_live is still in use by process " + pid; reason != want {
				t.Errorf("got %q, want %q", reason, want)
			}
			_ = stream.Close()
		})
		if err != nil || waited == 0 || again.Gap {
			t.Errorf("got %+v, %v after %d waits", again, err, waited)
		}
	})
}

func TestPrepareEndsWithItsContext(t *testing.T) {
	on(t, nil, func(t *testing.T, d *db) {
		d.exec(`create publication p`)
		s := d.prepare(7, false)
		stream, err := Start(t.Context(), d.conn.Config(), s.Live(), s.Start, []string{"p"})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := Prepare(ctx, d.conn, 7, 0, func(string) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

// TestANewSlotTellsWhatItWaitsFor makes a slot while a transaction is open, which the server waits for.
func TestANewSlotTellsWhatItWaitsFor(t *testing.T) {
	if testing.Short() {
		t.Skip("the reason is told after seconds")
	}
	on(t, nil, func(t *testing.T, d *db) {
		other, err := d.server.Admin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(context.Background())
		tx, err := other.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `create table held ()`); err != nil {
			t.Fatal(err)
		}
		var reasons []string
		s, err := Prepare(t.Context(), d.conn, 7, 0, func(reason string) {
			reasons = append(reasons, reason)
			if err := tx.Rollback(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if err != nil || !s.Gap {
			t.Fatalf("got %+v, %v", s, err)
		}
		if len(reasons) != 1 || !strings.Contains(reasons[0], "of postgres in database postgres, in a transaction since") {
			t.Errorf("got %q", reasons)
		}
	})
}

func TestSlotProblemsNameTheRemedy(t *testing.T) {
	for _, c := range []struct {
		name, prepare, want string
		settings            map[string]string
	}{
		{"all slots in use", `select pg_create_physical_replication_slot('a')`, "max_replication_slots", map[string]string{"max_replication_slots": "1"}},
		{"not logical", `select`, "wal_level = logical", map[string]string{"wal_level": "replica"}},
		{"no privilege", `create role weak; set session authorization weak`, "replication", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			on(t, c.settings, func(t *testing.T, d *db) {
				d.exec(c.prepare)
				_, err := Prepare(t.Context(), d.conn, 7, 0, func(reason string) { t.Errorf("waits: %s", reason) })
				var problem *relay.Problem
				if !errors.As(err, &problem) || !strings.Contains(problem.Remedy, c.want) {
					t.Errorf("got %v, want a remedy with %q", err, c.want)
				}
			})
		})
	}
}
