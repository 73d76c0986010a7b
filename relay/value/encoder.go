// Package value turns a column's text form, as Postgres prints it, into the JSON that the protocol's "Values" asks for:
// what to_json gives, int8 and numeric being strings. It is pure: bytes in, bytes out.
//
// The text must have been printed under DateStyle ISO, IntervalStyle postgres, extra_float_digits 1 and bytea_output hex,
// in UTF-8; TimeZone UTC makes the result the one that the protocol promises.
package value

import (
	"encoding/json"

	"pgrelay/relay"
)

// form is how a type's text becomes JSON.
type form uint8

const (
	formText form = iota
	formBoolean
	formInteger
	formFloat
	formTimestamp
	formZoned
	formJSON
	formNestedJSON
	formArray
	formVector
	formComposite
)

// Object identifiers of the built-in types whose JSON isn't a string; they are the same on every server.
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_type.dat
const (
	oidBool        = 16
	oidInt2        = 21
	oidInt2Vector  = 22
	oidInt4        = 23
	oidOIDVector   = 30
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidJSONB       = 3802
)

// Encoder writes the values of one type. It is immutable and safe for concurrent use.
type Encoder struct {
	form      form
	delimiter byte
	element   *Encoder
	fields    []field
}

// field is an attribute of a composite type; prefix is what goes before its value: {"name": or ,"name":
type field struct {
	prefix  []byte
	encoder *Encoder
}

// scalars holds an Encoder for each form that needs nothing else, so that columns share them.
var scalars = func() (all [formArray]Encoder) {
	for i := range all {
		all[i].form = form(i)
	}
	return all
}()

// New returns the Encoder of a type. A nil or unknown type is its text as a JSON string.
func New(t *relay.Type) *Encoder { return compile(t, false) }

// compile follows to_json's choice of a category.
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/adt/jsonfuncs.c (json_categorize_type)
func compile(t *relay.Type, nested bool) *Encoder {
	for t != nil && t.Kind == relay.KindDomain && !t.Extension {
		t = t.Base
	}
	switch {
	case t == nil:
		return &scalars[formText]
	case t.Element != nil:
		return compileArray(t)
	case t.Extension:
		return &scalars[formText]
	case t.Kind == relay.KindComposite:
		return compileComposite(t)
	}
	return &scalars[scalarForm(t.OID, nested)]
}

func scalarForm(oid uint32, nested bool) form {
	switch oid {
	case oidBool:
		return formBoolean
	case oidInt2, oidInt4:
		return formInteger
	case oidFloat4, oidFloat8:
		return formFloat
	case oidTimestamp:
		return formTimestamp
	case oidTimestamptz:
		return formZoned
	case oidJSON, oidJSONB:
		if nested {
			return formNestedJSON
		}
		return formJSON
	}
	return formText
}

func compileArray(t *relay.Type) *Encoder {
	e := &Encoder{form: formArray, delimiter: t.Element.Delimiter, element: compile(t.Element, true)}
	if t.OID == oidInt2Vector || t.OID == oidOIDVector {
		e.form = formVector
	}
	if e.delimiter == 0 {
		e.delimiter = ','
	}
	return e
}

func compileComposite(t *relay.Type) *Encoder {
	e := &Encoder{form: formComposite, fields: make([]field, len(t.Fields))}
	for i, f := range t.Fields {
		prefix := []byte{','}
		if i == 0 {
			prefix[0] = '{'
		}
		prefix = append(AppendText(prefix, f.Name), ':')
		e.fields[i] = field{prefix: prefix, encoder: compile(f.Type, true)}
	}
	return e
}

// Append appends the JSON of one value that isn't null; it allocates nothing but dst's growth.
//
// Text that isn't of the type's form becomes a JSON string, so that what goes out is JSON whatever came in.
// The one exception is a json or jsonb column itself, which is passed on unread: Postgres checked it when it was stored,
// and the stream announces a column whose type changes. What is nested is checked, since attributes of a composite type
// can change without a word in the stream.
//
// text must not lie in the spare capacity of dst; it may lie in its contents.
func (e *Encoder) Append(dst, text []byte) []byte {
	switch e.form {
	case formBoolean:
		return appendBoolean(dst, text)
	case formInteger:
		if isInteger(text) {
			return append(dst, text...)
		}
	case formFloat:
		if isNumber(text) {
			return append(dst, text...)
		}
	case formTimestamp:
		return appendTimestamp(dst, text, false)
	case formZoned:
		return appendTimestamp(dst, text, true)
	case formJSON:
		return append(dst, text...)
	case formNestedJSON:
		if json.Valid(text) {
			return append(dst, text...)
		}
	case formArray, formVector, formComposite:
		return e.appendParts(dst, text)
	case formText:
	}
	return AppendString(dst, text)
}

// appendParts writes what has parts, or the whole text as a string where it is malformed.
func (e *Encoder) appendParts(dst, text []byte) []byte {
	start := len(dst)
	ok := false
	switch e.form {
	case formArray:
		dst, ok = e.appendArray(dst, text)
	case formVector:
		dst, ok = e.appendVector(dst, text)
	default:
		dst, ok = e.appendComposite(dst, text)
	}
	if !ok {
		return AppendString(dst[:start], text)
	}
	return dst
}

// appendQuoted writes a part that was quoted. Where it has escapes its plain text is put behind dst's end, encoded
// behind that, and the result moved down over it: no buffer is needed.
func (e *Encoder) appendQuoted(dst, quoted []byte, escapes bool) []byte {
	if !escapes {
		return e.Append(dst, quoted)
	}
	start := len(dst)
	dst = appendUnquoted(dst, quoted)
	end := len(dst)
	dst = e.Append(dst, dst[start:end])
	return dst[:start+copy(dst[start:], dst[end:])]
}
