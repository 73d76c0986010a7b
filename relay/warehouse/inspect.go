package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// Inspection is what a source's own catalog says about the relations that the warehouse has there.
type Inspection struct {
	SystemID      string
	Database      string
	Timeline      uint32
	ServerVersion int // server_version_num: 150018
	Encoding      string
	// Relations can be published, sorted by name.
	Relations []*relay.Relation
	// Refused can't, sorted by name.
	Refused []Skip
	// Triggered are the names of those that triggers capture, sorted. Seen by logical replication, they are none of the others.
	Triggered []string
	// Notes are of relations that are published, about what of them isn't; sorted by name.
	Notes []Skip
	// Fingerprints is what Fingerprint answered in the same snapshot.
	Fingerprints map[uint32]string
}

const headSQL = `
select (select system_identifier::text from pg_catalog.pg_control_system()), pg_catalog.current_database()::text,
  case when pg_catalog.pg_is_in_recovery() then (select timeline_id from pg_catalog.pg_control_checkpoint())
    else ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int4 end,
  pg_catalog.current_setting('server_version_num')::int4, pg_catalog.current_setting('server_encoding'), current_user::text,
  not exists (select from pg_catalog.pg_publication p
    where p.pubname = any($1::text[]) and pg_catalog.to_jsonb(p) ->> 'pubgencols' <> 's')`

// oneState is a transaction that sees one state of the catalog.
var oneState = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// pins are the session settings on which texts in the catalog's answers depend.
const pins = `select pg_catalog.set_config(name, value, true) from (values ('search_path', 'pg_catalog'), ('datestyle', 'ISO, YMD'),
  ('timezone', 'UTC'), ('intervalstyle', 'postgres'), ('extra_float_digits', '1'), ('bytea_output', 'hex')) v(name, value)`

// Inspect looks at the source over a connection to it and says what of it can be published, in one snapshot of the
// catalog. It takes no lock on a table. Inside an open transaction of the caller it stays in it, with the settings that
// it pins pinned until its end.
func (s *Source) Inspect(ctx context.Context, conn *pgx.Conn) (_ *Inspection, err error) {
	if conn.PgConn().TxStatus() == 'I' {
		tx, err := conn.BeginTx(ctx, oneState)
		if err != nil {
			return nil, fmt.Errorf("inspect source %s: %w", s.Name, err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	}
	if _, err := conn.Exec(ctx, pins); err != nil {
		return nil, fmt.Errorf("inspect source %s: %w", s.Name, err)
	}
	in := &Inspection{}
	k, err := s.readCatalog(ctx, conn, in)
	if err != nil {
		return nil, fmt.Errorf("inspect source %s: %w", s.Name, err)
	}
	if in.Fingerprints, err = s.Fingerprint(ctx, conn, s.Publications()); err != nil {
		return nil, err
	}
	for i, t := range s.all() {
		b := builder{source: s, catalog: k, table: t, class: k.classes[k.wanted[i]]}
		if b.triggered() {
			in.Triggered = append(in.Triggered, t.Name)
		}
		if b.triggered() != s.trigger {
			continue
		}
		if relation, refused := b.build(); refused != nil {
			in.Refused = append(in.Refused, *refused)
		} else {
			in.Relations = append(in.Relations, relation)
			in.Notes = append(in.Notes, b.notes...)
		}
	}
	slices.Sort(in.Triggered)
	slices.SortFunc(in.Relations, func(a, b *relay.Relation) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(in.Refused, func(a, b Skip) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(in.Notes, func(a, b Skip) int { return strings.Compare(a.Name, b.Name) })
	return in, nil
}

// all are the source's tables in the form of foreign ones; a local table has no Columns and no Server.
func (s *Source) all() []ForeignTable {
	all := slices.Clone(s.Foreign)
	for _, t := range s.Tables {
		all = append(all, ForeignTable{Name: t.Name, Schema: t.Schema, Table: t.Table, RemoteSchema: t.Schema, RemoteTable: t.Table})
	}
	return all
}

func (s *Source) remoteNames() (schemas, tables []string) {
	for _, t := range s.all() {
		schemas, tables = append(schemas, t.RemoteSchema), append(tables, t.RemoteTable)
	}
	return schemas, tables
}

func (s *Source) readCatalog(ctx context.Context, conn *pgx.Conn, in *Inspection) (*catalog, error) {
	k := &catalog{classes: map[uint32]*class{}, leaves: map[uint32][]uint32{}, attributes: map[uint32][]attribute{},
		indexes: map[uint32][]index{}, types: map[uint32]*relay.Type{}, typeStamps: map[uint32]string{}, captured: map[uint32]*captured{}}
	var timeline int32
	err := conn.QueryRow(ctx, headSQL, s.Publications()).Scan(&in.SystemID, &in.Database, &timeline, &in.ServerVersion, &in.Encoding,
		&k.role, &k.publishes)
	if err != nil {
		return nil, fmt.Errorf("identify: %w", err)
	}
	in.Timeline, k.version, k.encoding = uint32(timeline), in.ServerVersion, in.Encoding
	k.publishes = k.publishes && k.version >= version18
	if err := k.readCaptured(ctx, conn); err != nil {
		return nil, err
	}
	s.outbox.Store(k.outbox)
	schemas, tables := s.remoteNames()
	if err := k.readClasses(ctx, conn, schemas, tables); err != nil {
		return nil, err
	}
	oids := slices.Sorted(maps.Keys(k.classes))
	if err := k.readAttributes(ctx, conn, oids); err != nil {
		return nil, err
	}
	if err := k.readIndexes(ctx, conn, oids); err != nil {
		return nil, err
	}
	return k, k.readTypes(ctx, conn)
}

// version18 is where publications learnt to carry stored generated columns, and where FULL became dangerous beside
// those that they don't carry.
const version18 = 180000

// digest is a short text that differs where the parts do.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}
