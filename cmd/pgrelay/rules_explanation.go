package main

import (
	"errors"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/predicate"
	"pgrelay/relay/rule"
	"pgrelay/relay/serve"
	"pgrelay/relay/wire"
)

// explanation is what rules explain prints, in the order in which it does.
type explanation struct {
	Table string          `json:"table"`
	From  string          `json:"source"`
	Role  string          `json:"role"`
	Sub   string          `json:"sub,omitempty"`
	Rules []explainedRule `json:"rules"`
	// Notes are about what of the table isn't published.
	Notes []string `json:"notes,omitempty"`
	// Refused is what a client is answered; then nothing is seen.
	Refused *refusal `json:"refused,omitempty"`

	Columns   []string `json:"columns"`
	Grows     bool     `json:"grows"`
	Predicate string   `json:"predicate"`
	// Values are what the client's where reads of params and claims.
	Values []operand `json:"values,omitempty"`
	Index  index     `json:"index"`
	// Snapshot is the condition at the source; empty: every row is read.
	Snapshot     string   `json:"snapshot"`
	SnapshotArgs []string `json:"snapshot_args,omitempty"`
	physical     string

	// Row is what is known of the row that is asked about.
	Row []columnValue `json:"row,omitempty"`
	// Visible is left out where no row is asked about, and where values decide that aren't given: those of Unknown.
	Visible   *bool       `json:"visible,omitempty"`
	Unknown   []string    `json:"unknown,omitempty"`
	Decisions []judgement `json:"decisions,omitempty"`
	Where     *judgement  `json:"where,omitempty"`
	decided   bool
	keyed     bool
}

type explainedRule struct {
	Rule      string        `json:"rule"`
	Standing  rule.Standing `json:"standing"`
	Roles     []string      `json:"roles"`
	Columns   []string      `json:"columns"`
	Predicate string        `json:"predicate"`
	// Missing are the columns that are read and that it doesn't let be seen.
	Missing []string `json:"missing,omitempty"`
	// Always is what it says of every row, where it depends on none.
	Always string `json:"always,omitempty"`
	// Values are what it reads of the claims.
	Values   []operand `json:"values,omitempty"`
	Findings []finding `json:"findings,omitempty"`
}

type finding struct {
	Reason   string `json:"reason"`
	Remedy   string `json:"remedy,omitempty"`
	Position *int   `json:"position,omitempty"`
}

type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Position is a byte offset in Text, the client's where.
	Text     string `json:"text,omitempty"`
	Position *int   `json:"position,omitempty"`
}

type operand struct {
	Text string `json:"text"`
	// Value is what Postgres prints; nil is null.
	Value *string `json:"value"`
}

type columnValue struct {
	Column string `json:"column"`
	// Value is what Postgres prints; nil is null.
	Value *string `json:"value"`
}

// index is how a change finds who may see it.
type index struct {
	// Every: each change of the table is looked at, with the predicate (Asked) or without.
	Every bool `json:"every"`
	Asked bool `json:"asked"`
	// Covers: a change is looked at that fulfils one equality of the list taken.
	Covers [][]equality `json:"covers,omitempty"`
}

type equality struct {
	Column string   `json:"column"`
	Values []string `json:"values"`
}

type judgement struct {
	Rule      string     `json:"rule,omitempty"`
	Truth     string     `json:"truth"`
	Error     string     `json:"error,omitempty"`
	Conjuncts []conjunct `json:"conjuncts"`
}

type conjunct struct {
	Text     string    `json:"text"`
	Position int       `json:"position"`
	Truth    string    `json:"truth"`
	Error    string    `json:"error,omitempty"`
	Values   []operand `json:"values"`
	// Pushed tells that a snapshot leaves rows out at the source by it.
	Pushed bool `json:"pushed"`
}

// explained puts into words what the rules let be seen.
func explained(table serve.Table, p relay.Principal, request rule.Request, e *rule.Explanation) *explanation {
	r := table.Relation
	x := &explanation{Table: r.Name, From: table.Source.Name, Role: p.Role, Sub: p.Subject, Rules: []explainedRule{}, Columns: []string{},
		keyed: len(r.Key) > 0}
	for _, g := range e.Rulings {
		x.Rules = append(x.Rules, explainRule(g))
	}
	for _, n := range table.Notes {
		x.Notes = append(x.Notes, noteText(n))
	}
	if e.Err != nil {
		x.Refused, x.Predicate = refused(request, e), "false"
		return x
	}
	x.Columns, x.Grows = e.Grant.Columns, e.Grant.Grows
	x.Predicate, x.Values = e.Grant.Filter.Predicate(), operands(e.Values)
	x.Index = indexOf(r, e.Grant.Filter)
	if e.Grant.Filter != nil {
		x.Snapshot, x.SnapshotArgs = e.Grant.Filter.SQL(1)
	}
	x.physical = relay.Ident(r.Schema, r.Table)
	return x
}

func explainRule(g rule.Ruling) explainedRule {
	x := explainedRule{Rule: g.Rule.Name, Standing: g.Standing, Roles: g.Rule.Roles, Columns: g.Rule.Columns, Predicate: g.Rule.Predicate, Missing: g.Missing,
		Values: operands(g.Values)}
	if g.Constant && g.Standing == rule.StandsApplies {
		x.Always = g.Always.String()
	}
	for _, f := range g.Findings {
		one := finding{Reason: f.Reason, Remedy: f.Hint}
		if f.Position >= 0 {
			one.Position = &f.Position
		}
		x.Findings = append(x.Findings, one)
	}
	return x
}

// refused is the answer to a client, as the protocol gives it.
func refused(request rule.Request, e *rule.Explanation) *refusal {
	x := &refusal{Code: wire.WaitNotFound, Message: e.Err.Error()}
	for err, code := range map[error]string{rule.ErrColumns: wire.CodeBadColumns, rule.ErrWhere: wire.CodeBadWhere, rule.ErrParams: wire.CodeBadParams} {
		if errors.Is(e.Err, err) {
			x.Code = code
		}
	}
	var r *rule.Refusal
	if errors.As(e.Err, &r) {
		x.Hint = r.Hint
	}
	if e.Where != nil {
		x.Message, x.Text, x.Position = e.Where.Reason, request.Where, &e.Where.Position
	}
	return x
}

func indexOf(r *relay.Relation, f *rule.Filter) (x index) {
	if f == nil {
		return index{Every: true}
	}
	for _, cover := range f.Covers() {
		list, values := []equality{}, 0
		for _, e := range cover {
			values += len(e.Values)
			list = append(list, equality{r.Columns[e.Column].Name, e.Values})
		}
		if values <= hub.MaxCover {
			x.Covers = append(x.Covers, list)
		}
	}
	x.Every = len(x.Covers) == 0
	x.Asked = x.Every
	return x
}

func operands(values []predicate.Operand) []operand {
	list := make([]operand, len(values))
	for i, v := range values {
		list[i].Text = v.Text
		if !v.Null {
			list[i].Value = &v.Value
		}
	}
	return list
}

// decide adds what is said of a row.
func (x *explanation) decide(r *relay.Relation, e *rule.Explanation, row []relay.Value) {
	d := e.Decide(row)
	x.decided = true
	for i, v := range row {
		switch v.Kind {
		case relay.ValueText:
			text := string(v.Text)
			x.Row = append(x.Row, columnValue{r.Columns[i].Name, &text})
		case relay.ValueNull:
			x.Row = append(x.Row, columnValue{r.Columns[i].Name, nil})
		}
	}
	shown := d.Verdict == relay.Shown
	if d.Verdict != relay.Unknown {
		x.Visible = &shown
	} else {
		for _, c := range e.Grant.Filter.Columns() {
			if row[c].Kind == relay.ValueUnchanged {
				x.Unknown = append(x.Unknown, r.Columns[c].Name)
			}
		}
	}
	for _, j := range d.Rules {
		x.Decisions = append(x.Decisions, judged(j))
	}
	if d.Where != nil {
		where := judged(*d.Where)
		x.Where = &where
	}
}

func judged(j rule.Judgement) judgement {
	x := judgement{Rule: j.Rule, Conjuncts: []conjunct{}}
	x.Truth, x.Error = outcomeOf(j.Truth, j.Fault)
	for _, c := range j.Conjuncts {
		one := conjunct{Text: c.Text, Position: c.Position, Values: operands(c.Values), Pushed: c.Pushed}
		one.Truth, one.Error = outcomeOf(c.Truth, c.Fault)
		x.Conjuncts = append(x.Conjuncts, one)
	}
	return x
}

// outcomeOf is a truth in words, unknown where a value that isn't given decides, and the error that is one.
func outcomeOf(t predicate.Truth, f *predicate.Fault) (truth, message string) {
	switch f {
	case nil:
		return t.String(), ""
	case predicate.ErrUnchanged:
		return "unknown", ""
	}
	return t.String(), f.Message
}
