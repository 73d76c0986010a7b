package doctor

import (
	"fmt"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

func judgeStandbyNames(p *place) (f findings) {
	if p.logical() && matchesStandby(p.server.standbyNames, warehouse.ApplicationName) {
		f.add(Error, "server", "alter system set synchronous_standby_names = '…';   -- with the standbys' own names, neither * nor "+warehouse.ApplicationName+"\nselect pg_reload_conf();",
			fmt.Sprintf("synchronous_standby_names = %s would make the relay a synchronous standby for which commits wait", relay.Literal(p.server.standbyNames)))
	}
	return f
}

// matchesStandby tells whether synchronous_standby_names would take a standby of this name.
// https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
func matchesStandby(setting, name string) bool {
	list := strings.TrimSpace(setting)
	if open := strings.IndexByte(list, '('); open >= 0 && !strings.Contains(list[:open], `"`) {
		list = strings.TrimSuffix(list[open+1:], ")")
	}
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if len(one) >= 2 && one[0] == '"' && one[len(one)-1] == '"' {
			one = strings.ReplaceAll(one[1:len(one)-1], `""`, `"`)
		}
		if one == "*" || strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// judgeSynchronized: the sender of a failover slot waits until every slot named there has confirmed.
// https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONIZED-STANDBY-SLOTS
func judgeSynchronized(p *place) (f findings) {
	for _, name := range p.server.synchronizedSlots() {
		wrong := "which isn't there"
		for _, s := range p.slots {
			switch {
			case s.name != name:
			case !s.physical:
				wrong = "which is a logical slot"
			case !s.active:
				wrong = "which no standby uses"
			default:
				wrong = ""
			}
		}
		if wrong != "" && !p.server.standby {
			f.add(Error, "slot "+name, "alter system set synchronized_standby_slots = '…';   -- without it\nselect pg_reload_conf();\nor: select pg_create_physical_replication_slot("+relay.Literal(name)+"); and let the standby use it",
				"synchronized_standby_slots names it, "+wrong+": failover slots send nothing, so the relay gets no change")
		}
	}
	return f
}
