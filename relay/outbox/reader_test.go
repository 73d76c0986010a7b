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
