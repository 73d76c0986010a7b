package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// anchorsKept is how many anchors there may be: two, and a third while it replaces the oldest.
const anchorsKept = 3

// judgeOrphaned finds slots that no relay will use again. Those of another publication that is there are another relay's.
func judgeOrphaned(p *place) (f findings) {
	full, _ := p.full()
	for _, s := range p.slots {
		if !s.here || !strings.HasPrefix(s.name, "pgrelay_") || s.synced {
			continue
		}
		known := slices.ContainsFunc(p.publications, func(b publication) bool { return b.oid == s.publication })
		why := ""
		switch {
		case s.publication == 0:
			why = "its name is none that a relay gives"
		case !known:
			why = fmt.Sprintf("the publication that it was made for (oid %d) is gone", s.publication)
		case s.publication == full.oid && s.epoch < p.epoch(full.oid):
			why = fmt.Sprintf("it is of epoch %d, and the relay is in %d", s.epoch, p.epoch(full.oid))
		case s.publication == full.oid && s.anchor > 0 && p.newer(s) >= anchorsKept:
			why = "it is an anchor, and there are newer ones"
		}
		if why != "" {
			f.add(Warning, "slot "+s.name, drop(s), fmt.Sprintf("no relay will use it: %s; it keeps %s of WAL", why, size(s.retained)))
		}
	}
	return f
}

// newer counts the anchors after one.
func (p *place) newer(than slot) (n int) {
	for _, s := range p.own() {
		if s.anchor > than.anchor {
			n++
		}
	}
	return n
}

// judgeForeignSlots: relays' slots in databases that the warehouse doesn't lead to.
func judgeForeignSlots(x *examination) (f findings) {
	said := map[string]bool{}
	for _, p := range x.places {
		if p.inspection == nil {
			continue
		}
		for _, s := range p.slots {
			key := p.inspection.SystemID + "/" + s.name
			if s.here || s.publication == 0 || said[key] || x.leadsTo(p.inspection.SystemID, s.database) {
				continue
			}
			said[key] = true
			f = append(f, Finding{Severity: Info, Source: p.name, Object: "slot " + s.name, Remedy: "where no relay is to come back, there: " + drop(s),
				Problem: fmt.Sprintf("it is a relay's in database %s, to which this warehouse doesn't lead; it keeps %s of WAL", relay.Ident(s.database), size(s.retained))})
		}
	}
	return f
}

// leadsTo tells that a source, or one that can't be reached and may be it, is the database.
func (x *examination) leadsTo(system, database string) bool {
	return slices.ContainsFunc(x.places, func(p *place) bool {
		in := p.inspection
		return p.isSource() && (in == nil || in.SystemID == system && in.Database == database)
	})
}
