package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// captured is what relay.captured says of a table: triggers write its changes to the outbox.
type captured struct {
	excluded        []string // columns that don't leave the table
	key             []string // columns that tell the rows of a foreign table apart
	problem, remedy string   // what keeps its changes from being seen
	stamp           string   // differs when changes may have gone unseen meanwhile
}

// ByTrigger is the source as capture by triggers sees it: what is inspected of it are the tables that triggers capture,
// and of itself those that they don't. A table is captured one way.
func (s *Source) ByTrigger() *Source {
	other := *s
	other.trigger = true
	return &other
}

// IsByTrigger tells that the source is seen as capture by triggers sees it.
func (s *Source) IsByTrigger() bool { return s.trigger }

const capturedSQL = `
select relation, excluded, key, coalesce(problem, ''), coalesce(remedy, ''), coalesce(stamp, '') from relay.tables()`

// readCaptured reads which tables triggers capture; none where the database has no outbox.
func (k *catalog) readCaptured(ctx context.Context, conn *pgx.Conn) error {
	var installed bool
	err := conn.QueryRow(ctx, `select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'relay' and c.relname = 'captured')`).Scan(&installed)
	if err != nil {
		return fmt.Errorf("look for an outbox: %w", err)
	}
	if k.outbox = installed; !installed {
		return nil
	}
	rows, err := conn.Query(ctx, capturedSQL)
	if err == nil {
		var table uint32
		var c captured
		_, err = pgx.ForEachRow(rows, []any{&table, &c.excluded, &c.key, &c.problem, &c.remedy, &c.stamp}, func() error {
			own := c
			own.excluded, own.key = slices.Clone(c.excluded), slices.Clone(c.key)
			k.captured[table] = &own
			return nil
		})
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42501": // insufficient_privilege
			return &Problem{What: fmt.Sprintf("role %q may not read which tables are captured by triggers", k.role),
				Remedy: fmt.Sprintf("select relay.grant_reader(%s);", relay.Literal(k.role))}
		case "42703", "42883": // undefined_column, undefined_function
			return &Problem{What: "schema relay was made by another version of the trigger scripts", Remedy: "psql -f triggers/install.sql"}
		}
	}
	if err != nil {
		return fmt.Errorf("read which tables are captured by triggers: %w", err)
	}
	return nil
}

// triggered tells that the table is captured by triggers.
func (b *builder) triggered() bool { return b.class != nil && b.catalog.captured[b.class.oid] != nil }

// whole is a leaf of a table that triggers capture: old rows are complete.
func (b *builder) whole(c *class) relay.Leaf {
	l := relay.Leaf{OID: c.oid, Schema: c.schema, Table: c.table, Identity: c.identity, Full: true}
	for _, a := range b.catalog.attributes[c.oid] {
		if !b.absent(&a) {
			l.Key = append(l.Key, a.name)
		}
	}
	return l
}

// absent tells of a column that isn't in what is captured.
func (b *builder) absent(a *attribute) bool {
	if !b.source.trigger {
		return b.catalog.unpublished(a)
	}
	return a.generated == "v" || slices.Contains(b.catalog.captured[b.class.oid].excluded, a.name)
}

// Triggered are the names of those of the source's tables that triggers capture, sorted.
func (s *Source) Triggered(ctx context.Context, conn *pgx.Conn) (names []string, err error) {
	k := &catalog{classes: map[uint32]*class{}, leaves: map[uint32][]uint32{}, captured: map[uint32]*captured{}}
	if err := conn.QueryRow(ctx, `select current_user::text`).Scan(&k.role); err != nil {
		return nil, fmt.Errorf("look for an outbox: %w", err)
	}
	if err := k.readCaptured(ctx, conn); err != nil || len(k.captured) == 0 {
		return nil, err
	}
	schemas, tables := s.remoteNames()
	if err := k.readClasses(ctx, conn, schemas, tables); err != nil {
		return nil, err
	}
	for i, t := range s.all() {
		if k.captured[k.wanted[i]] != nil {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Others tells whether the source has a table that isn't among names, which are sorted.
func (s *Source) Others(names []string) bool {
	return slices.ContainsFunc(s.all(), func(t ForeignTable) bool {
		_, found := slices.BinarySearch(names, t.Name)
		return !found
	})
}
