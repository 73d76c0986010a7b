package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// own is a server that a test may restart.
func own(t *testing.T, version int, with map[string]string) *pgserver.Server {
	t.Helper()
	all := settings(version)
	for name, value := range with {
		all[name] = value
	}
	s := pgserver.ForTest(t, pgserver.Config{Version: version, Settings: all})
	prepare(t, s)
	return s
}

// TestRestart: settings that need a restart are found, and their remedies, restart included, end it.
func TestRestart(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := own(t, version, nil)
		d := &database{t: t, server: server, name: "healthy"}
		d.lines("alter system set wal_level = replica;\nalter system set max_replication_slots = 3;\nalter system set max_wal_senders = 1;")
		must(t, server.Restart(t.Context()))
		report := examine(t, d.dsn(), nil)
		for check, says := range map[string]string{
			"wal_level":             "wal_level is replica",
			"max_replication_slots": "3 of 3 replication slots are free for the relay, which needs 4",
			"max_wal_senders":       "1 of 1 WAL senders are free",
		} {
			got := report.of(check)
			if len(got) != 1 || !strings.Contains(got[0].Problem, says) {
				t.Errorf("%s: got\n%s", check, show(got))
				continue
			}
			if want := "psql -v table=public.items -f triggers/enable_table.sql"; check == "wal_level" && !strings.Contains(got[0].Remedy, want) {
				t.Errorf("got remedy %q, want %q in it", got[0].Remedy, want)
			}
			d.lines(first(got[0].Remedy))
		}
		must(t, server.Restart(t.Context()))
		if got := examine(t, d.dsn(), nil); len(got.Findings) > 0 {
			t.Errorf("after the remedies: got\n%s", show(got.Findings))
		}
	})
}

// TestWithoutLogical: on a server without logical replication there is nothing to say once triggers capture each table.
func TestWithoutLogical(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := &database{t: t, server: own(t, version, nil), name: "healthy"}
		d.lines("drop publication pgrelay, pgrelay_insert;\nalter system set wal_level = replica;")
		must(t, d.server.Restart(t.Context()))
		if got := examine(t, d.dsn(), nil).of("wal_level"); len(got) != 1 {
			t.Errorf("got\n%s", show(got))
		}
		d.exec(triggers.Install("relay_role"))
		d.lines("select relay.enable_table('items'), relay.enable_table('web_socket_event_system_events.rules'), relay.doorbell('on');")
		if got := examine(t, d.dsn(), nil).Findings; len(got) > 0 {
			t.Errorf("got\n%s", show(got))
		}
	})
}

// TestEncoding: the remedy is another database, which is every other test's.
func TestEncoding(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		s := sharedServer(t, version)
		d := &database{t: t, server: s, name: "ascii"}
		must(t, s.Exec(t.Context(), "postgres", `create database ascii encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0`))
		t.Cleanup(func() { must(t, s.Exec(context.Background(), "postgres", "drop database ascii")) })
		d.exec("create table t (id int primary key)")
		got := examine(t, d.dsn(), nil).of("encoding")
		if len(got) != 1 || got[0].Severity != Error || !strings.Contains(got[0].Problem, "SQL_ASCII") {
			t.Errorf("got\n%s", show(got))
		}
	})
}

func TestClock(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15))
	for offset, says := range map[time.Duration]string{time.Minute: "behind", -time.Minute: "ahead of", time.Second: ""} {
		got := examine(t, d.dsn(), func(c *Config) { c.Now = func() time.Time { return time.Now().Add(offset) } }).of("clock")
		if (len(got) == 1) != (says != "") || len(got) > 0 && !strings.Contains(got[0].Problem, says) {
			t.Errorf("a clock that is off by %s: got\n%s", offset, show(got))
		}
	}
}

// TestPooler finds PgBouncer in transaction mode.
func TestPooler(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version))
		through := pgserver.PoolerForTest(t, d.dsn())
		got := examine(t, through, nil).of("pooler")
		var announced, answers int
		if len(got) == 1 {
			_, after, _ := strings.Cut(got[0].Problem, "announced as ")
			_, _ = fmt.Sscanf(after, "process %d, and process %d answers", &announced, &answers)
		}
		if len(got) != 1 || got[0].Severity != Warning || announced == 0 || answers == 0 || announced == answers {
			t.Errorf("got\n%s", show(got))
		}
		if got := examine(t, d.dsn(), nil).of("pooler"); len(got) > 0 {
			t.Errorf("without one: got\n%s", show(got))
		}
	})
}

// standbyOf starts a copy of the server as a hot standby.
func standbyOf(t *testing.T, primary *pgserver.Server, conf string) *pgserver.Server {
	t.Helper()
	s := pgserver.ForTest(t, pgserver.Config{Version: primary.Version(), Settings: settings(primary.Version()), Password: primary.Password()})
	must(t, s.Stop(t.Context(), pgserver.Fast))
	must(t, primary.Stop(t.Context(), pgserver.Fast))
	data, from := filepath.Join(s.Dir(), "data"), filepath.Join(primary.Dir(), "data")
	copied, err := exec.Command("sh", "-c", fmt.Sprintf(`cp -p %[1]s/pgserver.conf %[1]s.conf && rm -rf %[1]s && cp -a %[2]s %[1]s && mv %[1]s.conf %[1]s/pgserver.conf && rm -f %[1]s/postmaster.pid && touch %[1]s/standby.signal`, data, from)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, copied)
	}
	file := filepath.Join(data, "pgserver.conf")
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, append(text, conf...), 0o600))
	must(t, primary.Start(t.Context()))
	must(t, s.Start(t.Context()))
	return s
}

// TestStandby: a hot standby in the DSN is found; beside one, slots that it doesn't copy are.
func TestStandby(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		primary := own(t, version, nil)
		d := &database{t: t, server: primary, name: "healthy"}
		d.lines("select pg_create_physical_replication_slot('mirror');")
		conf := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=%s password=%s dbname=postgres'\nprimary_slot_name = 'mirror'\nhot_standby_feedback = on\n",
			primary.Port(), primary.Superuser(), primary.Password())
		standby := standbyOf(t, primary, conf)
		report := examine(t, (&database{t: t, server: standby, name: "healthy"}).dsn(), nil)
		got := report.of("standby")
		if len(got) != 1 || got[0].Severity != Error || !strings.Contains(got[0].Remedy, "primary") {
			t.Errorf("got\n%s", show(report.Findings))
		}
		if got := report.of("unread"); len(got) > 0 {
			t.Errorf("got\n%s", show(got))
		}
		if got := report.of("standby_unsynced"); (len(got) == 1) != (version >= 17) {
			t.Errorf("got\n%s", show(got))
		}
		if got := examine(t, d.dsn(), nil); len(got.of("standby")) > 0 {
			t.Errorf("of the primary: got\n%s", show(got.Findings))
		}
		if version >= 17 {
			synced(t, d, standby)
		}
	})
}

// synced lets the standby copy slots, and wants what is said of them on both sides before and after.
func synced(t *testing.T, d *database, standby *pgserver.Server) {
	t.Helper()
	d.lines("select pg_create_logical_replication_slot('pgrelay_' || oid || '_1_live', 'pgoutput', false, false, true) from pg_publication where pubname = 'pgrelay';")
	got := examine(t, d.dsn(), nil).of("standby_unsynced")
	if len(got) != 1 || !strings.Contains(got[0].Remedy, "synchronized_standby_slots = 'mirror'") {
		t.Fatalf("got\n%s", show(got))
	}
	d.lines(first(got[0].Remedy))
	there := &database{t: t, server: standby, name: "healthy"}
	there.lines("alter system set sync_replication_slots = on;\nselect pg_reload_conf();")
	for there.value("select count(*) filter (where synced)::text from pg_replication_slots where slot_name ~ '^pgrelay_'") != "1" {
		d.lines("select pg_logical_emit_message(false, 'x', 'x');\nselect pg_log_standby_snapshot();")
		time.Sleep(10 * time.Millisecond) // the standby's worker looks by itself
	}
	for name, one := range map[string]*database{"primary": d, "standby": there} {
		report := examine(t, one.dsn(), nil)
		if got := append(report.of("standby_unsynced"), report.of("synchronized_standby_slots")...); len(got) > 0 {
			t.Errorf("%s: got\n%s", name, show(got))
		}
		if got := report.of("slot_inactive"); (len(got) == 1) != (name == "primary") {
			t.Errorf("%s: got\n%s", name, show(got))
		}
	}
}

// TestFailover runs the remedy that takes a replication connection.
func TestFailover(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 18))
	d.lines(live)
	got := examine(t, d.dsn(), nil).of("slot_failover")
	if len(got) != 1 {
		t.Fatalf("got\n%s", show(got))
	}
	cfg, err := pgconn.ParseConfig(d.dsn())
	must(t, err)
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	must(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	_, command, _ := strings.Cut(got[0].Remedy, "\n")
	if _, err := conn.Exec(t.Context(), command).ReadAll(); err != nil {
		t.Fatal(err)
	}
	if got := examine(t, d.dsn(), nil).of("slot_failover"); len(got) > 0 {
		t.Errorf("after the remedy: got\n%s", show(got))
	}
}

// TestOnce: what holds for a server is said once, for the first of its databases.
func TestOnce(t *testing.T) {
	server := sharedServer(t, 15)
	source, d := newDatabase(t, server), newDatabase(t, server)
	d.behind("shop", source, server.Port(), "relay_role", password)
	source.exec("create table keyless (n int)")
	d.exec("create table keyless (n int)")
	d.lines("alter system set max_slot_wal_keep_size = -1;\nselect pg_reload_conf();")
	defer d.lines("alter system reset max_slot_wal_keep_size;\nselect pg_reload_conf();")
	report := examine(t, d.dsn(), nil)
	if got := report.of("max_slot_wal_keep_size"); len(got) != 1 || got[0].Source != "local" {
		t.Errorf("got\n%s", show(got))
	}
}

// TestQueue fills the notification queue, whose size Postgres 17 and newer can bound.
func TestQueue(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 18))
	listener := d.open()
	defer func() { _ = listener.Close(context.Background()) }()
	for _, text := range []string{"listen x", "begin", "select 1"} {
		if _, err := listener.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	d.exec(`select pg_notify('x', repeat('a', 7000) || n) from generate_series(1, 25) n`)
	got := examine(t, d.dsn(), nil).of("notification_queue")
	if len(got) != 1 || got[0].Severity != Warning || !strings.Contains(got[0].Problem, "% full") {
		t.Errorf("got\n%s", show(got))
	}
	d.lines(fmt.Sprintf("select pg_terminate_backend(%d, 10000);", listener.PgConn().PID()))
	d.exec(`notify x`)
	if got := examine(t, d.dsn(), nil).of("notification_queue"); len(got) > 0 {
		t.Errorf("after the remedy: got\n%s", show(got))
	}
}

// TestPure judges what no server here gives.
func TestPure(t *testing.T) {
	no := false
	source := func(with func(*place)) *place {
		cfg, err := Config{}.withDefaults()
		must(t, err)
		p := blank(cfg)
		p.publications = []publication{{oid: 7}} // a source that nothing was found of has no name for it
		with(p)
		return p
	}
	for name, c := range map[string]struct {
		judge    func(*place) findings
		place    *place
		severity Severity
		says     string
	}{
		"version": {judgeVersion, source(func(p *place) { p.server.version = 140011 }), Error, "Postgres 14 is too old"},
		"queue":   {judgeQueue, source(func(p *place) { p.server.queue = 0.8 }), Error, "80 % full"},
		"conflict on 16": {judgeLost, source(func(p *place) {
			p.slots = []slot{{name: "pgrelay_7_1_live", here: true, publication: 7, epoch: 1, status: "reserved", invalid: "conflict with recovery"}}
		}), Error, "conflict with recovery"},
		"idle on 18": {judgeLost, source(func(p *place) {
			p.slots = []slot{{name: "pgrelay_7_1_anchor_1", here: true, publication: 7, epoch: 1, anchor: 1, status: "lost", invalid: "idle_timeout"}}
		}), Error, "idle_timeout"},
		"inactive since": {judgeInactive, source(func(p *place) {
			p.slots = []slot{{name: "pgrelay_7_1_live", here: true, publication: 7, epoch: 1, status: "reserved", inactive: 2 * time.Hour}}
		}), Warning, "for 2h0m0s"},
		"no failover": {judgeFailover, source(func(p *place) {
			p.server.replicas = 1
			p.slots = []slot{{name: "pgrelay_7_1_live", here: true, publication: 7, epoch: 1, failover: &no}}
		}), Warning, "failover"},
		"senders": {judgeMaxSenders, source(func(p *place) {
			p.tables = []table{{names: []string{"a.b"}}}
			p.server.maxSenders, p.server.otherSenders = 10, 10
		}), Error, "0 of 10"},
	} {
		got := c.judge(c.place)
		if len(got) != 1 || got[0].Severity != c.severity || !strings.Contains(got[0].Problem, c.says) || got[0].Remedy == "" {
			t.Errorf("%s: got\n%s", name, show(got))
		}
	}
}

func TestMatchesStandby(t *testing.T) {
	for setting, want := range map[string]bool{
		"": false, "*": true, "a, b": false, "a, PgRelay": true, `"pgrelay"`: true, "FIRST 1 (a, pgrelay)": true, "ANY 2 (a, *)": true, "2 (a, b)": false, `"a(pgrelay)"`: false,
	} {
		if got := matchesStandby(setting, "pgrelay"); got != want {
			t.Errorf("%s: got %t", setting, got)
		}
	}
}

func TestIgnore(t *testing.T) {
	d := newDatabase(t, sharedServer(t, 15))
	d.exec("create table keyless (n int)")
	report := examine(t, d.dsn(), func(c *Config) { c.Ignore = []string{"replica_identity", "captured_without_rule"} })
	if !report.OK || report.Ignored != 1 || len(report.Findings) > 0 {
		t.Errorf("got %d ignored and\n%s", report.Ignored, show(report.Findings))
	}
	cfg := Config{Ignore: []string{"nonsense"}}
	if _, err := Examine(t.Context(), cfg); err == nil || !strings.Contains(relay.Remedy(err), "replica_identity") {
		t.Errorf("got %v", err)
	}
}

// TestUnreadable: a warehouse that can't be read is an error with a remedy, and without the password.
func TestUnreadable(t *testing.T) {
	d := &database{t: t, server: sharedServer(t, 15), name: "healthy"}
	_, err := Examine(t.Context(), Config{Warehouse: warehouseConfig(d.as("relay_role", "wr0ng-Password"))})
	if err == nil || relay.Remedy(err) == "" || bytes.Contains([]byte(relay.Explain(err)), []byte("wr0ng-Password")) {
		t.Errorf("got %v", err)
	}
}
