package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// compiled is a relation's rules for one form of the relation.
type compiled struct {
	relation *relay.Relation
	rules    []*compiledRule // that can be used
	problems []Problem
	wheres   map[string]*predicate.Predicate
}

type compiledRule struct {
	*relay.Rule
	predicate *predicate.Predicate
}

// maxWheres is how many texts of clients are kept compiled for a relation.
const maxWheres = 256

// last is what was compiled last.
func (s *Rules) last() *compiled {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compiled
}

// compile returns the rules for the relation's form, compiling them where it is another than before.
func (s *Rules) compile(r *relay.Relation) *compiled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compiled != nil && s.compiled.relation == r {
		return s.compiled
	}
	c := &compiled{relation: r, wheres: map[string]*predicate.Predicate{}}
	known := s.before.predicates(r)
	for i := range s.rules {
		c.add(&s.rules[i], known[s.rules[i].Predicate])
	}
	s.compiled, s.before = c, nil
	return c
}

// predicates are those that are compiled for the relation's form, by their text.
func (c *compiled) predicates(r *relay.Relation) map[string]*predicate.Predicate {
	known := map[string]*predicate.Predicate{}
	if c == nil || c.relation != r {
		return known
	}
	for _, rule := range c.rules {
		known[rule.Predicate] = rule.predicate
	}
	return known
}

// add compiles a rule, unless known is its predicate, and takes it in if it can be used.
func (c *compiled) add(r *relay.Rule, known *predicate.Predicate) {
	var err error
	if known == nil {
		if known, err = predicate.Compile(r.Predicate, c.relation, predicate.Options{Claims: true}); err != nil {
			c.problem(r, true, err.Error(), hint(err))
			return
		}
	}
	if reason, hint := unheld(c.relation, known.Columns()); reason != "" {
		c.problem(r, true, "the rule "+reason, hint)
		return
	}
	if unknown := slices.DeleteFunc(slices.Clone(r.Columns), func(name string) bool { return c.relation.Column(name) >= 0 }); len(unknown) > 0 {
		c.problem(r, false, fmt.Sprintf("columns that %s doesn't have: %s", c.relation.Name, strings.Join(unknown, ", ")), "take them out of the rule's columns")
	}
	c.rules = append(c.rules, &compiledRule{r, known})
}

func (c *compiled) problem(r *relay.Rule, denies bool, reason, hint string) {
	c.problems = append(c.problems, Problem{Rule: r.Name, Relation: r.Relation, Reason: reason, Hint: hint, Denies: denies})
}

func hint(err error) string {
	var e *predicate.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// unheld tells which of the columns the old rows of updates and deletes don't carry, and what mends that: whether a
// change concerns who sees a filter's rows is decided on the old row.
// https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
func unheld(r *relay.Relation, columns []int) (reason, hint string) {
	if r.InsertOnly {
		return "", ""
	}
	var missing, remedies []string
	full := true
	for i := range r.Leaves {
		leaf := &r.Leaves[i]
		lacks := false
		for _, column := range columns {
			if c := &r.Columns[column]; !leaf.Full && !slices.Contains(leaf.Key, c.Source) {
				lacks = true
				missing = append(missing, relay.Ident(c.Name))
			}
		}
		if lacks {
			full = full && !leaf.NoFull
			remedies = append(remedies, fmt.Sprintf("alter table %s replica identity full;", relay.Ident(leaf.Schema, leaf.Table)))
		}
	}
	if len(missing) == 0 {
		return "", ""
	}
	slices.Sort(missing)
	reason = fmt.Sprintf("reads what updates and deletes of %s don't carry with their replica identity: %s", r.Name, strings.Join(slices.Compact(missing), ", "))
	if !full {
		return reason, "capture the table by triggers: replica identity full would make the application's own writes fail, because of its generated columns"
	}
	return reason, strings.Join(remedies, " ") + " or capture the table by triggers"
}

// where compiles a client's text; hidden columns don't exist for it. visible names the others.
func (s *Rules) where(c *compiled, text string, params int, visible []bool, limits Limits) (*predicate.Predicate, error) {
	key := whereKey(text, params, visible)
	s.mu.Lock()
	known := c.wheres[key]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	p, err := predicate.Compile(text, c.relation, predicate.Options{Claims: true, Params: params, MaxBytes: limits.PredicateBytes, MaxDepth: limits.PredicateDepth,
		Hidden: func(column int) bool { return !visible[column] }})
	if e := (*predicate.Error)(nil); errors.As(err, &e) && e.TooDeep {
		return nil, &Refusal{Kind: ErrDepth, Message: fmt.Sprintf("predicate_depth: where may be nested %d deep", limits.PredicateDepth)}
	}
	if err != nil {
		return nil, &Refusal{Kind: ErrWhere, Message: err.Error(), Hint: hint(err)}
	}
	if reason, hint := unheld(c.relation, p.Columns()); reason != "" {
		return nil, &Refusal{Kind: ErrWhere, Message: "where " + reason, Hint: hint}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.wheres) >= maxWheres {
		clear(c.wheres)
	}
	c.wheres[key] = p
	return p, nil
}

func whereKey(text string, params int, visible []bool) string {
	b := make([]byte, 0, len(visible)+len(text)+8)
	for _, v := range visible {
		if v {
			b = append(b, '1')
		} else {
			b = append(b, '0')
		}
	}
	return fmt.Sprintf("%s %d %s", b, params, text)
}
