package sql_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

// rejected are rules that the table refuses, with the error.
var rejected = []struct{ columns, values, code, message, hint string }{
	{"name, relation", `' ', 'x.y'`, "23514", `a rule needs a name`, "It stands in messages"},
	{"name", `'r'`, "23514", `rule "r" has neither a relation nor an event`, "Give relation"},
	{"name, relation, event", `'r', 'x.y', 'update_user_profile'`, "23514", `rule "r" has a relation and an event`, "Write two rules"},
	{"name, relation", `'r', 'nosuch'`, "23514", `relation "nosuch" of rule "r" has no schema`, "Write schema.table"},
	{"name, relation", `'r', 'orders'`, "23514", `relation "orders" of rule "r" has no schema`, "Write shop.orders."},
	{"name, relation, roles", `'r', 'x.y', '{a,null}'`, "23514", `roles of rule "r" hold a null`, "Take it out of the array: {a}."},
	{"name, relation, roles", `'r', 'x.y', '{"",a,b}'`, "23514", `roles of rule "r" hold an empty name`, "Take it out of the array: {a,b}."},
	{"name, relation, roles", `'r', 'x.y', '{a,b,a}'`, "23514", `roles of rule "r" hold "a" more than once`, "Name each once."},
	{"name, relation, columns", `'r', 'x.y', '{null}'`, "23514", `columns of rule "r" hold a null`, "Take it out"},
	{"name, relation, columns", `'r', 'x.y', '{""}'`, "23514", `columns of rule "r" hold an empty name`, "Take it out"},
	{"name, relation, columns", `'r', 'x.y', '{a,a}'`, "23514", `columns of rule "r" hold "a" more than once`, "Name each once."},
	{"name, relation, columns", `'r', 'shop.orders', '{id,email}'`, "42703", `shop.orders has no column "email", which rule "r" names`, `Write "eMail".`},
	{"name, relation, columns", `'r', 'shop.orders', '{gone}'`, "42703", `shop.orders has no column "gone", which rule "r" names`, "Its columns are id, eMail."},
	{"name, relation, columns", `'r', 'shop.lines', '{prize}'`, "42703", `shop.lines has no column "prize", which rule "r" names`, "Its columns are id, price."},
	{"name, relation, predicate", `'r', 'x.y', E'\n'`, "23514", `the predicate of rule "r" is empty`, "Write true"},
	{"name, relation, predicate", `'r', 'x.y', '-- all of them'`, "23514", `the predicate of rule "r" is empty`, "Write true"},
	{"name, relation, predicate", `'r', 'x.y', 'a = 1;'`, "42601", `the predicate of rule "r" has a semicolon`, "leave the semicolon out"},
	{"name, relation, predicate", `'r', 'x.y', 'a = ''it''s'''`, "42601", `the predicate of rule "r" has a ' that nothing closes: '`, "written twice"},
	{"name, relation, predicate", `'r', 'x.y', 'a = "b'`, "42601", `the predicate of rule "r" has a " that nothing closes: "b`, "written twice"},
	{"name, relation, predicate", `'r', 'x.y', 'a = $x$b$y$'`, "42601", `the predicate of rule "r" has a $x$ that nothing closes: $x$b$y$`, "written twice"},
	{"name, relation, predicate", `'r', 'x.y', 'a /* b /* c */'`, "42601", `the predicate of rule "r" has a comment that nothing ends`, "End it"},
}

// TestRulesAreRejected: what is wrong with a rule is said with the way out, when it is written.
func TestRulesAreRejected(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *pgserver.Server) {
		ctx := t.Context()
		run(t, s, "postgres", sql.System, nil)
		run(t, s, "postgres", sql.System, nil)
		const tables = `create schema shop; create table shop.orders (id int primary key, "eMail" text, gone int);
			alter table shop.orders drop column gone; create foreign data wrapper w; create server s foreign data wrapper w;
			create foreign table shop.lines (id int, price numeric) server s`
		if err := s.Exec(ctx, "postgres", tables); err != nil {
			t.Fatal(err)
		}
		conn, err := s.Admin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		for _, c := range rejected {
			_, err := conn.Exec(ctx, "insert into web_socket_event_system_events.rules ("+c.columns+") values ("+c.values+")")
			var refused *pgconn.PgError
			switch {
			case !errors.As(err, &refused) || refused.Code != c.code || refused.Message != c.message:
				t.Errorf("%s: got %v, want %s %s", c.values, err, c.code, c.message)
			case !strings.Contains(refused.Hint, c.hint):
				t.Errorf("%s: got hint %q, want %q", c.values, refused.Hint, c.hint)
			}
		}
		const insert = "insert into web_socket_event_system_events.rules (name, relation, columns, predicate) values "
		for _, c := range []struct{ statement, want string }{
			{insert + `('elsewhere', 'shop.nosuch', '{a}', 'true')`, ""},
			{insert + `('here', 'shop.orders', '{id,eMail}', 'true')`, ""},
			{insert + `('odd', 'x.y', null, E'a = /* ; '' /* */ */ ''b;'''''' and "x;""" = $$;$$ and $a$ $$;" $a$ = E''\\'';'' -- ;''\n')`, ""},
			{`update web_socket_event_system_events.rules set columns = '{a}' where name = 'here'`, "42703"},
			{`alter table shop.orders drop column "eMail"`, ""},
			{`update web_socket_event_system_events.rules set enabled = false where name = 'here'`, ""},
			{`update web_socket_event_system_events.rules set relation = 'shop.lines' where name = 'here'`, "42703"},
		} {
			if got := code(ctx, t, conn, c.statement); got != c.want {
				t.Errorf("%s: got %q, want %q", c.statement, got, c.want)
			}
		}
	})
}

// TestRejectedPredicates: a text that the table rejects isn't one expression for Postgres' own parser either.
func TestRejectedPredicates(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{})
	run(t, s, "postgres", sql.System, nil)
	conn, err := s.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	pieces := []string{"'", "''", `"`, "$$", "$a$", "$", ";", "--", "/*", "*/", "\n", " ", "E'", "e", `\`, "a", "1", "ä", "(", ")", "=", "U&'", "B'", "true", "x$a$", "1$a"}
	g, rejected, taken := rand.New(rand.NewPCG(1, 1)), 0, 0
	for range 10000 {
		var b strings.Builder
		for range 1 + g.IntN(8) {
			b.WriteString(pieces[g.IntN(len(pieces))])
		}
		text := b.String()
		_, err := conn.Exec(t.Context(), "select web_socket_event_system_events.check_predicate('r', $1)", text)
		// A comment at the end of the text must not hide what follows it.
		parsed, wrong := pg_query.Parse("select (" + text + "\n)")
		one := wrong == nil && len(parsed.Stmts) == 1 && len(parsed.Stmts[0].Stmt.GetSelectStmt().GetTargetList()) == 1
		switch {
		case err == nil:
			taken++
		case one:
			t.Fatalf("%q is rejected: %v; Postgres takes it", text, err)
		default:
			rejected++
		}
	}
	if rejected < 1000 || taken < 1000 {
		t.Errorf("got %d texts rejected and %d taken: too few of one kind to tell", rejected, taken)
	}
}
