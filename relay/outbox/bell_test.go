package outbox

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// neverPolls makes a change that waits for the poll fail the test by its timeout.
const neverPolls = time.Hour

// unpolled makes table public.a and starts a reader of it that never looks of its own accord, as far as it needn't.
func (d *db) unpolled(columns string) *sink {
	d.t.Helper()
	s := newSink()
	cfg := d.config()
	cfg.Poll = neverPolls
	d.table("public.a", columns)
	d.start(cfg, s)
	return s
}

// TestDoorbellMissesNoCommit races writes, and commits that follow a while after their write, against the reader's falling
// asleep. With a poll of an hour, a commit that goes unheard is never delivered. PGRELAY_BELL is how many to race, by default 500.
func TestDoorbellMissesNoCommit(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := d.unpolled("id int primary key, n int")
		conn := d.connect()
		rounds := 500
		if n, err := strconv.Atoi(os.Getenv("PGRELAY_BELL")); err == nil {
			rounds = n
		}
		for i := range rounds {
			// The reader goes to sleep after its linger: writes and commits fall around that moment, before and behind it.
			around := linger + time.Duration(i%200-100)*10*time.Microsecond
			if i%4 == 3 {
				d.execOn(conn, `begin`)
			}
			d.execOn(conn, `insert into public.a values ($1, $2)`, i, i)
			if i%4 > 0 {
				pause(around)
			}
			if i%4 == 3 {
				d.execOn(conn, `commit`)
			}
			if i%10 == 9 {
				s.await(t, func() bool { return s.rows == i+1 })
			}
		}
		s.await(t, func() bool { return s.rows == rounds })
	})
}

// pause spins: a timer would be too coarse to hit the moment.
func pause(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

// TestDoorbellUnderLoad counts the notifications of a busy time.
func TestDoorbellUnderLoad(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := d.unpolled("id bigserial primary key, n int")
		count := d.listen()
		const writers, each = 8, 400
		var all sync.WaitGroup
		for range writers {
			conn := d.connect()
			all.Go(func() {
				for range each {
					if _, err := conn.Exec(t.Context(), `insert into public.a (n) values (1)`); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		s.await(t, func() bool { return s.rows == writers*each })
		rings := count()
		t.Logf("%d notifications for %d commits", rings, writers*each)
		if rings > writers*each/10 {
			t.Errorf("got %d notifications for %d commits under load, want next to none", rings, writers*each)
		}
	})
}

// listen counts the notifications from now until the function that it returns is called.
func (d *db) listen() (count func() int) {
	d.t.Helper()
	conn := d.connect()
	d.execOn(conn, `listen pgrelay; listen pgrelay_test_end`)
	n, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			got, err := conn.WaitForNotification(d.t.Context())
			if err != nil || got.Channel == "pgrelay_test_end" {
				return
			}
			n++
		}
	}()
	return func() int {
		d.exec(`notify pgrelay_test_end`)
		<-ended
		return n
	}
}

// TestIdleTransactions has two transactions that wrote, and are idle since before the reader fell asleep.
func TestIdleTransactions(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.Poll = neverPolls
		s.names.set(d.table("public.a", "id int primary key"), "a")
		var idle []*pgx.Conn
		for i := range 2 {
			conn := d.connect()
			d.execOn(conn, fmt.Sprintf(`begin; insert into public.a values (%d)`, i))
			idle = append(idle, conn)
		}
		r, _ := d.start(cfg, s)
		s.passed(t, r)
		d.asleep()
		d.exec(`insert into public.a values (10)`)
		s.await(t, func() bool { return s.rows == 1 })
		d.asleep()
		for i, conn := range idle {
			d.execOn(conn, `commit`)
			s.await(t, func() bool { return s.rows == i+2 })
			d.asleep()
		}
		s.want(t, "I a ('10')", "I a ('0')", "I a ('1')")
	})
}

// TestYoungestTransaction commits, while the reader sleeps, what was written before it fell asleep by the transaction with the
// highest id of all: no snapshot says that it ran.
func TestYoungestTransaction(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := d.unpolled("id int primary key")
		conn := d.connect()
		for i := range 20 {
			d.execOn(conn, `insert into public.a values ($1)`, -1-i)
			s.await(t, func() bool { return s.rows == 2*i+1 })
			d.execOn(conn, `begin`)
			d.execOn(conn, `insert into public.a values ($1)`, i)
			d.asleep()
			d.execOn(conn, `commit`)
			s.await(t, func() bool { return s.rows == 2*i+2 })
		}
	})
}

// TestSleepsSoundly: once those have ended that wrote before it fell asleep, the reader doesn't look by itself any more: who
// began later rings, also where the transaction was open meanwhile.
func TestSleepsSoundly(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.Poll = neverPolls
		s.names.set(d.table("public.a", "id int primary key"), "a")
		old := d.connect()
		d.execOn(old, `begin; insert into public.a values (1)`)
		r, _ := d.start(cfg, s)
		s.passed(t, r)
		d.asleep()
		young := d.connect()
		d.execOn(young, `begin; insert into public.a values (2)`)
		d.execOn(old, `rollback`)
		d.quiet()
		d.execOn(young, `commit`)
		s.await(t, func() bool { return s.rows == 1 })
		s.want(t, "I a ('2')")
	})
}

// quiet waits until the reader's session has run nothing for much longer than it pauses between looks.
func (d *db) quiet() {
	d.t.Helper()
	for !scan[bool](d, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.classid = 1885827685 and l.objid = 2
		and l.granted and l.database = (select oid from pg_database where datname = current_database()) and a.state = 'idle' and a.state_change < clock_timestamp() - interval '500 ms')`) {
		if d.t.Context().Err() != nil {
			d.t.Fatal("the reader goes on looking")
		}
	}
}

// asleep waits until the reader holds the doorbell's lock.
func (d *db) asleep() {
	d.t.Helper()
	for !scan[bool](d, `select exists (select from pg_locks where locktype = 'advisory' and classid = 1885827685 and objid = 1
		and mode = 'ExclusiveLock' and granted
		and database = (select oid from pg_database where datname = current_database()))`) {
		if d.t.Context().Err() != nil {
			d.t.Fatal("the reader doesn't fall asleep")
		}
	}
}

// TestDoorbellOff has the changes delivered by the poll, and no notification.
func TestDoorbellOff(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		d.exec(`select relay.doorbell('off')`)
		s := newSink()
		cfg := d.config()
		cfg.Poll, cfg.PollUnrung = neverPolls, 20*time.Millisecond
		d.table("public.a", "id int primary key")
		d.start(cfg, s)
		count := d.listen()
		for i := range 5 {
			d.exec(`insert into public.a values ($1)`, i)
			s.await(t, func() bool { return s.rows == i+1 })
		}
		if got := count(); got != 0 {
			t.Errorf("got %d notifications, want none", got)
		}
	})
}

// TestPreparedTransactions: where the server allows them nobody rings, so that none of them fails.
func TestPreparedTransactions(t *testing.T) {
	on(t, map[string]string{"max_prepared_transactions": "5"}, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.PollUnrung, cfg.Poll = 20*time.Millisecond, neverPolls
		d.table("public.a", "id int primary key")
		r, _ := d.start(cfg, s)
		s.passed(t, r)
		d.exec(`begin; insert into public.a values (1); prepare transaction 'one'`)
		d.exec(`insert into public.a values (2)`)
		s.await(t, func() bool { return s.rows == 1 })
		d.exec(`commit prepared 'one'`)
		s.await(t, func() bool { return s.rows == 2 })

		// Whoever insists on the doorbell has the reader sleep, and look by itself for what was prepared before.
		d.exec(`select relay.doorbell('on')`)
		d.exec(`begin; insert into public.a values (3); prepare transaction 'two'`)
		d.asleep()
		d.exec(`insert into public.a values (4)`)
		s.await(t, func() bool { return s.rows == 3 })
		d.asleep()
		d.exec(`commit prepared 'two'`)
		s.await(t, func() bool { return s.rows == 4 })
	})
}

// TestLostNotifications: a relay whose LISTEN was lost finds changes by the slow poll.
func TestLostNotifications(t *testing.T) {
	on(t, rung, func(t *testing.T, d *db) {
		s := newSink()
		cfg := d.config()
		cfg.Poll = 30 * time.Millisecond
		d.table("public.a", "id int primary key")
		r := d.open(cfg)
		if _, err := r.conn.Exec(context.Background(), `unlisten *`); err != nil {
			t.Fatal(err)
		}
		from, _ := r.Window()
		d.run(r, from, s)
		for i := range 5 {
			d.asleep()
			d.exec(`insert into public.a values ($1)`, i)
			s.await(t, func() bool { return s.rows == i+1 })
		}
	})
}
