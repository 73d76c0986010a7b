package warehouse

import (
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// key finds the relation's key as the protocol defines it ("A change"), or says why it has none.
func (b *builder) key() *Skip {
	for _, l := range b.leaves {
		if b.source.trigger {
			break
		}
		if names := b.catalog.fullFails(l.oid); names != "" && l.identity == relay.IdentityFull {
			return b.skip(b.insteadOfFull(l), "replica identity FULL of %s beside generated columns that aren't published (%s): once published, "+
				"the application's UPDATE and DELETE would fail", l.name(), names)
		}
	}
	if b.relation.Partitioned {
		return b.rootKey()
	}
	leaf := b.relation.Leaves[0]
	if b.source.trigger {
		if columns := b.identifying(); columns != nil && b.take(columns) {
			return nil
		}
	}
	if leaf.Full {
		if columns := b.primary(b.class.oid); columns == nil || !b.take(columns) {
			b.relation.Bag = true
		}
		return nil
	}
	if leaf.Key == nil {
		return b.keyless(b.leaves)
	}
	return b.takeOrRefuse(leaf.Key)
}

// identifying is what the table was told to identify rows by; nil without one.
func (b *builder) identifying() []string {
	if b.class.kind == "f" {
		return b.catalog.captured[b.class.oid].key
	}
	for _, i := range b.catalog.indexes[b.class.oid] {
		if b.class.identity == relay.IdentityIndex && i.identity && !i.deferrable {
			return i.columns
		}
	}
	return nil
}

// rootKey: the root's primary key, or a unique index of the root that is its leaves' identity, where every leaf's old
// tuple holds it; a bag where the root has neither and every leaf is FULL.
func (b *builder) rootKey() *Skip {
	primary := b.primary(b.class.oid)
	if primary != nil && b.heldByAll(primary) {
		return b.takeOrRefuse(primary)
	}
	for _, i := range b.catalog.indexes[b.class.oid] {
		if !i.primary && !i.deferrable && i.notNull && b.heldByAll(i.columns) && b.isIdentity(i) {
			return b.takeOrRefuse(i.columns)
		}
	}
	if primary != nil {
		without := b.leavesWhere(func(l relay.Leaf) bool { return !holds(l, primary) })
		var alter []string
		for _, l := range without {
			alter = append(alter, fmt.Sprintf("alter table %s replica identity default;", l.name()))
		}
		return b.skip(strings.Join(alter, "\n"), "the replica identity of %s doesn't hold the primary key of %s", names(without), b.class.name())
	}
	without := b.leavesWhere(func(l relay.Leaf) bool { return !l.Full })
	if len(b.leaves) == 0 && b.class.identity != relay.IdentityFull {
		without = []*class{b.class}
	}
	if len(without) > 0 {
		return b.keyless(without)
	}
	b.relation.Bag = true
	return nil
}

// isIdentity tells whether the root's index is what at least one leaf identifies rows by (a root without leaves: itself).
func (b *builder) isIdentity(i index) bool {
	if len(b.leaves) == 0 {
		return b.class.identity == relay.IdentityIndex && i.identity
	}
	return slices.ContainsFunc(b.relation.Leaves, func(l relay.Leaf) bool { return !l.Full && len(l.Key) == len(i.columns) })
}

func (b *builder) heldByAll(columns []string) bool {
	return !slices.ContainsFunc(b.relation.Leaves, func(l relay.Leaf) bool { return !holds(l, columns) })
}

func holds(l relay.Leaf, columns []string) bool {
	return !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(l.Key, c) })
}

func (b *builder) leavesWhere(is func(relay.Leaf) bool) []*class {
	var some []*class
	for i, l := range b.relation.Leaves {
		if is(l) {
			some = append(some, b.leaves[i])
		}
	}
	return some
}

// primary is the columns of a primary key that isn't deferrable and whose values are in the stream.
func (b *builder) primary(table uint32) []string {
	for _, i := range b.catalog.indexes[table] {
		if i.primary && !i.deferrable && !b.catalog.generatedIn(table, i.columns) {
			return i.columns
		}
	}
	return nil
}

// take makes the columns the relation's key, if it has them all.
func (b *builder) take(columns []string) bool {
	var key []int
	for _, name := range columns {
		i := slices.IndexFunc(b.relation.Columns, func(c relay.Column) bool { return c.Source == name })
		if i < 0 {
			return false
		}
		key = append(key, i)
	}
	b.relation.Key = key
	return true
}

func (b *builder) takeOrRefuse(columns []string) *Skip {
	if b.take(columns) {
		return nil
	}
	var adds []string
	for _, name := range columns {
		if !slices.ContainsFunc(b.relation.Columns, func(c relay.Column) bool { return c.Source == name }) {
			a := b.catalog.attribute(b.class.oid, name)
			adds = append(adds, fmt.Sprintf("alter foreign table %s add column %s %s;", relay.Ident(b.table.Schema, b.table.Table), relay.Ident(name), a.typeName))
		}
	}
	return b.skip(strings.Join(adds, "\n"), "the foreign table leaves out columns of the key (%s), without which updates and deletes can't be told apart",
		strings.Join(columns, ", "))
}

// keyless refuses a relation some of whose tables have no replica identity, with every way out.
func (b *builder) keyless(tables []*class) *Skip {
	var alter, full []string
	fullWorks := true
	for _, t := range tables {
		if b.catalog.fullFails(t.oid) != "" {
			fullWorks = false
		}
		full = append(full, fmt.Sprintf("alter table %s replica identity full;", t.name()))
		if better := b.identityIndex(t); better != "" && !b.relation.Partitioned {
			alter = append(alter, better)
		}
	}
	ways := [][]string{alter}
	if fullWorks {
		ways = append(ways, full)
	}
	ways = append(ways, []string{"insert_only: [" + yaml(b.table.Name) + "]   # in pgrelay.yaml: inserts and TRUNCATE alone; updates and deletes go unseen"})
	var remedy []string
	for _, way := range ways {
		if len(way) > 0 {
			remedy = append(remedy, strings.Join(way, "\n"))
		}
	}
	return b.skip(strings.Join(remedy, "\nor\n"), "%s: no replica identity%s; once published, the application's UPDATE and DELETE would fail",
		names(tables), b.whyNone(tables[0]))
}

func (b *builder) whyNone(t *class) string {
	for _, i := range b.catalog.indexes[t.oid] {
		if !i.primary {
			continue
		}
		switch {
		case i.deferrable:
			return " (its primary key is deferrable, which is none)"
		case b.catalog.generatedIn(t.oid, i.columns):
			return " (its primary key is a generated column that isn't in the stream)"
		}
	}
	if t.identity == relay.IdentityNothing {
		return " (it is set to NOTHING)"
	}
	return ""
}

// identityIndex is the statement that makes an index that is there the replica identity, or "".
func (b *builder) identityIndex(t *class) string {
	best := ""
	for _, i := range b.catalog.indexes[t.oid] {
		if i.deferrable || !i.notNull || b.catalog.generatedIn(t.oid, i.columns) {
			continue
		}
		if i.primary {
			return fmt.Sprintf("alter table %s replica identity default;", t.name())
		}
		if best == "" {
			best = fmt.Sprintf("alter table %s replica identity using index %s;", t.name(), relay.Ident(i.name))
		}
	}
	return best
}

func (b *builder) insteadOfFull(t *class) string {
	if better := b.identityIndex(t); better != "" {
		return better
	}
	return "insert_only: [" + yaml(b.table.Name) + "]   # in pgrelay.yaml"
}

// yaml is a string in YAML's double quotes, which take JSON's escapes.
func yaml(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

func names(tables []*class) string {
	list := make([]string, len(tables))
	for i, t := range tables {
		list[i] = t.name()
	}
	return strings.Join(list, ", ")
}
