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
	"pgrelay/relay/publication"
	"pgrelay/relay/wal"
	"pgrelay/relay/warehouse"
)

// inspectAttempts bounds how often the catalog is looked at in a row; the next round of the watch looks again.
const inspectAttempts = 3

// inspect looks at the catalog, makes the publication hold what it should, and tells the hub.
func (c *Capture) inspect(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) (*publication.State, error) {
	number := c.beginLook()
	var inspection *warehouse.Inspection
	var published *publication.State
	var fingerprints map[uint32]string
	for attempt := 0; ; attempt++ {
		var err error
		if inspection, err = source.Inspect(ctx, conn); err != nil {
			return nil, fmt.Errorf("look at the catalog: %w", err)
		}
		c.noteTriggered(inspection)
		c.Hub.Retire(inspection.Relations)
		if published, err = publication.Ensure(ctx, conn, c.cfg.Publication, inspection.Relations); published == nil {
			return nil, err
		}
		hold(inspection, published, err)
		for _, r := range inspection.Relations {
			published.Mark(r)
		}
		if fingerprints, err = source.Fingerprint(ctx, conn, source.Publications()); err != nil {
			return nil, fmt.Errorf("read the catalog's fingerprint: %w", err)
		}
		if maps.Equal(fingerprints, inspection.Fingerprints) {
			break
		}
		// Ensure changed the publication, or somebody the tables: look again, but don't run after a busy catalog.
		if attempt == inspectAttempts {
			fingerprints = inspection.Fingerprints
			break
		}
	}
	var text string
	var reference uint64
	if err := conn.QueryRow(ctx, `select pg_catalog.pg_current_wal_insert_lsn()::text,
		pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint`).Scan(&text, &reference); err != nil {
		return nil, fmt.Errorf("read the WAL position: %w", err)
	}
	barrier, err := relay.ParseLSN(text)
	if err != nil {
		return nil, err
	}
	watched := leavesOf(inspection, c.cfg.Watch)
	c.watched.Store(&watched)
	c.Hub.SetRelations(inspection.Relations, barrier)
	c.mu.Lock()
	c.published, c.reference = published, reference
	c.mu.Unlock()
	c.endLook(number, inspection, fingerprints)
	return published, nil
}

// hold takes those relations out whose tables the publication could not be given, with the reason.
func hold(i *warehouse.Inspection, published *publication.State, err error) {
	if err == nil {
		return
	}
	skip := warehouse.Skip{Reason: err.Error()}
	var problem *relay.Problem
	if errors.As(err, &problem) {
		skip.Remedy = problem.Remedy
	}
	i.Relations = slices.DeleteFunc(i.Relations, func(r *relay.Relation) bool {
		if published.Holds(r) {
			return false
		}
		skip.Name = r.Name
		i.Refused = append(i.Refused, skip)
		return true
	})
}

// watch compares the catalog once a second, moves the anchors, and reads the slots' figures, until the control
// connection fails or the warehouse describes the source otherwise.
func (c *Capture) watch(ctx context.Context, conn *pgx.Conn, source *warehouse.Source) error {
	w := watcher{c: c, conn: conn}
	return c.watching(ctx, source, w.round)
}

type watcher struct {
	c       *Capture
	conn    *pgx.Conn
	figures time.Time
}

func (w *watcher) round(ctx context.Context, source *warehouse.Source, force bool) error {
	same, err := w.c.compare(ctx, w.conn, source)
	if err != nil {
		return err
	}
	if force || !same {
		w.c.mu.Lock()
		oids := w.c.published.OIDs
		w.c.mu.Unlock()
		published, err := w.c.inspect(ctx, w.conn, source)
		if err != nil {
			return err
		}
		if !slices.Equal(published.OIDs, oids) {
			return fmt.Errorf("publication %s was dropped and made anew", w.c.cfg.Publication)
		}
	}
	if ok, _ := w.c.Available(); !ok {
		return nil
	}
	if err := w.beat(ctx); err != nil {
		return err
	}
	if time.Since(w.figures) > lagEvery {
		w.figures = time.Now()
		if err := w.readFigures(ctx); err != nil {
			return err
		}
	}
	c := w.c
	window := c.journal.Config()
	_, end := c.journal.Window()
	if c.anchored.at == 0 || uint64(end-c.anchored.at) >= window.WAL/2 || time.Since(c.anchored.when) >= window.Age/2 {
		c.moveAnchor(ctx, w.conn, c.slots, end)
	}
	return nil
}

// beat writes a mark now and then, which moves the slot of an idle source and shows that the stream isn't silent.
// It also lets go of the transactions that snapshots are known to see.
func (w *watcher) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	c := w.c
	var snapshot string
	if err := w.conn.QueryRow(ctx, `select pg_catalog.pg_current_snapshot()::text`).Scan(&snapshot); err != nil {
		return fmt.Errorf("watch the transactions: %w", err)
	}
	if err := c.sees(snapshot); err != nil {
		return err
	}
	c.Heard()
	if !c.due() {
		return nil
	}
	now := time.Now()
	var text string
	if err := w.conn.QueryRow(ctx, `select pg_catalog.pg_logical_emit_message(true, 'pgrelay', '')::text`).Scan(&text); err != nil {
		return fmt.Errorf("write a mark: %w", err)
	}
	at, err := relay.ParseLSN(text)
	c.marks(at, now)
	return err
}

// anchorRetry is how long a failed anchor is left alone: the stream doesn't need it.
const anchorRetry = time.Minute

// moveAnchor makes a new anchor at the live slot's position, which is near at.
func (c *Capture) moveAnchor(ctx context.Context, conn *pgx.Conn, slots *wal.Slots, at relay.LSN) {
	if time.Now().Before(c.anchored.again) {
		return
	}
	if err := slots.MoveAnchor(ctx, conn); err != nil {
		c.anchored.again = time.Now().Add(anchorRetry)
		c.log.Warn().Err(err).Str("remedy", relay.Remedy(err)).Msg("no anchor could be made: a restart may find a shorter window")
		return
	}
	c.noteAnchor(at)
}

func (c *Capture) noteAnchor(at relay.LSN) {
	c.anchored.at, c.anchored.when = at, time.Now()
	c.newest.Store(uint64(at))
}

// keepRemedy is for a slot that the server gave up.
const keepRemedy = "the relay goes on with a new slot; to keep more WAL for one that is away: alter system set max_slot_wal_keep_size = '10GB'; select pg_reload_conf();"

func (w *watcher) readFigures(ctx context.Context) error {
	c := w.c
	f, err := c.slots.Figures(ctx, w.conn)
	if err != nil {
		return err
	}
	position := c.Hub.Position()
	c.cfg.Metrics.SetLag(uint64(f.Written - min(f.Written, position)))
	c.cfg.Metrics.SetRetained(uint64(max(f.Retained, 0)))
	bytes, transactions := c.journal.Size()
	c.cfg.Metrics.SetJournal(int64(bytes), transactions)
	switch f.Status {
	case "lost":
		return &relay.Problem{What: fmt.Sprintf("slot %s is lost: the server has dropped WAL that the relay still needs", c.slots.Live()), Remedy: keepRemedy}
	case "missing":
		return fmt.Errorf("slot %s is missing", c.slots.Live())
	}
	over := f.Retained > c.cfg.RetainedBytes
	if over && !c.warned {
		c.log.Warn().Int64("retained_bytes", f.Retained).Int64("budget_bytes", c.cfg.RetainedBytes).Str("wal_status", f.Status).
			Msg("the source keeps more WAL for the relay than the budget: a long transaction, or a slot that does not move")
	}
	c.warned = over
	return nil
}
