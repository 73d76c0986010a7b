package serve_test

import (
	"fmt"
	"testing"
	"time"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// bustle is a transaction with savepoints of which some are undone, changes of keys, and equal rows.
func bustle(w, n int) string {
	id := 1000 + w*1_000_000 + 10*n
	return fmt.Sprintf(`begin; insert into items values (%[1]d, %[2]d, 'new'); savepoint a; update items set n = n + 1 where id = %[3]d; savepoint b;
		insert into items values (%[1]d + 1, 0, 'undone'); update items set n = -1 where id = %[3]d; rollback to b;
		update items set id = %[1]d + 2 where id = %[1]d; release a; delete from items where id = %[1]d - 98; insert into heap values (%[2]d %% 10, 'equal');
		update heap set note = 'x%[2]d' where ctid = (select min(ctid) from heap where n = %[2]d %% 10); commit`, id, n, 1+(w*97+n)%500)
}

// bustling has writers do so, at a pace that leaves others some of the machine.
func (d *database) bustling(writers int) (stop func()) {
	return d.paced(writers, 4*time.Millisecond, bustle)
}

// TestSwitchUnderLoad: tables go over from one way of capture to the other and back while they are written. Nothing is
// lost or repeated, and nobody is told that they are gone.
func TestSwitchUnderLoad(t *testing.T) {
	t.Parallel() // it mostly waits for the watch's next look
	d := newDatabase(t, sharedServer(t, 15), items, "public.items", "public.heap")
	d.install()
	r := d.start()
	r.ready(t)
	m := newMirror(t, r.url, client.Options{})
	keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
	m.live(keyed, bag)
	stop := d.bustling(4)
	dba := d.connect()
	for i := range 10 {
		verb, want := "enable", "trigger"
		if i%2 == 1 {
			verb, want = "disable", "logical"
		}
		for _, table := range []string{"items", "heap"} {
			_, err := dba.Exec(d.ctx, fmt.Sprintf(`select relay.%s_table('%s')`, verb, table))
			must(t, err)
		}
		m.until("both captured by "+want, func() bool { return m.way(keyed) == want && m.way(bag) == want && m.Live(keyed) && m.Live(bag) })
	}
	stop()
	m.has(d, keyed, "items")
	m.has(d, bag, "heap")
	for _, w := range m.seen(wire.TypeWaiting) {
		if w.Reason == wire.WaitNotFound {
			t.Errorf("a table that was switched is gone: %+v", w)
		}
	}
	t.Logf("%+v", m.Stats())
}

// way is how a subscription's table is captured, as it was told last.
func (m *mirror) way(id uint64) (way string) {
	for _, s := range m.seen(wire.TypeSubscribed) {
		if string(s.ID) == fmt.Sprint(id) {
			way = s.Capture
		}
	}
	return way
}
