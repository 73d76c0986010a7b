package predicate

import pg "github.com/pganalyze/pg_query_go/v6"

// rows compares (a, b) with (c, d), as make_row_comparison_op does: = is an AND of the columns' comparisons, <> an OR. The
// order of rows isn't evaluated.
// https://www.postgresql.org/docs/current/functions-comparisons.html#ROW-WISE-COMPARISON
func (a *analyzer) rows(name string, left, right []*node, at int) *node {
	switch {
	case len(left) != len(right):
		a.reject(at, "unequal number of entries in row expressions")
	case len(left) == 0:
		a.reject(at, "cannot compare rows of zero length")
	}
	var all []*node
	for i := range left {
		one := a.binary(name, left[i], right[i], at)
		if one.typ != oidBool {
			a.reject(at, "row comparison operator must yield type boolean, not type %s", a.types.display(one.typ))
		}
		all = append(all, one)
	}
	switch {
	case len(all) == 1:
		return all[0]
	case name == "=":
		return a.made(&node{kind: kindAnd, typ: oidBool, pos: at, args: all})
	case name == "<>":
		return a.made(&node{kind: kindOr, typ: oidBool, pos: at, args: all})
	}
	a.refuse(at, "rows are compared by = and <> alone", "compare column by column: a > 1 or a = 1 and b > 2")
	return nil
}

// inRows is (a, b) IN ((1, 2), …): a comparison with each row.
func (a *analyzer) inRows(row *pg.RowExpr, e *pg.A_Expr, at int) *node {
	name := a.operatorName(e)
	left := a.all(row.Args)
	k := kindAnd
	if name == "=" {
		k = kindOr
	}
	var result *node
	for _, raw := range e.Rexpr.GetList().GetItems() {
		right := raw.GetRowExpr()
		if right == nil {
			a.unsupported(e.Lexpr)
		}
		values := make([]*node, len(left))
		for i, n := range left {
			values[i] = copied(n)
		}
		one := a.rows(name, values, a.all(right.Args), at)
		if result == nil {
			result = one
			continue
		}
		result = a.made(&node{kind: k, typ: oidBool, pos: at, args: []*node{result, one}})
	}
	return result
}
