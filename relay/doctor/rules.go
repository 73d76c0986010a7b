package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
	"pgrelay/relay/rule"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

const rulesSQL = `select id, name, enabled, coalesce(relation, ''), coalesce(event::text, ''), coalesce(roles, '{}'), coalesce(predicate, ''), columns from `

// askRules reads the stored rules in the place that holds them.
func askRules(ctx context.Context, tx pgx.Tx, p *place) error {
	if p.inspection == nil {
		return nil
	}
	at := slices.IndexFunc(p.inspection.Relations, func(r *relay.Relation) bool { return r.Name == warehouse.RulesTable })
	if at < 0 {
		return nil
	}
	r := p.inspection.Relations[at]
	p.rules, p.rulesErr = collect(ctx, tx, rulesSQL+relay.Ident(r.Schema, r.Table)+" order by id", func(row pgx.Row, c *relay.Rule) error {
		return row.Scan(&c.ID, &c.Name, &c.Enabled, &c.Relation, &c.Event, &c.Roles, &c.Predicate, &c.Columns)
	})
	return nil // judgeRulesUnread says it
}

// settleRules puts the rules where everybody finds them, or why they can't be read.
func (x *examination) settleRules() {
	table := x.looked.Table(warehouse.RulesTable)
	switch table.State {
	case serve.TableUnknown:
		x.looked.RulesErr = &relay.Problem{What: "the warehouse has no such table, so nothing is visible to anybody",
			Remedy: "psql -f sql/system.sql in the warehouse, or in a database of its own that sql/warehouse.sql shows there"}
		return
	case serve.TableFound:
	default:
		x.looked.RulesErr = &relay.Problem{What: "the rules can't be read: " + line(table.Err), Remedy: relay.Remedy(table.Err)}
		return
	}
	for _, p := range x.places {
		if p.looked != table.Source {
			continue
		}
		if x.looked.Rules = p.rules; p.rulesErr != nil {
			x.looked.RulesErr = errors.New("the rules can't be read: " + cause(p.rulesErr))
		}
	}
	ruled := map[string]bool{}
	for _, r := range x.looked.Rules {
		if r.Enabled && r.Relation != "" {
			ruled[r.Relation] = true
		}
	}
	for _, p := range x.places {
		p.ruled = ruled
	}
}

func judgeRulesUnread(x *examination) (f findings) {
	if err := x.looked.RulesErr; err != nil {
		f.add(Error, "table "+warehouse.RulesTable, relay.Remedy(err), line(err))
	}
	return f
}

// examined calls each with every enabled rule that can be compiled, and what is wrong with it.
func (x *examination) examined(each func(r *relay.Rule, relation *relay.Relation, wrong []rule.Finding)) {
	for i := range x.looked.Rules {
		r := &x.looked.Rules[i]
		if !r.Enabled {
			continue
		}
		if r.Event != "" {
			each(r, nil, rule.Examine(r, nil))
			continue
		}
		if table := x.looked.Table(r.Relation); table.State == serve.TableFound {
			each(r, table.Relation, rule.Examine(r, table.Relation))
		}
	}
}

// isIdentity tells of a rule that reads what the old rows don't carry.
func isIdentity(f rule.Finding) bool {
	return strings.Contains(f.Reason, "with their replica identity")
}

func object(r *relay.Rule) string {
	if r.Event != "" {
		return fmt.Sprintf("rule %s, event %s", r.Name, r.Event)
	}
	return fmt.Sprintf("rule %s, table %s", r.Name, r.Relation)
}

func judgeRulesBroken(x *examination) (f findings) {
	x.examined(func(r *relay.Rule, _ *relay.Relation, wrong []rule.Finding) {
		for _, w := range wrong {
			if w.Denies && !isIdentity(w) {
				where := ""
				if w.Position >= 0 {
					where = fmt.Sprintf(" (at byte %d; pgrelay rules check shows where)", w.Position)
				}
				f.add(Error, object(r), w.Hint, "it is broken, so it lets nothing be seen: "+w.Reason+where)
			}
		}
	})
	return f
}

func judgeRulesIdentity(x *examination) (f findings) {
	x.examined(func(r *relay.Rule, _ *relay.Relation, wrong []rule.Finding) {
		for _, w := range wrong {
			if isIdentity(w) {
				f.add(Error, object(r), w.Hint, "it lets nothing be seen: "+strings.TrimPrefix(w.Reason, "the rule "))
			}
		}
	})
	return f
}

func judgeRulesDoubtful(x *examination) (f findings) {
	x.examined(func(r *relay.Rule, _ *relay.Relation, wrong []rule.Finding) {
		for _, w := range wrong {
			if !w.Denies {
				f.add(Warning, object(r), w.Hint, w.Reason)
			}
		}
	})
	return f
}

func judgeRulesUnindexed(x *examination) (f findings) {
	x.examined(func(r *relay.Rule, relation *relay.Relation, wrong []rule.Finding) {
		if relation != nil && !slices.ContainsFunc(wrong, func(w rule.Finding) bool { return w.Denies }) && unindexed(r, relation) {
			f.add(Warning, object(r), "give it a conjunct that compares a column with a claim by =, in or = any, such as tenant = (claims ->> 'tenant')::int",
				"none of its conditions is an equality of a column with a value, so every change is asked about once for each person who follows the table")
		}
	})
	return f
}

// claimName is how predicates name a claim, at the top level of the token.
var claimName = regexp.MustCompile(`claims\s*->>?\s*'((?:[^']|'')+)'`)

// samples are values that a claim may have: a predicate is looked at with each in turn, since a cast refuses the others.
var samples = []string{`"1"`, `"00000000-0000-0000-0000-000000000001"`, `"a"`, `"true"`, `"2000-01-01"`, `["1"]`, `[1]`, `{"a":1}`}

// mostSamples bounds the combinations for several claims.
const mostSamples = 512

// unindexed tells that a rule depends on who is asking and that no column's value finds who is concerned. What claims
// hold isn't known here, so it is told from samples of them: with one the rule must be open, and with none covered.
func unindexed(r *relay.Rule, relation *relay.Relation) bool {
	p, err := predicate.Compile(r.Predicate, relation, predicate.Options{Claims: true})
	if err != nil || !p.Claims() {
		return false
	}
	open := false
	for claims := range sampled(r.Predicate) {
		b, err := p.Bind(claims, nil)
		if err != nil {
			continue
		}
		if _, constant := b.Constant(); constant {
			continue
		}
		covers := b.Covers()
		if slices.ContainsFunc(covers, func(c []relay.Equality) bool { return len(c) > 0 }) {
			return false
		}
		open = open || len(covers) == 0
	}
	return open
}

// sampled yields tokens with every combination of samples for the claims that a text names.
func sampled(text string) func(func(json.RawMessage) bool) {
	var names []string
	for _, m := range claimName.FindAllStringSubmatch(text, -1) {
		if name := strings.ReplaceAll(m[1], "''", "'"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return func(yield func(json.RawMessage) bool) {
		combinations := 1
		for range names {
			if combinations *= len(samples); combinations > mostSamples {
				combinations = mostSamples
				break
			}
		}
		for i := range combinations {
			claims, rest := map[string]json.RawMessage{}, i
			for _, name := range names {
				claims[name] = json.RawMessage(samples[rest%len(samples)])
				rest /= len(samples)
			}
			if token, err := json.Marshal(claims); err == nil && !yield(token) {
				return
			}
		}
	}
}

// judgeRulesUncaptured: a rule for what nobody can follow.
func judgeRulesUncaptured(x *examination) (f findings) {
	for i := range x.looked.Rules {
		r := &x.looked.Rules[i]
		if !r.Enabled || r.Event != "" {
			continue
		}
		table := x.looked.Table(r.Relation)
		if table.State == serve.TableUnknown || table.State == serve.TableRefused {
			f.add(Error, object(r), relay.Remedy(table.Err), "nothing captures the table: "+line(table.Err))
		}
	}
	return f
}

// systemSchema is the schema of the system database, whose tables serve the relay itself.
const systemSchema = "web_socket_event_system_events."

// judgeUnruled is one finding for each source.
func judgeUnruled(x *examination) (f findings) {
	if x.looked.RulesErr != nil {
		return nil
	}
	for _, p := range x.places {
		if p.inspection == nil {
			continue
		}
		var names []string
		for _, r := range p.inspection.Relations {
			if !p.ruled[r.Name] && !strings.HasPrefix(r.Name, systemSchema) {
				names = append(names, r.Name)
			}
		}
		if len(names) > 0 {
			f = append(f, Finding{Severity: Info, Source: p.name, Object: fmt.Sprintf("%d tables", len(names)),
				Remedy:  "insert into web_socket_event_system_events.rules (name, relation, roles, predicate) values ('…', '" + names[0] + "', '{…}', '…');   -- in the system database",
				Problem: "captured, and no rule lets anybody see them: " + listed(names)})
		}
	}
	return f
}
