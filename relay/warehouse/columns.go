package warehouse

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// columns takes the foreign table's columns, or all of a local table's, and leaves out what the stream can't carry.
func (b *builder) columns() *Skip {
	for _, f := range b.shown() {
		a := b.catalog.attribute(b.class.oid, f.Remote)
		if a == nil {
			return b.skip(fmt.Sprintf("alter foreign table %s drop column %s;", relay.Ident(b.table.Schema, b.table.Table), relay.Ident(f.Name)),
				"drifted: %s has no column %s at source %s", b.class.name(), relay.Ident(f.Remote), b.source.Name)
		}
		if !sameType(f, a) {
			return b.skip(fmt.Sprintf("alter foreign table %s alter column %s type %s;", relay.Ident(b.table.Schema, b.table.Table), relay.Ident(f.Name), a.typeName),
				"drifted: column %s is %s in the warehouse and %s at source %s", relay.Ident(f.Name), f.Type, a.typeName, b.source.Name)
		}
		if b.absent(a) {
			b.noteAbsent(f.Name, a)
			continue
		}
		if !whole(b.catalog.types[a.typ]) {
			return b.skip("", "the type of column %s is being changed", relay.Ident(f.Name))
		}
		c := relay.Column{Name: f.Name, Source: f.Remote, TypeName: a.typeName, Type: b.catalog.types[a.typ], NotNull: a.notNull, Number: a.number,
			Collation: a.collation, Nondeterministic: a.nondeterministic}
		c.Fill, c.Filled = b.fill(f.Remote)
		b.relation.Columns = append(b.relation.Columns, c)
	}
	for _, a := range b.catalog.attributes[b.class.oid] {
		b.relation.Highest = max(b.relation.Highest, a.number)
	}
	if len(b.relation.Columns) == 0 {
		return b.skip("", "it has no columns that the stream carries")
	}
	return nil
}

// shown are the columns that the warehouse shows.
func (b *builder) shown() []ForeignColumn {
	if b.table.Server != "" {
		return b.table.Columns
	}
	var all []ForeignColumn
	for _, a := range b.catalog.attributes[b.class.oid] {
		all = append(all, ForeignColumn{Name: a.name, Remote: a.name, Type: a.typeName})
	}
	return all
}

// sameType is as the package comment says.
func sameType(f ForeignColumn, a *attribute) bool {
	switch {
	case f.Type == a.typeName:
		return true
	case f.Type == f.bare && f.bare == a.bare: // no modifier
		return true
	case !f.system && !a.system && f.name == a.typname:
		return true
	}
	return f.Type == "text" && (a.category == "S" || a.category == "E")
}

// unpublished tells of a generated column that isn't in the stream.
// https://www.postgresql.org/docs/current/logical-replication-gencols.html
func (k *catalog) unpublished(a *attribute) bool {
	return a.generated == "v" || a.generated == "s" && !k.publishes
}

func (b *builder) noteAbsent(name string, a *attribute) {
	remedy := ""
	switch {
	case b.source.trigger && a.generated != "v":
		b.note("", "column %s is excluded from capture, so it isn't published", relay.Ident(name))
		return
	case a.generated == "v":
	case b.catalog.version >= version18:
		remedy = fmt.Sprintf("alter publication %s set (publish_generated_columns = stored);", relay.Ident(b.source.publication))
	default:
		remedy = "capture the table by triggers, or upgrade to Postgres 18"
	}
	kind := map[string]string{"v": "virtual", "s": "stored"}[a.generated]
	b.note(remedy, "column %s is generated (%s) and not in the stream, so it isn't published", relay.Ident(name), kind)
}

// fill is the one value that rows older than the column have, in every leaf.
func (b *builder) fill(column string) (*string, bool) {
	var value *string
	for i, leaf := range b.leaves {
		a := b.catalog.attribute(leaf.oid, column)
		if a == nil || !a.hasMiss && (a.defaults || a.notNull) {
			return nil, false
		}
		if i > 0 && !equal(value, a.missing) {
			return nil, false
		}
		value = a.missing
	}
	return value, len(b.leaves) > 0
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// leaf is the leaf's replica identity as the server will use it.
func (b *builder) leaf(c *class) relay.Leaf {
	if b.source.trigger {
		return b.whole(c)
	}
	l := relay.Leaf{OID: c.oid, Schema: c.schema, Table: c.table, Identity: c.identity, NoFull: b.catalog.fullFails(c.oid) != ""}
	if c.identity == relay.IdentityFull {
		l.Full = true
		for _, a := range b.catalog.attributes[c.oid] {
			if !b.catalog.unpublished(&a) {
				l.Key = append(l.Key, a.name)
			}
		}
		return l
	}
	for _, i := range b.catalog.indexes[c.oid] {
		isIdentity := c.identity == relay.IdentityDefault && i.primary || c.identity == relay.IdentityIndex && i.identity
		if isIdentity && !i.deferrable && !b.catalog.generatedIn(c.oid, i.columns) {
			l.Key = i.columns
		}
	}
	return l
}

// generatedIn tells whether one of the columns is generated and unpublished: such a key isn't in the stream, and on 18
// the application's UPDATE and DELETE fail.
func (k *catalog) generatedIn(table uint32, columns []string) bool {
	return slices.ContainsFunc(columns, func(name string) bool {
		a := k.attribute(table, name)
		return a != nil && k.unpublished(a)
	})
}

// fullFails names the generated columns with which replica identity FULL would make the application's writes fail.
func (k *catalog) fullFails(table uint32) string {
	if k.version < version18 {
		return ""
	}
	var names []string
	for _, a := range k.attributes[table] {
		if k.unpublished(&a) {
			names = append(names, relay.Ident(a.name))
		}
	}
	return strings.Join(names, ", ")
}
