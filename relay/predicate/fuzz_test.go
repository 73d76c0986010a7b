package predicate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgrelay/relay"
)

// rich is a relation with a column of every built-in type that there are samples of, and of an enum, and a row of it.
func rich() (*relay.Relation, []relay.Value) {
	c := builtin()
	var typeOf func(oid uint32) *relay.Type
	typeOf = func(oid uint32) *relay.Type {
		t := c.types[oid]
		r := &relay.Type{OID: oid, Name: t.display, Kind: relay.Kind(t.kind), Delimiter: ','}
		if t.elem != 0 && t.category == 'A' {
			r.Element = typeOf(t.elem)
		}
		if t.subtype != 0 {
			r.Base = typeOf(t.subtype)
		}
		return r
	}
	status := &relay.Type{OID: 20001, Name: "shop.status", Kind: relay.KindEnum, Labels: []string{"open", "shipped", "closed", "Very late"}}
	r := &relay.Relation{Name: "shop.t", Schema: "shop", Table: "t", Columns: []relay.Column{
		{Name: "e", Source: "e", TypeName: "shop.status", Type: status},
		{Name: "ea", Source: "ea", TypeName: "shop.status[]", Type: &relay.Type{OID: 20002, Name: "shop.status[]", Kind: relay.KindBase, Delimiter: ',', Element: status}},
		{Name: "tc", Source: "tc", TypeName: "text", Type: typeOf(oidText), Collation: "C"},
	}}
	row := textRow("open", "{open}", "b")
	of := map[string]uint32{"numeric[]": 1231, "timestamptz[]": 1185, "jsonb[]": 3807, "int8range": oidInt8Range, "tsrange": oidTSRange}
	for oid, name := range sampleTypes {
		if !polymorphic(oid) {
			of[name] = oid
		}
	}
	for _, s := range samples {
		if oid := of[s.of]; oid != 0 {
			r.Columns = append(r.Columns, relay.Column{Name: s.column, Source: s.column, TypeName: s.of, Type: typeOf(oid)})
			row = append(row, relay.Value{Kind: relay.ValueText, Text: []byte(s.values[len(s.values)/2])})
		}
	}
	return r, row
}

// FuzzPredicate: no text, no claims, no parameter and no row make it panic or take more steps than a row may.
func FuzzPredicate(f *testing.F) {
	relation, values := rich()
	g := generator{Rand: newRand(5)}
	for range 200 {
		f.Add(g.predicate(), claims[g.IntN(len(claims))], `"a"`, "t", "text")
	}
	for _, c := range []struct{ text, column, value string }{
		{"t like '%a%b_%c'", "t", strings.Repeat("ab", 100)}, {"n * n / 3 % 7 > 1e10", "n", strings.Repeat("9", 500)},
		{"jb @> jb || '[[1]]'", "jb", strings.Repeat("[", 50) + strings.Repeat("]", 50)}, {"ia && ia || 3", "ia", "{{1,2},{3,4}}"},
		{"replace(t, 'a', t || t) = repeat(t, 1000)", "t", "aaaa"}, {"t::numeric > '1e131071'::numeric", "t", "1e131071"},
		{"t::jsonb = $1", "t", `{"a": [1e400, "\ud834\udd1e"]}`}, {"array_to_string(string_to_array(t, null), t) = $1", "t", "äöü"},
		{strings.Repeat("not ", 90) + "b", "b", "t"}, {strings.Repeat("(", 200) + "b" + strings.Repeat(")", 200), "b", "f"},
		{strings.Repeat("i4 between ", 12) + "1 and 2", "i4", "1"}, {"b" + strings.Repeat(" and b", 300), "b", "t"},
		{"claims #>> '{a,b}' = t and (claims -> 'n')::int = i4", "t", "x"}, {"ti + iv > '12:00' and ts - iv < tz at time zone 'UTC'", "iv", "1 mon -3 days"},
	} {
		f.Add(c.text, claims[1], `[1, "2", null]`, c.column, c.value)
	}
	f.Fuzz(func(t *testing.T, text, claims, param, column, value string) {
		p, err := Compile(text, relation, Options{Claims: true, Params: 1})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Position < 0 || e.Position > len(text)+len(prefix) {
				t.Fatalf("got %v", err)
			}
			return
		}
		row := append([]relay.Value(nil), values...)
		if i := relation.Column(column); i >= 0 {
			row[i].Text = []byte(value)
		}
		b, err := p.Bind(json.RawMessage(claims), []json.RawMessage{json.RawMessage(param)})
		if err != nil {
			return
		}
		checkBound(t, b, row, values)
	})
}

// checkBound: the row may be one that Postgres doesn't print, proper is one that it does.
func checkBound(t *testing.T, b *Bound, row, proper []relay.Value) {
	b.Covers()
	b.SafeSQL(1)
	b.Key()
	got, fault := b.Eval(row)
	if (fault != nil) != (got == Failed) {
		t.Fatalf("got %v and %v", got, fault)
	}
	if constant, ok := b.Constant(); ok && constant != got {
		t.Fatalf("got %v, which is constant %v", got, constant)
	}
	for _, c := range b.Explain(row) {
		if (c.Fault != nil) != (c.Truth == Failed) || c.Text == "" || c.Position > len(b.predicate.source) {
			t.Fatalf("got %+v", c)
		}
	}
	w := new(work)
	w.begin(proper, b.predicate.columns, b.slots)
	if got, fault := b.truth(proper, w); (fault != nil) != (got == Failed) {
		t.Fatalf("got %v and %v", got, fault)
	}
}

// TestDeep: however deep a text is nested, it is an error and not the end of the process.
func TestDeep(t *testing.T) {
	for _, part := range []string{
		"(", "not ", "- ", "+ 1 ", "case when ", "array[", "a[", "((select ", "coalesce(", "n in (", "n between ", "x::text::", "a.", "exists(", "row(", "cast(", "1 + (", "{", "\"", "$$",
	} {
		for _, n := range []int{100, 1000, 16384 / len(part)} {
			text := strings.Repeat(part, n)
			for _, whole := range []string{text, text + "1" + strings.Repeat(")", strings.Count(text, "("))} {
				if _, err := Compile(whole, orders(), Options{Claims: true, MaxBytes: 1 << 16}); err == nil {
					t.Errorf("%q %d times: got no error", part, n)
				}
			}
		}
	}
	long := strings.TrimSuffix(strings.Repeat("paid and ", 1800), " and ")
	if got, fault := bind(t, long, "{}").Eval(order1()); got != True {
		t.Errorf("a long conjunction: got %v %v", got, fault)
	}
}
