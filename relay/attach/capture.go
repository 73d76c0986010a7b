package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/publication"
	"pgrelay/relay/wal"
	"pgrelay/triggers"
)

// access plans the role and what it may read.
func (w *work) access(ctx context.Context) error {
	n := needs{}
	for _, r := range slices.Concat(w.logical, w.trigger) {
		n.tables = append(n.tables, name{r.Schema, r.Table})
	}
	for _, r := range w.refused {
		n.tables = append(n.tables, name{r.relation.Schema, r.relation.Table})
	}
	for _, f := range w.foreign {
		n.tables = append(n.tables, name{f.Schema, f.Table})
	}
	n.replication = len(w.logical)+len(w.refused) > 0
	lacks, err := readPrivileges(ctx, w.conn, w.plan.place.role, n.tables)
	if err != nil {
		return err
	}
	w.plan.planRole(w.facts, n, lacks.hidden, w.made)
	w.plan.planGrants(w.facts, lacks)
	return nil
}

// capture plans how changes are seen.
func (w *work) capture(ctx context.Context) error {
	changes, err := w.changes(ctx)
	if err != nil {
		return err
	}
	adds := map[uint32]bool{}
	for _, c := range changes {
		adds[c.Adds] = true
		if c.Adds == 0 && !dropsMember(c) {
			w.plan.step(Step{Title: "publication " + relay.Ident(c.Publication), Why: []string{"What of the log the relay is sent: tables that are added one by one, partitions as leaves."}, Statements: c.Statements})
		}
	}
	if err := w.identities(ctx, adds); err != nil {
		return err
	}
	for _, c := range changes {
		if err := w.planMember(ctx, c); err != nil {
			return err
		}
	}
	w.release()
	return w.planSlot(ctx)
}

func dropsMember(c publication.Change) bool {
	return c.Adds == 0 && strings.Contains(c.Statements[0], " drop table only ")
}

// changes are those of the publications, for the relations as they will be.
func (w *work) changes(ctx context.Context) ([]publication.Change, error) {
	all := slices.Clone(w.logical)
	for _, r := range w.refused {
		all = append(all, r.relation)
	}
	for _, r := range w.trigger {
		other := *r
		other.Capture = relay.CaptureTrigger
		all = append(all, &other)
	}
	changes, err := publication.Changes(ctx, w.conn, w.cfg.Warehouse.Publication, all)
	if err != nil || len(w.logical)+len(w.refused) > 0 {
		return changes, err
	}
	// Without a table that it would carry there need be no publication.
	return slices.DeleteFunc(changes, func(c publication.Change) bool { return !dropsMember(c) }), nil
}

// identities plans those that rules need. A change is tried out with the table in the publication, where adds says that it
// isn't yet.
func (w *work) identities(ctx context.Context, adds map[uint32]bool) error {
	into := func(oid uint32) string {
		if adds[oid] {
			return w.cfg.Warehouse.Publication
		}
		return ""
	}
	for _, r := range w.refused {
		if err := w.planRefused(ctx, r, into); err != nil {
			return err
		}
	}
	for _, r := range w.logical {
		for _, d := range demands(r, w.rules) {
			if err := w.planIdentity(ctx, d, into(d.leaf.OID)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *work) planMember(ctx context.Context, c publication.Change) error {
	if c.Adds == 0 && !dropsMember(c) {
		return nil
	}
	s := Step{Title: strings.TrimSuffix(c.Statements[len(c.Statements)-1], ";"), Statements: c.Statements}
	if c.Adds != 0 {
		t := w.leaf(c.Adds)
		s.Title = fmt.Sprintf("%s in publication %s", t.name, relay.Ident(c.Publication))
		proof, err := newProof(ctx, w.conn, t, "", false)
		if err != nil {
			return err
		}
		s.busy, s.patient, s.proof = &t, true, proof // SHARE UPDATE EXCLUSIVE
	}
	w.plan.step(s)
	return nil
}

func (w *work) leaf(oid uint32) table {
	for _, r := range w.logical {
		for _, l := range r.Leaves {
			if l.OID == oid {
				return leafTable(l)
			}
		}
	}
	return table{oid: oid}
}

// release ends the capture by triggers of what is captured logically from now on.
func (w *work) release() {
	for _, r := range w.logical {
		if w.facts.schema.captured[r.OID] {
			t := table{r.OID, relay.Ident(r.Schema, r.Table)}
			w.plan.step(Step{Title: "no triggers of " + t.name, Why: []string{"A table is captured in one way."}, Statements: []string{triggers.Disable(t.name)}, busy: &t})
		}
	}
}

// planSlot plans the slot as the relay makes it, and says what stands in its way.
func (w *work) planSlot(ctx context.Context) error {
	if len(w.logical) == 0 {
		return w.forgotten(ctx)
	}
	blocked, err := w.settings(ctx)
	if err != nil {
		return err
	}
	mine := func(s slot) bool { return w.facts.publish != 0 && s.publication == w.facts.publish }
	if at := slices.IndexFunc(w.facts.slots, mine); at >= 0 {
		if s := w.facts.slots[at]; s.making {
			w.plan.undone(fmt.Sprintf("slot %s is being made by process %d", s.name, s.pid), "wait, or: select pg_terminate_backend("+fmt.Sprint(s.pid)+");")
		}
		return nil
	}
	switch s := w.facts.server; {
	case blocked:
		w.plan.undone("the replication slot isn't made before that", "")
	case w.cfg.NoSlot:
		w.plan.note("the relay makes its replication slot when it first starts", "")
	case !s.replicates:
		w.plan.note(fmt.Sprintf("role %s may not make a replication slot; the relay makes it when it first starts", relay.Ident(s.me)), "")
	default:
		w.plan.step(w.slotStep())
	}
	return nil
}

// forgotten plans to drop slots that no table is left for: the relay reads none then, and the server would keep WAL for them.
func (w *work) forgotten(ctx context.Context) error {
	gone := []uint32{}
	for _, r := range w.trigger {
		for _, l := range r.Leaves {
			gone = append(gone, l.OID)
		}
	}
	var left bool
	err := w.conn.QueryRow(ctx, `select exists (select from pg_publication_rel m join pg_publication p on p.oid = m.prpubid where p.pubname = any($1) and not m.prrelid = any($2))`,
		w.plan.place.source.Publications(), gone).Scan(&left)
	if err != nil {
		return fmt.Errorf("look for published tables: %w", err)
	}
	for _, s := range w.facts.slots {
		switch {
		case left || w.facts.publish == 0 || s.publication != w.facts.publish:
		case s.pid != 0:
			w.plan.note(fmt.Sprintf("slot %s is in use by process %d, though no table is left for it; attach again when that has ended, or the server keeps WAL for it", s.name, s.pid), "")
		default:
			w.plan.step(Step{Title: "replication slot " + s.name + " goes", Why: []string{"No table is captured logically any more, and the server keeps WAL for it."}, Statements: []string{dropSlot(s)}})
		}
	}
	return nil
}

func dropSlot(s slot) string {
	return fmt.Sprintf("select pg_drop_replication_slot(%s);", relay.Literal(s.name))
}

func (w *work) slotStep() Step {
	name := w.cfg.Warehouse.Publication
	arguments, why := "'pgoutput'", []string{
		"The relay goes on from here. From now on the server keeps the WAL that it hasn't read: start it soon, or detach.",
		"Making it waits for every open transaction that has written something, in any database of the server."}
	if w.facts.server.version >= 170000 {
		arguments, why = "'pgoutput', false, false, true", append(why, "It is a failover slot: standbys with sync_replication_slots keep a copy.")
	}
	return Step{Title: "replication slot", Why: why,
		Statements: []string{"set lock_timeout = 0;", fmt.Sprintf("select pg_create_logical_replication_slot(format('pgrelay_%%s_1_live', oid), %s) from pg_publication where pubname = %s;", arguments, relay.Literal(name)),
			fmt.Sprintf("set lock_timeout = '%s';", lockTimeout)},
		work: func(ctx context.Context, conn *pgx.Conn, waiting func(string)) error {
			var oid uint32
			if err := conn.QueryRow(ctx, `select oid from pg_publication where pubname = $1`, name).Scan(&oid); err != nil {
				return fmt.Errorf("find publication %s: %w", name, err)
			}
			if _, err := conn.Exec(ctx, "set lock_timeout = 0"); err != nil { // nobody queues behind it
				return err
			}
			_, err := wal.Prepare(ctx, conn, oid, 0, waiting)
			_, back := conn.Exec(context.WithoutCancel(ctx), fmt.Sprintf("set lock_timeout = '%s'", lockTimeout))
			if err == nil {
				err = back
			}
			return err
		}}
}

// slotsNeeded at one source: the live slot, two anchors while one replaces the other, and a copy for a long catch-up.
const slotsNeeded = 4

// settings says which of the server's stand in the way of a slot.
func (w *work) settings(ctx context.Context) (blocked bool, err error) {
	s := w.facts.server
	restart := func(what, setting string, value any) {
		blocked = true
		w.plan.undone(what, fmt.Sprintf("alter system set %s = %v;   -- then restart Postgres", setting, value))
	}
	if s.walLevel != "logical" {
		restart("wal_level is "+s.walLevel+": the log doesn't hold what changes are made of", "wal_level", "logical")
	}
	if s.freeSlots < slotsNeeded {
		restart(fmt.Sprintf("%d of %d replication slots are free for the relay, which needs %d", max(s.freeSlots, 0), s.maxSlots, slotsNeeded),
			"max_replication_slots", s.maxSlots+slotsNeeded-s.freeSlots)
	}
	if s.senders == 0 {
		restart("max_wal_senders is 0", "max_wal_senders", 10)
	}
	if blocked || !s.replicates {
		return blocked, nil
	}
	if err := w.plan.place.source.Check(ctx, w.conn); err != nil {
		remedy := relay.Remedy(err)
		if remedy == "" {
			return false, err
		}
		w.plan.undone(err.Error(), remedy)
		return true, nil
	}
	return false, nil
}
