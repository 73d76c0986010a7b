package predicate

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// operation analyses what the grammar calls A_Expr.
func (a *analyzer) operation(e *pg.A_Expr) *node {
	at := pos(e.Location)
	switch e.Kind {
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE:
		name := a.operatorName(e)
		if e.Lexpr == nil {
			return a.prefix(name, a.expr(e.Rexpr), at)
		}
		if left, right := e.Lexpr.GetRowExpr(), e.Rexpr.GetRowExpr(); left != nil && right != nil {
			return a.rows(name, a.all(left.Args), a.all(right.Args), at)
		}
		left := a.expr(e.Lexpr)
		return a.binary(name, left, a.expr(e.Rexpr), at)
	case pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL:
		left := a.expr(e.Lexpr)
		return a.anyAll(a.operatorName(e), e.Kind == pg.A_Expr_Kind_AEXPR_OP_ANY, left, a.expr(e.Rexpr), at)
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return a.distinct(e, at)
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		left := a.expr(e.Lexpr)
		n := a.binary("=", left, a.expr(e.Rexpr), at)
		return a.made(&node{kind: kindNullIf, typ: n.args[0].typ, pos: at, args: n.args, call: n.call, from: n.from})
	case pg.A_Expr_Kind_AEXPR_IN:
		return a.in(e, at)
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return a.between(e, at)
	}
	a.refuse(at, "SIMILAR TO is a regular expression, and those are not evaluated exactly as Postgres does", "use LIKE")
	return nil
}

func (a *analyzer) operatorName(e *pg.A_Expr) string {
	if len(e.Name) == 2 && e.Name[0].GetString_().GetSval() == "pg_catalog" || len(e.Name) == 1 {
		return e.Name[len(e.Name)-1].GetString_().GetSval()
	}
	a.refuse(pos(e.Location), "operators of other schemas are not supported", "use Postgres' own operators")
	return ""
}

func (a *analyzer) prefix(name string, arg *node, at int) *node {
	a.plain(arg)
	r, n := a.types.operator(name, []uint32{arg.typ})
	if r == nil {
		a.noOperator(at, n, name, []uint32{arg.typ})
	}
	return a.apply(r, []*node{arg}, at, kindCall)
}

func (a *analyzer) binary(name string, left, right *node, at int) *node {
	a.plain(left)
	a.plain(right)
	actual := []uint32{left.typ, right.typ}
	r, n := a.types.operator(name, actual)
	if r == nil {
		a.noOperator(at, n, name, actual)
	}
	return a.apply(r, []*node{left, right}, at, kindCall)
}

func (a *analyzer) noOperator(at, fitting int, name string, actual []uint32) {
	if fitting > 1 {
		panic(stop{&Error{Position: at, Reason: "operator is not unique: " + a.signature(name, actual), Hint: "cast an operand"}})
	}
	hint := "cast an operand"
	for i, t := range actual {
		if t == oidText && len(actual) == 2 && actual[1-i] != oidText && actual[1-i] != oidUnknown {
			hint = "cast the text: (…)::" + a.types.display(actual[1-i])
		}
	}
	panic(stop{&Error{Position: at, Reason: "operator does not exist: " + a.signature(name, actual), Hint: hint}})
}

func (a *analyzer) signature(name string, actual []uint32) string {
	if len(actual) == 1 {
		return name + " " + a.types.display(actual[0])
	}
	return a.types.display(actual[0]) + " " + name + " " + a.types.display(actual[1])
}

// apply makes the call of what was resolved, its arguments coerced.
func (a *analyzer) apply(r *resolution, args []*node, at int, k kind) *node {
	declared, result, ok := a.types.polymorph(typesOf(args), r.args, r.proc.result)
	if !ok || polymorphic(result) || slices.ContainsFunc(declared, polymorphic) {
		a.reject(at, "could not determine polymorphic type because input has type unknown")
	}
	coerced := make([]*node, len(args))
	for i, arg := range args {
		coerced[i] = a.coerce(arg, declared[i], implicit)
	}
	n := &node{kind: k, typ: result, typmod: -1, pos: at, args: coerced, call: r.proc.call}
	if n.call.name == "date_part/2" {
		// It is written in SQL, and the planner puts its body in its place: the cast may raise an error.
		_, cast := a.types.pathway(oidTimestamp, oidDate, implicit)
		coerced[1] = a.convert(coerced[1], oidTimestamp, pathFunction, cast, implicit)
		n.call.name = "timestamp_part"
	}
	if other, ok := concatenated[n.call.name]; ok {
		// It is written in SQL, and the planner puts its body, a cast, in its place.
		n.call.volatility = a.types.get(coerced[other].typ).out
	}
	a.collate(n)
	a.callable(n)
	return n
}

// concatenated are the functions that join text and anything, and which argument is that.
var concatenated = map[string]int{"textanycat": 1, "textanycat/2": 1, "anytextcat": 0, "anytextcat/2": 0}

// anyAll analyses "left op ANY (array)", as make_scalar_array_op does.
func (a *analyzer) anyAll(name string, useOr bool, left, right *node, at int) *node {
	a.plain(left)
	a.plain(right)
	elem := uint32(oidUnknown)
	if right.typ != oidUnknown {
		if elem = a.types.elemOf(right.typ); elem == 0 {
			a.reject(right.pos, "op ANY/ALL (array) requires array on right side")
		}
	}
	r, fitting := a.types.operator(name, []uint32{left.typ, elem})
	if r == nil {
		a.noOperator(at, fitting, name, []uint32{left.typ, elem})
	}
	if r.proc.result != oidBool {
		a.reject(at, "op ANY/ALL (array) requires operator to yield boolean")
	}
	declared, _, ok := a.types.polymorph([]uint32{left.typ, elem}, r.args, 0)
	if !ok || polymorphic(declared[1]) && declared[1] != oidAnyArray {
		a.reject(at, "could not determine polymorphic type because input has type unknown")
	}
	array := a.types.arrayOf(declared[1])
	if array == 0 {
		a.refuse(at, "arrays of arrays are not supported here", "compare with the elements of one array")
	}
	args := []*node{a.coerce(left, declared[0], implicit), a.coerce(right, array, implicit)}
	n := &node{kind: kindAnyAll, flag: useOr, typ: oidBool, typmod: -1, pos: at, args: args, call: r.proc.call}
	a.collate(n)
	a.callable(n)
	return n
}

func (a *analyzer) distinct(e *pg.A_Expr, at int) *node {
	left, right := a.expr(e.Lexpr), a.expr(e.Rexpr)
	same := e.Kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT
	if untypedNull(left) || untypedNull(right) {
		arg := left
		if untypedNull(left) {
			arg = right
		}
		return a.made(&node{kind: kindIsNull, typ: oidBool, pos: at, flag: !same, args: []*node{arg}})
	}
	n := a.binary("=", left, right, at)
	return a.made(&node{kind: kindDistinct, typ: oidBool, pos: at, flag: same, args: n.args, call: n.call, from: n.from})
}

func untypedNull(n *node) bool { return n.null() && n.typ == oidUnknown }

// in analyses a list as transformAExprIn does: what holds no variable becomes one array of the common type, where there
// is one; the rest is compared one by one. The claims count as a variable.
func (a *analyzer) in(e *pg.A_Expr, at int) *node {
	if row := e.Lexpr.GetRowExpr(); row != nil {
		return a.inRows(row, e, at)
	}
	left := a.expr(e.Lexpr)
	name := a.operatorName(e)
	useOr := name == "="
	var fixed, rest, all []*node
	for _, raw := range e.Rexpr.GetList().GetItems() {
		item := a.expr(raw)
		all = append(all, item)
		if variable(item) {
			rest = append(rest, item)
		} else {
			fixed = append(fixed, item)
		}
	}
	var result *node
	if len(fixed) > 1 {
		if array := a.inArray(left, fixed); array != nil {
			result, all = a.anyAll(name, useOr, left, array, at), rest
		}
	}
	for _, item := range all {
		one := a.boolean(a.binary(name, copied(left), item, at), "IN")
		if result == nil {
			result = one
			continue
		}
		k := kindAnd
		if useOr {
			k = kindOr
		}
		result = a.made(&node{kind: k, typ: oidBool, pos: at, args: []*node{result, one}})
	}
	return result
}

// inArray is the list as an array, or nil where its items have no common type with the left side.
func (a *analyzer) inArray(left *node, items []*node) *node {
	oids := append(typesOf(items), left.typ)
	copy(oids[1:], typesOf(items))
	oids[0] = left.typ
	common := a.types.commonType(oids)
	if common == 0 || common == oidRecord || a.types.arrayOf(common) == 0 {
		return nil
	}
	for _, t := range oids {
		if t != oidUnknown && !a.types.coercible(t, common) {
			return nil
		}
	}
	n := &node{kind: kindArray, typ: a.types.arrayOf(common), pos: items[0].pos}
	for _, item := range items {
		n.args = append(n.args, a.coerce(item, common, implicit))
	}
	return a.made(n)
}

func variable(n *node) bool {
	found := false
	n.walk(func(n *node) { found = found || n.kind == kindColumn || n.kind == kindClaims })
	return found
}

// between is written with comparisons, for each of which Postgres analyses the operands anew.
func (a *analyzer) between(e *pg.A_Expr, at int) *node {
	bounds := e.Rexpr.GetList().GetItems()
	if len(bounds) != 2 {
		a.reject(at, "BETWEEN needs two bounds")
	}
	compare := func(operator string, bound *pg.Node) *node {
		value := a.expr(e.Lexpr)
		return a.boolean(a.binary(operator, value, a.expr(bound), at), "BETWEEN")
	}
	join := func(k kind, x, y *node) *node {
		return a.made(&node{kind: k, typ: oidBool, pos: at, args: []*node{x, y}})
	}
	inside := func(low, high *pg.Node) *node { return join(kindAnd, compare(">=", low), compare("<=", high)) }
	outside := func(low, high *pg.Node) *node { return join(kindOr, compare("<", low), compare(">", high)) }
	low, high := bounds[0], bounds[1]
	switch e.Kind {
	case pg.A_Expr_Kind_AEXPR_BETWEEN:
		return inside(low, high)
	case pg.A_Expr_Kind_AEXPR_NOT_BETWEEN:
		return outside(low, high)
	case pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		return join(kindOr, inside(low, high), inside(high, low))
	}
	return join(kindAnd, outside(low, high), outside(high, low))
}
