package value

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgrelay/relay"
)

// fuzzEncoder checks what holds for any text: no panic, what was in dst stays, and UTF-8 in gives JSON out.
func fuzzEncoder(f *testing.F, of *relay.Type, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	encoder := New(of)
	f.Fuzz(func(t *testing.T, text []byte) {
		got := encoder.Append([]byte("before"), text)
		if string(got[:6]) != "before" {
			t.Fatalf("what was there became %q", got[:6])
		}
		if utf8.Valid(text) && (!json.Valid(got[6:]) || !utf8.Valid(got)) {
			t.Fatalf("%q gives %q", text, got[6:])
		}
		if again := encoder.Append(make([]byte, 0, 16*len(text)+64), text); string(again) != string(got[6:]) {
			t.Fatalf("%q with room gives %q, without %q", text, again, got[6:])
		}
	})
}

func FuzzArray(f *testing.F) {
	fuzzEncoder(f, arrayOf(typeText), `{a,"b c",NULL,"\"\\"}`, `[2:3]={1,2}`, `{{a},{b}}`, `{}`)
}

func FuzzArrayOfJSON(f *testing.F) {
	fuzzEncoder(f, arrayOf(typeJSON), `{"{\"a\": [1, null]}",1,"\"x\"",NULL}`)
}

func FuzzArrayOfBoxes(f *testing.F) {
	fuzzEncoder(f, arrayOf(typeBox), "{(1,2),(3,4);(5,6),(7,8)}")
}

func FuzzComposite(f *testing.F) {
	fuzzEncoder(f, typePair, `(1,"{""a b"",""\\""""}","[1, 2]")`, `(,,)`)
}

func FuzzArrayOfComposites(f *testing.F) {
	fuzzEncoder(f, arrayOf(typePair), `{"(1,\"{\"\"a\\\\\\\\b\"\"}\",\"\"\"x\"\"\")","(2,{c},)"}`)
}

func FuzzVector(f *testing.F) {
	fuzzEncoder(f, &relay.Type{OID: oidInt2Vector, Element: base(oidInt2)}, "1 -2", "")
}

func FuzzInteger(f *testing.F) { fuzzEncoder(f, typeInt4, "1", "-0", "007") }

func FuzzFloat(f *testing.F) { fuzzEncoder(f, base(oidFloat8), "1.5e-07", "-Infinity", "NaN", "-0") }

func FuzzBoolean(f *testing.F) { fuzzEncoder(f, base(oidBool), "t", "f") }

func FuzzTimestamp(f *testing.F) {
	fuzzEncoder(f, base(oidTimestamptz), "2026-11-24 03:13:31.5+00", "0044-03-15 01:02:03+00 BC", "infinity")
}

func FuzzString(f *testing.F) {
	fuzzEncoder(f, typeText, "plain", "q\"\\\n\x01é", "\xff")
}
