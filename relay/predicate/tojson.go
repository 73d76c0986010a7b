package predicate

import "strings"

// The makers of jsonb out of other values. Postgres calls them stable, since dates and enums print as settings and labels
// say, so nothing is computed in advance.
// https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-JSON-CREATION-TABLE
func toJSON() map[string]any {
	return map[string]any{
		"to_jsonb": maker(func(b *builder, n *node) any {
			f := b.jsonOf(n, n.args[0].typ)
			return fn1w(func(w *work, a datum) (datum, *Fault) {
				d, fault := f(w, a)
				return docDatum(d), fault
			})
		}),
		"jsonb_build_array":         maker(buildArray),
		"jsonb_build_array_noargs":  fnN(func([]datum) (datum, *Fault) { return docDatum(&document{kind: jsonArray, bytes: 2}), nil }),
		"jsonb_build_object":        maker(buildObject),
		"jsonb_build_object_noargs": fnN(func([]datum) (datum, *Fault) { return docDatum(emptyObject), nil }),
	}
}

// jsonMaker makes a document of a value that isn't null.
type jsonMaker func(w *work, d datum) (*document, *Fault)

// jsonOf follows datum_to_jsonb: booleans, numbers, arrays and documents are themselves, a moment is printed as ISO 8601
// has it, and what remains is the string that the type prints.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/jsonb.c
func (b *builder) jsonOf(n *node, oid uint32) jsonMaker {
	oid = b.baseOf(oid)
	switch oid {
	case oidBool:
		return func(_ *work, d datum) (*document, *Fault) {
			if d.i != 0 {
				return &document{kind: jsonTrue, bytes: 4}, nil
			}
			return &document{kind: jsonFalse, bytes: 5}, nil
		}
	case oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric:
		write := b.output(oid)
		return func(w *work, d datum) (*document, *Fault) { return jsonNumberOf(w, write(d)) }
	case oidJSON:
		encoded := b.encoding != ""
		return func(w *work, d datum) (*document, *Fault) {
			if fault := w.charge(2 * parsing * len(d.s)); fault != nil {
				return nil, fault
			}
			return parseJSON(d.s, false, false, encoded)
		}
	case oidJSONB:
		return func(_ *work, d datum) (*document, *Fault) { return d.doc(), nil }
	}
	if elem := b.elemOf(oid); elem != 0 && oid != oidInt2Vector && oid != oidOIDVector {
		return jsonArrayOf(b.jsonOf(n, elem))
	}
	write := b.jsonText(n, oid)
	return func(_ *work, d datum) (*document, *Fault) { return jsonStringOf(write(d)), nil }
}

// jsonText is what a value is as a string of a document.
func (b *builder) jsonText(n *node, oid uint32) func(datum) string {
	switch oid {
	case oidTimestamp:
		return isoMoment("")
	case oidTimestamptz:
		return isoMoment("+00:00")
	case oidInt2Vector, oidOIDVector:
		b.refuse(n, "values of type "+b.display(oid)+" are not supported here", hintColumn)
	}
	write := b.output(oid)
	if write == nil {
		b.refuse(n, "values of type "+b.display(oid)+" are not supported here", hintColumn)
	}
	return write
}

// isoMoment prints a T between the day and the time.
func isoMoment(zone string) func(datum) string {
	write := timestampOut(zone)
	return func(d datum) string { return strings.Replace(write(d), " ", "T", 1) }
}

func jsonStringOf(text string) *document {
	return &document{kind: jsonString, text: text, bytes: len(text)}
}

// jsonNumberOf makes a number of what a number prints as, and a string of what isn't finite.
func jsonNumberOf(w *work, text string) (*document, *Fault) {
	if strings.ContainsAny(text, "Nn") {
		return jsonStringOf(text), nil
	}
	if text == "-0" || strings.ContainsRune(text, 'e') {
		n, fault := numericIn(text)
		if fault != nil {
			return nil, fault
		}
		text = n.s
	}
	return &document{kind: jsonNumber, text: text, bytes: len(text)}, w.charge(len(text))
}

func jsonArrayOf(f jsonMaker) jsonMaker {
	return func(w *work, d datum) (*document, *Fault) {
		a := d.x.(*array)
		if fault := w.charge(d.whole() + 2*parsing*len(a.elems)); fault != nil {
			return nil, fault
		}
		elems := make([]*document, len(a.elems))
		for i, e := range a.elems {
			var fault *Fault
			if elems[i], fault = jsonOrNull(w, f, e); fault != nil {
				return nil, fault
			}
		}
		for i := len(a.dims) - 1; i > 0; i-- {
			elems = grouped(elems, a.dims[i])
		}
		return arrayDocument(elems), nil
	}
}

// grouped puts each n elements into an array of their own.
func grouped(elems []*document, n int) []*document {
	var all []*document
	for ; len(elems) > 0; elems = elems[n:] {
		all = append(all, arrayDocument(elems[:n:n]))
	}
	return all
}

func arrayDocument(elems []*document) *document {
	out := &document{kind: jsonArray, elems: elems, bytes: 2}
	for _, e := range elems {
		out.bytes += e.bytes
	}
	return out
}

func jsonOrNull(w *work, f jsonMaker, d datum) (*document, *Fault) {
	if d.null {
		return &document{kind: jsonNull, bytes: 4}, nil
	}
	return f(w, d)
}

func buildArray(b *builder, n *node) any {
	var makers []jsonMaker
	for _, arg := range n.args {
		makers = append(makers, b.jsonOf(n, arg.typ))
	}
	return fnNw(func(w *work, args []datum) (datum, *Fault) {
		elems := make([]*document, len(args))
		for i, d := range args {
			var fault *Fault
			if elems[i], fault = jsonOrNull(w, makers[i], d); fault != nil {
				return datum{}, fault
			}
		}
		return docDatum(arrayDocument(elems)), nil
	})
}

var faultKey = &Fault{"22023", "a key of jsonb_build_object is null"}

func buildObject(b *builder, n *node) any {
	if len(n.args)%2 != 0 {
		b.refuse(n, "the arguments of jsonb_build_object are keys and values in turn", "write as many values as keys")
	}
	keys, makers := make([]func(datum) string, len(n.args)/2), make([]jsonMaker, len(n.args)/2)
	for i := range keys {
		keys[i], makers[i] = b.jsonKey(n, n.args[2*i].typ), b.jsonOf(n, n.args[2*i+1].typ)
	}
	encoded := b.encoding != ""
	return fnNw(func(w *work, args []datum) (datum, *Fault) {
		out := &document{kind: jsonObject, bytes: 2}
		for i := range keys {
			if args[2*i].null {
				return datum{}, faultKey
			}
			key := keys[i](args[2*i])
			if encoded && !ascii(key) {
				return datum{}, faultEncoded
			}
			e, fault := jsonOrNull(w, makers[i], args[2*i+1])
			if fault != nil {
				return datum{}, fault
			}
			out.keys, out.elems, out.bytes = append(out.keys, key), append(out.elems, e), out.bytes+len(key)+e.bytes
		}
		out.sort()
		return docDatum(out), nil
	})
}

// jsonKey prints an object's key, of which Postgres takes scalars.
func (b *builder) jsonKey(n *node, oid uint32) func(datum) string {
	oid = b.baseOf(oid)
	switch {
	case oid == oidBool:
		return func(d datum) string { text, _ := boolText(d); return text.s }
	case oid == oidJSON || oid == oidJSONB || b.elemOf(oid) != 0:
		b.refuse(n, "a key of jsonb_build_object is a scalar, not of type "+b.display(oid), "write a text as the key")
	}
	return b.jsonText(n, oid)
}

// safeJSON tells of types of which to_jsonb always makes a document; a json may hold what a jsonb can't.
func (t *types) safeJSON(oid uint32) bool {
	oid = t.baseOf(oid)
	if elem := t.elemOf(oid); elem != 0 {
		return t.safeJSON(elem)
	}
	return oid != oidJSON
}
