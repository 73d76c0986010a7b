package serve_test

import (
	"fmt"
	"testing"

	"pgrelay/relay/client"
)

// TestRuleEditsOutOfOrder: transactions commit in another order than they began. An edit that commits after one with a
// larger transaction id comes into force too.
func TestRuleEditsOutOfOrder(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), people, "public.people", "public.other")
		c.take(d, "people", "other")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id, other := m.subscribe("public.people"), m.subscribe("public.other")
		m.live(id, other)
		earlier := d.connect()
		_, err := earlier.Exec(d.ctx, `begin; update `+rules+` set enabled = false where relation = 'public.people'`)
		must(t, err)
		d.exec(`update ` + rules + ` set enabled = false where relation = 'public.other'`)
		m.phase(other, client.Waiting, "not_found")
		m.live(id)
		_, err = earlier.Exec(d.ctx, `commit`)
		must(t, err)
		m.phase(id, client.Waiting, "not_found")
		if rows := m.Rows(id); len(rows) != 0 {
			t.Errorf("%d rows stay", len(rows))
		}
		late := newMirror(t, r.url, client.Options{})
		late.phase(late.subscribe("public.people"), client.Waiting, "not_found")
	}, logical15, trigger15)
}

// TestRuleEditBurst: edits by many at once, while tables change, hold nothing up; the last of them is in force.
func TestRuleEditBurst(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), people, "public.people")
		c.take(d, "people")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.people")
		m.live(id)
		const enough = 4000
		stop := d.load(4, func(w, n int) string {
			return fmt.Sprintf(`update %s set comment = '%d %d'; update people set secret = '%[3]d' where id = %[2]d`, rules, w+1, n)
		})
		m.until("the transactions of the burst", func() bool { return m.Stats().Transactions >= enough })
		r.ready(t)
		t.Log(stop(), "edits")
		m.has(d, id, "people")
		d.exec(`delete from ` + rules)
		m.phase(id, client.Waiting, "not_found")
	}, logical15, trigger15)
}
