package publication

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// State is what Ensure left behind at a source. Its methods may be called from several goroutines, each with a
// connection of its own.
type State struct {
	// OID is the full publication's; a slot's name carries it.
	OID uint32
	// Names and OIDs of the publications to stream, the full one first. The second one is missing only where it couldn't be made.
	Names []string
	OIDs  []uint32

	mu     sync.Mutex
	leaves map[uint32]*readiness // of every leaf that is wanted and a member
	// members are the oids of these leaves' entries in the publications.
	members map[uint32]uint32
}

// readiness says from when on a leaf's changes are complete; nil in State.leaves means that they are.
type readiness struct {
	// after: every transaction below this full id has to have ended. 0: there is none such.
	after uint64
	// writers are the full ids of transactions that have to have ended.
	writers []string
}

// added is taken right after the commit that added a leaf: transactions that ran at it may have written rows that
// neither a snapshot nor the stream shows until they have ended.
func added(ctx context.Context, conn *pgx.Conn) (*readiness, error) {
	after, err := nextID(ctx, conn)
	if err != nil {
		return nil, err
	}
	return &readiness{after: after}, nil
}

func nextID(ctx context.Context, conn *pgx.Conn) (uint64, error) {
	var text string
	err := conn.QueryRow(ctx, `select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text`).Scan(&text)
	if err != nil {
		return 0, fmt.Errorf("read the next transaction id: %w", err)
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the next transaction id: %w", err)
	}
	return id, nil
}

// keep records a publication and which of the wanted tables are in it. Those that aren't are never ready.
func (s *State) keep(k kind, e *existing, tables []table) {
	if !k.optional {
		s.OID = e.oid
	}
	s.Names, s.OIDs = append(s.Names, k.name), append(s.OIDs, e.oid)
	for _, t := range tables {
		if m, is := e.members[t.oid]; !is || m.odd {
			delete(s.leaves, t.oid)
		} else {
			ready := s.leaves[t.oid] // nil where it was a member before
			s.leaves[t.oid], s.members[t.oid] = ready, m.oid
		}
	}
}

// A transaction that wrote to a table holds a lock on it, and the lock of its own id, until it ends.
const writerSQL = `
with l as materialized (select * from pg_catalog.pg_locks)
select t.relation, array_agg(distinct x.transactionid::text)
from l t join l x on x.virtualtransaction = t.virtualtransaction and x.locktype = 'transactionid' and x.mode = 'ExclusiveLock' and x.granted
where t.locktype = 'relation' and t.relation = any($1::oid[]) and t.granted and t.pid is distinct from pg_catalog.pg_backend_pid()
  and t.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and t.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
group by t.relation`

// findWriters: when a leaf that was a member before was added isn't known (by a relay before this one, or by hand a
// moment ago), so it is ready once those have ended that have written to it up to now. Waiting for all transactions, as
// for a leaf added just now, would let any idle one stop every restart.
func (s *State) findWriters(ctx context.Context, conn *pgx.Conn) error {
	var before []uint32
	for oid, r := range s.leaves {
		if r == nil {
			before = append(before, oid)
		}
	}
	if len(before) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, writerSQL, before)
	if err != nil {
		return fmt.Errorf("read who writes to published tables: %w", err)
	}
	var oid uint32
	var ids []string
	_, err = pgx.ForEachRow(rows, []any{&oid, &ids}, func() error {
		s.leaves[oid] = &readiness{writers: ids}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read who writes to published tables: %w", err)
	}
	next, err := nextID(ctx, conn)
	if err != nil {
		return err
	}
	for _, r := range s.leaves {
		if r == nil {
			continue
		}
		for i, id := range r.writers {
			short, err := strconv.ParseUint(id, 10, 32)
			if err != nil {
				return fmt.Errorf("read who writes to published tables: %w", err)
			}
			r.writers[i] = strconv.FormatUint(uint64(int64(next)+int64(int32(uint32(short)-uint32(next)))), 10)
		}
	}
	return nil
}

// Mark tells each leaf of the relation which entry of a publication it is, and makes that part of its fingerprint.
func (s *State) Mark(r *relay.Relation) {
	entries := make([]string, len(r.Leaves))
	for i := range r.Leaves {
		r.Leaves[i].Member = s.members[r.Leaves[i].OID]
		entries[i] = strconv.FormatUint(uint64(r.Leaves[i].Member), 10)
	}
	r.Fingerprint = strings.Join(entries, " ") + " " + r.Fingerprint
}

// Holds tells whether every leaf of the relation is published.
func (s *State) Holds(r *relay.Relation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range r.Leaves {
		if _, ok := s.leaves[l.OID]; !ok {
			return false
		}
	}
	return true
}

const readySQL = `
select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= $1::text::pg_catalog.xid8
  and not exists (select from unnest($2::text[]) id where pg_catalog.pg_xact_status(id::pg_catalog.xid8) = 'in progress')`

// Ready tells whether a snapshot taken from now on and the stream together show all of the relation's rows: all its
// leaves are published, and every transaction that could have written to one of them unseen has ended. Once true it
// stays true for this State, and costs no query any more.
func (s *State) Ready(ctx context.Context, conn *pgx.Conn, r *relay.Relation) (bool, error) {
	if !s.Holds(r) {
		return false, nil
	}
	wait := s.waiting(r)
	if wait == nil {
		return true, nil
	}
	var ready bool
	err := conn.QueryRow(ctx, readySQL, strconv.FormatUint(wait.after, 10), wait.writers).Scan(&ready)
	if err != nil {
		return false, fmt.Errorf("look whether %s is ready: %w", r.Name, err)
	}
	if ready {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, l := range r.Leaves {
			s.leaves[l.OID] = nil
		}
	}
	return ready, nil
}

// waiting is what all of the relation's leaves wait for, or nil.
func (s *State) waiting(r *relay.Relation) *readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all *readiness
	for _, l := range r.Leaves {
		one := s.leaves[l.OID]
		if one == nil {
			continue
		}
		if all == nil {
			all = &readiness{}
		}
		all.after = max(all.after, one.after)
		all.writers = append(all.writers, one.writers...)
	}
	return all
}
