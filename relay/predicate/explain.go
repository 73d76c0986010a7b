package predicate

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pgrelay/relay"
)

// Conjunct is one of the conditions that a predicate joins by AND, and what it says of a row.
type Conjunct struct {
	// Text is the condition as it is written, from byte Position of the predicate's text on.
	Text     string
	Position int
	// Truth is its value by itself. In the predicate it counts only if no conjunct before it is false or Failed.
	Truth Truth
	// Fault is why it is Failed, else nil.
	Fault *Fault
	// Values are what it reads, in the order of the text, each once.
	Values []Operand
	// Pushed: SafeSQL carries it, so that the source leaves out rows by it.
	Pushed bool
}

// Operand is something that a condition reads: a column, by its name, or an expression over claims and parameters, by its
// text. A column that the row leaves out (unchanged TOAST) isn't listed; of an expression that raises an error the operands
// are.
type Operand struct {
	Text string
	// Value is what Postgres prints for it; empty where Null is true.
	Value string
	Null  bool
}

// Explain takes the predicate apart for people: each top-level conjunct with its truth on the row and the values that it
// reads. It analyses the text anew and costs about as much as Compile. It shows values: it is an operator's tool.
func (b *Bound) Explain(row []relay.Value) []Conjunct {
	p := b.predicate
	raw, err := parse(p.source, p.options)
	if err != nil {
		return nil // it was parsed when it was compiled
	}
	a := &analyzer{types: newTypes(p.relation, p.options.hides), relation: p.relation, options: p.options, text: p.source, raws: map[*node]*pg.Node{}}
	root := a.boolean(a.expr(raw), "WHERE")
	var all []*node
	var written []*pg.Node
	pair(raw, root, func(raw *pg.Node, n *node) { written, all = append(written, raw), append(all, n) })
	conjuncts, reached := cutConjuncts(p.source, written), true
	var nulls []*Conjunct
	for i, n := range all {
		e := explainer{builder: newBuilder(a.types, b.claims, b.params), relation: p.relation, columns: p.columns, raws: a.raws, row: row}
		c := &conjuncts[i]
		folded := a.foldAlone(n)
		c.Truth, c.Fault = e.decide(folded)
		attempt(func() { e.visit(n) })
		attempt(func() {
			switch {
			case folded.null():
				// The planner puts it behind all else.
				nulls = append(nulls, c)
			case reached:
				c.Pushed, reached = b.pushes(a.types, folded)
			case folded.constant():
				// The planner drops all else for it.
				c.Pushed = folded.value.truth() == False
			}
		})
		c.Values = e.values
	}
	for _, c := range nulls {
		c.Pushed = reached
	}
	return conjuncts
}

// attempt goes as far as what is evaluated here: what the planner drops of a predicate may hold more.
func attempt(f func()) {
	defer func() {
		if s := recover(); s != nil {
			if _, ok := s.(stop); !ok {
				panic(s)
			}
		}
	}()
	f()
}

// pushes tells whether SafeSQL writes a conjunct of this one, and whether it goes on behind it: not behind what is false or
// raises an error whatever the row.
func (b *Bound) pushes(t *types, n *node) (pushed, on bool) {
	r := reducer{builder: newBuilder(t, b.claims, b.params)}
	w := &safeWriter{builder: r.builder, relation: b.predicate.relation, first: 1}
	n = r.reduce(n)
	for _, part := range flat(n, kindAnd) {
		if part.constant() && part.value.truth() == True {
			continue
		}
		_, ok := w.write(part)
		pushed = pushed || ok
		if on = part.depends() || part.value.null; !on {
			return pushed, false
		}
	}
	return pushed, true
}

// foldAlone folds a conjunct, where it has no constant that raises an error: the planner had no need of it then.
func (a *analyzer) foldAlone(n *node) *node {
	folded := n
	attempt(func() { folded = a.inside(a.fold(n)) })
	return folded
}

// pair walks the raw tree's conjunctions and the analysed ones, which have the same shape.
func pair(raw *pg.Node, n *node, each func(*pg.Node, *node)) {
	b := raw.GetBoolExpr()
	if b == nil || b.Boolop != pg.BoolExprType_AND_EXPR {
		each(raw, n)
		return
	}
	for i, arg := range b.Args {
		pair(arg, n.args[i], each)
	}
}

// cutConjuncts finds the conjuncts in the text: between what the last node of one and the first of the next say of their
// places there is the AND that joins them.
func cutConjuncts(text string, written []*pg.Node) []Conjunct {
	var tokens []*pg.ScanToken
	if scanned, err := pg.Scan(text); err == nil {
		tokens = slices.DeleteFunc(scanned.Tokens, func(t *pg.ScanToken) bool {
			return t.Token == pg.Token_SQL_COMMENT || t.Token == pg.Token_C_COMMENT
		})
	}
	conjuncts := make([]Conjunct, len(written))
	for i, raw := range written {
		end := len(tokens)
		if i+1 < len(written) {
			_, from := places(raw)
			to, _ := places(written[i+1])
			end = slices.IndexFunc(tokens, func(t *pg.ScanToken) bool {
				return t.Token == pg.Token_AND && int(t.Start) > from && int(t.Start) < to
			})
		}
		if end < 0 {
			// A place that the parser doesn't tell.
			conjuncts[i].Text = deparse(raw)
			continue
		}
		conjuncts[i].Text, conjuncts[i].Position = balanced(text, tokens[:end])
		tokens = tokens[min(end+1, len(tokens)):]
	}
	return conjuncts
}

// places are the first and the last byte offset that nodes below this one have.
func places(raw *pg.Node) (first, last int) {
	first = -1
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.Name() == "location" && v.Int() >= int64(len(prefix)):
				at := pos(int32(v.Int()))
				if first < 0 || at < first {
					first = at
				}
				last = max(last, at)
			case f.IsList() && f.Message() != nil:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			case !f.IsList() && f.Message() != nil:
				walk(v.Message())
			}
			return true
		})
	}
	walk(raw.ProtoReflect())
	return max(first, 0), last
}

// balanced is the text of tokens without the parentheses at its ends that close or open outside.
func balanced(text string, tokens []*pg.ScanToken) (string, int) {
	open, extra := 0, 0
	for _, t := range tokens {
		switch t.Token {
		case pg.Token_ASCII_40:
			open++
		case pg.Token_ASCII_41:
			if open--; open < 0 {
				extra, open = extra+1, 0
			}
		}
	}
	tokens = tokens[min(open, len(tokens)) : len(tokens)-min(extra, len(tokens)-min(open, len(tokens)))]
	if len(tokens) == 0 {
		return "", 0
	}
	start := int(tokens[0].Start)
	return text[start:tokens[len(tokens)-1].End], start
}

// deparse writes an expression of the raw tree as SQL.
func deparse(raw *pg.Node) string {
	statement, err := pg.Parse(prefix + "1")
	if err != nil {
		return ""
	}
	statement.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val = raw
	text, err := pg.Deparse(statement)
	if err != nil {
		return ""
	}
	return text[min(len(prefix), len(text)):]
}

// explainer collects what one conjunct reads.
type explainer struct {
	*builder
	relation *relay.Relation
	columns  []int
	raws     map[*node]*pg.Node
	row      []relay.Value
	values   []Operand
}

func (e *explainer) decide(n *node) (t Truth, fault *Fault) {
	defer func() {
		if recover() != nil {
			t, fault = Failed, ErrRow
		}
	}()
	f, w := e.truth(n), new(work)
	w.begin(e.row, e.columns, len(e.slots))
	w.encoded = e.encoding != ""
	return f(e.row, w)
}

func (e *explainer) visit(n *node) {
	switch {
	case n.kind == kindConst:
		return
	case n.kind == kindColumn:
		e.column(n)
		return
	case n.kind == kindParam:
		e.fixed(n, "$"+strconv.Itoa(n.number+1))
		return
	case !n.depends() && n.typ != oidBool && e.reads(n) && e.raws[n] != nil && e.fixed(n, deparse(e.raws[n])):
		return
	}
	for _, arg := range n.args {
		e.visit(arg)
	}
}

// reads tells whether an expression reads claims or parameters.
func (e *explainer) reads(n *node) (found bool) {
	n.walk(func(n *node) { found = found || n.kind == kindClaims || n.kind == kindParam })
	return found
}

func (e *explainer) column(n *node) {
	if n.number >= len(e.row) || e.row[n.number].Kind == relay.ValueUnchanged {
		return
	}
	v := e.row[n.number]
	e.add(Operand{Text: e.relation.Columns[n.number].Name, Value: string(v.Text), Null: v.Kind == relay.ValueNull})
}

// fixed adds what doesn't depend on the row, unless it has no value.
func (e *explainer) fixed(n *node, text string) bool {
	write := e.output(n.typ)
	d, fault := e.value(n)(nil, e.work)
	if fault != nil || write == nil {
		return false
	}
	o := Operand{Text: strings.TrimSpace(text), Null: d.null}
	if !d.null {
		o.Value = strings.Clone(write(d))
	}
	e.add(o)
	return true
}

func (e *explainer) add(o Operand) {
	if !slices.Contains(e.values, o) {
		e.values = append(e.values, o)
	}
}
