package wal

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// on runs body against a server of each version.
func on(t *testing.T, settings map[string]string, body func(t *testing.T, db *db)) {
	for _, v := range []int{15, 18} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			s := pgserver.ForTest(t, pgserver.Config{Version: v, Settings: settings})
			conn, err := s.Admin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
			body(t, &db{t: t, server: s, conn: conn})
		})
	}
}

// db is a database of a test.
type db struct {
	t      *testing.T
	server *pgserver.Server
	conn   *pgx.Conn
}

func (d *db) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatalf("%v in %s", err, sql)
	}
}

func scan[T any](d *db, sql string, args ...any) (v T) {
	d.t.Helper()
	if err := d.conn.QueryRow(d.t.Context(), sql, args...).Scan(&v); err != nil {
		d.t.Fatalf("%v in %s", err, sql)
	}
	return v
}

// slots are the names of all slots, sorted.
func (d *db) slots() []string {
	d.t.Helper()
	return scan[[]string](d, `select coalesce(array_agg(slot_name::text order by slot_name), '{}') from pg_replication_slots`)
}

func (d *db) wantSlots(want ...string) {
	d.t.Helper()
	slices.Sort(want)
	if got := d.slots(); !slices.Equal(got, want) {
		d.t.Errorf("got slots %q, want %q", got, want)
	}
}

func (d *db) confirmed(slot string) relay.LSN {
	d.t.Helper()
	lsn, err := relay.ParseLSN(scan[string](d, `select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1`, slot))
	if err != nil {
		d.t.Fatal(err)
	}
	return lsn
}

// advance writes something and moves a slot past it, as a relay that streams does.
func (d *db) advance(slot string) relay.LSN {
	d.t.Helper()
	d.exec(`select pg_logical_emit_message(true, 'test', 'x')`)
	d.exec(`select pg_replication_slot_advance($1, pg_current_wal_flush_lsn())`, slot)
	return d.confirmed(slot)
}

// prepare wants no waiting.
func (d *db) prepare(publication uint32, fresh bool) *Slots {
	d.t.Helper()
	var last uint64
	if fresh {
		last = 1
	}
	s, err := Prepare(d.t.Context(), d.conn, publication, last, func(reason string) { d.t.Errorf("waits: %s", reason) })
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *db) moveAnchor(s *Slots) {
	d.t.Helper()
	if err := s.MoveAnchor(d.t.Context(), d.conn); err != nil {
		d.t.Fatal(err)
	}
}

// wantFailover holds that every slot has the property where the server knows it.
func (d *db) wantFailover() {
	d.t.Helper()
	if d.server.Version() < 17 {
		return
	}
	if without := scan[[]string](d, `select coalesce(array_agg(slot_name::text), '{}') from pg_replication_slots where not failover`); len(without) > 0 {
		d.t.Errorf("slots without failover: %q", without)
	}
}
