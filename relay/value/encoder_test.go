package value

import (
	"encoding/json"
	"testing"

	"pgrelay/relay"
)

// Types that tests of single values build on.
var (
	typeInt4 = &relay.Type{OID: oidInt4, Kind: relay.KindBase, Delimiter: ','}
	typeInt8 = &relay.Type{OID: 20, Kind: relay.KindBase, Delimiter: ','}
	typeText = &relay.Type{OID: 25, Kind: relay.KindBase, Delimiter: ','}
	typeJSON = &relay.Type{OID: oidJSON, Kind: relay.KindBase, Delimiter: ','}
	typeBox  = &relay.Type{OID: 603, Kind: relay.KindBase, Delimiter: ';'}
	typePair = &relay.Type{OID: 90001, Kind: relay.KindComposite, Delimiter: ',', Fields: []relay.Field{
		{Name: "a", Type: typeInt8}, {Name: `we"ird`, Type: arrayOf(typeText)}, {Name: "j", Type: typeJSON},
	}}
)

func arrayOf(element *relay.Type) *relay.Type {
	return &relay.Type{OID: 90000, Kind: relay.KindBase, Delimiter: ',', Element: element}
}

func base(oid uint32) *relay.Type {
	return &relay.Type{OID: oid, Kind: relay.KindBase, Delimiter: ','}
}

func TestAppend(t *testing.T) {
	domain := &relay.Type{Kind: relay.KindDomain, Base: arrayOf(typeInt4)}
	tests := []struct {
		name string
		of   *relay.Type
		text string
		want string
	}{
		{"no type", nil, "a", `"a"`},
		{"unknown type", base(99999), `{"`, `"{\""`},
		{"boolean", base(oidBool), "t", `true`},
		{"no boolean", base(oidBool), "true", `"true"`},
		{"integer", typeInt4, "-2147483648", `-2147483648`},
		{"no integer", typeInt4, "007", `"007"`},
		{"int8", typeInt8, "9007199254740993", `"9007199254740993"`},
		{"float", base(oidFloat8), "-1.5e-07", `-1.5e-07`},
		{"NaN", base(oidFloat8), "NaN", `"NaN"`},
		{"half a float", base(oidFloat8), "1.", `"1."`},
		{"no exponent", base(oidFloat8), "1e+", `"1e+"`},
		{"timestamp", base(oidTimestamp), "2026-11-24 03:13:31.5", `"2026-11-24T03:13:31.5"`},
		{"another zone", base(oidTimestamptz), "2026-11-24 03:13:31+05:30", `"2026-11-24T03:13:31+05:30"`},
		{"zone before Christ", base(oidTimestamptz), "0044-03-15 01:02:03+00 BC", `"0044-03-15T01:02:03+00:00 BC"`},
		{"infinity", base(oidTimestamptz), "-infinity", `"-infinity"`},
		{"json as it is", typeJSON, "{\"a\":\n 1}", "{\"a\":\n 1}"},
		{"domain of an array", domain, "{1,2}", `[1,2]`},
		{"array of domains of arrays", arrayOf(domain), `{"{1,2}",NULL}`, `[[1,2],null]`},
		{"lower bounds", arrayOf(typeInt4), "[0:1][2:2]={{1},{NULL}}", `[[1],[null]]`},
		{"empty array", arrayOf(typeInt4), "{}", `[]`},
		{"quoted elements", arrayOf(typeText), `{"NULL",NULL,"a\"\\,{}",""}`, `["NULL",null,"a\"\\,{}",""]`},
		{"boxes", arrayOf(typeBox), "{(1,2),(3,4);(5,6),(7,8)}", `["(1,2),(3,4)","(5,6),(7,8)"]`},
		{"vector", &relay.Type{OID: oidInt2Vector, Element: base(oidInt2)}, "1 -2", `[1,-2]`},
		{"empty vector", &relay.Type{OID: oidOIDVector, Element: base(26)}, "", `[]`},
		{"unclosed array", arrayOf(typeInt4), "{1", `"{1"`},
		{"array and more", arrayOf(typeInt4), "{1}}", `"{1}}"`},
		{"too deep", arrayOf(typeInt4), "{{{{{{{1}}}}}}}", `"{{{{{{{1}}}}}}}"`},
		{"element that isn't JSON", arrayOf(typeJSON), "{foo}", `["foo"]`},
		{"composite", typePair, `(1,"{""a b"",""\\""""}","[1, 2]")`, `{"a":"1","we\"ird":["a b","\""],"j":[1, 2]}`},
		{"nulls", typePair, "(,,)", `{"a":null,"we\"ird":null,"j":null}`},
		{"attribute missing", typePair, "(1,{})", `"(1,{})"`},
		{"attribute too many", typePair, "(1,{},1,1)", `"(1,{},1,1)"`},
		{"attribute of another type", typePair, "(1,x,y)", `{"a":"1","we\"ird":"x","j":"y"}`},
		{"no attributes", &relay.Type{Kind: relay.KindComposite}, "()", `{}`},
		{"extension's array", arrayOf(&relay.Type{OID: 90002, Kind: relay.KindBase, Extension: true}), `{"\"a\"=>\"1\""}`, `["\"a\"=>\"1\""]`},
		{"extension's composite", &relay.Type{Kind: relay.KindComposite, Extension: true}, "(1)", `"(1)"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := New(test.of).Append([]byte("before"), []byte(test.text))
			if string(got) != "before"+test.want {
				t.Errorf("got %s, want before%s", got, test.want)
			}
			if !json.Valid(got[len("before"):]) {
				t.Errorf("not JSON: %s", got)
			}
		})
	}
}

// TestAppendReusesRoom encodes into a buffer with room and without, with escapes at every level: neither loses a byte.
func TestAppendReusesRoom(t *testing.T) {
	encoder := New(arrayOf(typePair))
	text := []byte(`{"(1,\"{\"\"a\\\\\\\\b\"\"}\",\"\"\"x\"\"\")","(2,{c},)"}`)
	want := `[{"a":"1","we\"ird":["a\\b"],"j":"x"},{"a":"2","we\"ird":["c"],"j":null}]`
	for room := range 200 {
		dst := append(make([]byte, 0, room+1), '-')
		if got := encoder.Append(dst, text); string(got) != "-"+want {
			t.Fatalf("with %d bytes of room: got %s, want -%s", room, got, want)
		}
	}
}
