package predicate

import "strconv"

// reducer makes of a predicate what is left of it under one binding, and the binding's key on the way. It leaves out what
// can't change the outcome of any row, errors included:
//
//   - what doesn't depend on the row is its value, unless computing it raises an error;
//   - an AND ends behind an arm that is false, an OR behind one that is true; the arms right before it go too, as far as
//     they can't raise an error: "owner = $1 or true" is true, "1 / n = 1 or true" is an error where n is 0. Behind an arm
//     that always raises nothing is reached;
//   - a CASE ends at a condition that is true;
//   - a strict operator with a null beside operands that can't raise is null.
//
// The order is that of the executor (ExecEvalBoolAndStep and its like): from left to right.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/executor/execExprInterp.c
type reducer struct {
	*builder
	// key has the values of the largest sub-expressions that don't depend on the row, in order, behind marks that tell
	// what of each AND, OR and CASE was kept. Together with the predicate's tree it tells the reduced one.
	key []byte
}

// The marks in a key. Values begin with their length, a digit.
const (
	markKept    = '+'
	markDropped = '-'
	markLast    = '.'
)

func (r *reducer) reduce(n *node) *node {
	switch {
	case n.kind == kindConst || n.kind == kindColumn || n.kind == kindElement:
		return n
	case !n.depends():
		return r.settle(n)
	case n.kind == kindAnd:
		return r.junction(n, False, True)
	case n.kind == kindOr:
		return r.junction(n, True, False)
	case n.kind == kindCase:
		return r.caseOf(n)
	}
	out := *n
	out.args = make([]*node, len(n.args))
	for i, arg := range n.args {
		if n.kind == kindAnyAll && n.number == eachInTurn && i == 1 {
			out.args[i] = r.cast(arg)
			continue
		}
		out.args[i] = r.reduce(arg)
	}
	switch {
	case !out.depends():
		return r.fixed(&out)
	case r.isNull(&out):
		return constantOf(n, nullDatum)
	}
	return &out
}

func constantOf(n *node, value datum) *node {
	return &node{kind: kindConst, typ: n.typ, typmod: n.typmod, pos: n.pos, value: value, coll: n.coll}
}

// settle puts the value in the expression's place, and into the key.
func (r *reducer) settle(n *node) *node {
	d, fault := r.compose(n)(nil, r.work)
	text := ""
	switch {
	case fault != nil:
		text = "!" + fault.Code
	case d.null:
		text = "-"
	default:
		if write := r.output(n.typ); write != nil {
			text = "=" + write(d)
		}
	}
	r.key = append(append(strconv.AppendInt(r.key, int64(len(text)), 10), ':'), text...)
	if fault != nil {
		return n
	}
	return constantOf(n, d)
}

// cast puts the elements of a subquery into the key before they are cast: one that can't be cast matters only if it has its
// turn.
func (r *reducer) cast(n *node) *node {
	if n.kind != kindArrayCast {
		return r.reduce(n)
	}
	out := *n
	out.args = []*node{r.cast(n.args[0])}
	if out.depends() {
		return &out
	}
	return r.fixed(&out)
}

// fixed is like settle for an expression whose operands are in the key.
func (r *reducer) fixed(n *node) *node {
	d, fault := r.compose(n)(nil, r.work)
	if fault != nil {
		return n
	}
	return constantOf(n, d)
}

// arm is an argument of a junction and where its part of the key begins; n is nil where it was dropped.
type arm struct {
	n  *node
	at int
}

func (r *reducer) junction(n *node, stops, goesOn Truth) *node {
	var arms []arm
	null := false
	for _, arg := range n.args {
		at := len(r.key)
		r.key = append(r.key, markKept)
		arg = r.reduce(arg)
		if arg.constant() {
			t := arg.value.truth()
			if t == stops {
				r.key = append(r.key[:at], markLast)
				return r.stopped(n, arg, append(arms, arm{at: at}))
			}
			if t == goesOn || null {
				r.key = append(r.key[:at], markDropped)
				arms = append(arms, arm{at: at})
				continue
			}
			null = true
		}
		arms = append(arms, arm{arg, at})
		if !arg.depends() && !arg.constant() {
			break
		}
	}
	return join(n, arms, constantOf(n, goesOn.datum()))
}

// stopped leaves of a junction the last arm, which decides, and those before it up to the last that can raise an error:
// each of these may keep the next from being reached.
func (r *reducer) stopped(n, last *node, arms []arm) *node {
	end := len(arms) - 1
	kept := end
	for kept > 0 && (arms[kept-1].n == nil || !r.raises(arms[kept-1].n)) {
		kept--
		arms[kept].n = nil
	}
	r.key = r.key[:arms[kept].at]
	for range end - kept {
		r.key = append(r.key, markDropped)
	}
	r.key = append(r.key, markLast)
	arms[end].n = last
	return join(n, arms, last)
}

func join(n *node, arms []arm, none *node) *node {
	out := *n
	out.args = nil
	for _, a := range arms {
		if a.n != nil {
			out.args = append(out.args, a.n)
		}
	}
	switch len(out.args) {
	case 0:
		return none
	case 1:
		return out.args[0]
	}
	return &out
}

func (r *reducer) caseOf(n *node) *node {
	out := *n
	out.args = nil
	last := len(n.args) - 1
	otherwise := n.args[last]
	for i := 0; i < last; i += 2 {
		at := len(r.key)
		r.key = append(r.key, markKept)
		condition := r.reduce(n.args[i])
		if !condition.constant() {
			out.args = append(out.args, condition, r.reduce(n.args[i+1]))
			continue
		}
		if condition.value.truth() == True {
			r.key = append(r.key[:at], markLast)
			otherwise = n.args[i+1]
			break
		}
		r.key = append(r.key[:at], markDropped)
	}
	otherwise = r.reduce(otherwise)
	if len(out.args) == 0 {
		return otherwise
	}
	out.args = append(out.args, otherwise)
	return &out
}

// isNull tells of a strict operator with a null operand. Of ANY and ALL the array is meant.
func (r *reducer) isNull(n *node) bool {
	first := 0
	switch {
	case n.kind == kindAnyAll && n.call.strict:
		first = 1
	case n.kind == kindCall && n.call.strict:
	default:
		return false
	}
	null := false
	for i, arg := range n.args {
		if r.raises(arg) {
			return false
		}
		null = null || arg.null() && i >= first
	}
	return null
}

// raises tells whether the evaluation of a reduced expression may raise an error on some row, as Postgres sees it.
func (b *builder) raises(n *node) bool {
	switch n.kind {
	case kindConst, kindColumn:
		return false
	case kindRelabel, kindAlone, kindAnd, kindOr, kindNot, kindIsNull, kindBoolTest, kindCoalesce, kindCase, kindGreatest, kindArray:
	case kindCall, kindAnyAll, kindDistinct, kindNullIf:
		if b.mayRaise(n) {
			return true
		}
	default:
		return true
	}
	for _, arg := range n.args {
		if b.raises(arg) {
			return true
		}
	}
	return false
}

// Constant is the truth value that the predicate has for every row, if it depends on none; it may be Failed. It is found
// as far as left to right evaluation allows: with an arm that can raise an error before the one that decides, ok is false.
func (b *Bound) Constant() (t Truth, ok bool) {
	if !b.fixed {
		return False, false
	}
	t, _ = b.truth(nil, nil)
	return t, true
}
