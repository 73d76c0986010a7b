package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// judgeFailover: without the property, a slot isn't copied to a standby, and is missing after a failover.
// https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION
func judgeFailover(p *place) (f findings) {
	severity := Info
	if p.server.replicas > 0 {
		severity = Warning
	}
	for _, s := range p.own() {
		if s.failover != nil && !*s.failover && !s.synced && !p.server.standby {
			f.add(severity, "slot "+s.name, "while no relay runs, over a replication connection (psql 'dbname=… replication=database'):\nALTER_REPLICATION_SLOT "+relay.Ident(s.name)+" (FAILOVER true);",
				"it isn't a failover slot: after a failover it is missing, and clients start over")
		}
	}
	return f
}

// judgeUnsynced: whether a standby has a copy of the slots is known there alone; here, whether the relay may overtake it.
func judgeUnsynced(p *place) (f findings) {
	const standby = "on the standby: alter system set sync_replication_slots = on; alter system set hot_standby_feedback = on;\n" +
		"and primary_slot_name, and a dbname in primary_conninfo; then: select pg_reload_conf();"
	switch s := p.server; {
	case s.version < 170000:
	case s.standby && !s.syncs:
		f.add(Warning, "server", standby, "sync_replication_slots is off: after a failover to this standby the relay's slots are missing, and clients start over")
	case !s.standby && s.replicas > 0 && s.synchronized == "" && slices.ContainsFunc(p.own(), func(s slot) bool { return s.failover != nil && *s.failover }):
		var physical []string
		for _, s := range p.slots {
			if s.physical {
				physical = append(physical, s.name)
			}
		}
		if len(physical) == 0 {
			physical = []string{"…"}
		}
		f.add(Warning, "server", fmt.Sprintf("alter system set synchronized_standby_slots = %s;   -- the slots of the standbys that may take over\nselect pg_reload_conf();\n%s",
			relay.Literal(strings.Join(physical, ", ")), standby),
			"synchronized_standby_slots is empty: the relay may receive what no standby has yet, and a failover loses it for good")
	}
	return f
}
