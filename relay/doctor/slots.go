package doctor

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// slot is a row of pg_replication_slots.
type slot struct {
	name     string
	database string // empty for a physical one
	here     bool   // of this database
	physical bool
	active   bool
	status   string
	safe     *int64 // safe_wal_size
	retained int64  // bytes of WAL from restart_lsn on
	catalog  int64  // age of catalog_xmin in transactions
	// invalid is the invalidation_reason (17), or that it conflicts (16).
	invalid string
	// inactive is for how long nobody has used it (17); 0: it is in use, or that isn't known.
	inactive time.Duration
	failover *bool // 17
	synced   bool  // 17, of a standby: it is the copy of one of the primary's

	// What a relay's slot says by its name. publication is 0 for others.
	publication uint32
	epoch       uint64
	anchor      int // 0 for the live slot
}

// Later versions have more columns, so a row is read as a document.
const slotSQL = `
select s.slot_name::text, coalesce(s.database, '')::text, coalesce(s.database = pg_catalog.current_database(), false), s.slot_type = 'physical', s.active,
  coalesce(s.wal_status, ''), s.safe_wal_size,
  coalesce(pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
    else pg_catalog.pg_current_wal_insert_lsn() end, s.restart_lsn), 0)::int8,
  coalesce(pg_catalog.age(s.catalog_xmin), 0)::int8,
  coalesce(j.row ->> 'invalidation_reason', case when (j.row ->> 'conflicting')::bool then 'conflict with recovery' else '' end),
  coalesce(extract(epoch from pg_catalog.clock_timestamp() - (j.row ->> 'inactive_since')::pg_catalog.timestamptz), 0)::float8,
  (j.row ->> 'failover')::bool, coalesce((j.row ->> 'synced')::bool, false)
from pg_catalog.pg_replication_slots s, lateral (select pg_catalog.to_jsonb(s) as row) j
order by s.slot_name`

var slotName = regexp.MustCompile(`^pgrelay_([0-9]+)_([0-9]+)_(live|anchor_([0-9]+))$`)

func askSlots(ctx context.Context, tx pgx.Tx, p *place) (err error) {
	p.slots, err = collect(ctx, tx, slotSQL, func(row pgx.Row, s *slot) error {
		var inactive float64
		err := row.Scan(&s.name, &s.database, &s.here, &s.physical, &s.active, &s.status, &s.safe, &s.retained, &s.catalog, &s.invalid, &inactive, &s.failover, &s.synced)
		s.inactive = time.Duration(inactive * float64(time.Second))
		s.parse()
		return err
	})
	return err
}

func (s *slot) parse() {
	if m := slotName.FindStringSubmatch(s.name); m != nil {
		oid, _ := strconv.ParseUint(m[1], 10, 32)
		s.publication = uint32(oid)
		s.epoch, _ = strconv.ParseUint(m[2], 10, 64)
		s.anchor, _ = strconv.Atoi(m[4])
	}
}

// own are the slots that the relay of this publication uses: those of the publication's highest epoch.
func (p *place) own() (own []slot) {
	full, found := p.full()
	if !found {
		return nil
	}
	epoch := p.epoch(full.oid)
	for _, s := range p.slots {
		if s.here && s.publication == full.oid && s.epoch == epoch {
			own = append(own, s)
		}
	}
	return own
}

func (p *place) epoch(publication uint32) (epoch uint64) {
	for _, s := range p.slots {
		if s.here && s.publication == publication {
			epoch = max(epoch, s.epoch)
		}
	}
	return epoch
}

func drop(s slot) string {
	text := fmt.Sprintf("select pg_drop_replication_slot(%s);", relay.Literal(s.name))
	if s.active {
		return "stop the relay that uses it, then: " + text
	}
	return text
}

// gone tells that the server has given a slot up.
func (s slot) gone() bool { return s.status == "lost" || s.invalid != "" }
