package predicate

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay"
)

// jsonbSubscript analyses document['key'][0], as jsonb_subscript_transform does: a subscript is an integer or a text.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/jsonbsubs.c
func (a *analyzer) jsonbSubscript(base *node, ind *pg.A_Indirection) *node {
	n := &node{kind: kindSubscript, typ: oidJSONB, pos: base.pos, args: []*node{base}}
	for _, raw := range ind.Indirection {
		index := raw.GetAIndices()
		switch {
		case index == nil:
			a.reject(base.pos, "column notation applied to type jsonb, which is not a composite type")
		case index.IsSlice:
			a.reject(base.pos, "jsonb subscript does not support slices")
		}
		at := a.expr(index.Uidx)
		n.args = append(n.args, a.coerce(at, a.subscriptType(at), implicit))
	}
	return a.made(n)
}

func (a *analyzer) subscriptType(n *node) uint32 {
	if n.typ == oidUnknown {
		return oidText
	}
	integer, text := a.types.coercible(n.typ, oidInt4), a.types.coercible(n.typ, oidText)
	if integer == text {
		a.reject(n.pos, "subscript type %s is not supported", a.types.display(n.typ))
	}
	if integer {
		return oidInt4
	}
	return oidText
}

// jsonbSubscript is what stands at the path of the subscripts, or null.
func (b *builder) jsonbSubscript(n *node) evaluate {
	all := b.values(n.args)
	var writers []func(datum) string
	for _, arg := range n.args[1:] {
		writers = append(writers, b.output(arg.typ))
	}
	return func(row []relay.Value, w *work) (datum, *Fault) {
		base, fault := all[0](row, w)
		if fault != nil || base.null {
			return base, fault
		}
		path := make([]datum, len(writers))
		for i, x := range all[1:] {
			d, fault := x(row, w)
			if fault != nil {
				return d, fault
			}
			if path[i] = d; !d.null {
				path[i] = datum{s: writers[i](d)}
			}
		}
		return docDatum(follow(base.doc(), &array{elems: path})), nil
	}
}
