package predicate

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// defaultCollation is the database's: deterministic always, its order unknown here.
const defaultCollation = "default"

// nondeterministic marks such a collation's name.
const nondeterministic = "\x00"

// collationOf is a column's collation; type name's is always C.
func (a *analyzer) collationOf(column int) string {
	c := &a.relation.Columns[column]
	switch {
	case c.Type.OID == oidName:
		return "C"
	case c.Collation == "":
		return defaultCollation
	case c.Nondeterministic:
		return nondeterministic + c.Collation
	}
	return c.Collation
}

// collate derives an expression's collation from its arguments', as assign_collations_walker does.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/parser/parse_collate.c
func (a *analyzer) collate(n *node) {
	var merged collation
	for i, arg := range n.args {
		if n.kind == kindCase && i%2 == 0 && i != len(n.args)-1 || n.kind == kindSubscript && i > 0 {
			continue
		}
		merged = a.merge(merged, arg.coll, arg.pos)
	}
	n.from = merged
	if !a.types.get(n.typ).collatable && n.typ != oidUnknown {
		n.coll = collation{}
		return
	}
	if n.coll = merged; merged.strength == collNone {
		n.coll = collation{collImplicit, defaultCollation}
		if n.typ == oidName {
			n.coll.name = "C"
		}
	}
}

func (a *analyzer) merge(x, y collation, at int) collation {
	switch {
	case x.strength != y.strength:
		if x.strength > y.strength {
			return x
		}
		return y
	case x.name == y.name || x.strength == collNone || x.strength == collConflict:
		return x
	case x.strength == collExplicit:
		a.reject(at, "collation mismatch between explicit collations %q and %q", x.name, y.name)
	case x.name == defaultCollation:
		return y
	case y.name == defaultCollation:
		return x
	}
	return collation{strength: collConflict}
}

func (a *analyzer) collateClause(c *pg.CollateClause) *node {
	arg := a.expr(c.Arg)
	at := pos(c.Location)
	name := c.Collname[len(c.Collname)-1].GetString_().GetSval()
	if len(c.Collname) > 1 && c.Collname[0].GetString_().GetSval() != "pg_catalog" {
		a.refuse(at, "collations of other schemas are not known here", `write collate "C"`)
	}
	if arg.typ != oidUnknown && !a.types.get(arg.typ).collatable {
		a.reject(at, "collations are not supported by type %s", a.types.display(arg.typ))
	}
	out := &node{kind: kindRelabel, typ: arg.typ, typmod: -1, pos: at, args: []*node{arg}, coll: collation{collExplicit, name}}
	if !out.coll.bytewise() {
		a.refuse(at, "the order of collation "+name+" is not known here", `write collate "C"`)
	}
	return out
}

// byCollation are implementations whose result depends on the order or the letters of a collation, beyond equality.
var byCollation = map[string]string{
	"text_lt": "order", "text_le": "order", "text_gt": "order", "text_ge": "order", "text_larger": "order", "text_smaller": "order",
	"bttextcmp": "order", "bpcharlt": "order", "bpcharle": "order", "bpchargt": "order", "bpcharge": "order",
	"lower": "letters", "upper": "letters", "initcap": "letters", "texticlike": "letters", "texticnlike": "letters",
	"bpchariclike": "letters", "bpcharicnlike": "letters", "nameiclike": "letters", "nameicnlike": "letters",
}

// collated refuses what the collation at hand makes inexact.
func (a *analyzer) collated(n *node) {
	if n.from.strength == collConflict {
		// Postgres says so of a row, if it comes that far.
		a.refuse(n.pos, "could not determine which collation to use for this expression", `write collate "C"`)
	}
	if strings.HasPrefix(n.from.name, nondeterministic) {
		a.refuse(n.pos, "a nondeterministic collation takes different strings for equal", `write collate "C"`)
	}
	if a.types.encoding != "" {
		a.encoded(n)
	}
	of := byCollation[n.call.name]
	if of == "" && arrayOrder[n.call.name] && len(n.args) > 0 {
		a.ordered(n.args[0].typ, n.from, n.pos)
	}
	if of == "" || n.from.bytewise() {
		return
	}
	if of == "order" {
		a.refuse(n.pos, "the order of text depends on a linguistic collation that is not evaluated here", `write collate "C" for the order of bytes`)
	}
	a.refuse(n.pos, "upper and lower case depend on a locale that is not evaluated here", `write collate "C" for ASCII letters alone`)
}

// arrayOrder are comparisons of arrays and ranges that order their elements.
var arrayOrder = map[string]bool{"array_lt": true, "array_le": true, "array_gt": true, "array_ge": true, "array_larger": true, "array_smaller": true}

// ordered refuses the order of values of this type under this collation, where it isn't known.
func (a *analyzer) ordered(oid uint32, c collation, at int) {
	oid = a.types.baseOf(oid)
	if e := a.types.get(oid).elem; e != 0 {
		oid = a.types.baseOf(e)
	}
	if a.types.get(oid).collatable {
		a.ordersAs(at)
	}
	if a.types.get(oid).collatable && oid != oidName && !c.bytewise() {
		a.refuse(at, "the order of text depends on a linguistic collation that is not evaluated here", `write collate "C" for the order of bytes`)
	}
}
