package value

import (
	"encoding/json"
	"slices"

	"pgrelay/relay"
)

// The types that the protocol excepts from to_json.
const (
	oidInt8    = 20
	oidNumeric = 1700
)

// reference applies the protocol's exceptions to what to_json gave, decoded with UseNumber. It knows nothing of text
// forms. An array of arrays (under a domain) must have one dimension of its own.
func reference(t *relay.Type, v any) any {
	for t.Kind == relay.KindDomain {
		t = t.Base
	}
	switch v := v.(type) {
	case json.Number:
		if t.OID == oidInt8 || t.OID == oidNumeric {
			return v.String()
		}
	case []any:
		return referenceArray(t, v)
	case map[string]any:
		for _, f := range t.Fields {
			v[f.Name] = reference(f.Type, v[f.Name])
		}
	}
	return v
}

func referenceArray(t *relay.Type, elements []any) any {
	if t.Element == nil || t.Element.OID == oidJSON || t.Element.OID == oidJSONB {
		return elements
	}
	out := make([]any, len(elements))
	for i, v := range elements {
		of := t.Element
		if _, dimension := v.([]any); dimension && !arrayLike(of) {
			of = t
		}
		out[i] = reference(of, v)
	}
	return out
}

func arrayLike(t *relay.Type) bool {
	for t.Kind == relay.KindDomain {
		t = t.Base
	}
	return t.Element != nil
}

// verbatim tells whether the protocol excepts nothing in the type, so that to_json's bytes are the answer.
func verbatim(t *relay.Type) bool {
	if t == nil {
		return true
	}
	if t.OID == oidInt8 || t.OID == oidNumeric {
		return false
	}
	if t.Kind == relay.KindDomain && !verbatim(t.Base) {
		return false
	}
	return verbatim(t.Element) && !slices.ContainsFunc(t.Fields, func(f relay.Field) bool { return !verbatim(f.Type) })
}
