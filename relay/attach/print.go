package attach

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"pgrelay/relay"
)

// lockTimeout of every step: what the application's queries wait at most behind one.
const lockTimeout = "500ms"

// patientTimeout is longer than deadlock_timeout, after which an autovacuum gives way to who waits for it.
const patientTimeout = "1500ms"

// Print writes the plan as a script for psql. The whole of it may be run, and run again after it stopped; a statement that
// stops it by lock_timeout has changed nothing.
func (p *Plan) Print(w io.Writer) error {
	b := &strings.Builder{}
	p.head(b)
	for i, s := range p.Steps {
		fmt.Fprintf(b, "\n")
		comment(b, fmt.Sprintf("%d. %s", i+1, s.Title))
		for _, line := range s.Why {
			comment(b, "   "+line)
		}
		s.print(b)
	}
	p.printNotes(b)
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Plan) head(b *strings.Builder) {
	comment(b, strings.Repeat("=", 100))
	comment(b, fmt.Sprintf("%s, at %s", p.Name, p.Address))
	switch {
	case p.Err != nil:
		comment(b, "can't be read: "+p.Err.Error())
		if remedy := relay.Remedy(p.Err); remedy != "" {
			comment(b, "remedy: "+remedy)
		}
	case len(p.Steps) == 0:
		comment(b, "nothing to do")
	default:
		b.WriteString("\n\\set ON_ERROR_STOP on\n")
		fmt.Fprintf(b, "set search_path = pg_catalog;\n")
		fmt.Fprintf(b, "set lock_timeout = '%s';  -- so that no query of the application queues behind these; where it ends one, run it again\n", lockTimeout)
	}
}

func (p *Plan) printNotes(b *strings.Builder) {
	for _, n := range p.Notes {
		b.WriteString("\n")
		mark := "note: "
		if n.Undone {
			mark = "NOT DONE: "
		}
		comment(b, mark+n.Text)
		if n.Remedy != "" {
			comment(b, "    "+strings.ReplaceAll(n.Remedy, "\n", "\n    "))
		}
	}
}

func (s *Step) print(b *strings.Builder) {
	lines := s.Statements
	if s.proof != nil && s.proof.shown {
		lines = slices.Concat(lines, s.proof.script())
	}
	if len(lines) == 1 || s.work != nil || s.script != "" {
		for _, line := range lines {
			fmt.Fprintln(b, line)
		}
		return
	}
	fmt.Fprintln(b, "begin;")
	for _, line := range lines {
		fmt.Fprintln(b, line)
	}
	fmt.Fprintln(b, "commit;")
}

// comment writes lines behind dashes. What a name in them could hold stays in its line.
func comment(b *strings.Builder, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(b, "-- %s\n", strings.TrimRight(printable(line), " "))
	}
}

// printable has a space for each character that a terminal or psql could take for more than text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
