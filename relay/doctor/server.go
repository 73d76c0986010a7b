package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is what holds for the whole server, and for the session.
type server struct {
	at           string // host and port as they are dialled, and when it was started: which server it is
	pid          uint32 // of the session, as the protocol announced it
	backend      int32  // of the process that answered
	version      int    // server_version_num
	standby      bool
	encoding     string
	walLevel     string
	standbyNames string
	maxSlots     int
	otherSlots   int // in use, by others than a relay of this database
	maxSenders   int
	otherSenders int
	replicas     int           // standbys: physical slots, or senders without a logical slot where there are more
	keepSize     int64         // max_slot_wal_keep_size in bytes; -1 for no bound
	idleTimeout  time.Duration // idle_replication_slot_timeout (18); 0: none
	synchronized string        // synchronized_standby_slots (17)
	syncs        bool          // of a standby: sync_replication_slots (17)
	prepared     bool          // max_prepared_transactions isn't 0
	queue        float64       // pg_notification_queue_usage
	skew         time.Duration // of the server's clock against ours, where it is more than the round trip explains
}

// synchronizedSlots are the names that synchronized_standby_slots lists.
func (s *server) synchronizedSlots() (names []string) {
	for name := range strings.SplitSeq(s.synchronized, ",") {
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" {
			names = append(names, name)
		}
	}
	return names
}

const serverSQL = `
with slot as materialized (select * from pg_catalog.pg_replication_slots),
sender as materialized (select r.pid from pg_catalog.pg_stat_replication r)
select extract(epoch from pg_catalog.pg_postmaster_start_time())::text, pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num')::int4, pg_catalog.pg_is_in_recovery(),
  pg_catalog.current_setting('server_encoding'), pg_catalog.current_setting('wal_level'), pg_catalog.current_setting('synchronous_standby_names'),
  pg_catalog.current_setting('max_replication_slots')::int4,
  (select pg_catalog.count(*) from slot s where not (s.slot_name ~ '^pgrelay_' and s.database = pg_catalog.current_database()))::int4,
  pg_catalog.current_setting('max_wal_senders')::int4,
  (select pg_catalog.count(*) from sender r where not exists (select from slot s
    where s.active_pid = r.pid and s.slot_name ~ '^pgrelay_' and s.database = pg_catalog.current_database()))::int4,
  greatest((select pg_catalog.count(*) from slot s where s.slot_type = 'physical'),
    (select pg_catalog.count(*) from sender r where not exists (select from slot s where s.active_pid = r.pid and s.slot_type = 'logical')))::int4,
  (select case when g.setting::int8 < 0 then -1 else g.setting::int8 * 1024 * 1024 end from pg_catalog.pg_settings g where g.name = 'max_slot_wal_keep_size'),
  coalesce(extract(epoch from pg_catalog.current_setting('idle_replication_slot_timeout', true)::pg_catalog.interval), 0)::float8,
  coalesce(pg_catalog.current_setting('synchronized_standby_slots', true), ''),
  coalesce(pg_catalog.current_setting('sync_replication_slots', true), 'off') = 'on',
  pg_catalog.current_setting('max_prepared_transactions') <> '0', pg_catalog.pg_notification_queue_usage()`

func askServer(ctx context.Context, tx pgx.Tx, p *place) error {
	s := &p.server
	var clock time.Time
	before := p.cfg.Now()
	if err := tx.QueryRow(ctx, `select pg_catalog.clock_timestamp()`).Scan(&clock); err != nil {
		return err
	}
	s.skew = skew(before, clock, p.cfg.Now())
	var idle float64
	err := tx.QueryRow(ctx, serverSQL).Scan(&s.at, &s.backend, &s.version, &s.standby, &s.encoding, &s.walLevel, &s.standbyNames, &s.maxSlots, &s.otherSlots,
		&s.maxSenders, &s.otherSenders, &s.replicas, &s.keepSize, &idle, &s.synchronized, &s.syncs, &s.prepared, &s.queue)
	s.at = p.address() + s.at
	s.idleTimeout = time.Duration(idle * float64(time.Second))
	return err
}

// address is where the place's server is, as it is dialled.
func (p *place) address() string {
	return fmt.Sprintf("%s:%d ", p.source.Conn.Host, p.source.Conn.Port)
}

// skew is how far the server's clock is ahead of ours (negative: behind) beyond what may have passed on the way.
func skew(before, server, after time.Time) time.Duration {
	switch {
	case server.Before(before):
		return server.Sub(before)
	case server.After(after):
		return server.Sub(after)
	}
	return 0
}

// oldest is the oldest server_version_num that is supported.
const oldest = 150000

func judgeVersion(p *place) (f findings) {
	if p.server.version < oldest {
		f.add(Error, "server", "upgrade to Postgres 15 or newer", fmt.Sprintf("Postgres %d is too old", p.server.version/10000))
	}
	return f
}

func judgeStandby(p *place) (f findings) {
	if p.server.standby {
		f.add(p.worst(), "server", "point the DSN or the foreign server (or hosts in pgrelay.yaml) at the primary, and add target_session_attrs=read-write where it lists several hosts",
			"it is a hot standby: a snapshot there leaves out running transactions, so rows would be missed")
	}
	return f
}

// worst is Error where the place is a source, else Warning: the warehouse's catalog may be read anywhere.
func (p *place) worst() Severity {
	if p.isSource() {
		return Error
	}
	return Warning
}

func judgePooler(p *place) (f findings) {
	if p.server.pid != 0 && p.server.pid != uint32(p.server.backend) {
		f.add(Warning, "server", "point the DSN or the foreign server (or hosts in pgrelay.yaml) at Postgres itself, mostly port 5432",
			fmt.Sprintf("there is a pooler in between (the session was announced as process %d, and process %d answers): replication, LISTEN and session settings may be lost in it",
				p.server.pid, p.server.backend))
	}
	return f
}

func judgeEncoding(p *place) (f findings) {
	if p.server.encoding == "SQL_ASCII" {
		f.add(Error, "database", "dump it, and restore it into a database made with: create database … encoding 'UTF8' template template0;",
			"its encoding is SQL_ASCII: what its bytes mean isn't known, so the relay refuses it")
	}
	return f
}

func judgeWALLevel(p *place) (f findings) {
	if p.logical() && p.server.walLevel != "logical" {
		f.add(Error, "server", "alter system set wal_level = logical;\nthen restart Postgres\n"+p.byTriggers(),
			fmt.Sprintf("wal_level is %s: nothing can be captured by logical replication", p.server.walLevel))
	}
	return f
}

// byTriggers is how the tables that no trigger captures yet are captured without logical replication.
func (p *place) byTriggers() string {
	lines := []string{"or capture by triggers:"}
	for _, t := range p.tables {
		if t.oid == t.root && len(t.names) > 0 && !t.captured {
			lines = append(lines, p.trigger(t))
		}
	}
	if rest := len(lines) - 1 - mostListed; rest > 1 {
		lines = append(lines[:1+mostListed], fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(lines, "\n")
}

// slotsNeeded at one source: the live slot, two anchors while one replaces the other, and a copy for a long catch-up.
const slotsNeeded = 4

func judgeMaxSlots(p *place) (f findings) {
	if free := p.server.maxSlots - p.server.otherSlots; p.logical() && free < slotsNeeded {
		f.add(Error, "server", fmt.Sprintf("alter system set max_replication_slots = %d;\nthen restart Postgres, or drop slots that nobody reads", p.server.maxSlots+slotsNeeded-free),
			fmt.Sprintf("%d of %d replication slots are free for the relay, which needs %d", max(free, 0), p.server.maxSlots, slotsNeeded))
	}
	return f
}

// sendersNeeded at one source: the stream, and one that reads a copy of the slot for a long catch-up.
const sendersNeeded = 2

func judgeMaxSenders(p *place) (f findings) {
	free := p.server.maxSenders - p.server.otherSenders
	if !p.logical() || free >= sendersNeeded {
		return f
	}
	severity := Warning
	if free < 1 {
		severity = Error
	}
	f.add(severity, "server", fmt.Sprintf("alter system set max_wal_senders = %d;\nthen restart Postgres", p.server.maxSenders+sendersNeeded-free),
		fmt.Sprintf("%d of %d WAL senders are free for the relay, which needs one for its stream and one for whoever catches up", max(free, 0), p.server.maxSenders))
	return f
}

// leastKept is what the slots of a running relay may need: a window of 256 MB of WAL left restart_lsn up to a few times
// as far behind.
const leastKept = 1 << 30

func judgeKeepSize(p *place) (f findings) {
	const remedy = "alter system set max_slot_wal_keep_size = '10GB';   -- what the disk can spare\nselect pg_reload_conf();"
	switch keep := p.server.keepSize; {
	case !p.logical():
	case keep < 0:
		f.add(Warning, "server", remedy, "max_slot_wal_keep_size is unlimited: a slot that nobody reads keeps WAL until the disk is full, and the server stops")
	case keep < leastKept:
		f.add(Warning, "server", remedy, fmt.Sprintf("max_slot_wal_keep_size is %s: slots can be lost while the relay runs, and every client starts over", size(keep)))
	}
	return f
}

func judgeIdleTimeout(p *place) (f findings) {
	timeout := p.server.idleTimeout
	if timeout == 0 || !p.logical() {
		return f
	}
	severity := Info
	if timeout < 24*time.Hour {
		severity = Warning
	}
	f.add(severity, "server", "alter system set idle_replication_slot_timeout = 0;   -- max_slot_wal_keep_size bounds what a slot keeps\nselect pg_reload_conf();",
		fmt.Sprintf("idle_replication_slot_timeout is %s: anchors are idle by nature, and a relay that is away for longer loses its slots, so every client starts over", timeout))
	return f
}

// judgeQueue: a NOTIFY at COMMIT fails when the queue is full.
// https://www.postgresql.org/docs/current/sql-notify.html
func judgeQueue(p *place) (f findings) {
	severity := Warning
	if p.server.queue >= 0.75 {
		severity = Error
	}
	if p.server.queue >= 0.25 {
		f.add(severity, "server", "find who listens within an old transaction, and end it:\nselect pid, usename, datname, xact_start from pg_stat_activity where xact_start is not null order by xact_start;\nselect pg_terminate_backend(…);",
			fmt.Sprintf("the notification queue is %.0f %% full: when it is full every transaction that notifies fails at its commit", 100*p.server.queue))
	}
	return f
}

func judgeClock(p *place) (f findings) {
	skew := p.server.skew
	if skew.Abs() < p.cfg.ClockSkew {
		return f
	}
	where := "ahead of"
	if skew < 0 {
		where = "behind"
	}
	f.add(Warning, "server", "let both machines take their time from NTP: timedatectl set-ntp true",
		fmt.Sprintf("its clock is %s %s this machine's: times of changes, and of tokens, don't compare", skew.Abs().Round(100*time.Millisecond), where))
	return f
}
