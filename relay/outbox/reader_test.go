package outbox

import (
	"testing"
)

func TestChangesArrive(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		r, _ := d.start(d.config(), s)
		s.names.set(d.table("public.a", "id int primary key, n text"), "a")
		d.exec(`insert into a values (1, 'x'), (2, null), (3, '')`)
		d.exec(`begin; update a set n = 'a "quoted", one\' where id = 1; update a set id = 4 where id = 2; delete from a where id = 3; commit`)
		d.exec(`begin; insert into a values (9); rollback`)
		d.exec(`insert into a select 10 where false`)
		d.exec(`truncate a`)
		s.passed(t, r)
		s.want(t,
			"I a ('1', 'x')", "I a ('2', null)", "I a ('3', '')",
			`U a ('1', 'x') ('1', 'a "quoted", one\')`, "U a ('2', null) ('4', null)", "D a ('3', '')",
			"T a")
	})
}

// TestFence: a fence is the number of a look that begins after it was asked for, whatever the looks before have found.
func TestFence(t *testing.T) {
	r := &Reader{next: 13}
	look := func(during func(), found bool) (n int64) {
		n, always := r.begin()
		during()
		if found || always {
			r.recorded(n)
		}
		r.end()
		return n
	}
	check := func(fence int64) {
		t.Helper()
		if got := r.Fence(); got != wholly(fence) {
			t.Errorf("got a fence of %x, want delivery %d", uint64(got), fence)
		}
	}
	look(func() { check(14) }, false)
	check(14) // not 13, which nothing bears
	if n := look(func() { check(15) }, false); n != 14 {
		t.Errorf("got delivery %d, want 14", n)
	}
	if n := look(func() { check(16) }, false); n != 15 {
		t.Errorf("got delivery %d, want 15", n)
	}
	if n := look(func() {}, true); n != 16 {
		t.Errorf("got delivery %d, want 16", n)
	}
	check(17)
}
