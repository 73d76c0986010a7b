package serve_test

import (
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/journal"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/triggers"
)

// disturbances are what may befall an outbox and the triggers: the changes that nobody captured are loaded anew.
var disturbances = []struct{ name, sql string }{
	{"over budget", `update relay.state set budget = 65536; delete from items where id >= 10000;
		insert into items select i, 1, repeat(md5(i::text), 10) from generate_series(10000, 14000) i;
		insert into items select i, 1, repeat(md5(i::text), 10) from generate_series(20000, 24000) i; update items set n = n + 1; delete from heap where n = 3`},
	{"made anew", triggers.Uninstall() + triggers.Install("") + `select relay.enable_table('items'); select relay.enable_table('heap'); update items set n = n + 3; delete from heap where n = 3`},
	{"a part lost and made anew", `drop table relay.outbox_0 cascade; update items set n = n + 3; delete from heap where n = 3;` + triggers.Install("")},
	{"without a state", `delete from relay.state; update items set n = n + 3;` + triggers.Install("")},
	{"uninstalled", triggers.Uninstall() + `update items set n = n + 3`}, // logical replication takes over
	{"triggers off and on", `begin; alter table items disable trigger all; update items set n = n + 3; alter table items enable always trigger "!relay_insert",
		enable always trigger "!relay_update", enable always trigger "!relay_delete", enable always trigger "!relay_truncate"; commit`},
	{"disabled and enabled", `select relay.disable_table('items'); update items set n = n + 3; select relay.enable_table('items')`},
	{"captured otherwise", `select relay.enable_table('items', level => 'row', suppress_redundant => true); update items set n = n + 3`},
}

// TestOutboxDisturbed: whatever befalls the outbox, with the relay there and with the relay away, mirrors end equal.
func TestOutboxDisturbed(t *testing.T) {
	for i, c := range disturbances {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // it mostly waits for the watch's next look
			capture := capture{"", true, kind{[]int{15, 18}[i%2], "logical"}}
			d := newDatabase(t, capture.server(t), items, "public.items", "public.heap")
			capture.take(d, "items", "heap")
			r := d.start()
			m := newMirror(t, r.url, client.Options{})
			keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
			m.live(keyed, bag)
			has := func() {
				t.Helper()
				m.has(d, keyed, "items")
				m.has(d, bag, "heap")
			}
			d.exec(c.sql)
			has()
			d.exec(`update items set n = n + 1 where id < 100; delete from heap where n = 4`)
			has()
			r.stop()
			if c.name == "uninstalled" {
				capture.take(d, "items", "heap")
			}
			d.exec(c.sql)
			d.start(at(r))
			has()
			d.exec(`update items set n = n + 1 where id < 100; delete from heap where n = 5`)
			has()
			t.Logf("%+v", m.Stats())
		})
	}
}

// TestSessionsLost: the relay's sessions end at any moment, that which listens among them; clients go on.
func TestSessionsLost(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		t.Parallel()
		d := newDatabase(t, c.server(t), items, "public.items", "public.heap")
		c.take(d, "items", "heap")
		if c.trigger {
			d.exec(`select relay.doorbell('on')`)
		}
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(keyed, bag)
		stop := d.bustling(2)
		for range 12 {
			was := m.Stats().Transactions
			d.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pgrelay' and random() < 0.6`)
			m.until("transactions", func() bool { return m.Stats().Transactions > was+20 })
		}
		stop()
		m.has(d, keyed, "items")
		m.has(d, bag, "heap")
		if s := m.Stats(); s.Resyncs > 0 || s.Refused > 0 || s.Snapshots != 2 {
			t.Errorf("want it to go on: %+v", s)
		}
	}, logical15, trigger15, trigger18)
}

// TestSecondReader: a second relay on the same outbox says so, leaves the first alone, and takes over when that ends.
func TestSecondReader(t *testing.T) {
	t.Parallel() // it waits for the other to end for a while before it says so
	d := newDatabase(t, trigger15.server(t), items, "public.items")
	trigger15.take(d)
	first := d.start()
	m := newMirror(t, first.url, client.Options{})
	id := m.subscribe("public.items")
	m.live(id)
	second := d.start()
	second.remedy(t, d.server.Password(), "another relay reads this outbox", "pg_terminate_backend")
	d.exec(`update items set n = 1 where id = 1`)
	m.has(d, id, "items")
	if s := m.Status(id); s.Lives != 1 {
		t.Errorf("the first relay was disturbed: %+v", s)
	}
	first.stop()
	second.ready(t)
	n := newMirror(t, second.url, client.Options{})
	n.has(d, n.subscribe("public.items"), "items")
}

// TestOutboxWindow: a cursor that the outbox's window has left is answered with a snapshot, before and after a restart, and
// who was there all the time goes on.
func TestOutboxWindow(t *testing.T) {
	t.Parallel() // the window is looked after every other second
	small := func(s *serve.Config) { s.Capture.Journal = journal.Config{WAL: 64 << 10} }
	d := newDatabase(t, trigger15.server(t), items, "public.items", "public.heap")
	trigger15.take(d)
	r := d.start(small)
	m := newMirror(t, r.url, client.Options{})
	keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
	m.live(keyed, bag)
	old := m.Status(keyed).Cursor
	var delivery, base int
	d.scan(`select max(n) from relay.delivery`, &delivery)
	stop := d.bustling(2)
	await(t, func() (string, bool) {
		d.scan(`select base >> 24 from relay.state`, &base)
		return "the window to move on", base > delivery
	})
	stop()
	m.has(d, keyed, "items")
	now := m.Status(keyed).Cursor
	resumed := func(cursor string) bool {
		subscribed, _ := r.since(t, cursor, "public.items")
		return subscribed.Resumed
	}
	for range 2 {
		if resumed(old) {
			t.Error("a cursor from before the window was taken")
		}
		if !resumed(now) {
			t.Error("the present cursor was refused")
		}
		r.stop()
		d.exec(`update items set n = n + 1 where id < 20; delete from heap where n = 1`)
		r = d.start(small, at(r))
		r.ready(t)
	}
	m.has(d, keyed, "items")
	m.has(d, bag, "heap")
	if s := m.Stats(); s.Refused > 0 || s.Resyncs > 0 || s.Snapshots != 2 {
		t.Errorf("want it to go on: %+v", s)
	}
}

// TestRulesByTrigger: an edit of rules that triggers capture is in force within a second, on a server without logical
// replication, while tables are written.
func TestRulesByTrigger(t *testing.T) {
	d := newDatabase(t, trigger15.server(t), items, "public.items", "public.heap")
	trigger15.take(d)
	r := d.start()
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
	m.live(keyed, bag)
	stop := d.bustling(2)
	for range 5 {
		d.edit("a rule is disabled", `update `+rules+` set enabled = false where relation = 'public.items'`, func() { m.phase(keyed, client.Waiting, "not_found") })
		d.edit("a rule is enabled", `update `+rules+` set enabled = true where relation = 'public.items'`, func() { m.live(keyed) })
	}
	stop()
	m.has(d, keyed, "items")
	m.has(d, bag, "heap")
	if s := m.Status(bag); s.Lives != 1 {
		t.Errorf("another table started over: %+v", s)
	}
}

// TestThroughPooler: a relay that reaches its database through PgBouncer in transaction mode alone captures by triggers,
// takes snapshots, hears of edited rules and goes on after a restart.
func TestThroughPooler(t *testing.T) {
	t.Parallel() // the outbox is polled
	d := newDatabase(t, trigger15.server(t), items, "public.items", "public.heap")
	trigger15.take(d)
	dsn := pgserver.PoolerForTest(t, d.dsn())
	r := start(t, dsn)
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
	m.live(keyed, bag)
	stop := d.bustling(2)
	for range 3 {
		d.exec(`update ` + rules + ` set enabled = false where relation = 'public.items'`)
		m.phase(keyed, client.Waiting, "not_found")
		d.exec(`update ` + rules + ` set enabled = true where relation = 'public.items'`)
		m.live(keyed)
	}
	r.stop()
	r = start(t, dsn, at(r))
	r.ready(t)
	stop()
	m.has(d, keyed, "items")
	m.has(d, bag, "heap")
	if s := m.Stats(); s.Refused > 0 {
		t.Errorf("want it to go on: %+v", s)
	}
}
