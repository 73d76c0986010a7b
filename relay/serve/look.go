package serve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// Looked is what a relay would find at one moment. To look writes nothing, and no relay need run.
type Looked struct {
	Warehouse *warehouse.Warehouse
	// Sources are those of the warehouse, in its order.
	Sources []LookedSource
	// Rules are all that are stored, by id, the disabled ones too.
	Rules []relay.Rule
	// RulesErr tells why the rules can't be read, mostly as a *relay.Problem; Rules is nil then.
	RulesErr error
}

// LookedSource is a source and what its catalog says.
type LookedSource struct {
	*warehouse.Source
	// Inspection is that of both ways of capture; nil where Err tells why the source can't be read.
	Inspection *warehouse.Inspection
	Err        error
}

// parallelLooks bounds how many sources are looked at at a time.
const parallelLooks = 8

// Look reads the warehouse, the catalog of every source, and the stored rules. The error concerns the warehouse alone.
func Look(ctx context.Context, cfg warehouse.Config) (*Looked, error) {
	found, err := warehouse.Discover(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l := &Looked{Warehouse: found, Sources: make([]LookedSource, len(found.Sources))}
	var group errgroup.Group
	group.SetLimit(parallelLooks)
	for i, source := range found.Sources {
		group.Go(func() error {
			l.Sources[i] = lookAt(ctx, source)
			return nil
		})
	}
	_ = group.Wait() // each outcome is in its place
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.Rules, l.RulesErr = l.readRules(ctx)
	return l, nil
}

func lookAt(ctx context.Context, source *warehouse.Source) LookedSource {
	l := LookedSource{Source: source, Err: source.Err}
	if l.Err != nil {
		return l
	}
	conn, err := pgx.ConnectConfig(ctx, source.Conn.Copy())
	if err != nil {
		l.Err = fmt.Errorf("connect to source %s: %w", source.Name, err)
		return l
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if l.Inspection, l.Err = source.Inspect(ctx, conn); l.Err == nil && len(l.Inspection.Triggered) > 0 {
		var triggered *warehouse.Inspection
		if triggered, l.Err = source.ByTrigger().Inspect(ctx, conn); l.Err == nil {
			l.Inspection.Relations = append(l.Inspection.Relations, triggered.Relations...)
			l.Inspection.Refused = append(l.Inspection.Refused, triggered.Refused...)
			l.Inspection.Notes = append(l.Inspection.Notes, triggered.Notes...)
		}
	}
	return l
}

func (l *Looked) readRules(ctx context.Context) ([]relay.Rule, error) {
	table := l.Table(rulesRelation)
	switch table.State {
	case TableUnknown:
		return nil, &relay.Problem{What: "the warehouse has no table " + rulesRelation + ", so nothing is visible to anybody",
			Remedy: "psql -f sql/system.sql in the warehouse, or in a database of its own that sql/warehouse.sql shows there"}
	case TableFound:
		var reader rulesReader
		defer reader.close()
		return reader.read(ctx, table.Source.Conn, table.Relation, nil)
	}
	return nil, &relay.Problem{What: fmt.Sprintf("the rules can't be read: %s: %v", rulesRelation, table.Err), Remedy: relay.Remedy(table.Err)}
}

// TableState is how a name stands in the warehouse.
type TableState string

// The states.
const (
	TableFound TableState = "found"
	// TableRefused: the table is there and can't be published.
	TableRefused TableState = "refused"
	// TableUnreachable: the database that holds it can't be read, so nothing else is known of it.
	TableUnreachable TableState = "unreachable"
	TableUnknown     TableState = "unknown"
)

// Table is what is known of a table.
type Table struct {
	State TableState
	// Source is nil where the table is unknown, or skipped by the warehouse itself.
	Source *LookedSource
	// Relation is nil unless the table is found.
	Relation *relay.Relation
	// Notes are about what of a table that is found isn't published.
	Notes []warehouse.Skip
	// Err tells why there is no relation, mostly as a *relay.Problem; nil where the table is found.
	Err error
}

// Table finds a table by the warehouse's name, "schema.table".
func (l *Looked) Table(name string) Table {
	named := func(s warehouse.Skip) bool { return s.Name == name }
	for i := range l.Sources {
		s := &l.Sources[i]
		switch {
		case !slices.Contains(s.tables(), name):
		case s.Inspection == nil:
			return Table{State: TableUnreachable, Source: s, Err: s.Err}
		default:
			if at := slices.IndexFunc(s.Inspection.Refused, named); at >= 0 {
				return Table{State: TableRefused, Source: s, Err: skipped(s.Inspection.Refused[at])}
			}
			at := slices.IndexFunc(s.Inspection.Relations, func(r *relay.Relation) bool { return r.Name == name })
			if at < 0 {
				continue
			}
			notes := slices.DeleteFunc(slices.Clone(s.Inspection.Notes), func(n warehouse.Skip) bool { return n.Name != name })
			return Table{State: TableFound, Source: s, Relation: s.Inspection.Relations[at], Notes: notes}
		}
	}
	if at := slices.IndexFunc(l.Warehouse.Skipped, named); at >= 0 {
		return Table{State: TableRefused, Err: skipped(l.Warehouse.Skipped[at])}
	}
	return Table{State: TableUnknown, Err: l.unknown(name)}
}

func skipped(s warehouse.Skip) error {
	return &relay.Problem{What: "it isn't published: " + s.Reason, Remedy: s.Remedy}
}

func (l *Looked) unknown(name string) error {
	p := &relay.Problem{What: fmt.Sprintf("the warehouse has no table %s", name)}
	switch near := near(name, l.tables()); {
	case len(near) > 0:
		p.Remedy = "did you mean " + strings.Join(near, " or ") + "?"
	case !strings.Contains(name, "."):
		p.Remedy = "name it as schema.table"
	default:
		p.Remedy = "pgrelay serve lists what the warehouse has"
	}
	return p
}

// tables are the names of all tables of the warehouse.
func (l *Looked) tables() []string {
	var names []string
	for i := range l.Sources {
		names = append(names, l.Sources[i].tables()...)
	}
	for _, s := range l.Warehouse.Skipped {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *LookedSource) tables() []string {
	names := make([]string, 0, len(s.Foreign)+len(s.Tables))
	for _, t := range s.Foreign {
		names = append(names, t.Name)
	}
	for _, t := range s.Tables {
		names = append(names, t.Name)
	}
	return names
}
