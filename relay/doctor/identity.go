package doctor

import (
	"fmt"
	"strings"

	"pgrelay/relay"
)

func judgeIdentity(p *place) (f findings) {
	for _, t := range p.judged() {
		if t.keyed || t.identity == relay.IdentityFull || t.deferrable != "" {
			continue
		}
		ways := p.identities(t)
		for _, name := range t.names {
			ways = append(ways, fmt.Sprintf("insert_only: [%q]   # in pgrelay.yaml: inserts and TRUNCATE alone", name))
		}
		severity, consequence := t.consequence(p)
		f.add(severity, "table "+t.name(), strings.Join(append(ways, p.trigger(t)), "\nor\n"), "no replica identity: "+consequence)
	}
	return f
}

// identities are the statements that give a table one: by an index that is there, else FULL where that breaks nothing.
func (p *place) identities(t table) []string {
	switch {
	case t.candidate != "":
		return []string{fmt.Sprintf("alter table %s replica identity using index %s;", t.name(), relay.Ident(t.candidate))}
	case len(t.generated) > 0 && p.server.version >= version18:
		return nil
	}
	return []string{fmt.Sprintf("alter table %s replica identity full;", t.name())}
}

// trigger is how a table is captured by triggers instead.
func (p *place) trigger(t table) string {
	root := t
	for _, o := range p.tables {
		if o.oid == t.root {
			root = o
		}
	}
	return fmt.Sprintf("psql -v table=%s -f triggers/enable_table.sql   # after triggers/install.sql", shell(root.name()))
}

// shell quotes a word for a shell where it has to be.
func shell(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

func judgeDeferrable(p *place) (f findings) {
	for _, t := range p.tables {
		if t.deferrable == "" || t.kind != "r" || len(t.names) == 0 {
			continue
		}
		severity, consequence := t.consequence(p)
		if t.captured {
			severity, consequence = Error, "changes that triggers capture can't be put into an order that keeps it unique"
		}
		constraint := relay.Ident(t.deferrable)
		ways := append(p.identities(t), fmt.Sprintf("alter table %[1]s drop constraint %[2]s, add constraint %[2]s %[3]s;   -- builds the index anew, and nobody reads or writes meanwhile",
			t.name(), constraint, t.definition))
		f.add(severity, "table "+t.name(), strings.Join(ways, "\nor\n"),
			fmt.Sprintf("its key %s is deferrable, which is no replica identity: %s", constraint, consequence))
	}
	return f
}

// version18 is where FULL beside generated columns that aren't published began to break the application's writes.
const version18 = 180000

func judgeGenerated(p *place) (f findings) {
	for _, t := range p.judged() {
		if t.identity != relay.IdentityFull || len(t.generated) == 0 {
			continue
		}
		better := fmt.Sprintf("alter table %s replica identity default;", t.name())
		if t.candidate == "" {
			better = p.trigger(t)
		}
		object, columns := "table "+t.name(), listed(t.generated)
		switch {
		case p.server.version < version18:
			f.add(Info, object, better, fmt.Sprintf("replica identity FULL beside generated columns (%s): from Postgres 18 on the application's UPDATE and DELETE will fail", columns))
		case t.breaks(p):
			f.add(Error, object, better, fmt.Sprintf("replica identity FULL beside generated columns that aren't published (%s): the application's UPDATE and DELETE fail now", columns))
		default:
			f.add(p.unserved(t.names), object, better, fmt.Sprintf("replica identity FULL beside generated columns that aren't published (%s): it isn't published, else the application's UPDATE and DELETE would fail", columns))
		}
	}
	return f
}
