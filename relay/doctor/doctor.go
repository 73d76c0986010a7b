package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

// parallelPlaces bounds how many databases are asked at a time.
const parallelPlaces = 8

// Examine looks at the warehouse and everything behind it. It writes nothing, and no relay need run. The error concerns
// the warehouse alone: that it can't be read. What is wrong with a source is among the findings.
func Examine(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Progress("the warehouse and the way to its sources")
	found, err := warehouse.Discover(ctx, cfg.Warehouse)
	if err != nil {
		return nil, err
	}
	x := &examination{looked: &serve.Looked{Warehouse: found, Sources: make([]serve.LookedSource, len(found.Sources))}, cfg: cfg}
	for i, source := range found.Sources {
		x.looked.Sources[i] = serve.LookedSource{Source: source, Err: source.Err}
		x.places = append(x.places, newPlace(cfg, &x.looked.Sources[i]))
	}
	if err := x.addWarehouse(); err != nil {
		return nil, err
	}
	x.ask(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return x.report(), nil
}

// examination is everything that was looked at.
type examination struct {
	// looked finds tables by the warehouse's names, as a relay would. serve.Look itself waits for locks, on an outbox.
	looked *serve.Looked
	cfg    Config
	places []*place
}

// addWarehouse makes a place of a warehouse that isn't a source itself.
func (x *examination) addWarehouse() error {
	if slices.ContainsFunc(x.places, func(p *place) bool { return p.source.Local }) {
		return nil
	}
	conf, err := warehouseConn(x.cfg.Warehouse)
	if err != nil {
		return err
	}
	source := serve.LookedSource{Source: &warehouse.Source{Name: WarehousePlace, Conn: conf, Local: true}}
	x.places = append(x.places, newPlace(x.cfg, &source))
	return nil
}

// ask asks every place that can be reached.
func (x *examination) ask(ctx context.Context) {
	var group sync.WaitGroup
	free := make(chan struct{}, parallelPlaces)
	for _, p := range x.places {
		if p.away {
			continue
		}
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			p.ask(ctx)
		})
	}
	group.Wait()
	x.settleRules()
}

func (x *examination) report() *Report {
	r := &Report{Sources: []string{}, Findings: []Finding{}, Rules: len(x.looked.Rules)}
	for _, p := range x.places {
		if p.isSource() {
			r.Sources = append(r.Sources, p.name)
			r.Tables += len(p.source.Foreign) + len(p.source.Tables)
		}
	}
	for _, k := range checks {
		for _, f := range k.run(x) {
			if slices.Contains(x.cfg.Ignore, k.name) {
				r.Ignored++
				continue
			}
			f.Check = k.name
			r.Findings = append(r.Findings, f)
		}
	}
	r.count()
	return r
}

// run runs a check on everything that it is about.
func (k *check) run(x *examination) (all findings) {
	if k.whole != nil {
		for _, f := range k.whole(x) {
			if f.Source == "" {
				f.Source = WarehousePlace
			}
			all = append(all, f)
		}
		return all
	}
	said := map[string]bool{}
	for _, p := range x.places {
		if !k.can(p) {
			continue
		}
		for _, f := range k.place(p) {
			key := p.server.at + f.Object
			if k.once && said[key] {
				continue
			}
			said[key], f.Source = true, p.name
			all = append(all, f)
		}
	}
	return all
}

// can tells that what the check needs was read.
func (k *check) can(p *place) bool {
	if p.away || !k.anywhere && !p.isSource() {
		return false
	}
	return !slices.ContainsFunc(k.needs, func(f fact) bool { return p.unread[f] != nil })
}

// size is a number of bytes as pg_size_pretty writes it, with the binary units' own names.
func size(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(bytes), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 || v >= 10 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
