package predicate

import "slices"

// candidates are the functions or operators of a name that take arguments of these types, best first reduced to one, as
// func_match_argtypes and func_select_candidate do.
// https://www.postgresql.org/docs/current/typeconv-oper.html
// https://www.postgresql.org/docs/current/typeconv-func.html
type resolution struct {
	proc *proc
	// args are the declared types, a variadic one expanded.
	args []uint32
}

// choose returns the best of the candidates; the number tells how many fitted at all.
func (t *types) choose(all []resolution, actual []uint32) (*resolution, int) {
	var fit []resolution
	for _, r := range all {
		if len(r.args) == len(actual) && t.canCoerce(actual, r.args, implicit) {
			fit = append(fit, r)
		}
	}
	if len(fit) <= 1 {
		return first(fit), len(fit)
	}
	return t.selectCandidate(fit, actual), len(fit)
}

func first(fit []resolution) *resolution {
	if len(fit) != 1 {
		return nil
	}
	return &fit[0]
}

func (t *types) selectCandidate(fit []resolution, actual []uint32) *resolution {
	input := make([]uint32, len(actual))
	unknowns := 0
	for i, a := range actual {
		if a == oidUnknown {
			unknowns++
			input[i] = a
			continue
		}
		input[i] = t.baseOf(a)
	}
	fit = best(fit, func(i int, declared uint32) bool { return input[i] != oidUnknown && declared == input[i] })
	if len(fit) == 1 {
		return &fit[0]
	}
	fit = best(fit, func(i int, declared uint32) bool {
		return input[i] != oidUnknown && (declared == input[i] || t.get(declared).preferred && t.category(declared) == t.category(input[i]))
	})
	if len(fit) == 1 {
		return &fit[0]
	}
	if unknowns == 0 {
		return nil
	}
	fit = t.byCategory(fit, input)
	if len(fit) == 1 {
		return &fit[0]
	}
	return t.likeTheKnown(fit, input, unknowns)
}

// best keeps the candidates with the most matching arguments.
func best(fit []resolution, matches func(i int, declared uint32) bool) []resolution {
	most := -1
	var kept []resolution
	for _, r := range fit {
		n := 0
		for i, d := range r.args {
			if matches(i, d) {
				n++
			}
		}
		if n > most {
			most, kept = n, nil
		}
		if n == most {
			kept = append(kept, r)
		}
	}
	return kept
}

// byCategory chooses a type category for each unknown argument and keeps the candidates that accept it.
func (t *types) byCategory(fit []resolution, input []uint32) []resolution {
	type slot struct {
		category  byte
		preferred bool
	}
	slots := make([]slot, len(input))
	for i, in := range input {
		if in != oidUnknown {
			continue
		}
		conflict := false
		for j, r := range fit {
			category, preferred := t.category(r.args[i]), t.get(r.args[i]).preferred
			switch s := &slots[i]; {
			case j == 0:
				*s = slot{category, preferred}
			case category == s.category:
				s.preferred = s.preferred || preferred
			case category == 'S':
				*s = slot{category, preferred}
			default:
				conflict = true
			}
		}
		if conflict && slots[i].category != 'S' {
			return fit
		}
	}
	var kept []resolution
	for _, r := range fit {
		keep := true
		for i, in := range input {
			if in != oidUnknown {
				continue
			}
			if t.category(r.args[i]) != slots[i].category || slots[i].preferred && !t.get(r.args[i]).preferred {
				keep = false
			}
		}
		if keep {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return fit
	}
	return kept
}

// likeTheKnown assumes that unknown arguments have the type of the known ones, where these all have one.
func (t *types) likeTheKnown(fit []resolution, input []uint32, unknowns int) *resolution {
	if unknowns == len(input) {
		return nil
	}
	var known uint32
	for _, in := range input {
		if in == oidUnknown {
			continue
		}
		if known != 0 && known != in {
			return nil
		}
		known = in
	}
	all := make([]uint32, len(input))
	for i := range all {
		all[i] = known
	}
	var kept []resolution
	for _, r := range fit {
		if t.canCoerce(all, r.args, implicit) {
			kept = append(kept, r)
		}
	}
	return first(kept)
}

// operator resolves an operator for operands of these types (one for a prefix operator), as oper and left_oper do.
// Nil with 0 means that there is none, with more that it is ambiguous.
func (t *types) operator(name string, actual []uint32) (*resolution, int) {
	var all []resolution
	for _, p := range t.operators[name] {
		if len(p.args) == len(actual) {
			all = append(all, resolution{p, p.args})
		}
	}
	if r := t.exactOperator(all, actual); r != nil {
		return r, 1
	}
	return t.choose(all, actual)
}

func (t *types) exactOperator(all []resolution, actual []uint32) *resolution {
	if len(actual) == 1 {
		return exact(all, actual)
	}
	left, right := actual[0], actual[1]
	unknown := left == oidUnknown || right == oidUnknown
	if left == oidUnknown {
		left = right
	}
	if right == oidUnknown {
		right = left
	}
	if left == oidUnknown {
		return nil
	}
	if r := exact(all, []uint32{left, right}); r != nil {
		return r
	}
	if base := t.baseOf(left); unknown && base != left {
		return exact(all, []uint32{base, base})
	}
	return nil
}

func exact(all []resolution, actual []uint32) *resolution {
next:
	for i := range all {
		if len(all[i].args) != len(actual) {
			continue
		}
		for j, d := range all[i].args {
			if d != actual[j] {
				continue next
			}
		}
		return &all[i]
	}
	return nil
}

// function resolves a function's name, as func_get_detail does for calls without named arguments.
func (t *types) function(name string, actual []uint32) (*resolution, int) {
	var all []resolution
	for _, p := range t.functions[name] {
		switch {
		case p.variadic != 0 && p.variadic != oidAny && len(actual) >= len(p.args):
			args := append([]uint32(nil), p.args[:len(p.args)-1]...)
			elem := t.elemOf(p.args[len(p.args)-1])
			switch p.args[len(p.args)-1] {
			case oidAnyArray:
				elem = oidAnyElement
			case oidAnyCompatArr:
				elem = oidAnyCompat
			}
			for len(args) < len(actual) {
				args = append(args, elem)
			}
			all = append(all, resolution{p, args})
		case p.variadic == oidAny && len(actual) >= len(p.args):
			args := append([]uint32(nil), p.args...)
			for len(args) < len(actual) {
				args = append(args, oidAny)
			}
			all = append(all, resolution{p, args})
		case len(p.args) >= len(actual) && len(p.args)-p.defaults <= len(actual):
			all = append(all, resolution{p, p.args[:len(actual)]})
		}
	}
	all = preferPlain(all)
	if r := exact(all, actual); r != nil {
		return r, 1
	}
	return t.choose(all, actual)
}

// preferPlain drops variadic candidates beside one that takes the same arguments as they are.
func preferPlain(all []resolution) []resolution {
	return slices.DeleteFunc(slices.Clone(all), func(r resolution) bool {
		return r.proc.variadic != 0 && slices.ContainsFunc(all, func(o resolution) bool {
			return o.proc.variadic == 0 && slices.Equal(o.args, r.args)
		})
	})
}
