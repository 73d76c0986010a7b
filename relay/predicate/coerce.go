package predicate

import "strings"

// The contexts in which a cast may be used, pg_cast.castcontext.
const (
	implicit   = 'i'
	assignment = 'a'
	explicit   = 'e'
)

type path uint8

const (
	pathNone path = iota
	pathRelabel
	pathFunction
	pathViaIO
	pathArray
)

// pathway finds how a type becomes another, as find_coercion_pathway does.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/parser/parse_coerce.c
func (t *types) pathway(target, source uint32, context byte) (path, castRow) {
	source, target = t.baseOf(source), t.baseOf(target)
	if source == target {
		return pathRelabel, castRow{}
	}
	if row, ok := t.casts[castKey{source, target}]; ok {
		if !allowed(row.context, context) {
			return pathNone, castRow{}
		}
		switch row.method {
		case 'f':
			return pathFunction, row
		case 'i':
			return pathViaIO, castRow{}
		}
		return pathRelabel, castRow{}
	}
	if te, se := t.get(target).elem, t.get(source).elem; te != 0 && se != 0 && target != oidOIDVector && target != oidInt2Vector {
		if p, row := t.pathway(te, se, context); p != pathNone {
			return pathArray, row
		}
	}
	if context != implicit && t.category(target) == 'S' {
		return pathViaIO, castRow{}
	}
	if context == explicit && t.category(source) == 'S' {
		return pathViaIO, castRow{}
	}
	return pathNone, castRow{}
}

func allowed(cast, context byte) bool {
	switch cast {
	case implicit:
		return true
	case assignment:
		return context != implicit
	}
	return context == explicit
}

// canCoerce tells whether arguments of these types fit the declared ones.
func (t *types) canCoerce(actual, declared []uint32, context byte) bool {
	generic := false
	for i, a := range actual {
		d := declared[i]
		switch {
		case a == d, d == oidAny:
		case polymorphic(d):
			generic = true
		case a == oidUnknown:
		default:
			if p, _ := t.pathway(d, a, context); p == pathNone {
				return false
			}
		}
	}
	if generic {
		_, _, ok := t.polymorph(actual, declared, 0)
		return ok
	}
	return true
}

// coerce converts an expression, as coerce_type does; it must be possible.
func (a *analyzer) coerce(n *node, target uint32, context byte) *node {
	if n.typ == target || target == oidAny || polymorphic(target) {
		return n
	}
	if n.typ == oidUnknown {
		return a.coerceUnknown(n, target)
	}
	p, row := a.types.pathway(target, n.typ, context)
	if p == pathNone {
		a.reject(n.pos, "cannot cast type %s to %s", a.types.display(n.typ), a.types.display(target))
	}
	if a.types.get(target).base != 0 && !a.relabels(n.typ, target) {
		a.refuse(n.pos, "cast to a domain checks the domain's constraints, which are not known here", "cast to "+a.types.display(a.types.baseOf(target)))
	}
	a.plain(n)
	return a.convert(n, target, p, row, context)
}

// relabels tells that the source is the target's domain or a domain over it.
func (a *analyzer) relabels(source, target uint32) bool {
	for range 64 {
		if source == target {
			return true
		}
		if source = a.types.get(source).base; source == 0 {
			return false
		}
	}
	return false
}

// plain refuses an expression of a type whose casts and operators aren't known here.
func (a *analyzer) plain(n *node) {
	t := a.types.get(n.typ)
	if t.kind == 'm' {
		a.refuse(n.pos, "multiranges are not supported", "compare a column of type range, or keep the ranges' ends in columns of their own")
	}
	if t.opaque && a.types.citext(n.typ) {
		a.refuse(n.pos, "the comparisons of citext depend on a locale that is not evaluated here", `cast it to text: email::text = …, or lower(email::text collate "C") = …`)
	}
	if t.opaque {
		a.refuse(n.pos, "the casts and operators of type "+t.display+" are not known here", "compare a column of one of Postgres' own types")
	}
}

func (a *analyzer) convert(n *node, target uint32, p path, row castRow, context byte) *node {
	out := &node{typ: target, typmod: -1, pos: n.pos, args: []*node{n}}
	if call, ok := a.toOID(a.types.baseOf(n.typ), a.types.baseOf(target), n.pos); ok {
		p, row = pathFunction, castRow{args: 1, call: call}
	}
	switch p {
	case pathRelabel:
		out.kind = kindRelabel
	case pathFunction:
		out.kind, out.call = kindCall, row.call
		for len(out.args) < row.args {
			extra := int64(-1)
			kindOf := uint32(oidInt4)
			if len(out.args) == 2 {
				kindOf, extra = oidBool, 0
				if context == explicit {
					extra = 1
				}
			}
			out.args = append(out.args, &node{kind: kindConst, typ: kindOf, typmod: -1, pos: n.pos, value: datum{i: extra}})
		}
	case pathViaIO:
		out.kind = kindViaIO
	case pathArray:
		out.kind = kindArrayCast
		element := &node{kind: kindElement, typ: a.types.elemOf(n.typ), typmod: -1, pos: n.pos}
		out.sub = a.coerce(element, a.types.elemOf(target), context)
	}
	a.collate(out)
	return out
}

// toOID is the conversion between a signed integer and an oid, which share 32 bits. The aliases of oid stand for names of
// the source's catalog, which isn't known here.
func (a *analyzer) toOID(source, target uint32, at int) (callee, bool) {
	if source == target {
		return callee{}, false
	}
	alias := func(oid uint32) bool {
		t := a.types.get(oid)
		return oid != oidOID && t.category == 'N' && strings.HasPrefix(t.name, "reg")
	}
	if alias(source) || alias(target) {
		a.refuse(at, "types that stand for objects of the catalog are not supported", "compare the oid or the name, kept in a column of that type")
	}
	switch {
	case target == oidOID && (source == oidInt4 || source == oidInt2):
		return callee{name: "int4 as oid", volatility: 'i', strict: true}, true
	case source == oidOID && target == oidInt4:
		return callee{name: "oid as int4", volatility: 'i', strict: true}, true
	}
	return callee{}, false
}

// coerceUnknown gives an untyped literal or parameter its type.
func (a *analyzer) coerceUnknown(n *node, target uint32) *node {
	if n.kind == kindRelabel {
		// COLLATE of an untyped literal or parameter: the type goes below it.
		inner := a.coerceUnknown(n.args[0], target)
		if !a.types.get(inner.typ).collatable {
			return inner
		}
		return &node{kind: kindRelabel, typ: inner.typ, typmod: -1, pos: n.pos, args: []*node{inner}, coll: n.coll}
	}
	if n.kind == kindParam {
		if a.types.get(target).kind == 'd' {
			target = a.types.baseOf(target)
		}
		return a.typeParam(n, target)
	}
	t := a.types.get(target)
	if t.base != 0 {
		a.refuse(n.pos, "a literal of a domain is checked by its constraints, which are not known here", "cast it to "+a.types.display(a.types.baseOf(target)))
	}
	if t.opaque && !n.value.null {
		a.refuse(n.pos, "the literals of type "+t.display+" are not known here", "compare a column of one of Postgres' own types")
	}
	out := &node{kind: kindConst, typ: target, typmod: -1, pos: n.pos, value: n.value}
	if !n.value.null {
		out.value = a.literal(n, target)
	}
	a.collate(out)
	return out
}

// literal reads a literal's text with the type's input function.
func (a *analyzer) literal(n *node, target uint32) datum {
	read := a.types.input(target)
	if read == nil {
		a.refuse(n.pos, "literals of type "+a.types.display(target)+" are not supported", a.types.wayOfType(target))
	}
	value, fault := read(n.value.s)
	if fault != nil {
		a.fault(n.pos, fault, hintForm)
	}
	if a.types.baseOf(target) == oidNumeric && len(value.s) > maxLiteral {
		a.refuse(n.pos, "a number of this many digits makes each row costly", hintDigits)
	}
	return value
}

// maxLiteral is how many characters a numeric literal may print as.
const maxLiteral = 2000

// commonType chooses the type of CASE, COALESCE, IN, ARRAY, as select_common_type does; 0 where there is none.
// https://www.postgresql.org/docs/current/typeconv-union-case.html
func (t *types) commonType(all []uint32) uint32 {
	chosen := all[0]
	same := chosen != oidUnknown
	for _, next := range all[1:] {
		same = same && next == chosen
	}
	if same {
		return chosen
	}
	chosen = t.baseOf(chosen)
	for _, next := range all[1:] {
		next = t.baseOf(next)
		switch {
		case next == oidUnknown || next == chosen:
		case chosen == oidUnknown:
			chosen = next
		case t.category(next) != t.category(chosen):
			return 0
		case !t.get(chosen).preferred && t.coercible(chosen, next) && !t.coercible(next, chosen):
			chosen = next
		}
	}
	if chosen == oidUnknown {
		return oidText
	}
	return chosen
}

func (t *types) coercible(from, to uint32) bool {
	return t.canCoerce([]uint32{from}, []uint32{to}, implicit)
}

// unify coerces expressions to their common type.
func (a *analyzer) unify(what string, pos int, all []*node) uint32 {
	oids := typesOf(all)
	common := a.types.commonType(oids)
	if common == 0 {
		a.reject(pos, "%s types %s cannot be matched", what, a.types.names(oids))
	}
	for i, n := range all {
		if n.typ != common && n.typ != oidUnknown && !a.types.coercible(n.typ, common) {
			a.reject(n.pos, "%s could not convert type %s to %s", what, a.types.display(n.typ), a.types.display(common))
		}
		all[i] = a.coerce(n, common, implicit)
	}
	return common
}

func typesOf(all []*node) []uint32 {
	oids := make([]uint32, len(all))
	for i, n := range all {
		oids[i] = n.typ
	}
	return oids
}
