package predicate

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

func (a *analyzer) cast(c *pg.TypeCast) *node {
	target, mod := a.typeName(c.TypeName)
	var n *node
	if array := c.Arg.GetAArrayExpr(); array != nil && a.types.get(target).elem != 0 {
		n = a.array(array, a.types.get(target).elem)
	} else {
		n = a.expr(c.Arg)
	}
	at := pos(c.Location)
	if a.types.citext(n.typ) && (target == oidText || target == oidVarchar) {
		n = a.made(&node{kind: kindRelabel, typ: target, pos: n.pos, args: []*node{n}})
	} else {
		a.castable(n, target, explicit)
		n = a.coerce(n, target, explicit)
	}
	if mod >= 0 {
		n = a.length(n, target, mod, at)
	}
	return n
}

func (a *analyzer) castable(n *node, target uint32, context byte) {
	a.plain(n)
	if n.typ != oidUnknown && !a.types.canCoerce([]uint32{n.typ}, []uint32{target}, context) {
		if a.types.newerCast(n.typ, target) {
			a.refuse(n.pos, "Postgres has a cast of "+a.types.display(n.typ)+" to "+a.types.display(target)+" from 18 on", "compare the values without the cast")
		}
		a.reject(n.pos, "cannot cast type %s to %s", a.types.display(n.typ), a.types.display(target))
	}
}

// newerCast tells of the casts between integers and bytea.
func (t *types) newerCast(source, target uint32) bool {
	source, target = t.baseOf(source), t.baseOf(target)
	if s, e := t.elemOf(source), t.elemOf(target); s != 0 && e != 0 {
		source, target = t.baseOf(s), t.baseOf(e)
	}
	integer := func(oid uint32) bool { return oid == oidInt2 || oid == oidInt4 || oid == oidInt8 }
	return source == oidBytea && integer(target) || integer(source) && target == oidBytea
}

// length applies a type modifier, as coerce_type_typmod does.
func (a *analyzer) length(n *node, target uint32, mod int32, at int) *node {
	elem := a.types.get(target).elem
	if elem != 0 {
		inner := &node{kind: kindElement, typ: elem, typmod: -1, pos: at}
		sub := a.length(inner, elem, mod, at)
		return a.made(&node{kind: kindArrayCast, typ: target, pos: at, args: []*node{n}, sub: sub})
	}
	row, ok := a.types.casts[castKey{target, target}]
	if !ok || row.method != 'f' {
		a.refuse(at, "type "+a.types.display(target)+" with a modifier is not supported", "leave the modifier out")
	}
	args := []*node{n, {kind: kindConst, typ: oidInt4, typmod: -1, pos: at, value: datum{i: int64(mod)}}}
	if row.args == 3 {
		args = append(args, &node{kind: kindConst, typ: oidBool, typmod: -1, pos: at, value: datum{i: 1}})
	}
	out := &node{kind: kindCall, typ: target, typmod: mod, pos: at, args: args, call: row.call}
	a.collate(out)
	a.callable(out)
	return out
}

// typeName resolves a type's name and its modifier (-1 without one).
func (a *analyzer) typeName(t *pg.TypeName) (uint32, int32) {
	at := pos(t.Location)
	if t.Setof || t.PctType {
		a.refuse(at, "this type is not supported", "write the type's name alone")
	}
	var parts []string
	for _, n := range t.Names {
		parts = append(parts, n.GetString_().GetSval())
	}
	found := a.findType(parts)
	if found == nil {
		a.noType(at, parts)
	}
	if found.kind == 'p' {
		a.refuse(at, "type "+found.display+" is not a type of values", "write one of Postgres' own types")
	}
	oid, mod := found.oid, a.modifier(found, t.Typmods, at)
	if len(t.ArrayBounds) > 0 {
		if oid = a.types.arrayOf(oid); oid == 0 {
			a.reject(at, "type %s has no array type", found.display)
		}
	}
	return oid, mod
}

func (a *analyzer) noType(at int, parts []string) {
	name := strings.Join(parts, ".")
	hint := "write one of Postgres' own types, or schema.type of a column of " + a.relation.Name
	if len(parts) == 1 {
		// The source may know it; it isn't on the search path that predicates are read under.
		for known := range a.types.named {
			if strings.HasSuffix(known, "."+name) {
				hint = "write " + known
			}
		}
		panic(stop{&Error{Position: at, Reason: "type \"" + name + "\" does not exist", Hint: hint}})
	}
	panic(stop{&Error{Position: at, Reason: "type " + name + " is not known here", Hint: hint, Refused: true}})
}

func (a *analyzer) findType(parts []string) *typ {
	switch {
	case len(parts) == 1:
		if t := a.types.typeNames[parts[0]]; t != nil {
			return t
		}
		return nil
	case len(parts) == 2 && parts[0] == "pg_catalog":
		return a.types.typeNames[parts[1]]
	case len(parts) == 2:
		return a.types.named[identName(parts)]
	}
	return nil
}

func (a *analyzer) modifier(t *typ, raw []*pg.Node, at int) int32 {
	if len(raw) == 0 {
		return -1
	}
	var mods []int32
	for _, r := range raw {
		c := r.GetAConst()
		if c == nil || c.GetIval() == nil && c.Isnull {
			a.refuse(at, "type modifiers must be simple constants", "write whole numbers")
		}
		mods = append(mods, c.GetIval().GetIval())
	}
	switch t.oid {
	case oidNumeric:
		return a.numericModifier(mods, at)
	case oidVarchar, oidBpchar:
		if len(mods) == 1 && mods[0] >= 1 && mods[0] <= 10485760 {
			return mods[0] + 4
		}
		a.reject(at, "length for type %s must be between 1 and 10485760", t.display)
	case oidTimestamp, oidTimestamptz, oidTime:
		if len(mods) == 1 && mods[0] >= 0 && mods[0] <= 6 {
			return mods[0]
		}
		a.refuse(at, "this precision is not supported", "write one from 0 to 6")
	}
	a.refuse(at, "type "+t.display+" with a modifier is not supported", "leave the modifier out")
	return -1
}

func (a *analyzer) numericModifier(mods []int32, at int) int32 {
	precision, scale := mods[0], int32(0)
	if len(mods) == 2 {
		scale = mods[1]
	}
	if len(mods) > 2 || precision < 1 || precision > 1000 || scale < -1000 || scale > 1000 {
		a.reject(at, "invalid NUMERIC type modifier")
	}
	return (precision<<16 | scale&0x7ff) + 4
}
