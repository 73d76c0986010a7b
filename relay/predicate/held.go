package predicate

import "pgrelay/relay"

// inDocument tells of a test whether a document holds a column's value: document @> to_jsonb(column), the same with <@, and
// document ? column. Column is nil where it is none.
func inDocument(n *node) (holder, column *node) {
	switch n.call.name {
	case "jsonb_contains":
		holder, column = n.args[0], n.args[1]
	case "jsonb_contained":
		column, holder = n.args[0], n.args[1]
	case "jsonb_exists":
		holder, column = n.args[0], strip(n.args[1])
		if column.kind != kindColumn {
			return nil, nil
		}
		return holder, column
	default:
		return nil, nil
	}
	if column.kind != kindCall || column.call.name != "to_jsonb" || column.args[0].kind != kindColumn {
		return nil, nil
	}
	return holder, column.args[0]
}

// held is the cover of such a test, where the document doesn't depend on the row.
func (c coverer) held(n, holder, column *node) ([]relay.Equality, bool) {
	if holder.depends() {
		return nil, false
	}
	d, fault := c.value(holder)(nil, c.work)
	if fault != nil {
		return nil, false
	}
	e := relay.Equality{Column: column.number}
	if d.null {
		return []relay.Equality{e}, true
	}
	tell := c.scalarText(column.typ)
	switch base := c.baseOf(column.typ); {
	case tell == nil:
		return nil, false
	case n.call.name != "jsonb_exists":
	case base != oidText && base != oidVarchar:
		return nil, false
	case d.doc().kind == jsonObject:
		e.Values = d.doc().keys
	}
	for _, held := range scalars(d.doc()) {
		if text, ok := tell(held); ok {
			e.Values = append(e.Values, text)
		}
	}
	return []relay.Equality{e}, true
}

// scalars are an array's, or the one that the document is.
func scalars(d *document) []*document {
	switch d.kind {
	case jsonObject:
		return nil
	case jsonArray:
		return d.elems
	}
	return []*document{d}
}

// scalarText tells the text of the value of a type that to_jsonb makes such a document of, if there is one, and is nil where
// several texts may become one document.
func (t *types) scalarText(oid uint32) func(*document) (string, bool) {
	oid = t.baseOf(oid)
	switch oid {
	case oidInt2, oidInt4, oidInt8:
		return func(d *document) (string, bool) {
			if d.kind != jsonNumber {
				return "", false
			}
			i, fault := numericToInt(datum{s: d.text}, int8Limits.low, int8Limits.high, faultInt8)
			text := intOut(i)
			return text, fault == nil && compareNumeric(datum{s: text}, datum{s: d.text}) == 0
		}
	case oidText, oidVarchar, oidUUID:
	default:
		if t.get(oid).kind != 'e' {
			return nil
		}
	}
	return func(d *document) (string, bool) { return d.text, d.kind == jsonString }
}
