package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/predicate"
	"pgrelay/relay/rule"
	"pgrelay/relay/wire"
)

// under is where text begins that belongs to the line above.
const under = "              "

// print writes the explanation for people.
func (x *explanation) print(w io.Writer) {
	who := "role " + x.Role
	if x.Sub != "" {
		who += ", sub " + x.Sub
	}
	entry(w, "table", fmt.Sprintf("%s from source %s", x.Table, x.From))
	entry(w, "for", who)
	fmt.Fprintln(w)
	for _, r := range x.Rules {
		r.print(w, x.keyed)
	}
	if len(x.Rules) == 0 {
		entry(w, "rules", "there are none for this table")
	}
	for _, note := range x.Notes {
		entry(w, "note", note)
	}
	fmt.Fprintln(w)
	if x.Refused != nil {
		x.Refused.print(w, x.Role)
	} else {
		x.printGrant(w)
	}
	if x.decided {
		fmt.Fprintln(w)
		x.printRow(w)
	}
}

// entry is a word and what it is about.
func entry(w io.Writer, word, text string) {
	fmt.Fprintf(w, "%-12s%s\n", word, printable(text))
}

// standings are the words for them.
var standings = map[rule.Standing]string{rule.StandsOthers: "other role", rule.StandsColumns: "hides"}

func (r *explainedRule) print(w io.Writer, keyed bool) {
	text := "rule " + r.Rule
	switch {
	case r.Standing == rule.StandsOthers && len(r.Roles) == 0:
		text += ": it is for whoever has signed in"
	case r.Standing == rule.StandsOthers:
		text += ": it is for " + strings.Join(r.Roles, ", ")
	case r.Standing == rule.StandsColumns:
		text += ": it doesn't let " + strings.Join(r.Missing, ", ") + " be seen"
	case r.Standing == rule.StandsApplies && r.Columns == nil:
		text += ", all columns"
	case r.Standing == rule.StandsApplies && keyed:
		text += ", columns " + strings.Join(r.Columns, ", ") + " and the key's"
	case r.Standing == rule.StandsApplies:
		text += ", columns " + strings.Join(r.Columns, ", ")
	}
	entry(w, cmp.Or(standings[r.Standing], string(r.Standing)), text)
	switch r.Standing {
	case rule.StandsApplies:
		fmt.Fprintln(w, indented(r.Predicate, under))
		for _, v := range r.Values {
			fmt.Fprintln(w, under+"where "+v.reading())
		}
		if always := always[r.Always]; always != "" {
			fmt.Fprintln(w, under+"which "+always)
		}
		r.printFindings(w)
	case rule.StandsBroken:
		r.printFindings(w)
	}
}

// always says what a predicate that depends on no row does.
var always = map[string]string{
	predicate.True.String():   "shows every row",
	predicate.False.String():  "is false whatever the row, so it shows none",
	predicate.Null.String():   "is null whatever the row, so it shows none",
	predicate.Failed.String(): "is an error whatever the row, so it shows none",
}

func (r *explainedRule) printFindings(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintln(w, under+printable(f.Reason))
		if f.Position != nil {
			fmt.Fprintln(w, caret(r.Predicate, *f.Position, under))
		}
		printRemedy(w, f.Remedy)
	}
}

func printRemedy(w io.Writer, remedy string) {
	if remedy != "" {
		fmt.Fprintln(w, strings.Replace(indented(remedy, under+"        "), under+"        ", under+"remedy: ", 1))
	}
}

func (r *refusal) print(w io.Writer, role string) {
	if r.Code == wire.WaitNotFound {
		entry(w, "sees", fmt.Sprintf("nothing: no rule lets role %s see the table, so it doesn't exist for it", role))
		return
	}
	entry(w, "refused", r.Code+": "+r.Message)
	if r.Position != nil {
		fmt.Fprintln(w, caret(r.Text, *r.Position, under))
	}
	printRemedy(w, r.Hint)
}

func (x *explanation) printGrant(w io.Writer) {
	columns := strings.Join(x.Columns, ", ")
	if x.Grows {
		columns += ", and those that are added later"
	}
	entry(w, "columns", columns)
	switch x.Predicate {
	case "true":
		entry(w, "rows", "all")
	case "false":
		entry(w, "rows", "none")
	default:
		fmt.Fprintf(w, "%-12s%s\n", "rows", strings.TrimLeft(indented(x.Predicate, "            "), " "))
	}
	for _, v := range x.Values {
		fmt.Fprintln(w, under+"where "+v.reading())
	}
	x.Index.print(w)
	switch x.Snapshot {
	case "":
		entry(w, "snapshot", "reads all rows of "+x.physical+" at the source")
	default:
		entry(w, "snapshot", "reads the rows of "+x.physical+" at the source, and then decides each, where")
		fmt.Fprintln(w, indented(x.Snapshot, under))
	}
	for i, arg := range x.SnapshotArgs {
		fmt.Fprintf(w, "%s$%d = %s\n", under, i+1, literal(&arg))
	}
}

func (i index) print(w io.Writer) {
	switch {
	case i.Asked:
		entry(w, "changes", "asked about every change of the table: no condition is an equality of a column with a value")
	case i.Every:
		entry(w, "changes", "every change of the table is sent")
	default:
		word := "changes"
		for _, cover := range i.Covers {
			text := "looked up by " + coverText(cover)
			if len(cover) == 0 {
				text = "no change is looked at: one condition is never true"
			}
			entry(w, word, text)
			word = "or"
		}
	}
}

// mostListed is how many values are listed of many.
const mostListed = 10

func coverText(cover []equality) string {
	parts := make([]string, len(cover))
	for i, e := range cover {
		values := make([]string, 0, mostListed)
		for _, v := range e.Values[:min(len(e.Values), mostListed)] {
			values = append(values, literal(&v))
		}
		more := ""
		if n := len(e.Values) - len(values); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		parts[i] = relay.Ident(e.Column) + " = " + strings.Join(values, ", ") + more
		if len(e.Values) > 1 {
			parts[i] = relay.Ident(e.Column) + " in (" + strings.Join(values, ", ") + more + ")"
		}
	}
	return strings.Join(parts, " or ")
}

// literal is a value as SQL writes it, in one line and not too long.
func literal(value *string) string {
	if value == nil {
		return "null"
	}
	return shorten(printable(relay.Literal(*value)))
}

// reading is what was read, and as what.
func (o operand) reading() string {
	return printable(strings.Join(strings.Fields(o.Text), " ")) + " is " + literal(o.Value)
}

func (x *explanation) printRow(w io.Writer) {
	values := make([]string, len(x.Row))
	for i, v := range x.Row {
		values[i] = printable(relay.Ident(v.Column)) + " = " + literal(v.Value)
	}
	entry(w, "row", strings.Join(values, ", "))
	switch {
	case x.Visible == nil:
		entry(w, "seen", "can't be said: "+strings.Join(x.Unknown, ", ")+" must be known")
	case *x.Visible:
		entry(w, "seen", "yes")
	case len(x.Decisions) == 0:
		entry(w, "seen", "no: no rule applies")
	case x.Refused != nil:
		entry(w, "seen", "no: the request is refused")
	default:
		entry(w, "seen", "no")
	}
	for _, d := range x.Decisions {
		d.print(w, "rule "+d.Rule)
	}
	if x.Where != nil {
		x.Where.print(w, "where, which is asked of rows that a rule shows")
	}
}

func (j judgement) print(w io.Writer, who string) {
	entry(w, "  "+j.Truth, who)
	for _, c := range j.Conjuncts {
		fmt.Fprintf(w, "    %-10s%s\n", c.Truth, strings.TrimLeft(indented(c.Text, under), " "))
		values := make([]string, len(c.Values))
		for i, v := range c.Values {
			values[i] = v.reading()
		}
		if c.Error != "" {
			values = append(values, c.Error)
		}
		if len(values) > 0 {
			fmt.Fprintln(w, under+"  "+strings.Join(values, ", "))
		}
	}
}
