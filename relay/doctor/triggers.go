package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
	"pgrelay/triggers"
)

const (
	installRemedy = "psql -f triggers/install.sql, as the role that ran it before"
	// ownTriggers is how the names of the relay's triggers begin.
	ownTriggers = "!relay_"
)

func judgeOutboxVersion(p *place) (f findings) {
	switch c := p.capture; {
	case !c.installed || !c.readable || c.version == triggers.Version:
	case c.version < triggers.Version:
		f.add(Warning, "schema relay", installRemedy, fmt.Sprintf("it was made by an older pgrelay (version %d, and this one has %d)", c.version, triggers.Version))
	default:
		f.add(Error, "schema relay", "use the newer pgrelay", fmt.Sprintf("it was made by a newer pgrelay (version %d, and this one has %d)", c.version, triggers.Version))
	}
	return f
}

// judgeOutbox is about the outbox's size: past its budget it is closed, or the application's statements fail.
func judgeOutbox(p *place) (f findings) {
	c := p.capture
	if !c.installed || !c.readable {
		return f
	}
	remedy := fmt.Sprintf("pgrelay serve\nor: update relay.state set budget = %d;", 2*c.budget)
	past := "nothing is captured then, and clients load everything anew"
	if c.policy == "error" {
		past = "the application's writes fail then (relay.state.policy is error)"
	}
	switch {
	case c.closed:
		f.add(Error, "outbox", remedy, "it is closed: nothing is captured until a relay has begun a new epoch, and clients load everything anew")
	case c.bytes > c.budget:
		f.add(Error, "outbox", remedy, fmt.Sprintf("it takes %s, past its budget of %s: %s", size(c.bytes), size(c.budget), past))
	case c.bytes > c.budget/2:
		f.add(Warning, "outbox", remedy, fmt.Sprintf("it takes %s of a budget of %s: the relay is away or behind, or something holds a lock on it; past the budget %s", size(c.bytes), size(c.budget), past))
	}
	return f
}

// judgeOutboxUnread is about a relay that is away.
func judgeOutboxUnread(p *place) (f findings) {
	if c := p.capture; c.begun && !c.read && len(c.tables) > 0 {
		f.add(Warning, "outbox", "pgrelay serve\nor, if no relay is to come back: pgrelay detach, or psql -f triggers/uninstall.sql",
			fmt.Sprintf("no relay reads it, and it grows to its budget (%s of %s now)", size(c.bytes), size(c.budget)))
	}
	return f
}

func judgeDoorbell(p *place) (f findings) {
	c := p.capture
	if c.installed && c.readable && c.bell == "auto" && p.server.prepared && len(c.tables) > 0 {
		f.add(Info, "outbox", "select relay.doorbell('on');   -- where no application prepares transactions that write to captured tables",
			"nobody rings when there is something to read, since the server allows prepared transactions: the relay looks by itself, which takes up to 0.1 s")
	}
	return f
}

func judgeTriggerMissing(p *place) (f findings) {
	for _, t := range p.capture.triggers {
		if t.wanted && !t.there {
			f.add(Error, t.object(), p.capture.enable(t.root), "it is missing: such changes of the table are missed")
		}
	}
	return f
}

func judgeTriggerDisabled(p *place) (f findings) {
	for _, t := range p.capture.triggers {
		if t.wanted && t.there && t.enabled == "D" {
			f.add(Error, t.object(), t.always(), "it is disabled: such changes of the table are missed")
		}
	}
	return f
}

// judgeTriggerMode explains when a trigger fires.
// https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-DISABLE-ENABLE-TRIGGER
func judgeTriggerMode(p *place) (f findings) {
	for _, t := range p.capture.triggers {
		switch {
		case !t.wanted || !t.there:
		case t.enabled == "R":
			f.add(Error, t.object(), t.always(), "ENABLE REPLICA: it fires only where session_replication_role is replica, so what applications write is missed; ENABLE ALWAYS fires for everybody")
		case t.enabled == "O":
			f.add(Warning, t.object(), t.always(), "it is merely enabled, not ENABLE ALWAYS: what a subscription or a restore writes (session_replication_role = replica) is missed")
		}
	}
	return f
}

func judgeTriggerAltered(p *place) (f findings) {
	for _, t := range p.capture.triggers {
		if t.wanted && t.there && !t.right {
			f.add(Error, t.object(), fmt.Sprintf("drop trigger %s on %s;\n%s", relay.Ident(t.name), t.table, p.capture.enable(t.root)),
				"it isn't as enable_table made it: it was altered by hand, and changes may be missed")
		}
	}
	if c := p.capture; c.version == triggers.Version {
		for _, name := range c.altered() {
			f.add(Warning, "function relay."+name, installRemedy, "it isn't as this version's install.sql made it: it was altered by hand, or dropped")
		}
	}
	return f
}

// judgeTriggerOrphaned leaves out what Postgres copied to a partition: it goes with its root's.
func judgeTriggerOrphaned(p *place) (f findings) {
	for _, t := range p.capture.triggers {
		drop := fmt.Sprintf("drop trigger %s on %s;", relay.Ident(t.name), t.table)
		switch {
		case !t.there || t.wanted || t.captured || t.copied || !strings.HasPrefix(t.name, ownTriggers):
		case t.below:
			f.add(Warning, t.object(), drop, "it is left over: the triggers of the table's root capture it")
		default:
			f.add(Warning, t.object(), drop+"\nor: "+p.capture.enable(t.table), "it is left over: the table isn't among relay.captured, and nobody reads what it writes")
		}
	}
	return f
}

// judgeTriggerOlder is about names: partitions get their root's triggers under the same name.
func judgeTriggerOlder(p *place) (f findings) {
	for _, t := range p.capture.tables {
		if t.older {
			f.add(Warning, "table "+t.name, p.capture.enable(t.name), `its trigger "!relay_row" is of an older version: ALTER TABLE … ATTACH PARTITION fails where both tables have one of that name`)
		}
	}
	return f
}

// judgeCapturedPartition is about tables that were captured before they were attached. Their own triggers are idle since.
func judgeCapturedPartition(p *place) (f findings) {
	for _, t := range p.capture.tables {
		switch {
		case t.partitionOf == "":
		case t.rooted:
			f.add(Info, "table "+t.name, fmt.Sprintf("select relay.disable_table(%s);", relay.Literal(t.name)),
				fmt.Sprintf("it has become a partition of %s, whose triggers capture it: its own are idle", t.partitionOf))
		default:
			f.add(Error, "table "+t.name, fmt.Sprintf("select relay.enable_table(%s);\nor: alter table … detach partition %s;", relay.Literal(t.partitionOf), t.name),
				fmt.Sprintf("it has become a partition of %s, which isn't captured: its own triggers are idle, and its changes are missed", t.partitionOf))
		}
	}
	return f
}

func judgeTriggerLevel(p *place) (f findings) {
	for _, t := range p.capture.tables {
		if t.byRow {
			f.add(Error, "table "+t.name, p.capture.enable(t.name), "it is captured by statement, and has become part of a hierarchy or of a subscription: writes through another table are missed")
		}
	}
	return f
}

func judgeCapturedGone(p *place) (f findings) {
	for _, t := range p.capture.tables {
		if t.kind == "" {
			f.add(Info, "table "+t.name, fmt.Sprintf("delete from relay.captured where relation = %d;", t.oid), "triggers captured it, and it was dropped")
		}
	}
	return f
}

func judgeCapturedTwice(p *place) (f findings) {
	for _, t := range p.tables {
		if t.captured && len(t.publications) > 0 {
			f.add(Warning, "table "+t.name(), fmt.Sprintf("alter publication %s drop table only %s;\nor: select relay.disable_table(%s);", relay.Ident(t.publications[0]), t.name(), relay.Literal(t.name())),
				fmt.Sprintf("it is captured twice, by triggers and in publication %s: writing costs both, and one of them is for nobody", relay.Ident(t.publications[0])))
		}
	}
	return f
}

// judgeCapturedHere states the limits of capture at the warehouse.
func judgeCapturedHere(p *place) (f findings) {
	for _, t := range p.capture.tables {
		if t.kind == "f" {
			f.add(Warning, "table "+t.name, fmt.Sprintf("let the relay reach the database behind it, then: select relay.disable_table(%s);", relay.Literal(t.name)),
				"a foreign table that is captured here: only writes through this database are seen, none that are made at its source; and a change isn't atomic with the remote write, which may commit without it")
		}
	}
	return f
}

func (t trigger) object() string {
	return fmt.Sprintf("trigger %s on %s", relay.Ident(t.name), t.table)
}

func (t trigger) always() string {
	kind := ""
	if t.foreign {
		kind = "foreign "
	}
	return fmt.Sprintf("alter %stable %s enable always trigger %s;", kind, t.table, relay.Ident(t.name))
}

// enable captures a table as it was captured before.
func (c capture) enable(table string) string {
	options := ""
	if at := slices.IndexFunc(c.tables, func(k captured) bool { return k.name == table }); at >= 0 {
		k := c.tables[at]
		options += array("exclude", k.excluded) + array("key", k.key)
		if k.suppress {
			options += ", suppress_redundant => true"
		}
		if k.level == "row" && k.kind == "r" {
			options += ", level => 'row'"
		}
	}
	return fmt.Sprintf("select relay.enable_table(%s%s);", relay.Literal(table), options)
}

// array is an argument, where it isn't empty.
func array(name string, values []string) string {
	if len(values) == 0 {
		return ""
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = relay.Literal(v)
	}
	return fmt.Sprintf(", %s => array[%s]", name, strings.Join(quoted, ", "))
}

// altered are the functions that aren't as install.sql made them, or are gone.
func (c capture) altered() (names []string) {
	for _, want := range triggers.Functions() {
		if !slices.ContainsFunc(c.functions, want.Equal) {
			names = append(names, want.Name)
		}
	}
	return names
}
