package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/mattn/go-isatty"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// tailCmd prints a table's changes as they are committed.
type tailCmd struct {
	Table    string   `arg:"" help:"The table as the warehouse names it: schema.name."`
	URL      string   `name:"url" default:"ws://127.0.0.1:7070/v1/ws" env:"PGRELAY_URL" help:"The relay's WebSocket."`
	Token    string   `env:"PGRELAY_TOKEN" help:"JWT; without one the role is anon. The environment keeps it out of the process list." placeholder:"JWT"`
	Columns  []string `help:"Columns to show, separated by commas; all by default."`
	Snapshot bool     `help:"Print the rows that are there first."`
	JSON     bool     `name:"json" help:"Print JSON lines."`
}

// Run prints until the context ends, which is no error.
func (c *tailCmd) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdout, os.Stderr, colored(os.Stdout))
}

func (c *tailCmd) run(ctx context.Context, out, notes io.Writer, color bool) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := &tail{command: c, out: bufio.NewWriterSize(out, 64<<10), notes: notes, color: color, stop: stop}
	t.mirror = client.NewMirror(client.Hooks{Message: t.message, Transaction: t.transaction})
	id, err := t.mirror.Subscribe(client.Subscription{Table: c.Table, Columns: c.Columns, ChangesOnly: !c.Snapshot})
	if err != nil {
		return err
	}
	t.id = id
	if err := t.mirror.Run(ctx, c.URL, client.Options{Token: c.Token}, t.lost); err != nil {
		return errors.New(printable(err.Error()))
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// colored tells whether a file is a terminal whose user wants colours. https://no-color.org
func colored(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}

// tail writes what a mirror of one table hears.
type tail struct {
	command *tailCmd
	mirror  *client.Mirror
	id      uint64
	out     *bufio.Writer
	notes   io.Writer
	color   bool
	stop    context.CancelCauseFunc

	columns []wire.Column
	key     []string
	server  string
	resumed bool
	lives   int
}

// note tells the person at the terminal something that isn't data.
func (t *tail) note(format string, args ...any) {
	fmt.Fprintln(t.notes, printable("pgrelay: "+fmt.Sprintf(format, args...)))
}

func (t *tail) lost(err error, wait time.Duration) {
	t.note("%v; trying again in %s", err, wait.Round(time.Millisecond))
}

// message follows the subscription's fate.
func (t *tail) message(_ []byte, m *wire.ServerMessage) {
	switch m.Type {
	case wire.TypeSubscribed:
		t.columns, t.key, t.server, t.resumed = m.Columns, m.Key, m.Server, m.Resumed
	case wire.TypeSchema:
		t.columns = m.Columns
		t.note("%s has new columns", t.command.Table)
	case wire.TypeLive:
		t.live()
	case wire.TypeResync:
		t.note("%s starts over: %s", t.command.Table, m.Reason)
	case wire.TypeWaiting:
		t.waiting(m)
	case wire.TypeClosed, wire.TypeError:
		text := m.Code + ": " + m.Message
		if m.Hint != "" {
			text += "; " + m.Hint
		}
		t.stop(errors.New(printable(text)))
	}
}

func (t *tail) live() {
	t.lives++
	switch {
	case t.resumed:
		t.note("%s resumed, nothing was missed", t.command.Table)
	case t.lives > 1 && !t.command.Snapshot:
		t.note("%s is live again; the changes in between were missed", t.command.Table)
	default:
		t.note("%s is live, from %s", t.command.Table, t.server)
	}
	if !t.command.Snapshot || t.resumed {
		return
	}
	for _, row := range t.mirror.Rows(t.id) {
		t.print("", "", wire.Change{Op: "row", Row: row})
	}
	t.flush()
}

func (t *tail) waiting(m *wire.ServerMessage) {
	if m.Reason != wire.WaitNotFound {
		t.note("%s waits: %s", t.command.Table, m.Message)
		return
	}
	role := "yours"
	if c := t.mirror.Conn(); c != nil {
		role = strconv.Quote(c.Welcome().Role)
	}
	t.note("no table %s, or no rule lets the role %s see it; waiting until there is", t.command.Table, role)
}

func (t *tail) transaction(_ uint64, tx *client.Transaction) {
	for _, c := range tx.Changes {
		t.print(tx.At, tx.Tx, c)
	}
	t.flush()
}

func (t *tail) flush() {
	if err := t.out.Flush(); err != nil {
		t.stop(fmt.Errorf("write the output: %w", err))
	}
}

// print buffers one line. A failed write shows at flush.
func (t *tail) print(at, tx string, c wire.Change) {
	if t.command.JSON {
		line, err := json.Marshal(struct {
			Table  string `json:"table"`
			Server string `json:"server"`
			At     string `json:"at,omitempty"`
			Tx     string `json:"tx,omitempty"`
			wire.Change
		}{t.command.Table, t.server, at, tx, c})
		if err != nil {
			t.stop(fmt.Errorf("encode a change: %w", err))
			return
		}
		_, _ = t.out.WriteString(printable(string(line)) + "\n")
		return
	}
	_, _ = t.out.WriteString(t.line(at, c) + "\n")
}

// The colours, as SGR parameters.
var hues = map[string]string{
	wire.OpInsert: "32", wire.OpUpdate: "33", wire.OpDelete: "31", wire.OpTruncate: "35", "row": "36", "faint": "2",
}

func (t *tail) paint(hue, text string) string {
	if !t.color {
		return text
	}
	return "\x1b[" + hues[hue] + "m" + text + "\x1b[0m"
}

// line is a change for people: time, operation, the key, then the other columns in their order.
func (t *tail) line(at string, c wire.Change) string {
	parts := []string{t.paint("faint", clock(at)), t.paint(c.Op, fmt.Sprintf("%-8s", c.Op))}
	if c.Key != nil {
		parts = append(parts, t.fields(c.Key)...)
		if c.Row != nil {
			parts = append(parts, t.paint("faint", "->"))
		}
	}
	parts = append(parts, t.fields(c.Row)...)
	return strings.TrimRight(strings.Join(parts, " "), " ")
}

// clock is a commit's local time of day; blank for a row of the snapshot.
func clock(at string) string {
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return strings.Repeat(" ", len("15:04:05.000000"))
	}
	return when.Local().Format("15:04:05.000000")
}

func (t *tail) fields(row client.Row) []string {
	fields := make([]string, 0, len(row))
	add := func(name string) {
		if value, ok := row[name]; ok {
			fields = append(fields, t.paint("faint", printable(name)+"=")+readable(value))
		}
	}
	inKey := map[string]bool{}
	for _, name := range t.key {
		inKey[name] = true
		add(name)
	}
	for _, c := range t.columns {
		if !inKey[c.Name] {
			add(c.Name)
		}
	}
	return fields
}

// longest is how many characters of a value are printed for people.
const longest = 200

// readable is a value for people: a string bare where it can't be mistaken for something else, else quoted.
func readable(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil || string(value) == "null" {
		return shorten(printable(string(value)))
	}
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != ' ' && r != '"' && r != '\\' }
	if text == "" || text == "null" || strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(shorten(text))
	}
	return shorten(text)
}

func shorten(text string) string {
	if len(text) <= longest {
		return text
	}
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

// printable replaces what a terminal could take for a command, or could show in another order, by JSON's escapes: so
// what was JSON stays the same JSON.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
