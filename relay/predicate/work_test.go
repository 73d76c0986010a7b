package predicate

import (
	"strings"
	"testing"

	"pgrelay/relay"
)

// large is a row with these columns set.
func large(set map[string]string) []relay.Value {
	row, r := order1(), orders()
	for name, text := range set {
		row[r.Column(name)].Text = []byte(text)
	}
	return row
}

// many is a predicate of about 8 kB.
func many(part, by string) string {
	n := max(1, 8000/len(part+by))
	return strings.TrimSuffix(strings.Repeat(part+by, n), by)
}

type cost struct {
	name, text string
	row        map[string]string
	costly     bool
}

// costs are predicates that take their time by the product of what they look at, or make texts of such sizes, on rows of
// so many bytes.
func costs(size int) []cost {
	filled := func(begin, part, end string) string { return begin + strings.Repeat(part, size/len(part)) + end }
	return []cost{
		{"a document read often", many("info ->> 'a' = '1'", " or "), map[string]string{"info": filled(`{"b": [`, "1, ", "1]}")}, false},
		{"a document's large part", many("info ->> 'b' = '1'", " or "), map[string]string{"info": filled(`{"b": [`, "1, ", "1]}")}, true},
		{"a document's small part", many("info ->> 'b' = '1'", " or "), map[string]string{"info": filled(`{"b": 2, "c": [`, "1, ", "1]}")}, false},
		{"one large text read often", many("status = 'x'", " or "), map[string]string{"status": filled("", "a", "")}, false},
		{"LIKE, one long piece", "status like '%" + strings.Repeat("a", 7900) + "b%'", map[string]string{"status": filled("", "a", "")}, false},
		{"LIKE, many pieces", "status like '" + strings.Repeat("%a", 3900) + "b'", map[string]string{"status": filled("", "a", "")}, false},
		{"LIKE, a piece with wildcards", "status like '%" + strings.Repeat("_a", 3900) + "b%'", map[string]string{"status": filled("", "a", "")}, true},
		{"ILIKE", many(`status collate "C" ilike '%b'`, " or "), map[string]string{"status": filled("", "A", "")}, true},
		{"arrays that differ", "tags && string_to_array(status, ',')", map[string]string{"tags": filled("{", "a,", "a}"), "status": filled("", "b,", "")}, true},
		{"arrays that contain", "tags @> string_to_array(status, ',')", map[string]string{"tags": filled("{b,", "a,", "a}"), "status": filled("", "b,", "b")}, false},
		{"an array's text", many("tags::text = 'a'", " or "), map[string]string{"tags": filled("{", "a,", "a}")}, true},
		{"an array joined by a text", "array_to_string(tags, status) = 'a'", map[string]string{"tags": filled("{", "a,", "a}"), "status": filled("", "b", "")}, true},
		{"a text taken apart", many("string_to_array(status, null) = '{}'", " or "), map[string]string{"status": filled("", "a", "")}, true},
		{"parts of a text", many("split_part(status, 'a', 1000000) = 'b'", " or "), map[string]string{"status": filled("", "a", "")}, true},
		{"replace", "replace(status, 'a', status) = 'a'", map[string]string{"status": filled("", "a", "")}, true},
		{"trim", "btrim(status, '" + strings.Repeat("ö", 3900) + "ä') = 'a'", map[string]string{"status": filled("", "ä", "")}, true},
		{"texts joined", "(" + strings.Repeat("status || ", 90) + "status) = 'a'", map[string]string{"status": filled("", "a", "")}, true},
		{"documents joined", "(" + strings.Repeat("info || ", 90) + "info)::text = 'a'", map[string]string{"info": filled(`["`, "a", `"]`)}, true},
		{"documents that differ", "info @> status::jsonb", map[string]string{"info": filled("[", "1, ", "3]"), "status": filled("[", "3, ", "3]")}, true},
		{"md5", many("md5(status) = 'a'", " or "), map[string]string{"status": filled("", "a", "")}, true},
		{"numbers multiplied", many("amount * amount > 0", " and "), map[string]string{"amount": "1" + strings.Repeat("7", 1999)}, true},
		{"a long number", "amount * amount > 0", map[string]string{"amount": strings.Repeat("7", 131072)}, true},
		{"a long number compared", many("amount < 1000.1", " or "), map[string]string{"amount": strings.Repeat("7", 131072)}, false},
		{"an exponent", "status::numeric > 1", map[string]string{"status": "1e131071"}, true},
		{"exponents", "status::numeric[] = '{1}'", map[string]string{"status": filled("{", "1e131071,", "1}")}, true},
		{"exponents in a document", "status::jsonb = '1'", map[string]string{"status": filled("[", "1e131071,", "1]")}, true},
		{"nested documents", "status::jsonb = '1'", map[string]string{"status": filled("", "[", "")}, true},
		{"nested arrays", "status::int[] = '{1}'", map[string]string{"status": filled("", "{", "")}, true},
		{"a document's elements, often", many("region in (select jsonb_array_elements_text(info))", " or "), map[string]string{"info": filled("[", "1, ", "1]")}, true},
		{"a document's elements, cast", many("n in (select jsonb_array_elements_text(info)::int)", " or "), map[string]string{"info": filled("[", "1, ", "1]")}, true},
		{"a document's elements", "region in (select jsonb_array_elements_text(info))", map[string]string{"info": filled("[", "1, ", "1]")}, false},
		{"a document's large elements", "array(select jsonb_array_elements_text(jsonb_build_array(info" + strings.Repeat(", info", 90) + "))) = tags", map[string]string{"info": filled("[", "1, ", "1]")}, true},
		{"documents made of arrays", many("to_jsonb(tags) = info", " or "), map[string]string{"tags": filled("{", "a,", "a}")}, true},
		{"documents made of a text", many("to_jsonb(status) = info", " or "), map[string]string{"status": filled("", "a", "")}, true},
		{"documents made of a json", many("jsonb_build_array(status::json) = info", " or "), map[string]string{"status": filled("[", "1,", "1]")}, true},
		{"subscripts of a document", many("info['b'][0] = '2'", " or "), map[string]string{"info": filled(`{"b": [`, "1, ", "1]}")}, false},
		{"a text made long", many("repeat(region, 100000) || status = 'a'", " or "), map[string]string{}, true},
	}
}

// TestWork: a row that takes too many steps is an error, by its size alone, and whatever it is the steps are bounded.
func TestWork(t *testing.T) {
	for _, c := range costs(1 << 18) {
		b, row := bind(t, c.text, "{}"), large(c.row)
		got, fault := b.Eval(row)
		if costly := fault != nil; costly != c.costly {
			t.Errorf("%s: got %v %v, want an error: %v", c.name, got, fault, c.costly)
		}
		if fault == nil || fault != faultCostly {
			continue
		}
		w := new(work)
		w.begin(row, b.predicate.columns, b.slots)
		w.limit *= 4
		if again, _ := b.truth(row, w); again != Failed && w.spent < w.limit/4 {
			t.Errorf("%s: got %v after %d steps of %d", c.name, again, w.spent, w.limit)
		}
	}
}

// TestWorkOnce: what is computed in advance is bounded too, of constants when they are compiled and of parameters and
// claims when they are bound.
func TestWorkOnce(t *testing.T) {
	for _, text := range []string{
		"replace(repeat('a', 1000000), 'a', repeat('b', 1000000)) = status",
		"repeat('ab', 500000) like '%" + strings.Repeat("_b", 3900) + "c'",
		"string_to_array(repeat('a', 1000000), null) && string_to_array(repeat('b', 1000000), null)",
		"n = any (" + strings.TrimSuffix(strings.Repeat("string_to_array(repeat('1,', 400000), ',')::int[] || ", 8), "|| ") + ")",
	} {
		if _, err := Compile(text, orders(), Options{}); err == nil {
			t.Errorf("%.60s: got no error", text)
		}
	}
	b := bind(t, "replace($1, 'a', $1) = status", "{}", `"`+strings.Repeat("a", 100000)+`"`)
	if got, fault := b.Eval(order1()); fault != faultCostly {
		t.Errorf("got %v %v", got, fault)
	}
}

// BenchmarkWork is what a predicate of 8 kB costs at most on a row of a megabyte.
func BenchmarkWork(b *testing.B) {
	for _, c := range costs(1 << 20) {
		b.Run(c.name, func(b *testing.B) {
			bound, row := bind(b, c.text, "{}"), large(c.row)
			for b.Loop() {
				bound.Eval(row)
			}
		})
	}
}
