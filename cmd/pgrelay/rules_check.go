package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/rule"
	"pgrelay/relay/serve"
)

// rulesCheckCmd compiles every stored rule.
type rulesCheckCmd struct {
	warehouseFlags
	JSON bool `name:"json" help:"Print one JSON object."`
}

// Help is the long text.
func (rulesCheckCmd) Help() string {
	return `Reads the warehouse, the databases behind it and the stored rules, and writes nothing; no relay need run.

  PGRELAY_WAREHOUSE=postgres://… pgrelay rules check

  broken     the rule can't be evaluated as Postgres would, or its table isn't there: it lets nothing be seen
  warning    the rule is in force, but something of it is without effect
  unchecked  the database that holds its table can't be read, so nothing is known of it
  disabled   the rule isn't in force; what would be wrong with it is said, and is no problem

The position is marked in the predicate. Exit status 1 where there is a line of the first three kinds.`
}

// The kinds of lines.
const (
	checkBroken    = "broken"
	checkWarning   = "warning"
	checkUnchecked = "unchecked"
	checkDisabled  = "disabled"
)

// checkLine is what is said of a rule.
type checkLine struct {
	Kind  string `json:"kind"`
	Rule  string `json:"rule"`
	Table string `json:"table,omitempty"`
	Event string `json:"event,omitempty"`
	// State is the table's.
	State     serve.TableState `json:"table_state,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Remedy    string           `json:"remedy,omitempty"`
	Predicate string           `json:"predicate,omitempty"`
	// Position is a byte offset in Predicate.
	Position *int `json:"position,omitempty"`
}

// checked is the outcome.
type checked struct {
	OK       bool        `json:"ok"`
	Rules    int         `json:"rules"`
	Tables   int         `json:"tables"`
	Events   int         `json:"events"`
	Problems int         `json:"problems"`
	Disabled int         `json:"disabled"`
	Lines    []checkLine `json:"lines"`
	// Notes are about what isn't published of tables whose rules have problems.
	Notes []string `json:"notes,omitempty"`
}

// Run prints what is wrong; problems are an error.
func (c *rulesCheckCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *rulesCheckCmd) run(ctx context.Context, out io.Writer) error {
	looked, err := c.look(ctx)
	if err != nil {
		return err
	}
	found := check(looked)
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(found)
	} else {
		err = found.print(out)
	}
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	if !found.OK {
		return errors.New(found.summary())
	}
	return nil
}

// check examines the rules, by table or event and then by id.
func check(looked *serve.Looked) *checked {
	rules := slices.Clone(looked.Rules)
	slices.SortStableFunc(rules, func(a, b relay.Rule) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.ID, b.ID))
	})
	found := &checked{Rules: len(rules), Lines: []checkLine{}}
	noted := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		if i == 0 || r.Event != rules[i-1].Event || r.Relation != rules[i-1].Relation {
			found.count(r)
		}
		table, wrong := found.rule(looked, r)
		for _, n := range table.Notes {
			if text := n.Name + ": " + noteText(n); wrong && !noted[text] {
				noted[text] = true
				found.Notes = append(found.Notes, text)
			}
		}
	}
	found.OK = found.Problems == 0
	return found
}

func (c *checked) count(r *relay.Rule) {
	if r.Event != "" {
		c.Events++
	} else {
		c.Tables++
	}
}

// rule adds what is to be said of a rule, and returns its table and whether something is wrong.
func (c *checked) rule(looked *serve.Looked, r *relay.Rule) (table serve.Table, wrong bool) {
	if r.Event == "" {
		table = looked.Table(r.Relation)
	}
	about := checkLine{Rule: r.Name, Table: r.Relation, Event: r.Event, State: table.State}
	before := len(c.Lines)
	if table.Err != nil {
		about.Kind, about.Reason, about.Remedy = checkBroken, table.Err.Error(), relay.Remedy(table.Err)
		if table.State == serve.TableUnreachable {
			about.Kind = checkUnchecked
		}
		c.Lines = append(c.Lines, about)
	} else {
		for _, f := range rule.Examine(r, table.Relation) {
			c.Lines = append(c.Lines, about.with(f, r.Predicate))
		}
	}
	wrong = len(c.Lines) > before
	if r.Enabled {
		c.Problems += len(c.Lines) - before
		return table, wrong
	}
	c.Disabled++
	if !wrong {
		c.Lines = append(c.Lines, about)
	}
	for i := range c.Lines[before:] {
		c.Lines[before+i].Kind = checkDisabled
	}
	return table, wrong
}

func (l checkLine) with(f rule.Finding, text string) checkLine {
	l.Kind, l.Reason, l.Remedy = checkWarning, f.Reason, f.Hint
	if f.Denies {
		l.Kind = checkBroken
	}
	if f.Position >= 0 {
		l.Predicate, l.Position = text, &f.Position
	}
	return l
}

func (c *checked) print(out io.Writer) error {
	w := bufio.NewWriter(out)
	last := ""
	for _, l := range c.Lines {
		if l.State != serve.TableFound && l.Reason != "" && l.Reason == last {
			l.Reason, l.Remedy = "the same", ""
		} else {
			last = l.Reason
		}
		l.print(w)
	}
	for _, note := range c.Notes {
		fmt.Fprintf(w, "%-11s%s\n", "note", printable(note))
	}
	if c.OK {
		fmt.Fprintln(w, c.summary())
	}
	return w.Flush()
}

const checkIndent = "           "

func (l *checkLine) print(w io.Writer) {
	about := "table " + l.Table
	if l.Event != "" {
		about = "event " + l.Event
	}
	line := fmt.Sprintf("%-11srule %s, %s", l.Kind, l.Rule, about)
	if l.Reason != "" {
		line += ": " + l.Reason
	}
	fmt.Fprintln(w, printable(line))
	if l.Position != nil {
		fmt.Fprintln(w, caret(l.Predicate, *l.Position, checkIndent))
	}
	if l.Remedy != "" {
		fmt.Fprintln(w, strings.Replace(indented(l.Remedy, checkIndent+"        "), checkIndent+"        ", checkIndent+"remedy: ", 1))
	}
}

// summary is one line: how many rules there are, and what is wrong with them.
func (c *checked) summary() string {
	on := plural(c.Tables, "table")
	if c.Events > 0 {
		on += " and " + plural(c.Events, "event")
	}
	text := fmt.Sprintf("%s on %s", plural(c.Rules, "rule"), on)
	if c.Disabled > 0 {
		text += fmt.Sprintf(", %d of them disabled", c.Disabled)
	}
	if c.OK {
		return text + ": no problem"
	}
	return text + ": " + plural(c.Problems, "problem")
}
