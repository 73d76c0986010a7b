package predicate

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay"
)

// Options say what a predicate may read and how large it may be. The zero value is a rule's, without claims.
type Options struct {
	// Claims: the name claims is the token's payload, a jsonb. Where a column has that name too, a text that says it is
	// refused.
	Claims bool
	// Params is how many parameters there are, $1 to $n; their types come from their context.
	Params int
	// MaxBytes of the text; default 16384.
	MaxBytes int
	// MaxDepth of nested expressions; default 100.
	MaxDepth int
	// Hidden tells of columns, by index, that don't exist for the text: what it says of one is what it says of a name
	// that nothing has, and a type that hidden columns alone have is unknown too. Nil: none is.
	Hidden func(column int) bool
}

func (o Options) hides(column int) bool { return o.Hidden != nil && o.Hidden(column) }

func (o Options) bytes() int {
	if o.MaxBytes == 0 {
		return 16384
	}
	return o.MaxBytes
}

func (o Options) depth() int {
	if o.MaxDepth == 0 {
		return 100
	}
	return o.MaxDepth
}

// Error tells why a text is no predicate here.
type Error struct {
	// Position is a byte offset in the text.
	Position int
	Reason   string
	// Hint is a way out; empty where there is none.
	Hint string
	// Refused: Postgres may accept the text, but it can't be evaluated exactly. Else Postgres rejects it too.
	Refused bool
	// TooDeep: the text is nested deeper than Options.MaxDepth.
	TooDeep bool
}

// Error is the reason and where it applies.
func (e *Error) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Reason, e.Position) }

// Predicate is a compiled boolean expression over a relation's columns. It is immutable and safe for concurrent use.
type Predicate struct {
	relation *relay.Relation
	types    *types
	root     *node
	params   []uint32
	columns  []int
	claims   bool
	source   string
	options  Options
}

// Compile parses the text with Postgres' own parser, gives its names and types the meaning that Postgres gives them
// under "search_path = pg_catalog", and compiles it. What Postgres rejects and what can't be exact is an *Error.
func Compile(text string, r *relay.Relation, options Options) (p *Predicate, err error) {
	defer func() {
		switch s := recover().(type) {
		case nil:
		case stop:
			p, err = nil, s.err
		default:
			panic(s)
		}
	}()
	raw, err := parse(text, options)
	if err != nil {
		return nil, err
	}
	a := &analyzer{types: newTypes(r, options.hides), relation: r, options: options, text: text}
	root := a.boolean(a.expr(raw), "WHERE")
	for i, t := range a.params {
		if t == oidUnknown {
			a.reject(0, "could not determine data type of parameter $%d", i+1)
		}
	}
	root.walk(func(n *node) {
		if n.kind == kindParam && n.typ == oidUnknown {
			a.reject(n.pos, "could not determine data type of parameter $%d", n.number+1)
		}
	})
	p = &Predicate{relation: r, types: a.types, root: a.inside(a.fold(root)), params: a.params, source: text, options: options}
	root.walk(func(n *node) {
		switch n.kind {
		case kindColumn:
			p.columns = append(p.columns, n.number)
		case kindClaims:
			p.claims = true
		}
	})
	slices.Sort(p.columns)
	p.columns = slices.Compact(p.columns)
	newBuilder(p.types, datum{x: emptyObject}, slices.Repeat([]datum{nullDatum}, len(p.params))).truth(p.root)
	return p, nil
}

// Columns are the indexes of the relation's columns that the predicate reads, in ascending order.
func (p *Predicate) Columns() []int { return p.columns }

// Claims tells whether the predicate reads the claims.
func (p *Predicate) Claims() bool { return p.claims }

// String is the text.
func (p *Predicate) String() string { return p.source }

// prefix makes a statement of an expression.
const prefix = "select "

func parse(text string, options Options) (*pg.Node, error) {
	if len(text) > options.bytes() {
		return nil, &Error{Reason: fmt.Sprintf("the predicate is longer than %d bytes", options.bytes()), Hint: "split it", Refused: true}
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, &Error{Reason: "the text is not UTF-8 without zero bytes"}
	}
	target, err := parseTarget(text, "", "")
	if err != nil {
		return nil, err
	}
	// What stands in parentheses must be the whole of it: no second statement, nothing after the expression. A word behind it
	// would else name it: "paid and" is a column paid, called and.
	if _, err := parseTarget(text, "(", "\n)"); err != nil {
		return nil, err
	}
	if target.Name != "" || len(target.Indirection) > 0 || target.Val == nil {
		return nil, errMore
	}
	return target.Val, nil
}

var errMore = &Error{Reason: "the text is more than an expression", Hint: "write what would stand behind WHERE"}

func parseTarget(text, open, shut string) (*pg.ResTarget, error) {
	result, err := pg.Parse(prefix + open + text + shut)
	if err != nil {
		return nil, syntaxError(err, text, len(prefix)+len(open))
	}
	if len(result.Stmts) != 1 {
		return nil, &Error{Reason: "the text is not one expression"}
	}
	s := result.Stmts[0].GetStmt().GetSelectStmt()
	if s != nil && len(s.TargetList)+len(s.FromClause) == 0 && s.WhereClause == nil && s.Larg == nil {
		return nil, &Error{Reason: "the text is empty", Hint: "write true for all rows"}
	}
	if s == nil || len(s.TargetList) != 1 || len(s.FromClause)+len(s.GroupClause)+len(s.WindowClause)+len(s.SortClause)+
		len(s.LockingClause)+len(s.ValuesLists)+len(s.DistinctClause) > 0 || s.WhereClause != nil || s.HavingClause != nil || s.LimitCount != nil ||
		s.LimitOffset != nil || s.IntoClause != nil || s.WithClause != nil || s.Larg != nil || s.Rarg != nil {
		return nil, errMore
	}
	return s.TargetList[0].GetResTarget(), nil
}

// syntaxError is the parser's error, with its place in the text, which the parser saw behind so many bytes.
func syntaxError(err error, text string, before int) *Error {
	e := &Error{Reason: err.Error()}
	at, ok := cursor(err)
	if !ok {
		return e
	}
	if e.Position = byteOffset(text, at-1-before); e.Position == len(text) {
		e.Reason = "syntax error at end of input"
	}
	return e
}

// byteOffset turns a number of characters into one of bytes.
func byteOffset(text string, characters int) int {
	for i := range text {
		if characters <= 0 {
			return i
		}
		characters--
	}
	return len(text)
}
