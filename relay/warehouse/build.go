package warehouse

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// builder makes one relation of what the catalog says, or says why it can't.
type builder struct {
	source  *Source
	catalog *catalog
	table   ForeignTable
	class   *class
	leaves  []*class
	notes   []Skip

	relation *relay.Relation
}

func (b *builder) skip(remedy, reason string, args ...any) *Skip {
	return &Skip{Name: b.table.Name, Reason: fmt.Sprintf(reason, args...), Remedy: remedy}
}

func (b *builder) note(remedy, reason string, args ...any) {
	b.notes = append(b.notes, *b.skip(remedy, reason, args...))
}

func (b *builder) build() (*relay.Relation, *Skip) {
	if refused := b.usable(); refused != nil {
		return nil, refused
	}
	if refused := b.findLeaves(); refused != nil {
		return nil, refused
	}
	b.relation = &relay.Relation{
		Name: b.table.Name, Server: b.source.Name, Capture: b.capture(),
		Schema: b.class.schema, Table: b.class.table, OID: b.class.oid, Partitioned: b.class.kind == "p", Encoding: b.catalog.encoding,
		InsertOnly: b.source.insertOnly[b.table.Name],
	}
	if b.source.trigger {
		b.relation.InsertOnly, b.relation.Stamp = false, b.catalog.captured[b.class.oid].stamp
	}
	if refused := b.columns(); refused != nil {
		return nil, refused
	}
	for _, leaf := range b.leaves {
		b.relation.Leaves = append(b.relation.Leaves, b.leaf(leaf))
	}
	if !b.relation.InsertOnly {
		if refused := b.key(); refused != nil {
			return nil, refused
		}
	}
	b.relation.Fingerprint = b.fingerprint()
	return b.relation, nil
}

func (b *builder) capture() relay.Capture {
	switch {
	case !b.source.trigger:
		return relay.CaptureLogical
	case b.class.kind == "f":
		return relay.CaptureWarehouse
	}
	return relay.CaptureTrigger
}

// kinds of relations at a source that have no stream of their own.
var kinds = map[string]string{
	"v": "a view", "m": "a materialized view", "S": "a sequence", "c": "a composite type",
	"f": "a foreign table there as well; the relay follows one step",
}

// usable says what keeps the table as such from being published: what it is, and what the role may do with it.
func (b *builder) usable() *Skip {
	c, t := b.class, b.table
	remote := relay.Ident(t.RemoteSchema, t.RemoteTable)
	switch {
	case c == nil && t.Server == "":
		return b.skip("", "it was dropped meanwhile")
	case c == nil:
		return b.skip(fmt.Sprintf("drop foreign table %[1]s;\nor alter foreign table %[1]s options (set schema_name '…', set table_name '…');",
			relay.Ident(t.Schema, t.Table)), "source %s has no table %s", b.source.Name, remote)
	}
	role := relay.Ident(b.catalog.role)
	switch {
	case b.source.trigger && b.catalog.captured[c.oid].problem != "":
		return b.skip(b.catalog.captured[c.oid].remedy, "its changes can't be seen: %s", b.catalog.captured[c.oid].problem)
	case c.system:
		return b.skip("", "%s belongs to the server", remote)
	case c.kind == "f" && b.source.trigger && len(b.catalog.captured[c.oid].key) == 0:
		return b.skip(fmt.Sprintf("select relay.enable_table(%s, key => '{…}');   -- the columns that tell its rows apart", relay.Literal(remote)),
			"%s is a foreign table, of which the server knows no key", remote)
	case kinds[c.kind] != "" && !(c.kind == "f" && b.source.trigger):
		return b.skip("let a foreign table lead to the table that holds the rows", "%s is %s", remote, kinds[c.kind])
	case c.persistence == "u":
		return b.skip(fmt.Sprintf("alter table %s set logged;", remote), "%s is unlogged: its changes aren't in the WAL", remote)
	case c.persistence == "t":
		return b.skip("", "%s is temporary", remote)
	case !c.usage || !c.selects:
		var grants []string
		if !c.usage {
			grants = append(grants, fmt.Sprintf("grant usage on schema %s to %s;", relay.Ident(c.schema), role))
		}
		if !c.selects {
			grants = append(grants, fmt.Sprintf("grant select on table %s to %s;", remote, role))
		}
		return b.skip(strings.Join(grants, "\n"), "role %q may not read %s", b.catalog.role, remote)
	case c.rowSecurity:
		return b.skip(fmt.Sprintf("alter role %s bypassrls;\nrules decide what clients see, so the relay has to see every row", role),
			"row security on %s would hide rows from role %q, and the stream knows none", remote, b.catalog.role)
	}
	return nil
}

func (b *builder) findLeaves() *Skip {
	if b.class.kind == "f" {
		b.note("", "captured in the warehouse: writes made directly in the remote database go unseen, and a change isn't atomic with the remote write")
	}
	if b.class.kind != "p" {
		b.leaves = []*class{b.class}
		if b.class.inherited {
			b.note("", "rows of tables that inherit from it are theirs: each is published under its own name")
		}
		return nil
	}
	for _, oid := range b.catalog.leaves[b.class.oid] {
		leaf := b.catalog.classes[oid]
		switch {
		case leaf.kind == "f":
			return b.skip("make foreign tables in the warehouse that lead to its partitions one by one",
				"its partition %s is a foreign table, whose changes are not in this database", leaf.name())
		case leaf.persistence == "u":
			return b.skip(fmt.Sprintf("alter table %s set logged;", leaf.name()), "its partition %s is unlogged: its changes aren't in the WAL", leaf.name())
		}
		b.leaves = append(b.leaves, leaf)
	}
	return nil
}

// fingerprint has a line for what isn't a column's and then one for each column. A partition's columns have the root's
// collations: Postgres lets nobody attach one that differs, nor alter them apart (MergeAttributesIntoExisting).
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/commands/tablecmds.c
func (b *builder) fingerprint() string {
	r := b.relation
	head := []string{r.Stamp, r.Name, r.Server, r.Schema, r.Table, r.Encoding, fmt.Sprint(r.OID, r.Partitioned, r.Bag, r.InsertOnly, r.Capture), strings.Join(quoteAll(r.KeyNames()), ",")}
	for _, l := range r.Leaves {
		key := ""
		if !l.Full {
			key = strings.Join(quoteAll(l.Key), ",")
		}
		head = append(head, fmt.Sprint(l.OID), l.Schema, l.Table, string(l.Identity), key, fmt.Sprint(l.NoFull))
	}
	lines := []string{digest(head...)}
	for i := range r.Columns {
		c := &r.Columns[i]
		stamp := []string{c.Source, c.TypeName, b.catalog.typeStamps[c.Type.OID], c.Collation, fmt.Sprint(c.Nondeterministic)}
		for _, owner := range append([]*class{b.class}, b.leaves...) {
			if a := b.catalog.attribute(owner.oid, c.Source); a != nil {
				stamp = append(stamp, a.stamp)
			}
		}
		c.Stamp = digest(stamp...)
		lines = append(lines, fmt.Sprintf("%q %s", c.Name, c.Stamp))
	}
	return strings.Join(lines, "\n")
}

func (k *catalog) attribute(table uint32, name string) *attribute {
	list := k.attributes[table]
	if i := slices.IndexFunc(list, func(a attribute) bool { return a.name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}
