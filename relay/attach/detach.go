package attach

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/publication"
	"pgrelay/relay/warehouse"
	"pgrelay/triggers"
)

// Detach says what takes everything back that Attach and the relay made, in every database; it changes nothing. The error
// concerns the warehouse alone.
func Detach(ctx context.Context, cfg Config) ([]*Plan, error) {
	all, err := prepareDetach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	plans := make([]*Plan, len(all))
	for i, place := range all {
		plans[i], _ = planDetach(ctx, place, last(all, i))
	}
	return plans, ctx.Err()
}

// ApplyDetach does it, as ApplyAttach does what Attach says. A database to which a relay is connected is left alone, unless
// Config.Force.
func ApplyDetach(ctx context.Context, cfg Config, progress func(Progress)) ([]*Outcome, error) {
	all, err := prepareDetach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	at := 0
	return applyAll(ctx, all, func(ctx context.Context, place *place) *Plan {
		for all[at] != place {
			at++
		}
		p, connected := planDetach(ctx, place, last(all, at))
		if connected != nil && p.Err == nil {
			p.Err, p.Steps = connected, nil
		}
		return p
	}, progress)
}

func prepareDetach(ctx context.Context, cfg Config) ([]*place, error) {
	cfg = cfg.withDefaults()
	found, err := warehouse.Discover(ctx, cfg.Warehouse)
	if err != nil {
		return nil, err
	}
	return places(ctx, cfg, found)
}

// last tells that no later place is on the same server: the role can go there, once nothing refers to it.
func last(all []*place, i int) bool {
	if all[i].conf == nil {
		return false
	}
	for _, later := range all[i+1:] {
		if later.conf != nil && later.conf.Host == all[i].conf.Host && later.conf.Port == all[i].conf.Port && later.role == all[i].role {
			return false
		}
	}
	return true
}

// planDetach looks at one database. connected tells of a relay that uses it.
func planDetach(ctx context.Context, place *place, last bool) (p *Plan, connected error) {
	p = &Plan{Name: place.name, Address: place.address(), Err: place.err, place: place}
	if p.Err != nil {
		return p, nil
	}
	conn, err := connect(ctx, place.conf)
	if err != nil {
		p.Err = fmt.Errorf("connect: %w", err)
		return p, nil
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	f, err := readFacts(ctx, conn, place.role, place.cfg.Warehouse.Publication)
	if err == nil {
		r := &removal{plan: p, facts: f, conn: conn, last: last}
		connected, err = r.fill(ctx)
	}
	if err != nil {
		p.Err, p.Steps = problem(conn, err), nil
	}
	return p, connected
}

// removal is the plan of taking back in the making.
type removal struct {
	plan  *Plan
	facts *facts
	conn  *pgx.Conn
	last  bool
	// forced: a relay that is connected is ended.
	forced bool
}

func (r *removal) fill(ctx context.Context) (connected error, err error) {
	if connected, err = r.relays(ctx); err != nil {
		return nil, err
	}
	// Slots first: they are what harms most where the rest isn't reached. But a relay that is ended under its publication
	// would be back with another slot before it is gone.
	parts := []func(context.Context) error{r.slots, r.publications, r.triggers, r.identities, r.grants, r.schema}
	if r.forced {
		parts[0], parts[1] = parts[1], parts[0]
	}
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	r.role()
	return connected, nil
}

// The relay's processes: those that read a slot, and the one that holds the outbox's lock (relay/outbox).
const relaysSQL = `
select a.pid, format('process %s of role %s (%s), from %s since %s', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no application name'),
  coalesce(host(a.client_addr), 'this machine'), a.backend_start::timestamptz(0))
from pg_stat_activity a
where a.pid = any($1) or exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory' and l.classid = 1885827685 and l.objid = 2
  and l.objsubid = 2 and l.granted and l.database = (select oid from pg_database where datname = current_database()))
order by 1`

// relays finds the relay that is connected, and plans to end it where that is asked for.
func (r *removal) relays(ctx context.Context) (connected error, err error) {
	pids := []int32{}
	for _, s := range r.facts.slots {
		if r.mine(s) && s.pid != 0 {
			pids = append(pids, s.pid)
		}
	}
	rows, err := r.conn.Query(ctx, relaysSQL, pids)
	if err != nil {
		return nil, fmt.Errorf("look for relays: %w", err)
	}
	var pid int32
	var who string
	var all, ends []string
	_, err = pgx.ForEachRow(rows, []any{&pid, &who}, func() error {
		all = append(all, who)
		ends = append(ends, fmt.Sprintf("select pg_terminate_backend(%d);", pid))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for relays: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	if r.forced = r.plan.place.cfg.Force; r.forced {
		r.plan.step(Step{Title: "the relay's connections end", Why: append(all, "A relay that still runs connects again; stop it."), Statements: ends})
		return nil, nil
	}
	const remedy = "stop that relay, or pgrelay detach --force"
	r.plan.undone("a relay is connected: "+strings.Join(all, "; "), remedy)
	return &relay.Problem{What: "a relay is connected: " + strings.Join(all, "; "), Remedy: remedy}, nil
}

// mine tells of a slot that is this publication's, or nobody's any more.
func (r *removal) mine(s slot) bool {
	return s.orphan || r.facts.publish != 0 && s.publication == r.facts.publish
}

func (r *removal) slots(context.Context) error {
	for _, s := range r.facts.slots {
		if !r.mine(s) {
			r.plan.note(fmt.Sprintf("slot %s is left: it belongs to another publication, which is there", s.name), "pgrelay detach --publication …")
			continue
		}
		statements := []string{dropSlot(s)}
		if r.forced {
			statements = append([]string{fmt.Sprintf("select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s and active;", relay.Literal(s.name))}, statements...)
		}
		r.plan.step(Step{Title: "replication slot " + s.name + " goes", Why: []string{"The server keeps WAL for it."}, Statements: statements})
	}
	return nil
}

const publicationsSQL = `
select p.pubname::text, p.puballtables or exists (select from pg_publication_namespace n where n.pnpubid = p.oid) from pg_publication p where p.pubname = any($1) order by 1`

// Tables of the publication whose identity is FULL, and of which no note says that attach made it so.
const unknownFullSQL = `
select c.oid::regclass::text from pg_publication_rel m join pg_publication p on p.oid = m.prpubid join pg_class c on c.oid = m.prrelid
where p.pubname = $1 and c.relreplident = 'f' and not c.oid = any($2) order by 1`

func (r *removal) publications(ctx context.Context) error {
	name := r.plan.place.cfg.Warehouse.Publication
	rows, err := r.conn.Query(ctx, publicationsSQL, []string{name, name + publication.InsertSuffix})
	if err != nil {
		return fmt.Errorf("read publications: %w", err)
	}
	var found string
	var wide bool
	_, err = pgx.ForEachRow(rows, []any{&found, &wide}, func() error {
		if wide {
			r.plan.note(fmt.Sprintf("publication %s is left: the relay makes none for all tables or for schemas", relay.Ident(found)), "")
			return nil
		}
		r.plan.step(Step{Title: "publication " + relay.Ident(found) + " goes", Why: []string{"Whoever else reads it loses it."},
			Statements: []string{fmt.Sprintf("drop publication %s;", relay.Ident(found))}})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read publications: %w", err)
	}
	return nil
}

// triggers plans to end the capture of each table by itself, so that no two tables are locked at once.
func (r *removal) triggers(ctx context.Context) error {
	if !r.facts.schema.installed {
		return nil
	}
	rows, err := r.conn.Query(ctx, `select k.relation, k.relation::regclass::text from relay.captured k join pg_class c on c.oid = k.relation order by 2`)
	if err != nil {
		return fmt.Errorf("read what triggers capture: %w", err)
	}
	captured, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		err = row.Scan(&t.oid, &t.name)
		return t, err
	})
	if err != nil {
		return fmt.Errorf("read what triggers capture: %w", err)
	}
	for _, t := range captured {
		r.plan.step(Step{Title: "triggers of " + t.name + " go", Statements: []string{triggers.Disable(t.name)}, busy: &t})
	}
	return nil
}

// schema plans to remove what pgrelay made in schema relay, and the schema where nothing else is in it.
func (r *removal) schema(context.Context) error {
	s := r.facts.schema
	if s.attached {
		forget := Step{Title: "what was remembered goes", Statements: []string{"drop table relay.attached;",
			"drop function relay.remember(text, regclass, oid[], text, text);", "drop function relay.remember_identity(regclass, text);"}}
		if !s.installed && len(s.strangers) == 0 {
			forget.Title = "schema relay goes"
			forget.Statements = append(forget.Statements, "drop schema relay;")
		}
		r.plan.step(forget)
	}
	if s.installed {
		r.plan.step(Step{Title: "capture by triggers goes", Why: []string{"With the outbox, the triggers' functions, and schema relay unless something else is in it."},
			Statements: []string{"\\i triggers/uninstall.sql"}, script: triggers.Uninstall()})
	}
	if (s.attached || s.installed) && len(s.strangers) > 0 {
		r.plan.note("schema relay is left, for it holds "+strings.Join(s.strangers, ", ")+", which isn't pgrelay's", "")
	}
	return nil
}

// role plans to remove the relay's role where nothing refers to it any more.
func (r *removal) role() {
	name := relay.Ident(r.facts.role.name)
	switch {
	case !r.facts.role.exists || !r.last:
	case !r.plan.place.cfg.DropRole:
		r.plan.note(fmt.Sprintf("role %s is left", name), "pgrelay detach --drop-role")
	case r.facts.role.name == r.facts.server.me || r.facts.role.superuser:
		r.plan.note(fmt.Sprintf("role %s is left: it is a superuser, or the one that detaches", name), "")
	default:
		r.plan.step(Step{Title: "role " + name + " goes", Why: []string{"It fails where the role owns something, or may do something in another database."}, Statements: []string{fmt.Sprintf("drop role %s;", name)}})
	}
}
