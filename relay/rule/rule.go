// Package rule decides who may see which rows and columns of a relation, from the stored rules.
// It does no I/O and never logs. Nothing is visible without a rule.
package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
)

// Broken is a rule that can't be used, and why. It denies.
type Broken struct {
	Rule   string
	Reason string
}

// Set is the rules in force. It is immutable; a nil Set denies everything.
type Set struct {
	relations map[string][]relay.Rule
	broken    []Broken
}

// ErrPredicate tells of a predicate that cannot be used.
var ErrPredicate = errors.New("only the predicate true can be used")

// New compiles the rules; those that can't be used are left out and listed by Broken.
func New(rules []relay.Rule) *Set {
	s := &Set{relations: map[string][]relay.Rule{}}
	for _, r := range rules {
		if !r.Enabled || r.Relation == "" {
			continue
		}
		if err := check(r); err != nil {
			s.broken = append(s.broken, Broken{Rule: r.Name, Reason: err.Error()})
			continue
		}
		s.relations[r.Relation] = append(s.relations[r.Relation], r)
	}
	return s
}

func check(r relay.Rule) error {
	if strings.ToLower(strings.TrimSpace(r.Predicate)) != "true" {
		return fmt.Errorf("predicate %q: %w; to grant all rows, set it to true", r.Predicate, ErrPredicate)
	}
	return nil
}

// Broken are the rules that can't be used.
func (s *Set) Broken() []Broken {
	if s == nil {
		return nil
	}
	return s.broken
}

// Relations are the names of the relations that some usable rule is for, sorted.
func (s *Set) Relations() []string {
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.relations))
	for name := range s.relations {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Grant is what the rules let a principal see of a relation.
type Grant struct {
	// Columns that may be seen, in the relation's order; the key's columns come with any grant.
	Columns []string
	// Rule is a text that is equal for equal grants: part of what makes two subscriptions one shape.
	Rule string
	// Grows tells that columns which are added to the relation will be seen too.
	Grows bool
}

// Errors of Grant.
var (
	// ErrHidden: no rule is for the principal; the relation does not exist for it.
	ErrHidden = errors.New("unknown table")
	// ErrColumns: a column is unknown or may not be seen.
	ErrColumns = errors.New("unknown column")
)

// Grant decides what p may see of r. columns are those that the subscription reads, nil for all that may be
// seen. Those rules apply that grant every column that it reads; without columns it reads those that all of the
// role's rules grant.
func (s *Set) Grant(p relay.Principal, r *relay.Relation, columns []string) (Grant, error) {
	rules := s.forRole(p, r.Name)
	if len(rules) == 0 {
		return Grant{}, ErrHidden
	}
	if columns == nil {
		grows := !slices.ContainsFunc(rules, func(rule relay.Rule) bool { return rule.Columns != nil })
		return Grant{Columns: common(rules, r), Rule: text(rules), Grows: grows}, nil
	}
	usable := slices.DeleteFunc(slices.Clone(rules), func(rule relay.Rule) bool { return len(missing(rule, r, columns)) > 0 })
	if len(usable) == 0 {
		return Grant{}, columnsError(rules, r, columns)
	}
	rules = usable
	return Grant{Columns: columns, Rule: text(rules)}, nil
}

// missing are those of columns that a rule doesn't let be seen.
func missing(rule relay.Rule, r *relay.Relation, columns []string) []string {
	return slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return grants(rule, r, c) })
}

// columnsError names the columns that no rule grants, or says that no rule grants all of them.
func columnsError(rules []relay.Rule, r *relay.Relation, columns []string) error {
	for _, rule := range rules {
		columns = missing(rule, r, columns)
	}
	if len(columns) > 0 {
		return fmt.Errorf("%w: %s", ErrColumns, strings.Join(columns, ", "))
	}
	return fmt.Errorf("%w: no rule lets all of these columns be seen together", ErrColumns)
}

func (s *Set) forRole(p relay.Principal, relation string) []relay.Rule {
	if s == nil {
		return nil
	}
	var rules []relay.Rule
	for _, rule := range s.relations[relation] {
		if slices.Contains(rule.Roles, p.Role) || len(rule.Roles) == 0 && p.Role != relay.RoleAnon {
			rules = append(rules, rule)
		}
	}
	return rules
}

// grants tells whether a rule lets a column be seen; the key's columns always belong to it, a bag has none.
func grants(rule relay.Rule, r *relay.Relation, column string) bool {
	i := r.Column(column)
	return i >= 0 && (rule.Columns == nil || slices.Contains(rule.Columns, column) || slices.Contains(r.Key, i))
}

// common are the columns that all rules grant.
func common(rules []relay.Rule, r *relay.Relation) []string {
	columns := make([]string, 0, len(r.Columns))
	for i := range r.Columns {
		name := r.Columns[i].Name
		if !slices.ContainsFunc(rules, func(rule relay.Rule) bool { return !grants(rule, r, name) }) {
			columns = append(columns, name)
		}
	}
	return columns
}

// text joins the predicates: rows of several rules are joined by OR, so equal ones count once.
func text(rules []relay.Rule) string {
	var predicates []string
	for _, rule := range rules {
		predicates = append(predicates, strings.ToLower(strings.TrimSpace(rule.Predicate)))
	}
	slices.Sort(predicates)
	return strings.Join(slices.Compact(predicates), " or ")
}

// Visible tells whether some rule lets p see something of the relation.
func (s *Set) Visible(p relay.Principal, relation string) bool {
	return len(s.forRole(p, relation)) > 0
}
