package doctor

import (
	"slices"

	"pgrelay/relay"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

// place is a database and all that is known of it. A fact that wasn't read is its zero value, and in unread.
type place struct {
	// name is the source's, or WarehousePlace for a warehouse that has no table of its own.
	name   string
	source *warehouse.Source
	// err tells why the source can't be used; away, that it wasn't asked anything.
	err  error
	away bool
	// inspection is of all of its tables, however they are captured; looked is where it is found by others.
	inspection *warehouse.Inspection
	looked     *serve.LookedSource
	insertOnly []string
	// ruled are the warehouse's names of relations that an enabled rule is for.
	ruled map[string]bool
	cfg   Config

	unread       map[fact]error
	server       server
	role         role
	slots        []slot
	transactions []transaction
	publications []publication
	tables       []table
	capture      capture
	// rules are those of the whole warehouse, of the place that holds them.
	rules    []relay.Rule
	rulesErr error
}

// fact is what a question brings.
type fact string

const (
	factCatalog      fact = "the catalog"
	factServer       fact = "the server's settings"
	factRole         fact = "the role's privileges"
	factSlots        fact = "replication slots"
	factTransactions fact = "open transactions"
	factPublications fact = "publications"
	factTables       fact = "tables"
	factCapture      fact = "capture by triggers"
	factRules        fact = "the rules"
)

// newPlace is a source before it was asked.
func newPlace(cfg Config, s *serve.LookedSource) *place {
	return &place{name: s.Name, source: s.Source, err: s.Err, away: s.Err != nil || s.Conn == nil, looked: s, insertOnly: cfg.Warehouse.InsertOnly, cfg: cfg,
		ruled: map[string]bool{}, unread: map[fact]error{}}
}

// isSource tells that tables of the place are to be captured.
func (p *place) isSource() bool { return len(p.source.Foreign)+len(p.source.Tables) > 0 }

// logical tells that some table's changes are to come by logical replication.
func (p *place) logical() bool {
	return slices.ContainsFunc(p.tables, func(t table) bool { return len(t.names) > 0 && !t.captured })
}

// published are the tables that the stream should bring, by oid, with their relations.
func (p *place) published() map[uint32]*relay.Relation {
	all := map[uint32]*relay.Relation{}
	if p.inspection == nil {
		return all
	}
	for _, r := range p.inspection.Relations {
		for _, l := range r.Leaves {
			if r.Capture == relay.CaptureLogical {
				all[l.OID] = r
			}
		}
	}
	return all
}

// unserved is how bad it is that relations of these names aren't served: nobody may see one without a rule anyway.
func (p *place) unserved(names []string) Severity {
	if slices.ContainsFunc(names, func(n string) bool { return p.ruled[n] }) {
		return Error
	}
	return Warning
}

// full is the publication that carries all operations, if it is there.
func (p *place) full() (publication, bool) {
	return p.publication(p.source.Publications()[0])
}

func (p *place) publication(name string) (publication, bool) {
	at := slices.IndexFunc(p.publications, func(b publication) bool { return b.name == name })
	if at < 0 {
		return publication{}, false
	}
	return p.publications[at], true
}
