package attach

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

// planner makes plans, one database after the other.
type planner struct {
	cfg      Config
	rules    []relay.Rule
	rulesErr error
	// ruled: there is a table of rules.
	ruled  bool
	wanted selection
	// distant are foreign tables to be captured in the warehouse.
	distant []warehouse.ForeignTable
	// made are the roles that plans before this one make, by server.
	made map[string]bool
}

// Attach looks at the warehouse and every source and says what is left to do; it changes nothing. The error concerns the
// warehouse alone, or a table in Config that isn't there; of a source it is in its plan.
func Attach(ctx context.Context, cfg Config) ([]*Plan, error) {
	a, all, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	plans := make([]*Plan, len(all))
	for i, place := range all {
		plans[i] = a.plan(ctx, place)
	}
	return plans, ctx.Err()
}

func prepare(ctx context.Context, cfg Config) (*planner, []*place, error) {
	cfg = cfg.withDefaults()
	looked, err := serve.Look(ctx, cfg.Warehouse)
	if err != nil {
		return nil, nil, err
	}
	a := &planner{cfg: cfg, rules: looked.Rules, rulesErr: looked.RulesErr, ruled: looked.Warehouse.Rules.Source != "",
		wanted: selection{cfg.Tables, cfg.Schemas}, made: map[string]bool{}}
	if err := a.wanted.check(looked); err != nil {
		return nil, nil, err
	}
	all, err := places(ctx, cfg, looked.Warehouse)
	if !a.wanted.all() {
		all = slices.DeleteFunc(all, func(p *place) bool { return !p.warehouse && a.leaves(p) })
	}
	return a, all, err
}

// leaves tells that nothing is to be done at a source: none of its tables is asked for, or it can't be reached and they are to
// be captured in the warehouse.
func (a *planner) leaves(p *place) bool {
	wanted := a.wanted.wanted(p.source)
	if p.err != nil && a.cfg.Capture == relay.CaptureTrigger {
		for _, f := range p.source.Foreign {
			if slices.Contains(a.cfg.Tables, f.Name) {
				a.distant = append(a.distant, f)
				delete(wanted, f.Name)
			}
		}
	}
	return len(wanted) == 0
}

// plan looks at one database.
func (a *planner) plan(ctx context.Context, place *place) *Plan {
	p := &Plan{Name: place.name, Address: place.address(), Err: place.err, place: place}
	if p.Err != nil {
		return p
	}
	conn, err := connect(ctx, place.conf)
	if err != nil {
		p.Err = fmt.Errorf("connect: %w", err)
		return p
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := a.fill(ctx, conn, p); err != nil {
		p.Err, p.Steps = problem(conn, err), nil
	}
	return p
}

func (a *planner) fill(ctx context.Context, conn *pgx.Conn, p *Plan) error {
	f, err := readFacts(ctx, conn, p.place.role, a.cfg.Warehouse.Publication)
	if err != nil {
		return err
	}
	if err := f.unusable(); err != nil {
		return err
	}
	w := &work{planner: a, plan: p, facts: f, conn: conn}
	if p.place.warehouse {
		w.foreign = a.distant
	}
	if p.place.source != nil {
		if err := w.look(ctx); err != nil {
			return err
		}
	}
	if err := w.access(ctx); err != nil {
		return err
	}
	if err := w.planTriggers(ctx); err != nil {
		return err
	}
	if p.place.source != nil {
		if err := w.capture(ctx); err != nil {
			return err
		}
	}
	if p.place.warehouse {
		if err := w.mappings(ctx); err != nil {
			return err
		}
		if a.rulesErr != nil {
			p.Notes = append(p.Notes, Note{Text: a.rulesErr.Error() + "; so which replica identities rules need isn't known", Remedy: relay.Remedy(a.rulesErr), Undone: a.ruled})
		}
	}
	if p.recorded() && !f.schema.attached {
		p.Steps = slices.Insert(p.Steps, 0, recordStep())
	}
	return nil
}

// work is the plan of one database in the making.
type work struct {
	*planner
	plan  *Plan
	facts *facts
	conn  *pgx.Conn
	// names are those of the wanted tables at the source, by the warehouse's name.
	names map[string]name
	// logical and trigger are the relations by how they are to be captured.
	logical, trigger []*relay.Relation
	// foreign are tables to be captured here, though they are elsewhere.
	foreign []warehouse.ForeignTable
	// refused can't be published as they are, for want of a replica identity that is among their ways.
	refused []refused
}

// look sorts the source's tables.
func (w *work) look(ctx context.Context) error {
	source := w.plan.place.source
	w.names = w.wanted.wanted(source)
	wanted := func(table string) bool { return w.names[table] != name{} }
	inspection, err := source.Inspect(ctx, w.conn)
	if err != nil {
		return err
	}
	triggered, err := source.ByTrigger().Inspect(ctx, w.conn)
	if err != nil {
		return err
	}
	for _, r := range slices.Concat(inspection.Relations, triggered.Relations) {
		switch {
		case !wanted(r.Name):
		case r.Capture == relay.CaptureWarehouse && !w.byTrigger(r.Name, r.OID):
			w.home(r)
		case w.byTrigger(r.Name, r.OID):
			w.trigger = append(w.trigger, r)
		default:
			w.logical = append(w.logical, r)
		}
	}
	for _, s := range slices.Concat(inspection.Refused, triggered.Refused) {
		if wanted(s.Name) {
			if err := w.refuse(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// home ends the capture in the warehouse of what is elsewhere; then it is its own database's.
func (w *work) home(r *relay.Relation) {
	w.plan.undone(r.Name+" is captured in the warehouse", fmt.Sprintf("select relay.disable_table(%s);\nthen attach again", relay.Literal(relay.Ident(r.Schema, r.Table))))
}

// byTrigger tells how a relation is to be captured. The rules' table, which belongs to every selection, changes its way only
// where it is named.
func (w *work) byTrigger(name string, oid uint32) bool {
	unasked := name == warehouse.RulesTable && !w.wanted.all() && !w.named(name)
	switch {
	case w.cfg.Capture == "" || unasked:
		return w.facts.schema.captured[oid]
	default:
		return w.cfg.Capture == relay.CaptureTrigger
	}
}

func (w *work) rulesOf(relation string) []relay.Rule {
	return slices.DeleteFunc(slices.Clone(w.rules), func(r relay.Rule) bool { return !concerns(&r, relation) })
}

func (w *work) named(relation string) bool { return slices.Contains(w.cfg.Tables, relation) }
