package main

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
)

// rulesCmd says what the stored rules do.
type rulesCmd struct {
	Check   rulesCheckCmd   `cmd:"" help:"Compile every stored rule against the live warehouse; exit status 1 where one can't be used or is not what it seems."`
	Explain rulesExplainCmd `cmd:"" help:"Say what somebody sees of a table, and why a row is or isn't among it."`
	Wait    rulesWaitCmd    `cmd:"" help:"Wait until the edits of the rules that are committed are in force on all connections."`
}

// warehouseFlags say where the warehouse is, as serve takes them.
type warehouseFlags struct {
	Warehouse   string            `required:"" help:"The warehouse: a URL or keywords as libpq takes them. The environment keeps the password out of the process list." placeholder:"DSN"`
	Publication string            `default:"pgrelay" help:"Name of the publication in each source."`
	InsertOnly  []string          `help:"Tables without a key that are published for inserts alone." placeholder:"SCHEMA.TABLE"`
	Hosts       map[string]string `help:"What is dialled for a foreign server's host (host or host:port)." placeholder:"HOST=ADDRESS"`
	Credentials map[string]string `help:"user:password by foreign server, where user mappings don't give them." placeholder:"SERVER=USER:PASSWORD"`
}

// look reads the warehouse and the rules; either may be what can't be read.
func (f *warehouseFlags) look(ctx context.Context) (*serve.Looked, error) {
	credentials, err := parseCredentials(f.Credentials)
	if err != nil {
		return nil, err
	}
	looked, err := serve.Look(ctx, warehouse.Config{DSN: f.Warehouse, Credentials: credentials, Hosts: f.Hosts, InsertOnly: f.InsertOnly, Publication: f.Publication})
	if err != nil {
		return nil, err
	}
	return looked, looked.RulesErr
}

// noteText is what of a table isn't published, and what would change that.
func noteText(n warehouse.Skip) string {
	if n.Remedy == "" {
		return n.Reason
	}
	return n.Reason + "; remedy: " + strings.Join(strings.Fields(n.Remedy), " ")
}

// widest is how many characters of a line are shown around a position.
const widest = 100

// caret shows the line of a text that holds a byte position, and a caret under it, as psql shows an error's; the lines
// begin with indent.
func caret(text string, position int, indent string) string {
	position = min(max(position, 0), len(text))
	start := strings.LastIndexByte(text[:position], '\n') + 1
	line, _, _ := strings.Cut(text[start:], "\n")
	label := ""
	if strings.Contains(strings.TrimSpace(text), "\n") {
		label = fmt.Sprintf("line %d: ", 1+strings.Count(text[:start], "\n"))
	}
	at := len([]rune(text[start:position]))
	runes := []rune(strings.TrimRightFunc(line, unicode.IsSpace))
	before, after := "", ""
	if from := at - widest/2; len(runes) > widest && from > 0 {
		from = min(from, len(runes)-widest/2)
		runes, at, before = runes[from:], at-from+1, "…"
	}
	if len(runes) > widest {
		runes, after = runes[:widest], "…"
	}
	shown := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' ' // one for one, so that the caret stays under its place
		}
		return r
	}, string(runes))
	return indent + label + before + shown + after + "\n" + indent + strings.Repeat(" ", len(label)+at) + "^"
}

// indented puts indent before each line of a text, which loses what a terminal could take for a command.
func indented(text, indent string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = indent + printable(strings.ReplaceAll(strings.TrimRightFunc(line, unicode.IsSpace), "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// plural is a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
