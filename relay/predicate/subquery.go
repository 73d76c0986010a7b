package predicate

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay"
)

// Of subqueries those are evaluated that read no row: (SELECT value), and what takes a jsonb array apart, ARRAY(SELECT
// jsonb_array_elements_text(document)) and "value IN (SELECT …)" with its relatives ANY and ALL; the function may stand behind
// FROM, and a cast around the element.

// eachInTurn is a kindAnyAll's number that stands for a subquery: the elements come first, the left side is evaluated if
// there are any, and each is cast when it is its turn, as ExecScanSubPlan does.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/executor/nodeSubplan.c
const eachInTurn = 1

func (a *analyzer) subLink(s *pg.SubLink) *node {
	at := pos(s.Location)
	switch s.SubLinkType {
	case pg.SubLinkType_ARRAY_SUBLINK:
		return a.elements(s, at)
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK:
		if row := s.Testexpr.GetRowExpr(); row != nil {
			a.refuseSubquery(s, at)
		}
		array := a.elements(s, at)
		if array.kind == kindArrayCast && !variable(array) {
			a.refuse(at, "in a subquery that doesn't depend on the row, Postgres may cast all elements or some",
				"write = any (array(select …))")
		}
		left := a.expr(s.Testexpr)
		name := "="
		if n := len(s.OperName); n > 0 {
			name = s.OperName[n-1].GetString_().GetSval()
		}
		n := a.anyAll(name, s.SubLinkType == pg.SubLinkType_ANY_SUBLINK, left, array, at)
		n.number = eachInTurn
		return n
	}
	if query := s.Subselect.GetSelectStmt(); s.SubLinkType == pg.SubLinkType_EXPR_SUBLINK && query != nil &&
		len(query.TargetList) == 1 && len(query.FromClause) == 0 && plainSelect(query) {
		return a.alone(query.TargetList[0].GetResTarget().GetVal(), at)
	}
	a.refuseSubquery(s, at)
	return nil
}

// alone is (SELECT value), which row-security policies write so that the value is computed once.
func (a *analyzer) alone(raw *pg.Node, at int) *node {
	arg := a.expr(raw)
	if arg.typ == oidUnknown {
		arg = a.coerce(arg, oidText, implicit)
	}
	n := a.made(&node{kind: kindAlone, typ: arg.typ, pos: at, args: []*node{arg}})
	if n.coll.strength == collExplicit {
		n.coll.strength = collImplicit
	}
	return n
}

// elements is the array of what the subquery returns.
func (a *analyzer) elements(s *pg.SubLink, at int) *node {
	target, call := elementsOf(s.Subselect.GetSelectStmt())
	if call == nil {
		a.refuseSubquery(s, at)
	}
	return a.elementsAs(target, call)
}

// elementsAs is the array of the elements with the casts that stand around them.
func (a *analyzer) elementsAs(target *pg.Node, call *pg.FuncCall) *node {
	cast := target.GetTypeCast()
	if cast == nil {
		return a.elementsCall(call)
	}
	array := a.elementsAs(cast.Arg, call)
	elem, mod := a.typeName(cast.TypeName)
	of, at := a.types.arrayOf(elem), pos(cast.Location)
	if of == 0 || a.types.elemOf(elem) != 0 {
		a.refuse(at, "an array of arrays isn't made here", "cast the elements to a type of scalars")
	}
	element := &node{kind: kindElement, typ: a.types.elemOf(array.typ), typmod: -1, pos: at}
	a.castable(element, elem, explicit)
	array = a.coerce(array, of, explicit)
	if mod >= 0 {
		array = a.length(array, of, mod, at)
	}
	return array
}

func (a *analyzer) elementsCall(call *pg.FuncCall) *node {
	at := pos(call.Location)
	name := call.Funcname[len(call.Funcname)-1].GetString_().GetSval()
	arg := a.expr(call.Args[0])
	a.plain(arg)
	r, fitting := a.types.function(name, []uint32{arg.typ})
	if r == nil {
		a.noFunction(at, fitting, name, []uint32{arg.typ})
	}
	n := &node{kind: kindElements, typ: a.types.arrayOf(r.proc.result), pos: at, args: []*node{a.coerce(arg, r.args[0], implicit)}}
	return a.made(n)
}

// elementsOf finds the one target of a subquery and the call that makes its rows, nil where it is of another form.
func elementsOf(s *pg.SelectStmt) (target *pg.Node, call *pg.FuncCall) {
	if s == nil || len(s.TargetList) != 1 || len(s.FromClause) > 1 || !plainSelect(s) {
		return nil, nil
	}
	target = s.TargetList[0].GetResTarget().GetVal()
	inner := target
	for inner.GetTypeCast() != nil {
		inner = inner.GetTypeCast().Arg
	}
	if len(s.FromClause) == 0 {
		return target, takesApart(inner)
	}
	call, names := fromElements(s.FromClause[0].GetRangeFunction())
	if call == nil || !named(inner.GetColumnRef(), names) {
		return nil, nil
	}
	return target, call
}

func plainSelect(s *pg.SelectStmt) bool {
	return len(s.GroupClause)+len(s.WindowClause)+len(s.SortClause)+len(s.LockingClause)+len(s.ValuesLists)+len(s.DistinctClause) == 0 &&
		s.WhereClause == nil && s.HavingClause == nil && s.LimitCount == nil && s.LimitOffset == nil && s.IntoClause == nil && s.WithClause == nil &&
		s.Larg == nil && s.Rarg == nil
}

// takesApart is the call of one of the functions that return a jsonb array's elements.
func takesApart(raw *pg.Node) *pg.FuncCall {
	f := raw.GetFuncCall()
	if f == nil || len(f.Args) != 1 || f.Args[0].GetNamedArgExpr() != nil || len(f.AggOrder) > 0 || f.AggFilter != nil || f.Over != nil || f.AggStar || f.AggDistinct || f.FuncVariadic ||
		len(f.Funcname) > 2 || len(f.Funcname) == 2 && f.Funcname[0].GetString_().GetSval() != "pg_catalog" {
		return nil
	}
	switch f.Funcname[len(f.Funcname)-1].GetString_().GetSval() {
	case "jsonb_array_elements", "jsonb_array_elements_text":
		return f
	}
	return nil
}

// fromElements is the call behind FROM, and the names of its relation and its column. The latter is that of the function's
// result.
func fromElements(f *pg.RangeFunction) (call *pg.FuncCall, names [2]string) {
	if f == nil || f.Ordinality || f.IsRowsfrom || len(f.Functions) != 1 || len(f.Coldeflist) > 0 {
		return nil, names
	}
	items := f.Functions[0].GetList().GetItems()
	if len(items) == 0 || len(items) > 1 && len(items[1].GetList().GetItems()) > 0 {
		return nil, names
	}
	if call = takesApart(items[0]); call == nil {
		return nil, names
	}
	names = [2]string{call.Funcname[len(call.Funcname)-1].GetString_().GetSval(), "value"}
	if f.Alias != nil {
		names[0] = f.Alias.Aliasname
		if len(f.Alias.Colnames) > 0 {
			names[1] = f.Alias.Colnames[0].GetString_().GetSval()
		}
	}
	return call, names
}

// named tells whether a reference means that column.
func named(ref *pg.ColumnRef, names [2]string) bool {
	fields := ref.GetFields()
	if len(fields) == 2 && fields[0].GetString_().GetSval() == names[0] {
		fields = fields[1:]
	}
	return len(fields) == 1 && (fields[0].GetAStar() != nil || fields[0].GetString_() != nil && fields[0].GetString_().Sval == names[1])
}

func (a *analyzer) refuseSubquery(s *pg.SubLink, at int) {
	text := deparse(&pg.Node{Node: &pg.Node_SubLink{SubLink: s}})
	switch {
	case strings.Contains(text, "jsonb_array_elements"), strings.Contains(text, "jsonb_object_keys"):
		a.refuse(at, "a subquery of this form is not evaluated", "write claims -> 'teams' ? team, for numbers claims -> 'teams' @> to_jsonb(team_id)")
	case strings.Contains(text, "unnest("), strings.Contains(text, "string_to_table("):
		a.refuse(at, "a subquery of this form is not evaluated", "write = any (…) with the array, of a text with string_to_array()")
	}
	a.refuse(at, "a subquery reads other rows, which a predicate over one row can't", "keep what is needed in a column of this table, or in the claims")
}

// inside folds what stands in the subqueries that are left: Postgres plans these when what is around them is folded.
func (a *analyzer) inside(n *node) *node {
	found := false
	n.walk(func(n *node) { found = found || n.kind == kindElements || n.kind == kindAlone })
	if !found {
		return n
	}
	out := *n
	out.args = make([]*node, len(n.args))
	for i, arg := range n.args {
		if n.kind == kindElements || n.kind == kindAlone {
			arg = a.fold(arg)
		}
		out.args[i] = a.inside(arg)
	}
	return &out
}

// elements takes a jsonb array apart. Of null there are none, as of any set.
func (b *builder) elements(n *node) evaluate {
	x, text := b.value(n.args[0]), b.elemOf(n.typ) == oidText
	b.heavy = true
	return func(row []relay.Value, w *work) (datum, *Fault) {
		d, fault := x(row, w)
		if fault != nil {
			return d, fault
		}
		if d.null {
			return datum{x: newArray(nil)}, nil
		}
		if d.doc().kind != jsonArray {
			return datum{}, faultScalar
		}
		return takenApart(w, d.doc(), text)
	}
}

func takenApart(w *work, d *document, text bool) (datum, *Fault) {
	if fault := w.charge(2 * parsing * len(d.elems)); fault != nil {
		return datum{}, fault
	}
	elems := make([]datum, len(d.elems))
	for i, e := range d.elems {
		if elems[i] = docDatum(e); !text {
			continue
		}
		if !e.scalar() {
			if fault := w.charge(printing * e.bytes); fault != nil {
				return datum{}, fault
			}
		}
		elems[i] = e.asText()
	}
	return datum{x: newArray(elems)}, nil
}

// inTurn compares with each of a subquery's elements.
func (b *builder) inTurn(n *node) truthOf {
	right, casts := n.args[1], []fn1(nil)
	for right.kind == kindArrayCast {
		casts, right = append(casts, b.each(right.sub)), right.args[0]
	}
	x, y, test, useOr := b.value(n.args[0]), b.value(right), b.equal(n), n.flag
	return func(row []relay.Value, w *work) (Truth, *Fault) {
		c, fault := y(row, w)
		if fault != nil {
			return Failed, fault
		}
		elems := c.x.(*array).elems
		if len(elems) == 0 {
			return truthIf(!useOr), nil
		}
		a, fault := x(row, w)
		if fault == nil {
			fault = w.charge(len(elems) * (1 + 4*parsing*len(casts)))
		}
		if fault != nil {
			return Failed, fault
		}
		result := truthIf(!useOr)
		for _, e := range elems {
			t, fault := turn(w, a, e, casts, test)
			if fault != nil {
				return Failed, fault
			}
			if t == Null {
				result = Null
			} else if (t == True) == useOr {
				return t, nil
			}
		}
		return result, nil
	}
}

// turn casts an element, by the last cast first, and compares.
func turn(w *work, left, e datum, casts []fn1, test fn2w) (Truth, *Fault) {
	for i := len(casts) - 1; i >= 0 && !e.null; i-- {
		if fault := w.charge(parsing * len(e.s)); fault != nil {
			return Failed, fault
		}
		var fault *Fault
		if e, fault = casts[i](e); fault != nil {
			return Failed, fault
		}
	}
	if left.null || e.null {
		return Null, nil
	}
	d, fault := test(w, left, e)
	if fault != nil {
		return Failed, fault
	}
	return d.truth(), nil
}
