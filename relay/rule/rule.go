// Package rule decides who may see which rows and columns of a relation, from the stored rules.
// It does no I/O and never logs. Nothing is visible without a rule.
//
//	rules ─ New ─► Set ─► Rules of a relation ─ compiled once for its form ─► Grant ─► Filter
//	                                   claims, columns, where, params ───────────┘
package rule

import (
	"reflect"
	"slices"
	"sync"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Problem is what is wrong with a rule.
type Problem struct {
	Rule string
	// Relation is the rule's.
	Relation string
	Reason   string
	// Hint is a way out; empty where there is none.
	Hint string
	// Denies tells that the rule can't be used, so that it lets nothing be seen.
	Denies bool
}

// Faulted is told of a rule's error on a row, which therefore isn't visible by it; rule is empty for a client's where.
// It may be called from any goroutine, must not block, and gets no value of a row.
type Faulted func(rule string, fault *predicate.Fault)

// Set is the rules in force. It is immutable, but for what it has compiled; a nil Set denies everything.
type Set struct {
	relations map[string]*Rules
}

// Rules are the rules of one relation. Two sets share them where they are the same.
type Rules struct {
	rules   []relay.Rule
	faulted Faulted

	mu sync.Mutex
	// compiled is for the form of the relation that was asked for last; before is what the rules replace.
	compiled, before *compiled
}

// New makes a set of the enabled rules of relations. What was, the set that it replaces, has compiled is used again;
// it may be nil, and so may faulted.
func New(rules []relay.Rule, was *Set, faulted Faulted) *Set {
	byRelation := map[string][]relay.Rule{}
	for _, r := range rules {
		if r.Enabled && r.Relation != "" {
			byRelation[r.Relation] = append(byRelation[r.Relation], r)
		}
	}
	s := &Set{relations: make(map[string]*Rules, len(byRelation))}
	for name, rules := range byRelation {
		before := was.Of(name)
		if before != nil && reflect.DeepEqual(before.rules, rules) {
			s.relations[name] = before
			continue
		}
		s.relations[name] = &Rules{rules: rules, faulted: faulted, before: before.last()}
	}
	return s
}

// Of are the rules of a relation; nil where there are none. They are the same as long as no edit concerns them.
func (s *Set) Of(relation string) *Rules {
	if s == nil {
		return nil
	}
	return s.relations[relation]
}

// Relations are the names of the relations that some rule is for, sorted.
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

// Check compiles the rules against their relations and returns what is wrong with them, by relation and rule. A
// relation that isn't known is left out.
func (s *Set) Check(relation func(name string) *relay.Relation) []Problem {
	var all []Problem
	for _, name := range s.Relations() {
		if r := relation(name); r != nil {
			all = append(all, s.relations[name].compile(r).problems...)
		}
	}
	return all
}

// Visible tells whether some rule lets p see something of the relation, for all that is known without its form.
func (s *Set) Visible(p relay.Principal, relation string) bool {
	rules := s.Of(relation)
	return rules != nil && slices.ContainsFunc(rules.rules, func(r relay.Rule) bool { return concerns(&r, p) })
}

// concerns tells whether a rule is for a role.
func concerns(r *relay.Rule, p relay.Principal) bool {
	return slices.Contains(r.Roles, p.Role) || len(r.Roles) == 0 && p.Role != relay.RoleAnon
}
