package capture

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/journal"
	"pgrelay/relay/snapshot"
	"pgrelay/relay/wal"
)

// Replay runs a load by replaying what came after since.
func (c *Capture) Replay(load *hub.Load, replay *hub.Replay, since relay.LSN) {
	u := catchUp{c: c, load: load, replay: replay, position: since}
	c.replaying(load, u.run)
}

// catchUp brings a load from a position to its registration, and on to a newer one for as long as the ring has left
// the registration behind meanwhile.
type catchUp struct {
	c        *Capture
	load     *hub.Load
	replay   *hub.Replay
	position relay.LSN
	// visible leaves out what a snapshot has seen; nil without one.
	visible *hub.Visibility
	// log is read where the journal doesn't reach back; nil without one.
	log     *oldLog
	message wal.Message
	// beyond tells that the transaction which was open at the registration, or the next one, has been replayed.
	beyond bool
	last   uint64 // the transaction that was passed last
}

func (u *catchUp) run(ctx context.Context) error {
	for {
		done, err := u.step(ctx)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		if behind, err := u.load.Behind(); err != nil || !behind {
			return err
		}
		u.beyond = false
	}
}

// step replays the next transaction; done tells that the registration is reached.
func (u *catchUp) step(ctx context.Context) (done bool, err error) {
	until, open := u.load.Registered()
	if u.beyond || open == 0 && u.position >= until || open != 0 && u.last == open {
		return true, nil
	}
	committed := u.c.awaitCommit()
	tx, ok, err := u.c.Journal().Next(u.position)
	switch {
	case err != nil && u.log == nil:
		return false, hub.ErrLagged
	case err != nil:
		return false, u.log.read(ctx, u, until)
	case ok && (tx.End <= until || tx.XID == open):
		u.beyond = tx.XID == open
		return false, u.transaction(ctx, &tx)
	case ok || open == 0:
		return true, nil
	}
	// The transaction that was open at the registration is still coming.
	select {
	case <-committed:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// awaitCommit returns what is closed at the next commit.
func (c *Capture) awaitCommit() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters++
	return c.committed
}

func (u *catchUp) transaction(ctx context.Context, tx *journal.Tx) error {
	u.position, u.last = tx.End, tx.XID
	if u.visible != nil && u.visible.Sees(tx.XID) {
		return nil
	}
	u.replay.Begin(tx.XID, tx.At)
	if err := tx.Messages(func(b []byte) error { return u.row(ctx, b) }); err != nil {
		return err
	}
	return u.replay.Commit(ctx, tx.End)
}

func (u *catchUp) row(ctx context.Context, b []byte) error {
	m := &u.message
	if err := m.Parse(b); err != nil {
		return err
	}
	switch m.Kind {
	case wal.KindTruncate:
		return u.replay.Truncate(ctx, m.Relations)
	case wal.KindInsert, wal.KindUpdate, wal.KindDelete:
		return u.replay.Row(ctx, m.Kind, m.Relation, m.Old, m.New)
	}
	return nil
}

// oldLog is a temporary copy of the live slot: it keeps the log from before a long snapshot, and is read where the
// snapshot has outlasted the journal. It lives on the snapshot's session and goes with it.
type oldLog struct {
	conn         *pgx.Conn
	publications []string
	reference    uint64
}

const (
	oldLogSlot = "pgrelay_snapshot_%d"
	// longSnapshot is the size of a table from which on its snapshot may outlast the journal.
	longSnapshot = 64 << 20
	// oldLogBatch is about how many changes are read at a time; whole transactions come.
	oldLogBatch = 20000
)

// sizeSQL asks for a size, which takes a lock as the snapshot will. It comes first, and waits shortly: who waits for a
// table that is locked for long hardly holds a place.
const sizeSQL = `with patience as materialized (select pg_catalog.set_config('lock_timeout', '100ms', true))
	select coalesce(sum(pg_catalog.pg_table_size(oid)), 0)::bigint from patience, unnest($1::oid[]) oid`

// keepLog makes an oldLog for a large table; nil where it isn't needed or no slot is left. Its only error is
// snapshot.ErrLocked.
func (c *Capture) keepLog(ctx context.Context, conn *pgx.Conn, r *relay.Relation) (*oldLog, error) {
	oids := make([]uint32, len(r.Leaves))
	for i, leaf := range r.Leaves {
		oids[i] = leaf.OID
	}
	var size int64
	err := conn.QueryRow(ctx, sizeSQL, oids).Scan(&size)
	if hasCode(err, "55P03") {
		return nil, snapshot.ErrLocked
	}
	if err != nil || size < longSnapshot {
		return nil, nil
	}
	c.mu.Lock()
	l := &oldLog{conn: conn, publications: c.published.Names, reference: c.reference}
	live := c.slots.Live()
	c.mu.Unlock()
	if _, err := conn.Exec(ctx, `select pg_catalog.pg_copy_logical_replication_slot($1, $2, true)`, live, l.slot()); err != nil {
		c.log.Info().Err(err).Str("table", r.Name).Msg("a long snapshot goes without a copy of the slot")
		return nil, nil
	}
	return l, nil
}

func (l *oldLog) slot() string { return fmt.Sprintf(oldLogSlot, l.conn.PgConn().PID()) }

// read replays the next transactions from the slot, up to a position; from there on the next one alone, which is the
// one that was open there.
func (l *oldLog) read(ctx context.Context, u *catchUp, until relay.LSN) error {
	upTo, changes := new(string), oldLogBatch
	*upTo = until.String()
	if u.position >= until {
		upTo, changes = nil, 1
	}
	rows, err := l.conn.Query(ctx, `select data from pg_catalog.pg_logical_slot_get_binary_changes($1, $4::text::pg_lsn, $2,
		'proto_version', '1', 'publication_names', $3)`, l.slot(), changes, wal.PublicationNames(l.publications), upTo)
	if err != nil {
		return fmt.Errorf("read the slot's copy: %w", err)
	}
	defer rows.Close()
	n, skip, beyond := 0, false, false
	for rows.Next() {
		n++
		m := &u.message
		raw := rows.RawValues()[0]
		if err := m.Parse(raw); err != nil {
			return err
		}
		switch m.Kind {
		case wal.KindBegin:
			l.reference = fullXID(l.reference, m.XID)
			// The server stops after the commit that reaches the position: it may lie behind it.
			beyond = m.Final >= until
			if skip = m.Final < u.position || u.visible != nil && u.visible.Sees(l.reference); !skip {
				u.replay.Begin(l.reference, m.Time)
			}
		case wal.KindCommit:
			if !skip {
				if err := u.replay.Commit(ctx, m.End); err != nil {
					return err
				}
			}
			u.position, u.last = max(u.position, m.End), l.reference
			if beyond {
				u.beyond = true
				u.load.Delivered(l.reference)
			}
		default:
			if !skip {
				if err := u.row(ctx, raw); err != nil {
					return err
				}
			}
		}
	}
	if rows.Err() != nil {
		return fmt.Errorf("read the slot's copy: %w", rows.Err())
	}
	if n == 0 {
		u.position = max(u.position, until)
	}
	return nil
}
