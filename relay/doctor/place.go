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
	// err tells why the source can't be looked at as a source.
	err        error
	inspection *warehouse.Inspection
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
}

// fact is what a question brings.
type fact string

const (
	factServer       fact = "the server's settings"
	factRole         fact = "the role's privileges"
	factSlots        fact = "replication slots"
	factTransactions fact = "open transactions"
	factPublications fact = "publications"
	factTables       fact = "tables"
	factCapture      fact = "capture by triggers"
)

// newPlace is a source before it was asked.
func newPlace(cfg Config, looked *serve.Looked, s *serve.LookedSource) *place {
	p := &place{name: s.Name, source: s.Source, err: s.Err, inspection: s.Inspection, insertOnly: cfg.Warehouse.InsertOnly, cfg: cfg,
		ruled: map[string]bool{}, unread: map[fact]error{}}
	for _, r := range looked.Rules {
		if r.Enabled && r.Relation != "" {
			p.ruled[r.Relation] = true
		}
	}
	return p
}

// isSource tells that tables of the place are to be captured.
func (p *place) isSource() bool { return len(p.source.Foreign)+len(p.source.Tables) > 0 }

// logical tells that some table's changes are to come by logical replication.
func (p *place) logical() bool {
	return slices.ContainsFunc(p.tables, func(t table) bool { return len(t.names) > 0 && !t.captured })
}

// published are the oids of the tables that the stream should bring.
func (p *place) published() map[uint32]*relay.Relation {
	all := map[uint32]*relay.Relation{}
	if p.inspection == nil {
		return all
	}
	for _, r := range p.inspection.Relations {
		for _, l := range r.Leaves {
			if r.Capture == relay.CaptureLogical && !p.capturedByTrigger(r.OID) {
				all[l.OID] = r
			}
		}
	}
	return all
}

func (p *place) capturedByTrigger(oid uint32) bool {
	return slices.ContainsFunc(p.tables, func(t table) bool { return t.oid == oid && t.captured })
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
