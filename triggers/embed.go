// Package triggers is capture by trigger as a DBA reads it and runs it with psql, and as the relay's own commands run it.
//
// install.sql makes schema relay: the outbox, and functions that do all the rest; the other scripts call one of them each.
// Lines that begin with a backslash are psql's own: \ir includes a file, the others set defaults and are left out here.
// https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-META-COMMANDS
package triggers

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"pgrelay/relay"
)

//go:embed *.sql functions/*.sql
var scripts embed.FS

// Version is the one that install.sql writes to relay.state.
const Version = 2

// Install returns install.sql, ready for the simple query protocol. reader is the role that may read the outbox; "" for none.
func Install(reader string) string {
	return strings.ReplaceAll(read("install.sql"), ":'reader'", relay.Literal(reader))
}

// Uninstall returns uninstall.sql.
func Uninstall() string { return read("uninstall.sql") }

// Table says how a table is captured.
type Table struct {
	// Name as SQL writes it, quoted where need be: shop.orders.
	Name string
	// Exclude names columns that never leave the table.
	Exclude []string
	// SuppressRedundant leaves out updates that change nothing.
	SuppressRedundant bool
	// Level is statement or row; "" chooses.
	Level string
	// Key names the columns that tell a foreign table's rows apart; other tables have a key of their own.
	Key []string
}

// Enable returns the statement that captures a table from its commit on. It takes SHARE ROW EXCLUSIVE on the table: give it a
// lock_timeout, and a transaction of its own.
func Enable(t Table) string {
	level := "null"
	if t.Level != "" {
		level = relay.Literal(t.Level)
	}
	return fmt.Sprintf("select relay.enable_table(%s, exclude => %s, suppress_redundant => %t, level => %s, key => %s);",
		relay.Literal(t.Name), array(t.Exclude), t.SuppressRedundant, level, array(t.Key))
}

func array(names []string) string {
	literals := make([]string, len(names))
	for i, name := range names {
		literals[i] = relay.Literal(name)
	}
	return "array[" + strings.Join(literals, ", ") + "]::text[]"
}

// Disable returns the statement that ends the capture of a table. It takes ACCESS EXCLUSIVE on it.
func Disable(table string) string {
	return fmt.Sprintf("select relay.disable_table(%s);", relay.Literal(table))
}

// read returns a script with what it includes. A name that isn't there is a mistake in this package.
func read(name string) string {
	script, err := scripts.ReadFile(name)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(script)) {
		if file, ok := strings.CutPrefix(line, `\ir `); ok {
			b.WriteString(read(path.Join(path.Dir(name), strings.TrimSpace(file))))
			continue
		}
		if !strings.HasPrefix(line, `\`) {
			b.WriteString(line)
		}
	}
	return b.String()
}
