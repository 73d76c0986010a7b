package warehouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// ApplicationName is what the relay's sessions call themselves; a server whose synchronous_standby_names holds it is
// refused by Check.
const ApplicationName = "pgrelay"

// DefaultPublication is the publication's name where Config gives none.
const DefaultPublication = "pgrelay"

// RulesTable is the warehouse's name of the table that holds the rules.
const RulesTable = "web_socket_event_system_events.rules"

// Problem is an error with a remedy.
type Problem = relay.Problem

// Config says where the warehouse is. Only DSN is needed.
type Config struct {
	DSN string
	// Credentials by foreign server name; they go before what the user mapping says, field by field, since a mapping's
	// role often lacks REPLICATION.
	Credentials map[string]Credential
	// Hosts maps a server's "host:port" or "host" as the warehouse sees it to the "host" or "host:port" that the relay dials.
	Hosts map[string]string
	// InsertOnly are warehouse names ("schema.table") published for inserts and TRUNCATE alone.
	InsertOnly []string
	// Publication is the name of the publication at every source, default "pgrelay"; the one for insert-only tables
	// has "_insert" after it. Inspect reads from it whether generated columns are published.
	Publication string
	// DialTimeout bounds one connection attempt; default 5 s.
	DialTimeout time.Duration
}

// Credential is a role at a source and its password.
type Credential struct{ User, Password string }

// Warehouse is what discovery found.
type Warehouse struct {
	// Sources are sorted by name, one for each database.
	Sources []*Source
	// Skipped are relations of the warehouse that can't be published, sorted by name.
	Skipped []Skip
	// Rules is where the rules are; both empty where the warehouse has no such table.
	Rules Rules
	// Fingerprint is what Watch answers while the warehouse stays as it is.
	Fingerprint string
}

// Rules names the source and the relation (RulesTable) that hold the rules.
type Rules struct{ Source, Relation string }

// Skip is a relation that isn't published, why, and what would change that (exact SQL or a line of pgrelay.yaml).
type Skip struct{ Name, Reason, Remedy string }

// Source is one database that holds tables of the warehouse.
type Source struct {
	Name string
	// Conn leads to the database. It holds the password: print Address, never this.
	Conn *pgx.ConnConfig
	// Servers are the foreign servers that lead here, sorted.
	Servers []string
	// Foreign are the warehouse's foreign tables over tables of this database, sorted by name.
	Foreign []ForeignTable
	// Tables are the warehouse's own tables, where this is its database.
	Tables []LocalTable
	// Local tells that this is the warehouse's own database.
	Local bool
	// Err tells why the source can't be used now, mostly as a *Problem; Conn may be nil then. Other sources go on.
	Err error

	publication string
	insertOnly  map[string]bool
	trigger     bool         // seen as capture by triggers sees it
	outbox      *atomic.Bool // the database had an outbox when it was looked at last
}

// LocalTable is a table of the warehouse itself: an ordinary one, the root of a partitioned one, or a foreign table that
// triggers capture here.
type LocalTable struct{ Name, Schema, Table string }

// ForeignTable is a foreign table of the warehouse.
type ForeignTable struct {
	// Name is "schema.table"; Schema and Table are its parts.
	Name, Schema, Table string
	Server              string
	// RemoteSchema and RemoteTable name the table at the source.
	RemoteSchema, RemoteTable string
	// Columns in the foreign table's order.
	Columns []ForeignColumn
}

// ForeignColumn is a column of a foreign table and its type as the warehouse has it.
type ForeignColumn struct {
	// Name in the warehouse, Remote at the source.
	Name, Remote string
	// Type is what format_type prints, with the modifier.
	Type string

	bare   string // format_type without the modifier
	name   string // pg_type.typname
	system bool   // the type is in pg_catalog
}

// Address is "host:port/database" as the relay dials it, for people to read.
func (s *Source) Address() string {
	if s.Conn == nil {
		return ""
	}
	return address(s.Conn)
}

// Publications are the names of the publications at this source: the full one and the insert-only one.
func (s *Source) Publications() []string { return []string{s.publication, s.publication + "_insert"} }

// Discover connects to the warehouse and to every database behind it. The error concerns the warehouse alone;
// what is wrong with a source is in its Err.
func Discover(ctx context.Context, cfg Config) (*Warehouse, error) {
	own, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	conn, done, err := connect(ctx, own)
	if err != nil {
		return nil, unreachable("the warehouse", own, err)
	}
	defer done()
	print, err := Watch(ctx, conn)
	if err != nil {
		return nil, err
	}
	found, err := read(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the warehouse's catalog: %w", err)
	}
	local, err := probe(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("identify the warehouse: %w", err)
	}
	w := &Warehouse{Skipped: found.skipped, Fingerprint: print}
	w.Sources = cfg.sources(ctx, own, local, found)
	w.findRules()
	w.findUnused(cfg.InsertOnly)
	return w, nil
}

// findUnused tells of names in the config that no table has, which are mostly misspelt.
func (w *Warehouse) findUnused(insertOnly []string) {
	for _, name := range insertOnly {
		if !slices.ContainsFunc(w.Sources, func(s *Source) bool { return s.Has(name) }) {
			w.Skipped = append(w.Skipped, Skip{Name: name, Reason: "named under insert_only, but the warehouse has no such table",
				Remedy: "take it out of insert_only in pgrelay.yaml, or spell it as schema.table without quotes"})
		}
	}
	slices.SortStableFunc(w.Skipped, func(a, b Skip) int { return strings.Compare(a.Name, b.Name) })
}

// Has tells whether a table of the warehouse leads here.
func (s *Source) Has(name string) bool {
	return slices.ContainsFunc(s.all(), func(t ForeignTable) bool { return t.Name == name })
}

func (w *Warehouse) findRules() {
	for _, s := range w.Sources {
		if s.Has(RulesTable) {
			w.Rules = Rules{s.Name, RulesTable}
		}
	}
}
