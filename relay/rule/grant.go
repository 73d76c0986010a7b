package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Errors of Grant, and kinds of a Refusal.
var (
	// ErrHidden: no rule is for the principal; the relation does not exist for it.
	ErrHidden = errors.New("unknown table")
	// ErrColumns: a column is unknown or may not be seen.
	ErrColumns = errors.New("unknown column")
	// ErrWhere: where is no predicate over columns that may be seen.
	ErrWhere = errors.New("where cannot be used")
	// ErrParams: params don't fit where.
	ErrParams = errors.New("params cannot be used")
	// ErrDepth: where is nested deeper than Limits allow.
	ErrDepth = errors.New("where is too deep")
)

// Refusal tells a client why its request is refused. It is one of the errors above.
type Refusal struct {
	Kind    error
	Message string
	// Hint is a way out; empty where there is none.
	Hint string
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// Unwrap is the kind.
func (r *Refusal) Unwrap() error { return r.Kind }

// Limits bound a client's where; zero for predicate's own.
type Limits struct {
	PredicateBytes, PredicateDepth int
}

// Request is what a client asks to see of a relation.
type Request struct {
	// Columns are those that it names; nil for all that may be seen.
	Columns []string
	// Where is empty for all rows that may be seen.
	Where  string
	Params []json.RawMessage
	Limits Limits
}

// Grant is what the rules let a principal see of a relation.
type Grant struct {
	// Columns that may be seen, in the relation's order where the request names none; the key's come with any grant.
	Columns []string
	// Filter decides the rows; nil: all of them.
	Filter *Filter
	// Rule is equal for grants with equal filters, and for them alone.
	Rule string
	// Grows tells that columns which are added to the relation will be seen too.
	Grows bool
}

// Grant decides what p may see of r. Those rules apply that grant every column which the request reads, in columns and
// in where; without columns it reads those that all of the role's rules grant. Their rows are joined by OR.
func (s *Set) Grant(p relay.Principal, r *relay.Relation, request Request) (Grant, error) {
	rules := s.Of(r.Name)
	if rules == nil {
		return Grant{}, ErrHidden
	}
	c := rules.compile(r)
	mine := slices.DeleteFunc(slices.Clone(c.rules), func(rule *compiledRule) bool { return !concerns(rule.Rule, p) })
	if len(mine) == 0 {
		return Grant{}, ErrHidden
	}
	g := Grant{Columns: request.Columns}
	if g.Columns == nil {
		g.Columns = common(mine, r)
		g.Grows = !slices.ContainsFunc(mine, func(rule *compiledRule) bool { return rule.Columns != nil })
	}
	usable := granting(mine, r, g.Columns)
	if len(usable) == 0 {
		return Grant{}, columnsError(mine, r, g.Columns)
	}
	where, err := rules.bindWhere(c, p, mine, request)
	if err != nil {
		return Grant{}, err
	}
	if where != nil {
		if usable = granting(usable, r, names(r, where.Columns())); len(usable) == 0 {
			return Grant{}, &Refusal{Kind: ErrWhere, Message: "no rule lets the columns of where be seen together with the others",
				Hint: "name the columns that you need in columns, or filter by others"}
		}
	}
	g.Filter, g.Rule, err = newFilter(p, usable, where, rules.faulted)
	return g, err
}

// bindWhere compiles the request's where, and gives it its parameters; nil without one.
func (s *Rules) bindWhere(c *compiled, p relay.Principal, mine []*compiledRule, request Request) (*bound, error) {
	if request.Where == "" {
		if len(request.Params) > 0 {
			return nil, &Refusal{Kind: ErrParams, Message: "params without where"}
		}
		return nil, nil
	}
	visible := make([]bool, len(c.relation.Columns))
	for i := range visible {
		name := c.relation.Columns[i].Name
		visible[i] = slices.ContainsFunc(mine, func(rule *compiledRule) bool { return grants(rule, c.relation, name) })
	}
	where, err := s.where(c, request.Where, len(request.Params), visible, request.Limits)
	if err != nil {
		return nil, err
	}
	b, err := where.Bind(p.Claims, request.Params)
	if err != nil {
		return nil, &Refusal{Kind: ErrParams, Message: err.Error(), Hint: paramsHint(where)}
	}
	return newBound("", b), nil
}

func paramsHint(where *predicate.Predicate) string {
	types := where.ParamTypes()
	for i, t := range types {
		types[i] = "$" + strconv.Itoa(i+1) + " " + t
	}
	return "where takes " + strings.Join(types, ", ")
}

// granting are the rules that grant every one of the columns.
func granting(rules []*compiledRule, r *relay.Relation, columns []string) []*compiledRule {
	return slices.DeleteFunc(slices.Clone(rules), func(rule *compiledRule) bool { return len(missing(rule, r, columns)) > 0 })
}

// missing are those of columns that a rule doesn't let be seen.
func missing(rule *compiledRule, r *relay.Relation, columns []string) []string {
	return slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return grants(rule, r, c) })
}

// columnsError names the columns that no rule grants, or says that no rule grants all of them.
func columnsError(rules []*compiledRule, r *relay.Relation, columns []string) error {
	for _, rule := range rules {
		columns = missing(rule, r, columns)
	}
	if len(columns) > 0 {
		return &Refusal{Kind: ErrColumns, Message: fmt.Sprintf("%s: %s", ErrColumns, strings.Join(columns, ", ")),
			Hint: "name columns of the table that a rule lets you see"}
	}
	return &Refusal{Kind: ErrColumns, Message: "no rule lets all of these columns be seen together", Hint: "subscribe to fewer of them at once"}
}

// grants tells whether a rule lets a column be seen; the key's columns always belong to it, a bag has none.
func grants(rule *compiledRule, r *relay.Relation, column string) bool {
	i := r.Column(column)
	return i >= 0 && (rule.Columns == nil || slices.Contains(rule.Columns, column) || slices.Contains(r.Key, i))
}

// common are the columns that all rules grant.
func common(rules []*compiledRule, r *relay.Relation) []string {
	columns := make([]string, 0, len(r.Columns))
	for i := range r.Columns {
		name := r.Columns[i].Name
		if !slices.ContainsFunc(rules, func(rule *compiledRule) bool { return !grants(rule, r, name) }) {
			columns = append(columns, name)
		}
	}
	return columns
}

func names(r *relay.Relation, columns []int) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = r.Columns[c].Name
	}
	return list
}
