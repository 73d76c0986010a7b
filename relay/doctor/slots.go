package doctor

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

func judgeLost(p *place) (f findings) {
	for _, s := range p.own() {
		if !s.gone() {
			continue
		}
		why := s.invalid
		if why == "" {
			why = "the server has dropped WAL that it still needed"
		}
		f.add(Error, "slot "+s.name, drop(s)+"   -- a relay that starts does it, too: it goes on with a new epoch, and clients start over\n"+
			"alter system set max_slot_wal_keep_size = '…';   -- more, if the relay may be away for longer\nselect pg_reload_conf();",
			fmt.Sprintf("it is lost (%s): what follows its position can't be read any more", why))
	}
	return f
}

func judgeLag(p *place) (f findings) {
	for _, s := range p.own() {
		budget, severity := p.cfg.RetainedBytes, Warning
		if s.retained > budget {
			severity = Error
		}
		if s.gone() || s.retained <= budget/2 {
			continue
		}
		remedy := "let long transactions end: a slot can't move past the start of one;\ngive the relay more CPU or a shorter window (--journal-wal, --journal-age)"
		if !s.active {
			remedy = "pgrelay serve\nor, if no relay is to come back: " + drop(s)
		}
		f.add(severity, "slot "+s.name, remedy, fmt.Sprintf("it keeps %s of WAL, of a budget of %s", size(s.retained), size(budget)))
	}
	return f
}

// judgeSafe: the server gives a slot up when safe_wal_size is used up, unless a checkpoint comes later.
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
func judgeSafe(p *place) (f findings) {
	const remedy = "alter system set max_slot_wal_keep_size = '…';   -- more\nselect pg_reload_conf();\nand start the relay, or find what holds it back"
	for _, s := range p.own() {
		switch {
		case s.gone():
		case s.status == "unreserved":
			f.add(Error, "slot "+s.name, remedy, "its wal_status is unreserved: the next checkpoint may drop WAL that it needs, and it is lost")
		case s.safe != nil && p.server.keepSize > 0 && *s.safe < p.server.keepSize/4:
			f.add(Warning, "slot "+s.name, remedy, fmt.Sprintf("after %s more of WAL the server gives it up (max_slot_wal_keep_size is %s)", size(max(*s.safe, 0)), size(p.server.keepSize)))
		}
	}
	return f
}

func judgeCatalogAge(p *place) (f findings) {
	for _, s := range p.own() {
		if s.catalog > p.cfg.CatalogAge && !s.gone() {
			f.add(Warning, "slot "+s.name, "pgrelay serve\nor let the long transaction end that holds it; or, if no relay is to come back: "+drop(s),
				fmt.Sprintf("its catalog_xmin is %d transactions old: dead rows of the catalogs of every database of the server are kept since", s.catalog))
		}
	}
	return f
}

// judgeInactive is about the live slot: anchors are inactive by nature.
func judgeInactive(p *place) (f findings) {
	for _, s := range p.own() {
		if s.anchor != 0 || s.active || s.gone() || s.synced {
			continue
		}
		since := ""
		if s.inactive >= time.Second {
			since = " for " + s.inactive.Round(time.Second).String()
		}
		f.add(Warning, "slot "+s.name, "pgrelay serve\nor, if no relay is to come back: pgrelay detach, or\n"+p.dropAll(),
			fmt.Sprintf("no relay has used it%s, and it keeps WAL (%s now)", since, size(s.retained)))
	}
	return f
}

// dropAll drops all of the relay's slots.
func (p *place) dropAll() string {
	var all []string
	for _, s := range p.own() {
		all = append(all, drop(s))
	}
	return strings.Join(all, "\n")
}

// anchorsKept is how many anchors there may be: two, and a third while it replaces the oldest.
const anchorsKept = 3

// judgeOrphaned finds slots that no relay will use again. Those of another publication that is there are another relay's.
func judgeOrphaned(p *place) (f findings) {
	full, _ := p.full()
	for _, s := range p.slots {
		if !s.here || !strings.HasPrefix(s.name, "pgrelay_") || s.synced {
			continue
		}
		known := slices.ContainsFunc(p.publications, func(b publication) bool { return b.oid == s.publication })
		why := ""
		switch {
		case s.publication == 0:
			why = "its name is none that a relay gives"
		case !known:
			why = fmt.Sprintf("the publication that it was made for (oid %d) is gone", s.publication)
		case s.publication == full.oid && s.epoch < p.epoch(full.oid):
			why = fmt.Sprintf("it is of epoch %d, and the relay is in %d", s.epoch, p.epoch(full.oid))
		case s.publication == full.oid && s.anchor > 0 && p.newer(s) >= anchorsKept:
			why = "it is an anchor, and there are newer ones"
		}
		if why != "" {
			f.add(Warning, "slot "+s.name, drop(s), fmt.Sprintf("no relay will use it: %s; it keeps %s of WAL", why, size(s.retained)))
		}
	}
	return f
}

// newer counts the anchors after one.
func (p *place) newer(than slot) (n int) {
	for _, s := range p.own() {
		if s.anchor > than.anchor {
			n++
		}
	}
	return n
}

// judgeFailover: without the property, a slot isn't copied to a standby, and is missing after a failover.
// https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION
func judgeFailover(p *place) (f findings) {
	severity := Info
	if p.server.replicas > 0 {
		severity = Warning
	}
	for _, s := range p.own() {
		if s.failover != nil && !*s.failover && !s.synced && !p.server.standby {
			f.add(severity, "slot "+s.name, "restart the relay, which marks it; or over a replication connection (psql 'dbname=… replication=database'):\nALTER_REPLICATION_SLOT "+relay.Ident(s.name)+" (FAILOVER true);",
				"it isn't a failover slot: after a failover it is missing, and clients start over")
		}
	}
	return f
}

// judgeUnsynced: whether a standby has a copy of the slots is known there alone; here, whether the relay may overtake it.
func judgeUnsynced(p *place) (f findings) {
	const standby = "on the standby: alter system set sync_replication_slots = on; alter system set hot_standby_feedback = on;\n" +
		"and primary_slot_name, and a dbname in primary_conninfo; then: select pg_reload_conf();"
	switch s := p.server; {
	case s.version < 170000:
	case s.standby && !s.syncs:
		f.add(Warning, "server", standby, "sync_replication_slots is off: after a failover to this standby the relay's slots are missing, and clients start over")
	case !s.standby && s.replicas > 0 && s.synchronized == "" && slices.ContainsFunc(p.own(), func(s slot) bool { return s.failover != nil && *s.failover }):
		var physical []string
		for _, s := range p.slots {
			if s.physical {
				physical = append(physical, s.name)
			}
		}
		if len(physical) == 0 {
			physical = []string{"…"}
		}
		f.add(Warning, "server", fmt.Sprintf("alter system set synchronized_standby_slots = %s;   -- the slots of the standbys that may take over\nselect pg_reload_conf();\n%s",
			relay.Literal(strings.Join(physical, ", ")), standby),
			"synchronized_standby_slots is empty: the relay may receive what no standby has yet, and a failover loses it for good")
	}
	return f
}

// judgeForeignSlots: relays' slots in databases that the warehouse doesn't lead to.
func judgeForeignSlots(x *examination) (f findings) {
	said := map[string]bool{}
	for _, p := range x.places {
		if p.inspection == nil {
			continue
		}
		for _, s := range p.slots {
			key := p.inspection.SystemID + "/" + s.name
			if s.here || s.publication == 0 || said[key] || x.leadsTo(p.inspection.SystemID, s.database) {
				continue
			}
			said[key] = true
			f = append(f, Finding{Severity: Info, Source: p.name, Object: "slot " + s.name, Remedy: "where no relay is to come back, there: " + drop(s),
				Problem: fmt.Sprintf("it is a relay's in database %s, to which this warehouse doesn't lead; it keeps %s of WAL", relay.Ident(s.database), size(s.retained))})
		}
	}
	return f
}

// leadsTo tells that a source, or one that can't be reached and may be it, is the database.
func (x *examination) leadsTo(system, database string) bool {
	return slices.ContainsFunc(x.places, func(p *place) bool {
		in := p.inspection
		return p.isSource() && (in == nil || in.SystemID == system && in.Database == database)
	})
}
