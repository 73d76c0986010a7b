package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgrelay/triggers"
)

// idle are conditions of a database whose relay is away.
var idle = map[string]sick{
	"slot":          {check: "slot_inactive", says: "no relay has used it", sql: live},
	"anchor alone":  {check: "slot_inactive", says: "an anchor without a live slot", sql: strings.Replace(live, "_live", "_anchor_1", 1)},
	"outbox":        {check: "outbox_unread", captured: true, says: "no relay reads it", sql: "select relay.begin_epoch('test');"},
	"closed outbox": {check: "outbox_budget", captured: true, says: "it is closed", sql: "select relay.begin_epoch('test');\nselect relay.close();"},
}

// TestRelayIsTheRemedy: where the remedy is pgrelay serve, it ends what was found.
func TestRelayIsTheRemedy(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		for _, name := range sorted(idle) {
			s := idle[name]
			t.Run(name, func(t *testing.T) {
				d := newDatabase(t, sharedServer(t, version))
				if s.captured {
					d.exec(triggers.Install("relay_role"))
					d.lines(captureItems)
				}
				d.lines(s.sql)
				got := examine(t, d.dsn(), s.with).of(s.check)
				if len(got) != 1 || !strings.Contains(got[0].Problem, s.says) || !strings.HasPrefix(got[0].Remedy, "pgrelay serve") {
					t.Fatalf("got\n%s", show(got))
				}
				d.relay(t)
				if left := examine(t, d.dsn(), s.with).of(s.check); len(left) > 0 {
					t.Errorf("beside a relay there is still\n%s", show(left))
				}
			})
		}
	})
}

// TestIdleTimeout: the setting and its limit in the server's own hands: a slot that it has invalidated is found with its reason,
// and the remedy of both ends it.
func TestIdleTimeout(t *testing.T) {
	server := own(t, 18, nil)
	d := &database{t: t, server: server, name: "healthy"}
	d.lines(live + "\nalter system set idle_replication_slot_timeout = '1s';\nselect pg_reload_conf();")
	for d.value(`select coalesce(max(invalidation_reason), '') from pg_replication_slots`) != "idle_timeout" {
		d.exec("checkpoint")
	}
	report := examine(t, d.dsn(), nil)
	lost, setting := report.of("slot_lost"), report.of("idle_replication_slot_timeout")
	if len(lost) != 1 || lost[0].Severity != Error || !strings.Contains(lost[0].Problem, "idle_timeout") || len(setting) != 1 || setting[0].Severity != Warning {
		t.Fatalf("got\n%s", show(report.Findings))
	}
	drop, _, _ := strings.Cut(lost[0].Remedy, "\n")
	d.lines(first(setting[0].Remedy) + "\n" + drop)
	if got := examine(t, d.dsn(), nil).Findings; len(got) > 0 {
		t.Errorf("after the remedies: got\n%s", show(got))
	}
}

// TestAnotherPublication: beside a publication for all tables the relay gets one of another name.
func TestAnotherPublication(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version))
		d.lines("drop publication pgrelay;\ncreate publication pgrelay for all tables;")
		got := examine(t, d.dsn(), nil).of("publication_scope")
		if len(got) != 1 || !strings.Contains(got[0].Remedy, "another name under publication in pgrelay.yaml") {
			t.Fatalf("got\n%s", show(got))
		}
		other := func(c *Config) { c.Warehouse.Publication = "other" }
		missing := examine(t, d.dsn(), other).of("publication_missing")
		if len(missing) != 1 {
			t.Fatalf("got\n%s", show(missing))
		}
		d.exec(missing[0].Remedy)
		if got := examine(t, d.dsn(), other).Findings; len(got) > 0 {
			t.Errorf("after the remedies: got\n%s", show(got))
		}
	})
}

// TestInsertOnly: a table without replica identity may be named in pgrelay.yaml instead.
func TestInsertOnly(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version))
		d.exec("create table keyless (n int)")
		got := examine(t, d.dsn(), nil).of("replica_identity")
		line := fmt.Sprintf("insert_only: [%q]", "public.keyless")
		if len(got) != 1 || !slices.ContainsFunc(strings.Split(got[0].Remedy, "\n"), func(way string) bool { return strings.HasPrefix(way, line) }) {
			t.Fatalf("got\n%s", show(got))
		}
		if got := examine(t, d.dsn(), func(c *Config) { c.Warehouse.InsertOnly = []string{"public.keyless"} }).of("replica_identity"); len(got) > 0 {
			t.Errorf("after the remedy: got\n%s", show(got))
		}
	})
}
