package rule

import (
	"slices"
	"strconv"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Filter decides rows: first by the rules, of which one must be true, then by where. An error is not true. It is
// immutable and safe for concurrent use.
type Filter struct {
	// all: the rules show every row; else one of rules must be true.
	all     bool
	rules   []*bound
	where   *bound // nil without one
	columns []int
	faulted Faulted
}

// bound is a predicate with its values; rule is empty for a where.
type bound struct {
	predicate.Bound
	rule string
	// constant is what it is for every row, where it doesn't depend on one.
	constant   predicate.Truth
	isConstant bool
}

func newBound(rule string, b *predicate.Bound) *bound {
	n := &bound{Bound: *b, rule: rule}
	n.constant, n.isConstant = b.Constant()
	return n
}

// newFilter joins the rules' predicates and where; nil where every row is shown. key tells filters apart.
func newFilter(p relay.Principal, rules []*compiledRule, where *bound, faulted Faulted) (f *Filter, key string, err error) {
	f = &Filter{where: where, faulted: faulted}
	var keys []string
	for _, r := range rules {
		b, err := r.predicate.Bind(p.Claims, nil)
		if err != nil {
			return nil, "", err
		}
		n := newBound(r.Name, b)
		switch {
		case n.isConstant && n.constant == predicate.True:
			f.all = true
		case !n.isConstant:
			if k := keyOf(n); !slices.Contains(keys, k) {
				f.rules, keys = append(f.rules, n), append(keys, k)
			}
		case n.constant == predicate.Failed:
			f.evaluate(n, nil) // so that it is told
		}
	}
	if f.all {
		f.rules, keys = nil, []string{"all"}
	}
	slices.Sort(keys)
	if where != nil && where.isConstant && where.constant == predicate.True {
		f.where = nil
	}
	if f.where != nil {
		keys = append(keys, "where", keyOf(f.where))
	}
	if f.all && f.where == nil {
		return nil, keys[0], nil
	}
	f.read()
	return f, strings.Join(keys, ","), nil
}

// keyOf is the text and the values that it reads, so that no two keys joined are equal to two others.
func keyOf(b *bound) string {
	return strconv.Quote(b.String()) + strconv.Quote(b.Key())
}

func (f *Filter) read() {
	if len(f.rules) == 1 && f.where == nil {
		f.columns = f.rules[0].Columns()
		return
	}
	if len(f.rules) == 0 && f.where != nil {
		f.columns = f.where.Columns()
		return
	}
	for _, b := range f.rules {
		f.columns = append(f.columns, b.Columns()...)
	}
	if f.where != nil {
		f.columns = append(f.columns, f.where.Columns()...)
	}
	slices.Sort(f.columns)
	f.columns = slices.Compact(f.columns)
}

// Columns are the indexes of the relation's columns that Match reads, in ascending order.
func (f *Filter) Columns() []int { return f.columns }

// Match decides a row, given by the relation's columns. No where meets a row that the rules hide.
func (f *Filter) Match(row []relay.Value) relay.Verdict {
	v := relay.Hidden
	if f.all {
		v = relay.Shown
	}
	for _, b := range f.rules {
		one := f.evaluate(b, row)
		if one == relay.Shown {
			v = one
			break
		}
		if one == relay.Unknown {
			v = one
		}
	}
	if v != relay.Shown || f.where == nil {
		return v
	}
	return f.evaluate(f.where, row)
}

func (f *Filter) evaluate(b *bound, row []relay.Value) relay.Verdict {
	switch t, fault := b.Eval(row); {
	case t == predicate.True:
		return relay.Shown
	case t != predicate.Failed:
		return relay.Hidden
	case fault == predicate.ErrUnchanged:
		return relay.Unknown
	default:
		if f.faulted != nil {
			f.faulted(b.rule, fault)
		}
		return relay.Hidden
	}
}

// Covers are lists of equalities: a row that is Shown fulfils at least one of each list.
func (f *Filter) Covers() [][]relay.Equality {
	var covers [][]relay.Equality
	switch {
	case f.all:
	case len(f.rules) == 1:
		covers = f.rules[0].Covers()
	default:
		if joined, ok := f.joined(); ok {
			covers = append(covers, joined)
		}
	}
	if f.where != nil {
		covers = append(covers, f.where.Covers()...)
	}
	return covers
}

// Exact tells that the filter is nothing but column = value: a row is Shown exactly where it fulfils the only cover, which has
// one equality with one value.
func (f *Filter) Exact() bool {
	switch {
	case f.all:
		return f.where.Exact()
	case len(f.rules) == 1 && f.where == nil:
		return f.rules[0].Exact()
	}
	return false
}

// joined is a cover of each rule, one after the other; ok is false where a rule has none.
func (f *Filter) joined() (all []relay.Equality, ok bool) {
	for _, b := range f.rules {
		covers := b.Covers()
		if len(covers) == 0 {
			return nil, false
		}
		all = append(all, slices.MinFunc(covers, func(x, y []relay.Equality) int { return values(x) - values(y) })...)
	}
	return all, true
}

func values(cover []relay.Equality) (n int) {
	for _, e := range cover {
		n += len(e.Values)
	}
	return n
}

// SQL is a condition for the source that every row which is Shown fulfils and that raises no error, with bind
// parameters from $first on; empty where there is none.
func (f *Filter) SQL(first int) (condition string, args []string) {
	var parts, either []string
	for _, b := range f.rules {
		part, more := b.SafeSQL(first + len(args))
		if part == "" {
			either, args = nil, nil
			break
		}
		either, args = append(either, "("+part+")"), append(args, more...)
	}
	if len(either) > 0 {
		parts = append(parts, "("+strings.Join(either, " or ")+")")
	}
	if !f.all && len(f.rules) == 0 {
		parts = append(parts, "false")
	}
	if f.where != nil {
		if part, more := f.where.SafeSQL(first + len(args)); part != "" {
			parts, args = append(parts, "("+part+")"), append(args, more...)
		}
	}
	return strings.Join(parts, " and "), args
}
