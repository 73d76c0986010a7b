package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// warehouseConn is how to connect to the warehouse; its DSN has been read before, so an error is one of this machine.
func warehouseConn(cfg warehouse.Config) (*pgx.ConnConfig, error) {
	conf, err := pgx.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, &relay.Problem{What: "the warehouse's DSN can't be read"} // without it: it may hold a password
	}
	conf.ConnectTimeout = cfg.DialTimeout
	if conf.ConnectTimeout <= 0 {
		conf.ConnectTimeout = 5 * time.Second
	}
	conf.RuntimeParams["application_name"] = warehouse.ApplicationName
	return conf, nil
}

// judgeReach says which sources can't be read. A source that can't be dialled has no other findings.
func judgeReach(x *examination) (f findings) {
	for _, p := range x.places {
		if p.err != nil && !aboutMapping(p.err) {
			f = append(f, Finding{Severity: Error, Source: p.name, Object: "source " + p.name, Problem: line(p.err), Remedy: relay.Remedy(p.err)})
		}
	}
	return f
}

func judgeMapping(x *examination) (f findings) {
	for _, p := range x.places {
		if p.err != nil && aboutMapping(p.err) {
			f = append(f, Finding{Severity: Error, Source: p.name, Object: "foreign server " + p.name, Problem: line(p.err), Remedy: relay.Remedy(p.err)})
		}
	}
	return f
}

// aboutMapping tells that the warehouse gives no user for a source.
func aboutMapping(err error) bool { return strings.Contains(err.Error(), "user mapping") }

func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// judgeUnread says what couldn't be asked, once for each reason.
func judgeUnread(x *examination) (f findings) {
	for _, p := range x.places {
		var reasons []string
		facts := map[string][]string{}
		for _, q := range questions {
			if err := p.unread[q.fact]; err != nil {
				reason := cause(err)
				if facts[reason] == nil {
					reasons = append(reasons, reason)
				}
				facts[reason] = append(facts[reason], string(q.fact))
			}
		}
		for _, reason := range reasons {
			f = append(f, Finding{Severity: Warning, Source: p.name, Object: "database", Remedy: "look again when the server is less busy",
				Problem: fmt.Sprintf("%s couldn't be looked at: %s", strings.Join(facts[reason], ", "), reason)})
		}
	}
	return f
}

// isDrift tells of a foreign table that doesn't fit the table at its source.
func isDrift(s warehouse.Skip) bool {
	return strings.HasPrefix(s.Reason, "drifted") || strings.HasPrefix(s.Reason, "source ") && strings.Contains(s.Reason, " has no table ")
}

func judgeDrift(p *place) (f findings) {
	if p.inspection == nil {
		return nil
	}
	for _, s := range p.inspection.Refused {
		if isDrift(s) {
			f.add(p.unserved([]string{s.Name}), "table "+s.Name, "in the warehouse: "+s.Remedy, strings.TrimPrefix(s.Reason, "drifted: ")+": it isn't published")
		}
	}
	return f
}

// judgeDuplicates finds foreign tables that lead to one table.
func judgeDuplicates(p *place) (f findings) {
	names := map[string][]string{}
	var order []string
	for _, t := range p.source.Foreign {
		remote := relay.Ident(t.RemoteSchema, t.RemoteTable)
		if names[remote] == nil {
			order = append(order, remote)
		}
		names[remote] = append(names[remote], t.Name)
	}
	for _, remote := range order {
		if len(names[remote]) > 1 {
			f.add(Info, "table "+remote, "keep one of them, if they aren't meant to show different columns",
				fmt.Sprintf("%d foreign tables lead to it (%s): each change is published under each name, by each one's rules", len(names[remote]), listed(names[remote])))
		}
	}
	return f
}

// judgeRefused is about what no other check has found: it needs what those said.
func judgeRefused(x *examination) (f findings) {
	for _, p := range x.places {
		if p.inspection == nil {
			continue
		}
		said := p.said()
		for _, s := range p.inspection.Refused {
			if !said[s.Name] && !isDrift(s) {
				f = append(f, Finding{Severity: p.unserved([]string{s.Name}), Source: p.name, Object: "table " + s.Name, Problem: "it isn't published: " + s.Reason, Remedy: s.Remedy})
			}
		}
	}
	return f
}

// said are the warehouse's names of the relations of which another check says what keeps them from being published.
func (p *place) said() map[string]bool {
	said := map[string]bool{}
	for _, judge := range []func(*place) findings{judgeIdentity, judgeDeferrable, judgeGenerated, judgeUnlogged, judgeRowSecurity, judgeForeignPartitions, judgeLacking,
		judgeTriggerMissing, judgeTriggerDisabled, judgeTriggerMode, judgeTriggerAltered, judgeTriggerLevel, judgeCapturedPartition} {
		for _, f := range judge(p) {
			for _, t := range p.tables {
				if f.Object == "table "+t.name() || strings.HasSuffix(f.Object, " on "+t.name()) {
					for _, name := range t.names {
						said[name] = true
					}
				}
			}
		}
	}
	return said
}

// silent are the reasons for which a relation of the warehouse isn't published that nobody has to hear of unless a rule
// names it.
func silent(s warehouse.Skip) bool {
	for _, part := range []string{"a view", "a materialized view", "temporary", "the relay's own schema", "belongs to extension", "unlogged", "partitions that are foreign tables"} {
		if strings.Contains(s.Reason, part) {
			return true
		}
	}
	return false
}

func judgeSkipped(x *examination) (f findings) {
	for _, s := range x.looked.Warehouse.Skipped {
		if !silent(s) {
			f.add(Info, "table "+s.Name, s.Remedy, "it isn't published: "+s.Reason)
		}
	}
	return f
}

// judgeNotes are about columns that aren't published.
func judgeNotes(p *place) (f findings) {
	if p.inspection == nil {
		return nil
	}
	for _, n := range p.inspection.Notes {
		if strings.HasPrefix(n.Reason, "column ") {
			f.add(Info, "table "+n.Name, n.Remedy, n.Reason)
		}
	}
	return f
}
