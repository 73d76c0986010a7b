package predicate

// fold computes what is constant in the text itself, in the order in which Postgres' planner does (eval_const_expressions):
// an error there is an error of the whole predicate, whatever the rows, and what the planner drops can't raise any more.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/optimizer/util/clauses.c
func (a *analyzer) fold(n *node) *node {
	switch n.kind {
	case kindConst, kindColumn, kindClaims, kindParam, kindElement, kindElements, kindAlone:
		return n
	case kindAnd:
		return a.foldJunction(n, False, True)
	case kindOr:
		return a.foldJunction(n, True, False)
	case kindCase:
		return a.foldCase(n)
	case kindCoalesce:
		return a.foldCoalesce(n)
	}
	out := *n
	out.args = make([]*node, len(n.args))
	allConstant, someNull := true, false
	for i, arg := range n.args {
		out.args[i] = a.fold(arg)
		allConstant = allConstant && out.args[i].constant()
		someNull = someNull || out.args[i].null()
	}
	if n.kind == kindCall && (n.call.name == "range_contains_elem" || n.call.name == "elem_contained_by_range") {
		a.boundless(&out)
	}
	switch {
	case someNull && (n.kind == kindCall && n.call.strict || n.kind == kindViaIO):
		return a.nullOf(n)
	case someNull && n.kind == kindNullIf:
		return out.args[0]
	case allConstant && a.stable(n):
		return a.compute(&out)
	}
	return &out
}

func (a *analyzer) nullOf(n *node) *node {
	return constantOf(n, nullDatum)
}

// stable tells whether the planner may compute the expression in advance.
func (a *analyzer) stable(n *node) bool {
	switch n.kind {
	case kindCall, kindNullIf, kindDistinct, kindAnyAll:
		return n.call.volatility == 'i'
	case kindViaIO:
		return a.types.get(n.args[0].typ).out == 'i' && a.types.get(n.typ).in == 'i'
	case kindArrayCast:
		for e := n.sub; e.kind != kindElement; e = e.args[0] {
			if !a.stable(e) {
				return false
			}
		}
	}
	return true
}

func (a *analyzer) compute(n *node) *node {
	b := newBuilder(a.types, nullDatum, nil)
	if a.work == nil {
		a.work = b.work
	}
	b.work = a.work
	value, fault := b.value(n)(nil, b.work)
	if fault != nil {
		a.fault(n.pos, fault, "write the value itself instead of an expression of constants")
	}
	return constantOf(n, value)
}

// foldJunction drops arguments that don't decide and ends at one that does, also behind one that isn't constant.
func (a *analyzer) foldJunction(n *node, stops, goesOn Truth) *node {
	out := *n
	out.args = nil
	null := false
	for _, arg := range flat(n, n.kind) {
		arg = a.fold(arg)
		if arg.constant() {
			switch arg.value.truth() {
			case stops:
				return arg
			case Null:
				null = true
			}
			continue
		}
		out.args = append(out.args, arg)
	}
	if null {
		out.args = append(out.args, a.nullOf(n))
	}
	switch len(out.args) {
	case 0:
		return &node{kind: kindConst, typ: oidBool, typmod: -1, pos: n.pos, value: goesOn.datum()}
	case 1:
		return out.args[0]
	}
	return &out
}

// flat lists the arguments of a junction and of those like it directly below.
func flat(n *node, k kind) []*node {
	if n.kind != k {
		return []*node{n}
	}
	var all []*node
	for _, arg := range n.args {
		all = append(all, flat(arg, k)...)
	}
	return all
}

func (a *analyzer) foldCase(n *node) *node {
	out := *n
	out.args = nil
	last := len(n.args) - 1
	for i := 0; i < last; i += 2 {
		condition := a.fold(n.args[i])
		if condition.constant() {
			if condition.value.truth() != True {
				continue
			}
			return a.caseEnd(&out, n.args[i+1])
		}
		out.args = append(out.args, condition, a.fold(n.args[i+1]))
	}
	return a.caseEnd(&out, n.args[last])
}

func (a *analyzer) caseEnd(out *node, otherwise *node) *node {
	otherwise = a.fold(otherwise)
	if len(out.args) == 0 {
		return otherwise
	}
	out.args = append(out.args, otherwise)
	return out
}

func (a *analyzer) foldCoalesce(n *node) *node {
	out := *n
	out.args = nil
	for _, arg := range n.args {
		arg = a.fold(arg)
		if arg.null() {
			continue
		}
		if arg.constant() && len(out.args) == 0 {
			return arg
		}
		out.args = append(out.args, arg)
		if arg.constant() {
			break
		}
	}
	if len(out.args) == 0 {
		return a.nullOf(n)
	}
	return &out
}

// boundless refuses a constant range that is empty or without bounds: from 17 on the planner replaces the test by its
// outcome, also where the element is null or raises an error.
func (a *analyzer) boundless(n *node) {
	for _, arg := range n.args {
		if !arg.constant() || arg.value.null {
			continue
		}
		if s, ok := arg.value.x.(span); ok && (s.empty || s.lower.infinite && s.upper.infinite) {
			a.refuse(arg.pos, "versions differ in what an empty or boundless constant range contains", "leave the test out")
		}
	}
}
