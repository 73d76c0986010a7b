package predicate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

const readers = `
create function shop.read(v text[], of text) returns setof text language plpgsql as $$
declare answer text; one text;
begin
  foreach one in array v loop
    begin
      execute 'select $1::' || of || '::text' into answer using one;
      return next 'ok ' || answer;
    exception when others then
      return next 'error ' || sqlstate;
    end;
  end loop;
end $$;
`

// inputs are texts of the forms that people and programs write, good and bad; the samples' values are tried too.
var inputs = map[string][]string{
	"bool":        {"true", "TRUE", "tr", "yes", "on", "off", "of", "o", "1", "0", "2", " t ", "n", "no", "", "y\n"},
	"int4":        {"+5", " 7 ", "- 5", "0x10", "1_000", "99999999999", "00012", "1e3", "1.0", "", "-", "+-1"},
	"int2":        {"32768", "-32769", "+7", "0b1", "007"},
	"int8":        {"9223372036854775808", "-9223372036854775809", "1e2", " -0 "},
	"numeric":     {"1e5", "1E-5", ".5", "5.", ".", "+1.50", " 1 ", "1e", "1e+", "nan", "+nan", "-nan", "inf", "+Infinity", "-inf", "infini", "1 2", "0e0", "-0", "-0.00", "1e200000", "1e-20000", "00.10", "1__0", "0x1F"},
	"float8":      {"1e5", "1E400", "1e-400", ".5", "5.", ".", "+1.50", "nan", "-nan", "inf", "-Infinity", "1.7976931348623157e308", "0x1p3", "123456789012345678", "1e22", "0.1e-6", "1e15", "123456.789e3"},
	"float4":      {"1e5", "1e39", "1e-46", "16777217", "0.1", "3.4028236e38", "1000000", "100000"},
	"uuid":        {"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-"},
	"date":        {"2024-1-5", "2024-02-30", "2023-02-29", "2024-13-01", "20240101", "Jan 5 2024", "2024-01-01 12:00:00", "2024-01-01T12:00:00Z", "0000-01-01", "10000-01-01", "epoch", "1-1-1", "2024-01-01 BC", "99999999-01-01", "4714-11-24 BC", "4714-11-23 BC", "2024-01-01 25:00", "2024-00-01", "INFINITY", "5874898-01-01"},
	"timestamp":   {"2024-01-01", "2024-01-01T12:00", "2024-01-01 12:00:00.1234567", "2024-01-01 12:00:60", "2024-01-01 24:00:00", "2024-01-01 12:00:00+02", "2024-01-01 12:60", "epoch", "294276-12-31 23:59:59.999999", "294277-01-01", "2024-01-01 12:00:00 BC", "2024-01-01  12:00:00", "2024-01-01 1:02:03", "2024-01-01 12:00:00.", "2024-01-01 12:00:00.9999999"},
	"timestamptz": {"2024-01-01 12:00:00+02:30", "2024-01-01 12:00:00-0530", "2024-01-01T12:00:00.5Z", "2024-01-01 12:00:00 UTC", "2024-01-01 12:00:00 Europe/Berlin", "2024-01-01 12:00:00+16", "2024-01-01 12:00:00 +02", "2024-01-01", "2024-01-01 12:00:00z", "2024-01-01 12:00+14:00:30", "2024-01-01T12:00:00+00:00"},
	"time":        {"12:00", "1:02", "12:00:00.5", "24:00:01", "23:59:60", "12:00 PM", "12:00:00+02", "12", "24:00", "12:00:00.9999999", "23:59:59.9999999"},
	"interval":    {"1 day 2 hours", "1 year -1 mon", "P1D", "1.5 days", "2 weeks", "30 minutes", "-1 day", "1 day ago", "01:02", "1:02:03", "100:00:00", "", "5", "3 days 04:05:06.7", "1 mon 1 mon", "2147483647 days", "99999999999 days", "1 days -01:00:00", "-00:00:00.5", "1 decade"},
	"bytea":       {`\xDEADBEEF`, `\x1`, `\x 12 34`, `\x1 2`, `abc`, `a\\b`, `\001a`, `\400`, `\`, "ä", `\xzz`},
	"json":        {`{"a":1}`, ` [1 , 2] `, `{"a":}`, `01`, `-`, `1.`, `1e5`, `"\u00e4"`, `"\ud800"`, `"\u0000"`, `tru`, `nullx`, ``, `{"a":1,}`, `[1,]`, "\"\t\"", `"\x"`, `{1:2}`, `"a" "b"`, `[1] x`},
	"jsonb":       {`{"b":1,"a":2,"b":3}`, ` [1 , 2] `, `1e5`, `1.500`, `-0`, `-0.0`, `"\u00e4\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83d\u0041"`, `"\ud83d\n"`, `"\u0000"`, `"\/\b\f\n\r\t\"\\"`, `{"aa":1,"b":2}`, `01`, `1e400000`, "\"\x7f\"", `"\u001f"`, `1E+2`, `[1e-5, 0.10]`, `{"":{}}`, `true1`, `1a`},
	"int4[]":      {"{1, 2}", " {1} ", "{1,}", "{,1}", "{1}x", "{{1},{2}}", "{{1},2}", "{1,{2}}", "{{1,2},{3}}", "[2:3]={1,2}", "[1:3]={1,2}", "{}", "{{}}", "{ }", "{null}", "{NULL,1}", `{"1"}`, "{1 2}", "[1:1]={}", "1", "", "{{1},{}}"},
	"text[]":      {`{"a,b", c }`, `{a"b"}`, `{"a"b}`, `{a\,b}`, `{"a\"b"}`, `{ a b , c}`, `{"",""}`, `{null,"null"}`, `{a{b}}`, `{"\\"}`, `{äö}`, "{a\n,b}", `{"a`},
	"inet":        {"10.0.0.1/8", "10.0.0.1/33", "10.0.0", "10.0.0.256", "::ffff:1.2.3.4", "1::2/64", "1::2/129", "::", "fe80::1%eth0", "10.0.0.1/", "10.0.0.01", "1:2:3:4:5:6:7:8", "2001:DB8::1", "::1.2.3.4", "1:0:0:2::3", " 10.0.0.1", "10.0.0.1/08", "::ffff:0:0", "1::2:0:0:3"},
	"cidr":        {"10.0.0.0/8", "10.0.0.1/8", "10", "10.1/16", "::1/128", "::1/64", "10.0.0.0", "1::/16"},
	"int4range":   {"[1,5]", "(1,2)", "[5,1]", "[ 1 , 5 )", "empty", "EMPTY", "[,]", "(1,1)", "[1,1)", "[1,2", "1,2)", `["1","5"]`, "[1,5) x", "[2147483647,2147483647]", "(,2147483647]", "[,5]"},
	"numrange":    {"[1.50,2]", "(1,1]", "[1,NaN]", "[-Infinity,1]", "(0.1,0.2]"},
	"daterange":   {"[2024-01-01,2024-01-31]", "(2024-01-01,infinity]", "[-infinity,infinity)", "[2024-01-01,2024-01-01)"},
	"tstzrange":   {`["2024-01-01 00:00:00+02","2024-02-01 00:00:00Z")`, "[2024-01-01,)"},
	"shop.status": {"OPEN", "open ", "Very late", ""},
	"char(5)":     {"abcdefg", "ab     ", "abc  d"},
	"varchar(10)": {"abcdefghijklm", "äöüäöüäöüäöü", "abc         "},
}

// mutate changes a text a little.
func (g generator) mutate(s string) string {
	const alphabet = " 0123456789-+.:,eE{}[]()\"\\/xXnNaAtTuUlL_%ä\n"
	letters := []rune(alphabet)
	r := []rune(s)
	for range 1 + g.IntN(2) {
		at := g.IntN(len(r) + 1)
		switch c := letters[g.IntN(len(letters))]; g.IntN(3) {
		case 0:
			r = append(r[:at:at], append([]rune{c}, r[at:]...)...)
		case 1:
			if at < len(r) {
				r = append(r[:at:at], r[at+1:]...)
			}
		default:
			if at < len(r) {
				r[at] = c
			}
		}
	}
	return string(r)
}

// TestInput compares what the casts from text read, and what the casts to text print, with Postgres: an error where
// Postgres raises one, and never a value where it doesn't or another one. Forms that aren't read are counted.
func TestInput(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			seed, n := setting(t, envSeed, 1), setting(t, envPairs, 20000)/100
			w := newWorld(t, version, 1, uint64(seed))
			w.exec(t, readers)
			g := generator{Rand: rand.New(rand.NewPCG(uint64(seed), 3))}
			var report strings.Builder
			for _, s := range samples {
				if s.of != "shop.label" && s.of != "shop.positive" && !strings.Contains(s.of, "collate") {
					w.tryInputs(t, g, s, n, &report)
				}
			}
			t.Logf("seed %d\n%s", seed, report.String())
		})
	}
}

func (w *world) tryInputs(t *testing.T, g generator, s sample, n int, report *strings.Builder) {
	known := append(append([]string(nil), s.values...), inputs[s.of]...)
	texts := append([]string(nil), known...)
	for len(texts) < len(known)+n {
		texts = append(texts, g.mutate(g.pick(known)))
	}
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, quote(text))
	}
	want, err := w.answers(t.Context(), fmt.Sprintf("select shop.read(array[%s], '%s')", strings.Join(quoted, ","), s.of))
	if err != nil {
		t.Fatalf("%s: %v", s.of, err)
	}
	p, err := Compile("(t::"+s.of+")::text is null", w.relation, Options{})
	if err != nil {
		t.Fatalf("%s: %v", s.of, err)
	}
	cast := newBuilder(p.types, datum{}, nil).value(p.root.args[0])
	column := w.relation.Column("t")
	row := append(w.rows[0][:0:0], w.rows[0]...)
	same, inexact, failed := 0, 0, 0
	for i, text := range texts {
		row[column].Kind, row[column].Text = 't', []byte(text)
		d, fault := cast(row, nil)
		got := "ok " + d.s
		switch answer, code, _ := strings.Cut(want[i], " "); {
		case fault != nil && answer == "error":
			same++
			if fault.Code != code && !fault.inexact() {
				failed++
			}
			continue
		case fault != nil && fault.inexact():
			inexact++
			continue
		case fault != nil:
			got = "error " + fault.Code
		}
		if got != want[i] {
			t.Errorf("%q as %s: got %q, want %q", text, s.of, got, want[i])
			continue
		}
		same++
	}
	fmt.Fprintf(report, "%-12s %6d same, %4d not read, %4d errors with another SQLSTATE\n", s.of, same, inexact, failed)
}
