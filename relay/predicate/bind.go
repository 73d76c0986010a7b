package predicate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"pgrelay/relay"
)

// Bound is a predicate with the values of its claims and parameters. It is immutable and safe for concurrent use.
type Bound struct {
	predicate *Predicate
	claims    datum
	params    []datum
	truth     truthOf
	// heavy: the steps on a row are counted; slots is how many columns' values are kept meanwhile.
	heavy bool
	// fixed: no row matters.
	fixed bool
	slots int
	key   string
}

// Bind gives the predicate its claims, a JSON object, and its parameters. A string is read as Postgres reads a literal of
// the parameter's type, a number and a boolean as their text, an array as an array of these; for json and jsonb the value
// itself is meant. A parameter that can't be read is an error that names it.
func (p *Predicate) Bind(claims json.RawMessage, params []json.RawMessage) (*Bound, error) {
	b := &Bound{predicate: p, claims: datum{x: emptyObject}}
	if p.claims {
		d, fault := parseJSON(alias(claims), false, false, p.types.encoding != "")
		if fault != nil {
			return nil, fmt.Errorf("read claims: %w", fault)
		}
		b.claims.x = d
	}
	if len(params) < len(p.params) {
		return nil, fmt.Errorf("there are %d parameters, the predicate reads $%d", len(params), len(p.params))
	}
	for i, t := range p.params {
		d, err := p.param(params[i], t)
		if err != nil {
			return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
		b.params = append(b.params, d)
	}
	r := reducer{builder: newBuilder(p.types, b.claims, b.params)}
	root := r.reduce(p.root)
	b.truth, b.fixed = r.truth(root), !root.depends()
	b.heavy, b.slots = r.heavy, len(r.slots)
	b.key = string(r.key)
	return b, nil
}

// root is what is left of the predicate's tree. It is made anew: a binding is held for as long as somebody subscribes, and
// the tree is asked for a few times.
func (b *Bound) root() *node {
	r := reducer{builder: newBuilder(b.predicate.types, b.claims, b.params)}
	return r.reduce(b.predicate.root)
}

// Columns are the predicate's.
func (b *Bound) Columns() []int { return b.predicate.columns }

// ParamTypes are what the parameters are, as format_type prints it, in their order.
func (p *Predicate) ParamTypes() []string {
	names := make([]string, len(p.params))
	for i, t := range p.params {
		names[i] = p.types.display(t)
	}
	return names
}

func (p *Predicate) param(raw json.RawMessage, oid uint32) (datum, error) {
	raw = bytes.TrimSpace(raw)
	if base := p.types.baseOf(oid); base == oidJSON || base == oidJSONB {
		d, fault := p.types.input(base)(string(raw))
		return d, wrap(fault)
	}
	text, null, err := p.paramText(raw, p.types.elemOf(oid) != 0)
	if err != nil || null {
		return nullDatum, err
	}
	read := p.types.input(oid)
	if read == nil {
		return datum{}, fmt.Errorf("values of type %s are not supported", p.types.display(oid))
	}
	d, fault := read(text)
	return d, wrap(fault)
}

// wrap keeps a nil fault from becoming an error that isn't nil.
func wrap(fault *Fault) error {
	if fault == nil {
		return nil
	}
	return fault
}

// paramText is the literal that a JSON value stands for.
func (p *Predicate) paramText(raw []byte, list bool) (text string, null bool, err error) {
	if len(raw) == 0 {
		return "", false, fmt.Errorf("no value")
	}
	switch c := raw[0]; {
	case c == 'n':
		return "", true, nil
	case c == '"':
		err := json.Unmarshal(raw, &text)
		return text, false, err
	case c == '[' && list:
		text, err := p.paramArray(raw)
		return text, false, err
	case c == '[' || c == '{':
		return "", false, fmt.Errorf("an array or object, where one value is meant")
	}
	return string(raw), false, nil
}

func (p *Predicate) paramArray(raw []byte) (string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return "", err
	}
	b := []byte{'{'}
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		item = bytes.TrimSpace(item)
		if item[0] == '[' {
			nested, err := p.paramArray(item)
			if err != nil {
				return "", err
			}
			b = append(b, nested...)
			continue
		}
		text, null, err := p.paramText(item, false)
		if err != nil {
			return "", err
		}
		b = appendElement(b, datum{s: text, null: null}, textOut)
	}
	return string(append(b, '}')), nil
}

// Key identifies equal bindings of a predicate: what is left of it under them is the same, with the same values. What a
// claim or a parameter has decided makes the values that aren't reached count no more.
func (b *Bound) Key() string { return b.key }

// Eval decides a row, given by the relation's columns; only those of Columns are read. With Failed comes the fault.
// A row that isn't one of the relation (too short, texts that Postgres doesn't print for the types) is ErrRow at worst.
func (b *Bound) Eval(row []relay.Value) (t Truth, fault *Fault) {
	if b.heavy {
		return b.count(row)
	}
	defer func() {
		if recover() != nil {
			t, fault = Failed, ErrRow
		}
	}()
	return b.truth(row, nil)
}

// count evaluates and counts the steps.
func (b *Bound) count(row []relay.Value) (t Truth, fault *Fault) {
	w := works.Get().(*work)
	defer func() {
		if recover() != nil {
			t, fault = Failed, ErrRow
		}
		w.end()
		works.Put(w)
	}()
	w.begin(row, b.predicate.columns, b.slots)
	w.encoded = b.predicate.types.encoding != ""
	return b.truth(row, w)
}

// String is the predicate's text.
func (b *Bound) String() string { return strings.TrimSpace(b.predicate.source) }
