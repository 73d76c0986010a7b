package rule

import (
	"errors"
	"slices"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
)

// Standing is what a rule is to a request.
type Standing string

// The standings, in the order in which they are asked for.
const (
	StandsDisabled Standing = "disabled"
	// StandsOthers: it is for other roles.
	StandsOthers Standing = "role"
	// StandsBroken: it can't be evaluated, so it lets nothing be seen.
	StandsBroken Standing = "broken"
	// StandsColumns: the request reads columns that it doesn't let be seen.
	StandsColumns Standing = "columns"
	StandsApplies Standing = "applies"
)

// Ruling is a rule and what it is to a request.
type Ruling struct {
	Rule     relay.Rule
	Standing Standing
	// Findings are what is wrong with the rule.
	Findings []Finding
	// Missing are the columns of StandsColumns.
	Missing []string
	// Always is what a rule that applies says of every row, where Constant tells that it depends on none.
	Always   predicate.Truth
	Constant bool
	// Values are what a rule that applies reads of the claims, each once.
	Values []predicate.Operand

	bound *bound
}

// Explanation is how the rules of a relation answer a request.
type Explanation struct {
	Rulings []Ruling
	// Grant is what they let be seen; zero with Err.
	Grant Grant
	// Err is why nothing may be seen: what Set.Grant answers.
	Err error
	// Where is what is wrong with the request's text, where that is why.
	Where *predicate.Error
	// Values are what the request's where reads of parameters and claims, each once.
	Values []predicate.Operand

	where *bound
}

// Explain tells for each of the rules that name the relation, the disabled ones too, what it is to the request of a
// principal, and what they amount to. It costs a compilation of them all and shows values: it is an operator's tool.
func Explain(rules []relay.Rule, p relay.Principal, r *relay.Relation, request Request) *Explanation {
	rules = slices.DeleteFunc(slices.Clone(rules), func(rule relay.Rule) bool { return rule.Relation != r.Name })
	set := New(rules, nil, nil)
	e := &Explanation{}
	e.Grant, e.Err = set.Grant(p, r, request)
	var usable []*compiledRule
	reads := request.Columns
	if own := set.Of(r.Name); own != nil {
		c := own.compile(r)
		usable = c.rules
		mine := slices.DeleteFunc(slices.Clone(c.rules), func(rule *compiledRule) bool { return !concerns(rule.Rule, p) })
		if reads == nil {
			reads = common(mine, r)
		}
		reads = append(slices.Clone(reads), e.readWhere(own, c, p, mine, request)...)
	}
	for _, rule := range rules {
		e.Rulings = append(e.Rulings, rulingOf(rule, p, r, usable, reads))
	}
	return e
}

// readWhere binds the request's where for its own part of an explanation, and returns the columns that it reads.
func (e *Explanation) readWhere(s *Rules, c *compiled, p relay.Principal, mine []*compiledRule, request Request) []string {
	if errors.Is(e.Err, ErrWhere) {
		_, err := predicate.Compile(request.Where, c.relation, predicate.Options{Claims: true, Params: len(request.Params),
			MaxBytes: request.Limits.PredicateBytes, MaxDepth: request.Limits.PredicateDepth, Hidden: func(column int) bool {
				name := c.relation.Columns[column].Name
				return !slices.ContainsFunc(mine, func(rule *compiledRule) bool { return grants(rule, c.relation, name) })
			}})
		errors.As(err, &e.Where)
	}
	where, err := s.bindWhere(c, p, mine, request)
	if err != nil || where == nil {
		return nil
	}
	e.where, e.Values = where, valuesOf(where)
	return names(c.relation, where.Columns())
}

func rulingOf(rule relay.Rule, p relay.Principal, r *relay.Relation, usable []*compiledRule, reads []string) Ruling {
	g := Ruling{Rule: rule, Findings: Examine(&rule, r), Standing: StandsApplies}
	at := slices.IndexFunc(usable, func(c *compiledRule) bool { return c.ID == rule.ID && c.Name == rule.Name })
	switch {
	case !rule.Enabled:
		g.Standing = StandsDisabled
	case !concerns(&rule, p):
		g.Standing = StandsOthers
	case at < 0:
		g.Standing = StandsBroken
	default:
		if g.Missing = missing(usable[at], r, reads); len(g.Missing) > 0 {
			g.Standing = StandsColumns
			break
		}
		b, err := usable[at].predicate.Bind(p.Claims, nil)
		if err != nil {
			g.Standing = StandsBroken // claims that aren't JSON
			break
		}
		g.bound = newBound(rule.Name, b)
		g.Always, g.Constant, g.Values = g.bound.constant, g.bound.isConstant, valuesOf(g.bound)
	}
	return g
}

// valuesOf are what a predicate reads beside the row.
func valuesOf(b *bound) (values []predicate.Operand) {
	for _, c := range b.Explain(nil) {
		for _, v := range c.Values {
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
	}
	return values
}

// Judgement is what one predicate says of a row.
type Judgement struct {
	// Rule is the rule's name; empty for the request's where.
	Rule  string
	Truth predicate.Truth
	// Fault is why it is Failed, else nil.
	Fault     *predicate.Fault
	Conjuncts []predicate.Conjunct
}

// Decision is what an explained request says of a row.
type Decision struct {
	Verdict relay.Verdict
	// Rules are the judgements of those that apply; one that is true is enough.
	Rules []Judgement
	// Where is asked only of rows that a rule shows; nil without one.
	Where *Judgement
}

// Decide says of a row, given by the relation's columns, whether it is seen and why. A column that isn't known is
// relay.ValueUnchanged.
func (e *Explanation) Decide(row []relay.Value) Decision {
	d := Decision{Verdict: relay.Hidden}
	for _, g := range e.Rulings {
		if g.bound != nil {
			d.Rules = append(d.Rules, judge(g.bound, row))
		}
	}
	if e.where != nil {
		where := judge(e.where, row)
		d.Where = &where
	}
	switch {
	case e.Err != nil:
	case e.Grant.Filter == nil:
		d.Verdict = relay.Shown
	default:
		d.Verdict = e.Grant.Filter.Match(row)
	}
	return d
}

func judge(b *bound, row []relay.Value) Judgement {
	j := Judgement{Rule: b.rule, Conjuncts: b.Explain(row)}
	j.Truth, j.Fault = b.Eval(row)
	return j
}

// Predicate is the filter as one SQL text over the relation's columns, claims and the request's parameters: without the
// rules that show nothing, and true where one of them shows everything.
func (f *Filter) Predicate() string {
	if f == nil {
		return "true"
	}
	texts := make([]string, len(f.rules))
	for i, b := range f.rules {
		texts[i] = b.String()
	}
	text := "false"
	switch {
	case f.all:
		return f.where.String() // without one there is no filter
	case len(texts) == 1:
		text = texts[0]
	case len(texts) > 1:
		text = strings.Join(enclosed(texts), " or ")
	}
	if f.where == nil {
		return text
	}
	return strings.Join(enclosed([]string{text, f.where.String()}), " and ")
}

// enclosed puts each text into parentheses, on a line of its own behind a comment.
func enclosed(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		end := ")"
		if strings.Contains(text, "--") {
			end = "\n)"
		}
		all[i] = "(" + text + end
	}
	return all
}
