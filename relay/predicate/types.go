package predicate

import (
	"strings"

	"pgrelay/relay"
)

// types are Postgres' own types and those that the relation's columns have.
type types struct {
	*catalog
	own map[uint32]*typ
	// named finds a relation's own type by what format_type prints for it.
	named map[string]*typ
	// encoding is the server's where it isn't UTF8, else empty.
	encoding string
}

// madeUp is set in the oid of an array type that no column has and the catalog of the source may or may not.
const madeUp = 1 << 31

func newTypes(r *relay.Relation, hidden func(column int) bool) *types {
	t := &types{catalog: builtin(), own: map[uint32]*typ{}, named: map[string]*typ{}}
	if r.Encoding != "UTF8" {
		t.encoding = r.Encoding
	}
	for i := range r.Columns {
		if !hidden(i) {
			t.add(r.Columns[i].Type)
		}
	}
	for _, own := range t.own {
		if e := t.own[own.elem]; e != nil && e.array == 0 {
			e.array = own.oid
		}
	}
	return t
}

// add enters a type of the relation and what it is made of.
func (t *types) add(r *relay.Type) {
	if r == nil || t.types[r.OID] != nil || t.own[r.OID] != nil {
		return
	}
	n := &typ{oid: r.OID, name: r.Name, display: r.Name, kind: byte(r.Kind), category: 'U', in: 's', out: 's', opaque: true}
	t.own[r.OID] = n
	if !r.Extension {
		t.named[r.Name] = n
	}
	t.add(r.Base)
	t.add(r.Element)
	switch {
	case r.Extension && strings.HasSuffix(r.Name, ".citext"):
		n.category, n.collatable = 'S', true
	case r.Element != nil:
		e := t.get(r.Element.OID)
		n.category, n.elem, n.collatable, n.opaque = 'A', e.oid, e.collatable, e.opaque
	case r.Kind == relay.KindEnum:
		n.category, n.labels, n.opaque = 'E', r.Labels, r.Extension
	case r.Kind == relay.KindDomain && r.Base != nil:
		b := t.get(r.Base.OID)
		n.category, n.base, n.collatable, n.opaque = b.category, b.oid, b.collatable, b.opaque
	case r.Kind == relay.KindComposite:
		n.category = 'C'
	case r.Kind == relay.KindRange || r.Kind == relay.KindMultirange:
		n.category = 'R'
	}
}

// citext tells of the extension's type, whose values are texts and whose cast to text leaves them as they are.
// https://www.postgresql.org/docs/current/citext.html
func (t *types) citext(oid uint32) bool {
	own := t.own[t.baseOf(oid)]
	return own != nil && own.opaque && own.category == 'S' && own.elem == 0
}

// get returns the type; one that nobody entered is opaque.
func (t *types) get(oid uint32) *typ {
	if own := t.own[oid]; own != nil {
		return own
	}
	if b := t.types[oid]; b != nil {
		return b
	}
	return &typ{oid: oid, name: "?", display: "an unknown type", kind: 'b', category: 'U', opaque: true}
}

func (t *types) baseOf(oid uint32) uint32 {
	for range 64 {
		b := t.get(oid).base
		if b == 0 {
			break
		}
		oid = b
	}
	return oid
}

// arrayOf is the type of arrays of this type, made up where only the source's catalog knows its oid; 0 where there is none.
func (t *types) arrayOf(oid uint32) uint32 {
	e := t.get(oid)
	if e.array != 0 {
		return e.array
	}
	if t.own[oid] == nil || e.kind == 'p' {
		return 0
	}
	a := &typ{
		oid: oid | madeUp, name: e.name + "[]", display: e.display + "[]", kind: 'b', category: 'A', elem: oid,
		collatable: e.collatable, in: 's', out: 's', opaque: e.opaque,
	}
	t.own[a.oid], e.array = a, a.oid
	return a.oid
}

// elemOf is the element type of an array (also of a domain over one), else 0.
func (t *types) elemOf(oid uint32) uint32 { return t.get(t.baseOf(oid)).elem }

func (t *types) category(oid uint32) byte {
	if oid == oidUnknown {
		return 'X'
	}
	return t.get(oid).category
}

func (t *types) display(oid uint32) string { return t.get(oid).display }

// names says types as people read them, for messages.
func (t *types) names(oids []uint32) string {
	all := make([]string, len(oids))
	for i, oid := range oids {
		all[i] = t.display(oid)
	}
	return strings.Join(all, ", ")
}
