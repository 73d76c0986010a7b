package predicate

import (
	"strconv"
	"strings"

	"pgrelay/relay"
)

// safeCalls can't raise an error, whatever their arguments, beside all comparisons.
var safeCalls = map[string]bool{
	"jsonb_object_field": true, "jsonb_object_field_text": true, "jsonb_array_element": true, "jsonb_array_element_text": true,
	"jsonb_contains": true, "jsonb_contained": true, "jsonb_exists": true, "jsonb_exists_any": true, "jsonb_exists_all": true,
	"arraycontains": true, "arraycontained": true, "arrayoverlap": true, "range_contains": true, "range_contained_by": true,
	"range_overlaps": true, "network_sub": true, "network_subeq": true, "network_sup": true, "network_supeq": true, "network_overlap": true,
	"text_starts_with": true,
}

// likes raise an error for a pattern that ends within an escape alone.
var likes = map[string]bool{"textlike": true, "textnlike": true, "namelike": true, "namenlike": true, "bpcharlike": true, "bpcharnlike": true}

// mayRaise tells whether an operator may raise an error for some operands.
func (b *builder) mayRaise(n *node) bool {
	if likes[n.call.name] && n.kind == kindCall && !n.args[1].depends() {
		pattern, fault := b.value(n.args[1])(nil, b.work)
		escapes := len(pattern.s) - len(strings.TrimRight(pattern.s, `\`))
		return fault != nil || escapes%2 == 1
	}
	if n.call.name == "to_jsonb" {
		return !b.safeJSON(n.args[0].typ)
	}
	_, compares := b.implementation(n).(comparison)
	return !compares && !safeCalls[n.call.name]
}

// SafeSQL is a condition for the source, over the names of the columns there, that every row for which the predicate is
// true fulfils and that can't raise an error on any row: comparisons, IN, = ANY, LIKE, IS NULL, IS DISTINCT FROM and the
// tests of truth, AND, OR, NOT, and the operators of safeCalls, over columns, to_jsonb of them, and what doesn't depend on the row. Values are bind
// parameters from $first on, in text form; the text holds no value. It is empty where no conjunct is of that kind.
func (b *Bound) SafeSQL(first int) (sql string, args []string) {
	w := &safeWriter{builder: newBuilder(b.predicate.types, b.claims, b.params), relation: b.predicate.relation, first: first}
	var parts []string
	for _, n := range flat(b.root(), kindAnd) {
		kept := len(w.args)
		if part, ok := w.write(n); ok {
			parts = append(parts, part)
			continue
		}
		w.args = w.args[:kept]
	}
	return strings.Join(parts, " and "), w.args
}

type safeWriter struct {
	*builder
	relation *relay.Relation
	first    int
	args     []string
}

func (w *safeWriter) write(n *node) (string, bool) {
	if !n.depends() {
		return w.value(n)
	}
	switch n.kind {
	case kindColumn:
		if w.citext(n.typ) {
			return relay.Ident(w.relation.Columns[n.number].Source) + "::pg_catalog.text", true
		}
		return relay.Ident(w.relation.Columns[n.number].Source), !w.get(w.baseOf(n.typ)).opaque
	case kindRelabel:
		return w.write(n.args[0])
	case kindAnd:
		return w.join(n, " and ")
	case kindOr:
		return w.join(n, " or ")
	case kindNot:
		return w.around("(not ", n.args[0], ")")
	case kindIsNull:
		if n.flag {
			return w.around("(", n.args[0], " is not null)")
		}
		return w.around("(", n.args[0], " is null)")
	case kindBoolTest:
		return w.around("(", n.args[0], [...]string{
			" is true)", " is not true)", " is false)", " is not false)", " is unknown)", " is not unknown)",
		}[n.number])
	case kindDistinct:
		if n.flag {
			return w.pair(n, " is not distinct from ", "")
		}
		return w.pair(n, " is distinct from ", "")
	case kindAnyAll:
		quantifier := " all ("
		if n.flag {
			quantifier = " any ("
		}
		return w.pair(n, " operator(pg_catalog."+n.call.operator+")"+quantifier, ")")
	case kindCall:
		if n.call.operator != "" && len(n.args) == 2 {
			return w.pair(n, " operator(pg_catalog."+n.call.operator+") ", "")
		}
		if n.call.name == "to_jsonb" && n.args[0].kind == kindColumn && !w.mayRaise(n) {
			return w.around("pg_catalog.to_jsonb(", n.args[0], ")")
		}
	}
	return "", false
}

func (w *safeWriter) around(before string, n *node, after string) (string, bool) {
	s, ok := w.write(n)
	return before + s + after, ok
}

func (w *safeWriter) join(n *node, by string) (string, bool) {
	var parts []string
	for _, arg := range n.args {
		s, ok := w.write(arg)
		if !ok {
			return "", false
		}
		parts = append(parts, s)
	}
	return "(" + strings.Join(parts, by) + ")", true
}

// pair writes two operands, where the operator between them can't raise. An order of text is that of bytes, else the
// predicate would have been refused.
func (w *safeWriter) pair(n *node, between, after string) (string, bool) {
	if w.mayRaise(n) {
		return "", false
	}
	f, compares := w.implementation(n).(comparison)
	left, ok := w.write(n.args[0])
	if !ok {
		return "", false
	}
	right, ok := w.write(n.args[1])
	if compares && f.op != eq && f.op != ne && n.from.bytewise() {
		left += ` collate "C"`
	}
	return "(" + left + between + right + after + ")", ok
}

// value is a bind parameter.
func (w *safeWriter) value(n *node) (string, bool) {
	d, fault := w.builder.value(n)(nil, w.work)
	write := w.output(n.typ)
	if fault != nil || write == nil {
		return "", false
	}
	name := w.display(n.typ)
	// "character" alone would be character(1).
	switch {
	case n.typ == oidBpchar:
		name = "pg_catalog.bpchar"
	case w.elemOf(n.typ) == oidBpchar:
		name = "pg_catalog.bpchar[]"
	case n.typ == oidUnknown:
		return "", false
	}
	if d.null {
		return "null::" + name, true
	}
	text := write(d)
	if w.encoding != "" && !ascii(text) {
		// The server may have no such characters, which is an error.
		return "", false
	}
	w.args = append(w.args, text)
	return "$" + strconv.Itoa(w.first+len(w.args)-1) + "::" + name, true
}
