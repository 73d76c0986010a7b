package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// Progress is what Apply tells of.
type Progress struct {
	Plan *Plan
	// Step is the one that it is about, from 1 on, of Steps.
	Step, Steps int
	Title       string
	// Waiting is whom the step waits for, and Attempt how often it has tried; else the step begins, or is Done.
	Waiting string
	Attempt int
	Done    bool
}

// Outcome is what Apply did in one database.
type Outcome struct {
	*Plan
	// Done are the titles of the steps that were made.
	Done []string
	// Failed is the step that failed and Err why, mostly as a *relay.Problem; Left are the titles of those after it.
	Failed string
	Err    error
	Left   []string
}

// OK tells that nothing is left to do.
func (o *Outcome) OK() bool { return o.Err == nil && len(o.Undone()) == 0 }

// rounds bounds how often a database is looked at again: a table that gets an identity may turn out to need a better one.
const rounds = 3

// applyAll makes what plan says of each database. One that fails doesn't keep the others.
func applyAll(ctx context.Context, all []*place, plan func(context.Context, *place) *Plan, progress func(Progress)) ([]*Outcome, error) {
	outcomes := make([]*Outcome, len(all))
	for i, place := range all {
		o := &Outcome{}
		var notes []Note
		for range rounds {
			o.Plan = plan(ctx, place)
			for _, n := range notes { // what was said stays so
				if !slices.Contains(o.Plan.Notes, n) {
					o.Plan.Notes = append(o.Plan.Notes, n)
				}
			}
			notes = o.Plan.Notes
			if o.Plan.Err != nil || len(o.Plan.Steps) == 0 {
				o.Err = o.Plan.Err
				break
			}
			if o.run(ctx, progress); o.Err != nil {
				break
			}
		}
		outcomes[i] = o
		if ctx.Err() != nil {
			return outcomes[:i+1], context.Cause(ctx)
		}
	}
	return outcomes, nil
}

// ApplyAttach does what is left to do, database by database, and stops in each at the first step that fails. It tells
// progress of each step. The error is Attach's.
func ApplyAttach(ctx context.Context, cfg Config, progress func(Progress)) ([]*Outcome, error) {
	a, all, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return applyAll(ctx, all, func(ctx context.Context, place *place) *Plan {
		clear(a.made) // what the catalog says counts
		return a.plan(ctx, place)
	}, progress)
}

// run makes a plan's steps.
func (o *Outcome) run(ctx context.Context, progress func(Progress)) {
	conn, err := connect(ctx, o.place.conf)
	if err != nil {
		o.Err = fmt.Errorf("connect: %w", err)
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for i := range o.Steps {
		s := &o.Steps[i]
		about := Progress{Plan: o.Plan, Step: i + 1, Steps: len(o.Steps), Title: s.Title}
		progress(about)
		err := s.run(ctx, conn, func(attempt int, reason string) {
			waits := about
			waits.Waiting, waits.Attempt = reason, attempt
			progress(waits)
		})
		if err != nil {
			o.Failed, o.Err = s.Title, problem(conn, err)
			for _, left := range o.Steps[i+1:] {
				o.Left = append(o.Left, left.Title)
			}
			return
		}
		o.Done = append(o.Done, s.Title)
		about.Done = true
		progress(about)
	}
}

// problem adds what to try to what Postgres says.
func problem(conn *pgx.Conn, err error) error {
	if relay.Remedy(err) != "" {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	p := &relay.Problem{What: err.Error(), Remedy: pg.Hint}
	if pg.Code == insufficientPrivilege {
		p.Remedy = fmt.Sprintf("run it as the tables' owner or a superuser, given in credentials (SERVER=USER:PASSWORD) or the DSN, here it is %s;\nor have one run with psql what is printed without --apply", relay.Ident(conn.Config().User))
	}
	return p
}
