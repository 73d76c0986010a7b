package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// watchEvery is how often the catalog's fingerprint is compared, and watchShare how many times longer than the
// comparison the pause is at least, so that a source of thousands of tables isn't kept busy by it.
const (
	watchEvery = time.Second
	watchShare = 20
)

// statementTimeout bounds what the control connection asks, so that a dead network is noticed.
const statementTimeout = 30 * time.Second

// beginLook begins a look at the catalog, and returns its number.
func (c *base) beginLook() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
	return c.begun
}

// endLook says what a look has found; the hub has been told.
func (c *base) endLook(number int, inspection *warehouse.Inspection, fingerprints map[uint32]string) {
	c.mu.Lock()
	c.inspection, c.fingerprints, c.done = inspection, fingerprints, number
	close(c.inspected)
	c.inspected = make(chan struct{})
	c.mu.Unlock()
	c.report(inspection)
	c.cfg.Changed()
}

// noteTriggered goes before the hub is told: whose shapes end then must find that the other way captures the table.
func (c *base) noteTriggered(inspection *warehouse.Inspection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.triggered = inspection.Triggered
}

// leavesOf are the tables of a relation.
func leavesOf(in *warehouse.Inspection, name string) (oids []uint32) {
	if i := slices.IndexFunc(in.Relations, func(r *relay.Relation) bool { return r.Name == name }); i >= 0 {
		for _, leaf := range in.Relations[i].Leaves {
			oids = append(oids, leaf.OID)
		}
	}
	return oids
}

// compare tells whether the catalog is as it was looked at.
func (c *base) compare(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) (same bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	began := time.Now()
	now, err := source.Fingerprint(ctx, conn, source.Publications())
	c.took = time.Since(began)
	if err != nil {
		return false, fmt.Errorf("watch the catalog: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Equal(now, c.fingerprints), nil
}

// watching runs a round about once a second, with force where the catalog must be looked at, until one fails or the
// warehouse describes the source otherwise.
func (c *base) watching(ctx context.Context, source *warehouse.Source, round func(ctx context.Context, source *warehouse.Source, force bool) error) error {
	for {
		latest, rediscovered := c.described()
		force := latest != source
		if force && !reachedAlike(latest, source) {
			return errSuperseded
		}
		source = latest
		if !force {
			pause := time.NewTimer(max(watchEvery, watchShare*c.took))
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-rediscovered:
				pause.Stop()
				continue
			case <-c.looks:
				force = true
			case <-pause.C:
			}
			pause.Stop()
		}
		if err := round(ctx, source, force); err != nil {
			return err
		}
	}
}

// reachedAlike tells that two descriptions lead to the same database in the same way.
func reachedAlike(a, b *warehouse.Source) bool {
	return a.Err == nil && b.Err == nil && a.Conn.Host == b.Conn.Host && a.Conn.Port == b.Conn.Port &&
		a.Conn.Database == b.Conn.Database && a.Conn.User == b.Conn.User && a.Conn.Password == b.Conn.Password
}

// report logs what can't be published when that is news.
func (c *base) report(i *warehouse.Inspection) {
	refused := make(map[string]string, len(i.Refused))
	for _, r := range i.Refused {
		refused[r.Name] = r.Reason
		if c.refused[r.Name] != r.Reason {
			c.log.Warn().Str("table", r.Name).Str("reason", r.Reason).Str("remedy", r.Remedy).Msg("not published")
		}
	}
	c.refused = refused
}

// Misses tells that a table isn't published for now only: it is not known yet what there is, or the other way captures it.
func (c *base) Misses(table string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, triggered := slices.BinarySearch(c.triggered, table)
	return c.inspection == nil || triggered != c.source.IsByTrigger()
}

// look asks the watch to look at the catalog now.
func (c *base) look() {
	select {
	case c.looks <- struct{}{}:
	default:
	}
}

// described is the source as the warehouse has it now, and what is closed when that changes.
func (c *base) described() (*warehouse.Source, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source, c.rediscovered
}

// inspectWait bounds how long who found a table changed waits for the watch to look at it.
const inspectWait = 30 * time.Second

// errUnseen tells that the watch did not look at the catalog in time.
var errUnseen = errors.New("the catalog could not be looked at")

// awaitInspection returns when the watch has looked at the catalog, and began to do so after the call.
func (c *base) awaitInspection(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, inspectWait, errUnseen)
	defer cancel()
	c.mu.Lock()
	wanted := c.begun + 1
	c.mu.Unlock()
	c.look()
	for {
		c.mu.Lock()
		inspected, done := c.inspected, c.done
		c.mu.Unlock()
		if done >= wanted {
			return nil
		}
		select {
		case <-inspected:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
