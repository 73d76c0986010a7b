package attach

import (
	"context"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// Plan is what is left to do in one database.
type Plan struct {
	// Name is the source's, or "warehouse" for one that holds no table of its own.
	Name string
	// Address is "host:port/database".
	Address string
	// Err tells why nothing is known of the database, mostly as a *relay.Problem; Steps is empty then.
	Err error
	// Steps in order.
	Steps []Step
	// Notes are what the operator has to know, or to do.
	Notes []Note

	place *place
}

// Step is one change, made in a transaction of its own.
type Step struct {
	// Title says in a few words what is done, Why the reason, in lines.
	Title string
	Why   []string
	// Statements as they are printed: a password is '…' in them.
	Statements []string

	// script is a whole script with its own transaction, that runs instead of Statements.
	script string
	// secrets are what stands for '…' in each statement when it runs, in order.
	secrets []string
	// busy is the table on which the change needs a lock that others may hold.
	busy *table
	// patient: what waits for the lock lets the application's queries pass, so that it may wait longer now and then.
	patient bool
	// proof says what has to work after the change, before it commits.
	proof *proof
	// work is what is done instead of running the statements, where it is more than they.
	work func(ctx context.Context, conn *pgx.Conn, waiting func(string)) error
}

// Note is something that isn't done: because it needs a restart, somebody's decision, or isn't Attach's to do.
type Note struct {
	Text string
	// Remedy is SQL, a setting or a command line, in lines; empty where there is none.
	Remedy string
	// Undone tells that the relay lacks it.
	Undone bool
}

// Undone are the plan's notes of what the relay lacks.
func (p *Plan) Undone() (some []Note) {
	for _, n := range p.Notes {
		if n.Undone {
			some = append(some, n)
		}
	}
	return some
}

func (p *Plan) step(s Step) { p.Steps = append(p.Steps, s) }

func (p *Plan) note(text, remedy string) { p.Notes = append(p.Notes, Note{Text: text, Remedy: remedy}) }

func (p *Plan) undone(text, remedy string) {
	p.Notes = append(p.Notes, Note{Text: text, Remedy: remedy, Undone: true})
}

// table is one that a statement concerns.
type table struct {
	oid  uint32
	name string // as SQL reads it
}

func leafTable(l relay.Leaf) table { return table{l.OID, relay.Ident(l.Schema, l.Table)} }
