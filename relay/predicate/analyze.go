package predicate

import (
	"fmt"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay"
)

// analyzer gives Postgres' raw parse tree names and types, as parse_expr.c does.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/parser/parse_expr.c
type analyzer struct {
	types    *types
	relation *relay.Relation
	options  Options
	text     string
	// params are the types of $1, $2, …; oidUnknown until the context tells.
	params []uint32
	depth  int
	// count of expressions analysed, an operand of BETWEEN several times.
	count int
	// work of what is computed in advance.
	work *work
	// raws, unless nil, collects what each expression was made of.
	raws map[*node]*pg.Node
}

// maxNodes that are analysed for one predicate.
const maxNodes = 20000

// stop carries an *Error up to Compile.
type stop struct{ err *Error }

// reject ends the analysis with what Postgres itself would not accept.
func (a *analyzer) reject(pos int, format string, args ...any) {
	panic(stop{&Error{Position: pos, Reason: fmt.Sprintf(format, args...)}})
}

// refuse ends the analysis with what Postgres may accept and this package can't evaluate exactly.
func (a *analyzer) refuse(pos int, reason, hint string) {
	panic(stop{&Error{Position: pos, Reason: reason, Hint: hint, Refused: true}})
}

// fault ends the analysis with an error that a constant raises; the hint is for one that Postgres may not raise.
func (a *analyzer) fault(pos int, f *Fault, hint string) {
	if f.inexact() {
		a.refuse(pos, f.Message, hint)
	}
	a.reject(pos, "%s", f.Message)
}

func (a *analyzer) expr(raw *pg.Node) *node {
	n := a.transform(raw)
	if a.raws != nil {
		a.raws[n] = raw
	}
	return n
}

func (a *analyzer) transform(raw *pg.Node) *node {
	a.depth++
	defer func() { a.depth-- }()
	if a.count++; a.count > maxNodes {
		panic(stop{&Error{Reason: "the predicate is too large: BETWEEN within BETWEEN doubles it", Hint: "write the comparisons", Refused: true}})
	}
	if a.depth > a.options.depth() {
		panic(stop{&Error{Reason: "the predicate is nested deeper than " + strconv.Itoa(a.options.depth()), Hint: "split it", Refused: true, TooDeep: true}})
	}
	switch n := raw.GetNode().(type) {
	case *pg.Node_AConst:
		return a.constant(n.AConst)
	case *pg.Node_ColumnRef:
		return a.column(n.ColumnRef)
	case *pg.Node_ParamRef:
		return a.param(n.ParamRef)
	case *pg.Node_AExpr:
		return a.operation(n.AExpr)
	case *pg.Node_BoolExpr:
		return a.logic(n.BoolExpr)
	case *pg.Node_NullTest:
		return a.nullTest(n.NullTest)
	case *pg.Node_BooleanTest:
		return a.booleanTest(n.BooleanTest)
	case *pg.Node_CaseExpr:
		return a.caseOf(n.CaseExpr)
	case *pg.Node_CoalesceExpr:
		args := a.all(n.CoalesceExpr.Args)
		t := a.unify("COALESCE", pos(n.CoalesceExpr.Location), args)
		return a.made(&node{kind: kindCoalesce, typ: t, pos: pos(n.CoalesceExpr.Location), args: args})
	case *pg.Node_MinMaxExpr:
		return a.minMax(n.MinMaxExpr)
	case *pg.Node_TypeCast:
		return a.cast(n.TypeCast)
	case *pg.Node_CollateClause:
		return a.collateClause(n.CollateClause)
	case *pg.Node_FuncCall:
		return a.funcCall(n.FuncCall)
	case *pg.Node_AArrayExpr:
		return a.array(n.AArrayExpr, 0)
	case *pg.Node_AIndirection:
		return a.subscript(n.AIndirection)
	case *pg.Node_SubLink:
		return a.subLink(n.SubLink)
	}
	return a.unsupported(raw)
}

func (a *analyzer) unsupported(raw *pg.Node) *node {
	switch n := raw.GetNode().(type) {
	case *pg.Node_SqlvalueFunction:
		a.refuse(pos(n.SqlvalueFunction.Location), "the value depends on when and by whom it is asked, so that rows would appear and vanish without a change",
			"compare with a constant, a claim or a parameter")
	case *pg.Node_RowExpr:
		a.refuse(pos(n.RowExpr.Location), "a row is compared with a row alone, by = and <>", "compare column by column")
	}
	a.refuse(0, "an expression of this form is not supported: "+strings.TrimPrefix(fmt.Sprintf("%T", raw.GetNode()), "*pg_query.Node_"), "write it with the operators and functions of one row's values")
	return nil
}

// made fills in what every node has.
func (a *analyzer) made(n *node) *node {
	n.typmod = -1
	a.collate(n)
	return n
}

func (a *analyzer) all(raw []*pg.Node) []*node {
	out := make([]*node, len(raw))
	for i, r := range raw {
		out[i] = a.expr(r)
	}
	return out
}

// pos is a byte offset in the predicate's text; the parser saw it behind prefix.
func pos(location int32) int { return max(0, int(location)-len(prefix)) }

func (a *analyzer) constant(c *pg.A_Const) *node {
	n := &node{kind: kindConst, pos: pos(c.Location)}
	a.portable(n.pos)
	switch v := c.Val.(type) {
	case *pg.A_Const_Ival:
		n.typ, n.value = oidInt4, datum{i: int64(v.Ival.Ival)}
	case *pg.A_Const_Fval:
		n.typ, n.value = a.decimal(n.pos, v.Fval.Fval)
	case *pg.A_Const_Boolval:
		n.typ, n.value = oidBool, boolean(v.Boolval.Boolval)
	case *pg.A_Const_Sval:
		n.typ, n.value = oidUnknown, datum{s: v.Sval.Sval}
	case *pg.A_Const_Bsval:
		a.refuse(n.pos, "bit strings are not supported", "keep the bits in a column of type boolean each, or of type integer with the operator &")
	default:
		n.typ, n.value = oidUnknown, datum{null: true}
	}
	return a.made(n)
}

// portable refuses numbers that Postgres 15 reads otherwise than 16: 0x1F and 1_000.
func (a *analyzer) portable(at int) {
	end := at
	for end < len(a.text) && (a.text[end] == '_' || a.text[end] >= '0' && a.text[end] <= '9' || a.text[end]|0x20 >= 'a' && a.text[end]|0x20 <= 'z') {
		end++
	}
	word := a.text[min(at, end):end]
	if word != "" && word[0] >= '0' && word[0] <= '9' && strings.ContainsAny(word, "_xXoObB") {
		a.refuse(at, "Postgres 15 reads this number differently", "write it in decimal digits alone")
	}
}

func (a *analyzer) decimal(at int, text string) (uint32, datum) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		if i == int64(int32(i)) {
			return oidInt4, datum{i: i}
		}
		return oidInt8, datum{i: i}
	}
	value, fault := numericIn(text)
	if fault != nil {
		a.fault(at, fault, hintDigits)
	}
	if len(value.s) > maxLiteral {
		a.refuse(at, "a number of this many digits makes each row costly", hintDigits)
	}
	return oidNumeric, value
}

func (a *analyzer) column(ref *pg.ColumnRef) *node {
	at := pos(ref.Location)
	if len(ref.Fields) != 1 || ref.Fields[0].GetString_() == nil {
		a.refuse(at, "a qualified name is not supported", "write the column's name alone")
	}
	name := ref.Fields[0].GetString_().Sval
	a.oneMeaning(name, at)
	if i := a.relation.Column(name); i >= 0 && !a.options.hides(i) {
		n := &node{kind: kindColumn, typ: a.relation.Columns[i].Type.OID, typmod: -1, pos: at, number: i}
		if a.types.get(n.typ).collatable {
			n.coll = collation{collImplicit, a.collationOf(i)}
		}
		return n
	}
	if name == "claims" && a.options.Claims {
		return a.made(&node{kind: kindClaims, typ: oidJSONB, pos: at})
	}
	panic(stop{&Error{Position: at, Reason: "column " + strconv.Quote(name) + " does not exist", Hint: a.columnHint(name)}})
}

// oneMeaning refuses the name claims where a column has it too: whoever writes the rows would write who may see them.
func (a *analyzer) oneMeaning(name string, at int) {
	if i := a.relation.Column(name); name == "claims" && a.options.Claims && i >= 0 && !a.options.hides(i) {
		a.refuse(at, a.relation.Name+" has a column claims, and so the name would mean the row's value and not the token's",
			"give the column another name: of a foreign table by options (column_name 'claims')")
	}
}

func (a *analyzer) columnHint(name string) string {
	for i, c := range a.relation.Columns {
		if strings.EqualFold(c.Name, name) && !a.options.hides(i) {
			return "write " + relay.Ident(c.Name)
		}
	}
	return "the columns are those of " + a.relation.Name
}

func (a *analyzer) param(ref *pg.ParamRef) *node {
	at, i := pos(ref.Location), int(ref.Number)-1
	if i < 0 || i >= a.options.Params {
		a.reject(at, "there is no parameter $%d", ref.Number)
	}
	for len(a.params) <= i {
		a.params = append(a.params, oidUnknown)
	}
	return a.made(&node{kind: kindParam, typ: a.params[i], pos: at, number: i})
}

func (a *analyzer) typeParam(n *node, target uint32) *node {
	t := a.types.get(target)
	if t.opaque {
		a.refuse(n.pos, "parameters of type "+t.display+" are not supported", "compare a column of one of Postgres' own types")
	}
	if have := a.params[n.number]; have != oidUnknown && have != target {
		a.reject(n.pos, "inconsistent types deduced for parameter $%d: %s and %s", n.number+1, a.types.display(have), a.types.display(target))
	}
	a.params[n.number] = target
	// In place, as variable_coerce_param_hook does: whoever holds the node sees the type.
	n.typ = target
	return a.made(n)
}

// copied is an operand that keeps its type whatever becomes of the copy.
func copied(n *node) *node {
	out := *n
	if n.kind == kindRelabel {
		out.args = []*node{copied(n.args[0])}
	}
	return &out
}

// boolean coerces a condition, as coerce_to_boolean does.
func (a *analyzer) boolean(n *node, what string) *node {
	if n.typ == oidBool {
		return n
	}
	if n.typ != oidUnknown && a.types.baseOf(n.typ) != oidBool {
		a.reject(n.pos, "argument of %s must be type boolean, not type %s", what, a.types.display(n.typ))
	}
	return a.coerce(n, oidBool, assignment)
}

func (a *analyzer) logic(b *pg.BoolExpr) *node {
	n := &node{kind: kindAnd, typ: oidBool, pos: pos(b.Location)}
	what := "AND"
	switch b.Boolop {
	case pg.BoolExprType_OR_EXPR:
		n.kind, what = kindOr, "OR"
	case pg.BoolExprType_NOT_EXPR:
		n.kind, what = kindNot, "NOT"
	}
	for _, raw := range b.Args {
		n.args = append(n.args, a.boolean(a.expr(raw), what))
	}
	return a.made(n)
}

func (a *analyzer) nullTest(t *pg.NullTest) *node {
	arg := a.expr(t.Arg)
	if a.types.get(a.types.baseOf(arg.typ)).category == 'C' {
		a.refuse(arg.pos, "IS NULL of a row depends on its fields, which are not known here", "compare columns of their own")
	}
	if arg.kind == kindParam && arg.typ == oidUnknown {
		a.reject(arg.pos, "could not determine data type of parameter $%d", arg.number+1)
	}
	return a.made(&node{kind: kindIsNull, typ: oidBool, pos: pos(t.Location), flag: t.Nulltesttype == pg.NullTestType_IS_NOT_NULL, args: []*node{arg}})
}

func (a *analyzer) booleanTest(t *pg.BooleanTest) *node {
	test := map[pg.BoolTestType]int{
		pg.BoolTestType_IS_TRUE: isTrue, pg.BoolTestType_IS_NOT_TRUE: isNotTrue, pg.BoolTestType_IS_FALSE: isFalse,
		pg.BoolTestType_IS_NOT_FALSE: isNotFalse, pg.BoolTestType_IS_UNKNOWN: isUnknown, pg.BoolTestType_IS_NOT_UNKNOWN: isNotUnknown,
	}[t.Booltesttype]
	arg := a.boolean(a.expr(t.Arg), "IS")
	return a.made(&node{kind: kindBoolTest, typ: oidBool, pos: pos(t.Location), number: test, args: []*node{arg}})
}

func (a *analyzer) caseOf(c *pg.CaseExpr) *node {
	n := &node{kind: kindCase, pos: pos(c.Location)}
	var test *node
	if c.Arg != nil {
		if test = a.expr(c.Arg); test.typ == oidUnknown {
			test = a.coerce(test, oidText, implicit)
		}
	}
	var conditions []*node
	results := []*node{nil}
	for _, raw := range c.Args {
		when := raw.GetCaseWhen()
		condition := a.expr(when.Expr)
		if test != nil {
			condition = a.binary("=", test, condition, pos(when.Location))
		}
		conditions = append(conditions, a.boolean(condition, "CASE/WHEN"))
		results = append(results, a.expr(when.Result))
	}
	results[0] = a.made(&node{kind: kindConst, typ: oidUnknown, pos: n.pos, value: datum{null: true}})
	if c.Defresult != nil {
		results[0] = a.expr(c.Defresult)
	}
	n.typ = a.unify("CASE", n.pos, results)
	for i, condition := range conditions {
		n.args = append(n.args, condition, results[i+1])
	}
	n.args = append(n.args, results[0])
	return a.made(n)
}

func (a *analyzer) minMax(m *pg.MinMaxExpr) *node {
	n := &node{kind: kindGreatest, pos: pos(m.Location), flag: m.Op == pg.MinMaxOp_IS_LEAST, args: a.all(m.Args)}
	n.typ = a.unify("GREATEST/LEAST", n.pos, n.args)
	for _, arg := range n.args {
		a.plain(arg)
	}
	a.made(n)
	n.from = n.coll
	a.ordered(n.typ, n.coll, n.pos)
	return n
}

// array analyses ARRAY[…]; elem is the element type that a cast around it asks for, else 0.
func (a *analyzer) array(r *pg.A_ArrayExpr, elem uint32) *node {
	n := &node{kind: kindArray, pos: pos(r.Location), args: a.all(r.Elements)}
	for _, arg := range n.args {
		if a.types.elemOf(arg.typ) != 0 {
			a.refuse(arg.pos, "arrays of several dimensions are not supported here", "write it as a literal: '{{…}}'::…")
		}
	}
	switch {
	case elem != 0:
		for i, arg := range n.args {
			a.castable(arg, elem, explicit)
			n.args[i] = a.coerce(arg, elem, explicit)
		}
	case len(n.args) == 0:
		a.reject(n.pos, "cannot determine type of empty array")
	default:
		elem = a.unify("ARRAY", n.pos, n.args)
	}
	if n.typ = a.types.arrayOf(elem); n.typ == 0 {
		a.reject(n.pos, "could not find array type for data type %s", a.types.display(elem))
	}
	return a.made(n)
}

func (a *analyzer) subscript(ind *pg.A_Indirection) *node {
	base := a.expr(ind.Arg)
	elem := a.types.elemOf(base.typ)
	if a.types.baseOf(base.typ) == oidJSONB {
		return a.jsonbSubscript(base, ind)
	}
	n := &node{kind: kindSubscript, typ: elem, pos: base.pos, args: []*node{base}}
	for _, raw := range ind.Indirection {
		index := raw.GetAIndices()
		switch {
		case index == nil:
			a.refuse(base.pos, "a field of a composite value is not supported", "keep it in a column of its own")
		case elem == 0:
			a.refuse(base.pos, "subscripts are supported for arrays alone", "of jsonb, write -> and ->>")
		case index.IsSlice:
			a.refuse(base.pos, "a slice of an array is not supported", "compare single elements, or the array by @> and &&")
		}
		at := a.expr(index.Uidx)
		if at.typ != oidUnknown && !a.types.canCoerce([]uint32{at.typ}, []uint32{oidInt4}, assignment) {
			a.reject(at.pos, "array subscript must have type integer")
		}
		n.args = append(n.args, a.coerce(at, oidInt4, assignment))
	}
	return a.made(n)
}
