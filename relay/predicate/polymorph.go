package predicate

// polymorph deduces the actual types behind polymorphic declarations, as check_generic_type_consistency and
// enforce_generic_type_consistency do. It returns the arguments' and the result's types; result may be 0.
// https://www.postgresql.org/docs/current/extend-type-system.html#EXTEND-TYPES-POLYMORPHIC
func (t *types) polymorph(actual, declared []uint32, result uint32) ([]uint32, uint32, bool) {
	g := generic{types: t}
	for i, d := range declared {
		if !g.see(d, actual[i]) {
			return nil, 0, false
		}
	}
	if !g.settle() {
		return nil, 0, false
	}
	out := make([]uint32, len(declared))
	for i, d := range declared {
		out[i] = g.actual(d)
	}
	return out, g.actual(result), true
}

// generic collects what the arguments say of the polymorphic types: the family of anyelement (all equal) and that of
// anycompatible (a common type).
type generic struct {
	*types
	elem, array, rng   uint32
	nonArray, enum     bool
	compatible         []uint32
	common             uint32
	compatNon, family2 bool
}

func (g *generic) see(declared, actual uint32) bool {
	switch declared {
	case oidAnyElement, oidAnyNonArray, oidAnyEnum:
		g.nonArray = g.nonArray || declared == oidAnyNonArray
		g.enum = g.enum || declared == oidAnyEnum
		return actual == oidUnknown || same(&g.elem, actual)
	case oidAnyArray:
		if actual == oidUnknown {
			return true
		}
		base := g.baseOf(actual)
		return g.get(base).elem != 0 && same(&g.array, base)
	case oidAnyRange:
		if actual == oidUnknown {
			return true
		}
		base := g.baseOf(actual)
		return g.get(base).kind == 'r' && same(&g.rng, base)
	case oidAnyCompat, oidAnyCompatNon:
		g.family2 = true
		g.compatNon = g.compatNon || declared == oidAnyCompatNon
		if actual != oidUnknown {
			g.compatible = append(g.compatible, actual)
		}
	case oidAnyCompatArr:
		g.family2 = true
		if actual == oidUnknown {
			return true
		}
		elem := g.elemOf(actual)
		if elem == 0 {
			return false
		}
		g.compatible = append(g.compatible, elem)
	case oidAnyMultirange, oidAnyCompatMrng:
		// Nothing here evaluates them; they count where a call is ambiguous.
		return actual == oidUnknown || g.get(g.baseOf(actual)).kind == 'm'
	case oidAnyCompatRng:
		return actual == oidUnknown || g.get(g.baseOf(actual)).kind == 'r'
	}
	return true
}

func same(have *uint32, actual uint32) bool {
	if *have != 0 && *have != actual {
		return false
	}
	*have = actual
	return true
}

func (g *generic) settle() bool {
	if g.array != 0 && !same(&g.elem, g.get(g.array).elem) {
		return false
	}
	if g.rng != 0 && !same(&g.elem, g.get(g.rng).subtype) {
		return false
	}
	if g.elem != 0 {
		if g.nonArray && g.elemOf(g.elem) != 0 || g.enum && g.get(g.elem).kind != 'e' {
			return false
		}
	}
	if !g.family2 || len(g.compatible) == 0 {
		return true
	}
	if g.common = g.commonType(g.compatible); g.common == 0 {
		return false
	}
	for _, c := range g.compatible {
		if !g.coercible(c, g.common) {
			return false
		}
	}
	return !g.compatNon || g.elemOf(g.common) == 0
}

// actual is what a declared type stands for; the declared one itself where nothing was said of it.
func (g *generic) actual(declared uint32) uint32 {
	var found uint32
	switch declared {
	case oidAnyElement, oidAnyNonArray, oidAnyEnum:
		found = g.elem
	case oidAnyArray:
		if found = g.array; found == 0 && g.elem != 0 {
			found = g.arrayOf(g.elem)
		}
	case oidAnyRange:
		found = g.rng
	case oidAnyCompat, oidAnyCompatNon:
		if found = g.common; found == 0 {
			found = oidText
		}
	case oidAnyCompatArr:
		common := g.common
		if common == 0 {
			common = oidText
		}
		found = g.arrayOf(common)
	}
	if found == 0 {
		return declared
	}
	return found
}
