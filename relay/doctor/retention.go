package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func judgeLost(p *place) (f findings) {
	for _, s := range p.own() {
		if !s.gone() {
			continue
		}
		why := s.invalid
		if why == "" {
			why = "the server has dropped WAL that it still needed"
		}
		f.add(Error, "slot "+s.name, drop(s)+"   -- a relay that starts does it, too: it goes on with a new epoch, and clients start over\n"+
			"alter system set max_slot_wal_keep_size = '…';   -- more, if the relay may be away for longer\nselect pg_reload_conf();",
			fmt.Sprintf("it is lost (%s): what follows its position can't be read any more", why))
	}
	return f
}

func judgeLag(p *place) (f findings) {
	for _, s := range p.own() {
		budget, severity := p.cfg.RetainedBytes, Warning
		if s.retained > budget {
			severity = Error
		}
		if s.gone() || s.retained <= budget/2 {
			continue
		}
		remedy := "let long transactions end: a slot can't move past the start of one;\ngive the relay more CPU or a shorter window (--journal-wal, --journal-age)"
		if !s.active {
			remedy = "pgrelay serve\nor, if no relay is to come back: " + drop(s)
		}
		f.add(severity, "slot "+s.name, remedy, fmt.Sprintf("it keeps %s of WAL, of a budget of %s", size(s.retained), size(budget)))
	}
	return f
}

// judgeSafe: the server gives a slot up when safe_wal_size is used up, unless a checkpoint comes later.
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
func judgeSafe(p *place) (f findings) {
	const remedy = "alter system set max_slot_wal_keep_size = '…';   -- more\nselect pg_reload_conf();\nand start the relay, or find what holds it back"
	for _, s := range p.own() {
		switch {
		case s.gone():
		case s.status == "unreserved":
			f.add(Error, "slot "+s.name, remedy, "its wal_status is unreserved: the next checkpoint may drop WAL that it needs, and it is lost")
		case s.safe != nil && p.server.keepSize > 0 && *s.safe < p.server.keepSize/4:
			f.add(Warning, "slot "+s.name, remedy, fmt.Sprintf("after %s more of WAL the server gives it up (max_slot_wal_keep_size is %s)", size(max(*s.safe, 0)), size(p.server.keepSize)))
		}
	}
	return f
}

func judgeCatalogAge(p *place) (f findings) {
	for _, s := range p.own() {
		if s.catalog > p.cfg.CatalogAge && !s.gone() {
			f.add(Warning, "slot "+s.name, "pgrelay serve\nor let the long transaction end that holds it; or, if no relay is to come back: "+drop(s),
				fmt.Sprintf("its catalog_xmin is %d transactions old: dead rows of the catalogs of every database of the server are kept since", s.catalog))
		}
	}
	return f
}

// judgeInactive is about the live slot: anchors are inactive by nature.
func judgeInactive(p *place) (f findings) {
	own := p.own()
	if len(own) > 0 && !slices.ContainsFunc(own, func(s slot) bool { return s.anchor == 0 }) {
		f.add(Warning, "slot "+own[0].name, "pgrelay serve\nor, if no relay is to come back: pgrelay detach, or\n"+p.dropAll(),
			fmt.Sprintf("it is an anchor without a live slot: no relay runs, and it keeps WAL (%s now)", size(own[0].retained)))
	}
	for _, s := range own {
		if s.anchor != 0 || s.active || s.gone() || s.synced {
			continue
		}
		since := ""
		if s.inactive >= time.Second {
			since = " for " + s.inactive.Round(time.Second).String()
		}
		f.add(Warning, "slot "+s.name, "pgrelay serve\nor, if no relay is to come back: pgrelay detach, or\n"+p.dropAll(),
			fmt.Sprintf("no relay has used it%s, and it keeps WAL (%s now)", since, size(s.retained)))
	}
	return f
}

// dropAll drops all of the relay's slots.
func (p *place) dropAll() string {
	var all []string
	for _, s := range p.own() {
		all = append(all, drop(s))
	}
	return strings.Join(all, "\n")
}
