package predicate

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgrelay/relay"
)

// TestConstant: what a binding decides is found as far as no error of another arm would come first.
func TestConstant(t *testing.T) {
	const admin, user, bad = `{"role": "admin", "sub": "7", "org": 1}`, `{"role": "user", "sub": "7", "org": 1}`, `{"sub": "x"}`
	for _, c := range []struct {
		text, claims, want string
	}{
		{"claims ->> 'role' = 'admin'", admin, "true"},
		{"claims ->> 'role' = 'admin'", user, "false"},
		{"claims ->> 'role' = 'admin'", bad, "null"},
		{"(claims ->> 'sub')::int = 7", bad, "error"},
		{"claims ->> 'role' = 'admin' or n = 3", admin, "true"},
		{"claims ->> 'role' = 'admin' or n = 3", user, ""},
		{"n = 3 or claims ->> 'role' = 'admin'", admin, "true"},
		{"n = 3 or paid is true or status like 'a%' or claims ->> 'role' = 'admin'", admin, "true"},
		{`status like 'a\' or claims ->> 'role' = 'admin'`, admin, ""},
		{`status like 'a\\' or claims ->> 'role' = 'admin'`, admin, "true"},
		{"status like region or claims ->> 'role' = 'admin'", admin, ""},
		{"n = 3 or info ->> 'a' = 'b' or claims ->> 'role' = 'admin'", admin, "true"},
		{"1 / n = 3 or claims ->> 'role' = 'admin'", admin, ""},
		{"claims ->> 'role' = 'admin' or 1 / n = 3", admin, "true"},
		{"n = 3 and claims ->> 'role' = 'admin'", user, "false"},
		{"1 / n = 3 and claims ->> 'role' = 'admin'", user, ""},
		{"not (n = 3 and claims ->> 'role' = 'admin')", user, "true"},
		{"(n = 3 and claims ->> 'role' = 'admin') is not true", user, "true"},
		{"n = 3 and (claims ->> 'sub')::int = 7", bad, ""},
		{"(claims ->> 'sub')::int = 7 and n = 3", bad, "error"},
		{"(claims ->> 'sub')::int = 7 or claims ->> 'role' = 'admin'", bad, "error"},
		{"id = (claims ->> 'nosuch')::bigint", user, "null"},
		{"1 / id = (claims ->> 'nosuch')::bigint", user, ""},
		{"n = any ((claims ->> 'nosuch')::int[])", user, "null"},
		{"(claims ->> 'nosuch')::int = any (array[n])", user, ""},
		{"case when claims ->> 'role' = 'admin' then true when n = 3 then false else paid end", admin, "true"},
		{"case when claims ->> 'role' = 'user' then false else claims ->> 'role' = 'admin' end", admin, "true"},
		{"case when n = 3 then false when claims ->> 'role' = 'admin' then true end", admin, ""},
		{"status in (select jsonb_array_elements_text(((1 / 0)::text)::jsonb)) and false", user, "false"}, // planned after it was dropped
		{"(1 / (claims ->> 'nosuch')::int)::text not in (select jsonb_array_elements_text('[]'))", user, "true"},
		{"n = 3", user, ""},
	} {
		got := ""
		if truth, ok := bind(t, c.text, c.claims).Constant(); ok {
			got = truth.String()
		}
		if got != c.want {
			t.Errorf("%s with %s: got %q, want %q", c.text, c.claims, got, c.want)
		}
	}
}

// TestKeys: bindings that leave the same of a predicate have one key, others have not.
func TestKeys(t *testing.T) {
	const admin7, admin8, user7, user8 = `{"role": "admin", "sub": "7"}`, `{"role": "admin", "sub": "8"}`, `{"sub": "7"}`, `{"sub": "8"}`
	key := func(text, claims string) string { return bind(t, text, claims).Key() }
	for _, c := range []struct {
		text, one, other string
		same             bool
	}{
		{"claims ->> 'role' = 'admin' or id = (claims ->> 'sub')::int", admin7, admin8, true},
		{"id = (claims ->> 'sub')::int or claims ->> 'role' = 'admin'", admin7, admin8, true},
		{"id = (claims ->> 'sub')::int or claims ->> 'role' = 'admin'", user7, user8, false},
		{"id = (claims ->> 'sub')::int or claims ->> 'role' = 'admin'", user7, admin7, false},
		{"n = 1 and (claims ->> 'role' = 'admin' or id = (claims ->> 'sub')::int)", admin7, admin8, true},
		{"1 / id = (claims ->> 'sub')::int or claims ->> 'role' = 'admin'", admin7, admin8, false},
		{"case when claims ->> 'role' = 'admin' then n = 1 else id = (claims ->> 'sub')::int end", admin7, admin8, true},
		{"case when claims ->> 'role' = 'admin' then n = 1 else id = (claims ->> 'sub')::int end", user7, user8, false},
		{"(claims ->> 'role' is null or n = 1) and (claims ->> 'role' is not null or n = 1)", user7, admin7, false},
		{"n in (select jsonb_array_elements_text(claims -> 'ids')::int)", `{"ids": [1, "x"]}`, `{"ids": [2, "x"]}`, false},
		{"n in (select jsonb_array_elements_text(claims -> 'ids')::int)", `{"ids": [1, "x"]}`, `{"ids": [1, "x"], "sub": "7"}`, true},
		{"n = 1 and coalesce(claims ->> 'role', '') <> 'x'", user7, admin7, true},
	} {
		if got := key(c.text, c.one) == key(c.text, c.other); got != c.same {
			t.Errorf("%s: keys %q and %q, want the same: %v", c.text, key(c.text, c.one), key(c.text, c.other), c.same)
		}
	}
}

func TestCovers(t *testing.T) {
	const claims = `{"role": "user", "sub": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "n": "x", "teams": ["a", 1, 2.0, 2.5, null, [3], "1e2"], "ids": [1, "7"], "orgs": {"a": 1}}`
	is := func(column int, values ...string) relay.Equality {
		return relay.Equality{Column: column, Values: values}
	}
	nobody := []relay.Equality{}
	for _, c := range []struct {
		text string
		want [][]relay.Equality
	}{
		{"n = 1", [][]relay.Equality{{is(7, "1")}}},
		{"7 = n and 'open' = status", [][]relay.Equality{{is(7, "7")}, {is(1, "open")}}},
		{"n = 1 or status = 'open' or n in (2, 1) or paid", [][]relay.Equality{{is(7, "1", "2"), is(1, "open"), is(9, "t")}}},
		{"n = 1 or n > 3", nil},
		{"n = 1 or claims ->> 'role' = 'admin'", [][]relay.Equality{{is(7, "1")}}},
		{"n = 1 or claims ->> 'role' = 'user'", nil},
		{"n = 1 or claims ->> 'nosuch' = 'admin'", [][]relay.Equality{{is(7, "1")}}},
		{"n = 1 or (claims ->> 'n')::int = 2", nil},
		{"n = 1 or n = (claims ->> 'n')::int", nil},
		{"n = (claims ->> 'n')::int and paid", [][]relay.Equality{nobody, {is(9, "t")}}},
		{"n = (claims ->> 'nosuch')::int and paid", [][]relay.Equality{nobody, {is(9, "t")}}},
		{"(1 / n > 0 and n in (1, 2, 3) and owner = (claims ->> 'sub')::uuid and n > 0) or status = 'open'",
			[][]relay.Equality{{is(4, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), is(1, "open")}}},
		{"n = any ('{}'::int[])", [][]relay.Equality{nobody}},
		{"n = any ('{1,NULL,1}'::int[])", [][]relay.Equality{{is(7, "1")}}},
		{"n = all ('{1}'::int[])", nil},
		{"n is not distinct from 3", [][]relay.Equality{{is(7, "3")}}},
		{"n is distinct from 3", nil},
		{"n is null", nil},
		{"paid is true or not paid", [][]relay.Equality{{is(9, "t", "f")}}},
		{"paid is false", [][]relay.Equality{{is(9, "f")}}},
		{"paid is not false", nil},
		{"(n = 1) is true", [][]relay.Equality{{is(7, "1")}}},
		{"not (n = 1)", nil},
		{"amount = 1.0", nil}, // 1, 1.0 and 1.00 are equal
		{"f = 1", nil},
		{"code = 'a'", nil}, // trailing spaces don't count
		{"state = 'open' and created = '2024-01-01'", [][]relay.Equality{{is(6, "open")}, {is(5, "2024-01-01 00:00:00+00")}}},
		{"1 / n = 1", nil},
		{"status in (select jsonb_array_elements_text(claims -> 'teams'))", [][]relay.Equality{{is(1, "a", "1", "2.0", "2.5", "[3]", "1e2")}}},
		{"owner = (select (claims ->> 'sub')::uuid)", [][]relay.Equality{{is(4, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")}}},
		{"n in (select jsonb_array_elements_text(claims -> 'ids')::int)", [][]relay.Equality{{is(7, "1", "7")}}},
		{"n in (select jsonb_array_elements_text(claims -> 'teams')::int)", nil}, // the first elements may decide before the one that is none
		{"n in (select jsonb_array_elements_text(claims -> 'orgs')::int)", [][]relay.Equality{nobody}},
		{"status in (select jsonb_array_elements_text(claims -> 'nosuch'))", [][]relay.Equality{nobody}},
		{"(claims ->> 'n')::int >= all (select jsonb_array_elements_text(info)::int)", nil},
		{"n = any (array(select jsonb_array_elements_text(claims -> 'teams')::int))", [][]relay.Equality{nobody}},
		{"claims -> 'teams' @> to_jsonb(n)", [][]relay.Equality{{is(7, "1", "2")}}},
		{"to_jsonb(status) <@ (claims -> 'teams')", [][]relay.Equality{{is(1, "a", "1e2")}}},
		{"claims -> 'teams' ? status", [][]relay.Equality{{is(1, "a", "1e2")}}},
		{"claims -> 'orgs' ? status", [][]relay.Equality{{is(1, "a")}}},
		{"claims -> 'orgs' @> to_jsonb(n) or n = 5", [][]relay.Equality{{is(7, "5")}}},
		{"claims -> 'nosuch' @> to_jsonb(n)", [][]relay.Equality{nobody}},
		{"claims -> 'teams' @> to_jsonb(amount)", nil},
		{"to_jsonb(n) @> (claims -> 'teams')", nil},
	} {
		if got := bind(t, c.text, claims).Covers(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.text, got, c.want)
		}
	}
}

// TestExact: nothing but column = value is, with one value.
func TestExact(t *testing.T) {
	const claims = `{"sub": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "n": 5, "all": true}`
	for text, want := range map[string]bool{
		"status = 'a'":                                       true,
		"'a' = status":                                       true,
		"owner = (claims ->> 'sub')::uuid":                   true,
		"n = (claims ->> 'n')::int and n = n + 0":            false,
		"n = (claims ->> 'n')::int and claims ->> 'n' = '5'": true,
		"status = 'a' or claims ->> 'n' = '6'":               true,
		"n = 5 or n = 6":                                     false,
		"n in (5, 6)":                                        false,
		"n = null":                                           false,
		"n = (claims ->> 'nosuch')::int":                     false,
		"n = 1 / ((claims ->> 'n')::int - 5)":                false,
		"n <> 5":                                             false,
		"n = id":                                             false,
		"f = 5":                                              false,
		"(claims ->> 'all')::boolean":                        false,
		"(claims -> 'n') @> to_jsonb(n)":                     false,
		"not (status <> 'a')":                                false,
	} {
		b := bind(t, text, claims)
		if got := b.Exact(); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
		if c := b.Covers(); want && (len(c) != 1 || len(c[0]) != 1 || len(c[0][0].Values) != 1) {
			t.Errorf("%s: the covers are %v", text, c)
		}
	}
}

// TestHidden: a text meets of a hidden column what it meets where there is none.
func TestHidden(t *testing.T) {
	with, without := orders(), orders()
	secret := &relay.Type{OID: 20002, Name: "shop.grade", Kind: relay.KindEnum, Labels: []string{"secret"}}
	with.Columns = append(with.Columns,
		relay.Column{Name: "grade", Source: "grade", TypeName: "shop.grade", Type: secret},
		relay.Column{Name: "Salary", Source: "Salary", TypeName: "integer", Type: without.Columns[7].Type},
		relay.Column{Name: "claims", Source: "claims", TypeName: "integer", Type: without.Columns[7].Type})
	first := len(without.Columns)
	hidden := Options{Claims: true, Hidden: func(column int) bool { return column >= first }}
	for _, text := range []string{
		"grade = 'secret'", "n = 1 and grade is null", "salary = 1", `"Salary" > 1`, `"salary" > 1`, "SALARY > 1", "orders.grade = 'secret'",
		"shop.orders.grade = 'secret'", "(orders).grade = 'secret'", "orders.* is null", "orders is null", "grade(orders) = 'secret'",
		"orders.nosuch = 1", "'secret'::shop.grade = 'secret'", "'x'::shop.grade = 'secret'", "grade::text = 'x'", "array[grade] = array[grade]",
		"claims ->> 'a' = 'b'", "claims = 1", "row(grade) is null", "grade in ('secret')", "grade between 'a' and 'b'", "case grade when 'a' then true end",
	} {
		got, gotErr := Compile(text, with, hidden)
		want, wantErr := Compile(text, without, Options{Claims: true})
		if !reflect.DeepEqual(gotErr, wantErr) || (got == nil) != (want == nil) {
			t.Errorf("%s: got %+v, want %+v", text, gotErr, wantErr)
		}
		if got != nil && !reflect.DeepEqual(got.Columns(), want.Columns()) {
			t.Errorf("%s: got columns %v, want %v", text, got.Columns(), want.Columns())
		}
	}
	if _, err := Compile("grade = 'secret'", with, Options{}); err != nil {
		t.Errorf("not hidden: got %v", err)
	}
}

func BenchmarkBindReduce(b *testing.B) {
	p, err := Compile("region = 'EU' and (claims ->> 'role' = 'admin' or owner = (claims ->> 'sub')::uuid)", orders(), Options{Claims: true})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		bound, err := p.Bind(json.RawMessage(benchClaims), nil)
		if err != nil {
			b.Fatal(err)
		}
		bound.Covers()
	}
}
