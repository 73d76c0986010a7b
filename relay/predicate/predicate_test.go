package predicate

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgrelay/relay"
)

// TestRefused: what isn't evaluated says where, why and, where there is one, a way out.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		text     string
		position int
		refused  bool
		reason   string
		hint     string
	}{
		{"status < 'open'", 7, true, "linguistic collation", `collate "C"`},
		{"lower(status) = 'open'", 0, true, "locale", `collate "C"`},
		{"status ilike 'o%'", 7, true, "locale", `collate "C"`},
		{"n = 1 and status ~ 'o'", 17, true, "regular expressions", "LIKE"},
		{"status similar to 'o'", 7, true, "regular expression", "LIKE"},
		{"created > now()", 10, true, "when it is asked", "constant"},
		{"created > current_timestamp", 10, true, "when and by whom", "constant"},
		{"day = current_date", 6, true, "when and by whom", "constant"},
		{"random() < f", 0, true, "volatile", "stored"},
		{"n in (select 1)", 2, true, "subquery", "column"},
		{"exists (select 1)", 0, true, "subquery", "column"},
		{"n = (select n from orders)", 4, true, "other rows", "claims"},
		{"n = (select count(*))", 12, true, "aggregate", "one row"},
		{"n = (select 1 limit 1)", 4, true, "subquery", "column"},
		{"n in (select n from orders)", 2, true, "other rows", "claims"},
		{"exists (select 1 from jsonb_array_elements_text(claims -> 'teams') t where t = status)", 0, true, "this form", "claims -> 'teams' ? team"},
		{"n in (select unnest(array[n]))", 2, true, "this form", "= any"},
		{"n in (select jsonb_array_elements_text('[1]')::int)", 2, true, "all elements or some", "array(select"},
		{"n in (select jsonb_array_elements_text(claims -> 'teams'))", 2, false, "operator does not exist: integer = text", "cast"},
		{"status in (select jsonb_array_elements_text(((1 / 0)::text)::jsonb))", 48, false, "division by zero", ""},
		{"nosuch(n)", 0, true, "not known", "Postgres' own"},
		{"shop.f(n)", 0, true, "other schemas", "Postgres' own"},
		{"count(*) > 1", 0, true, "aggregate", "one row"},
		{"greatest(status, 'a') = 'a'", 0, true, "linguistic", `collate "C"`},
		{`status collate "de_DE" < 'a'`, 7, true, "order of collation de_DE", `collate "C"`},
		{"n = 0x1F", 4, true, "Postgres 15", "decimal"},
		{"n = 1_000", 4, true, "Postgres 15", "decimal"},
		{"(n, id) < (1, 2)", 8, true, "rows", "column by column"},
		{"(n, id) = 1", 0, true, "row", "column by column"},
		{"info['a':'b'] is null", 0, false, "slices", ""},
		{"(n, id) = (1, 2, 3)", 8, false, "unequal number", ""},
		{"created = 'tomorrow'", 10, true, "form 2006-01-02", ""},
		{"f::int::bytea is null", 0, true, "from 18 on", ""},
		{"nosuch = 1", 0, false, `column "nosuch" does not exist`, "shop.orders"},
		{"owner = (claims ->> 'sub')", 6, false, "operator does not exist: uuid = text", "::uuid"},
		{"n = 'x'", 4, false, "invalid input syntax for type integer", ""},
		{"n = 1/0", 5, false, "division by zero", ""},
		{"n", 0, false, "must be type boolean", ""},
		{"state = 'nosuch'", 8, false, "invalid input value for enum", ""},
		{"state = 'open'::status", 16, false, `type "status" does not exist`, "shop.status"},
		{"n = ", 4, false, "syntax error", ""},
		{"paid) or (paid", 4, false, "syntax error", ""},
		{"paid; select true", 0, false, "not one expression", ""},
		{"paid from orders", 0, false, "more than an expression", "WHERE"},
		{"paid x", 5, false, `syntax error at or near "x"`, ""},
		{"id = 1 and", 10, false, "syntax error at end of input", ""},
		{"id = 1 and or paid", 11, false, `syntax error at or near "or"`, ""},
		{"id = 1 limit", 12, false, "syntax error at end of input", ""},
		{"paid, paid", 0, false, "more than an expression", "WHERE"},
		{"paid union select true", 0, false, "more than an expression", "WHERE"},
		{"", 0, false, "empty", "true"},
		{" -- nothing", 0, false, "empty", "true"},
		{"amount > '500x'", 9, false, "invalid input syntax for type numeric", ""},
		{"amount > '1_000'", 9, true, "Postgres 15 and 16", "prints"},
		{"n > '0x1F'", 4, true, "Postgres 15 and 16", "prints"},
		{"n > '0x1g'", 4, false, "invalid input syntax for type integer", ""},
		{"encode('a', 'hex') = status", 0, true, "binary_encode", "literal"},
		{"format('%s', n) = 'a'", 0, true, "text_format", "||"},
		{"translate(status, 'a', 'b') = 'a'", 0, true, "translate", "replace"},
		{"ascii(status) = 1", 0, true, "ascii", "left"},
		{"to_char(created, 'YYYY') = '2024'", 0, true, "to_char", "extract"},
		{"created at time zone 'Europe/Berlin' > '2024-01-01'", 21, true, "time zones", "'UTC'"},
		{"info @? '$.a'", 8, true, "jsonpath", "@>"},
		{"info @@ '$.a == 1'", 8, true, "jsonpath", "@>"},
		{"'08:00:2b:01:02:03'::macaddr = '08:00:2b:01:02:03'", 0, true, "macaddr", "column"},
		{"b'1' = b'1'", 0, true, "bit strings", "boolean"},
		{"'1'::money = 1::money", 0, true, "money", "numeric"},
		{"n = $4", 4, false, "no parameter $4", ""},
		{"$1 is null", 0, false, "could not determine data type of parameter $1", ""},
		{"info < info", 5, true, "not supported: jsonb_lt", ""},
		{strings.Repeat("not ", 101) + "paid", 0, true, "", ""},
		{strings.Repeat(" ", 20000) + "paid", 0, true, "longer than 16384 bytes", "split"},
		{"'ä' = 'ö' and nosuch", 16, false, "does not exist", ""},
	} {
		_, err := Compile(c.text, orders(), Options{Claims: true, Params: 3})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.40q: got %v, want an *Error", c.text, err)
			continue
		}
		if e.Refused != c.refused || !strings.Contains(e.Reason, c.reason) || !strings.Contains(e.Hint, c.hint) || c.reason != "" && e.Position != c.position {
			t.Errorf("%.40q: got %+v, want %+v", c.text, *e, c)
		}
	}
}

func TestCollations(t *testing.T) {
	r := orders()
	status := r.Column("status")
	for _, c := range []struct {
		of   relay.Column
		text string
		want bool
	}{
		{relay.Column{Collation: "C"}, "status < 'open'", true},
		{relay.Column{Collation: "C"}, "lower(status) = 'open'", true},
		{relay.Column{Collation: "de_DE"}, "status < 'open'", false},
		{relay.Column{Collation: "de_DE"}, "status = 'open'", true},
		{relay.Column{Collation: "nd", Nondeterministic: true}, "status = 'open'", false},
		{relay.Column{Collation: "nd", Nondeterministic: true}, "status like 'o%'", false},
		{relay.Column{Collation: "nd", Nondeterministic: true}, `status collate "C" = 'open'`, true},
		{relay.Column{Collation: "nd", Nondeterministic: true}, "status is null", true},
		{relay.Column{Collation: "nd", Nondeterministic: true}, "status in ('a', 'b')", false},
		{relay.Column{Collation: "nd", Nondeterministic: true}, "array[status] = array[region]", false},
		{relay.Column{Collation: "de_DE"}, "status = 'a'::name", false},
	} {
		column := &r.Columns[status]
		column.Collation, column.Nondeterministic = c.of.Collation, c.of.Nondeterministic
		_, err := Compile(c.text, r, Options{})
		if (err == nil) != c.want {
			t.Errorf("%s with %+v: got %v", c.text, c.of, err)
		}
	}
}

func TestBound(t *testing.T) {
	for _, c := range []struct {
		text    string
		params  []string
		columns []int
		key     string
		covers  [][]relay.Equality
		sql     string
		args    []string
	}{
		{
			"status = 'open' and amount > 100 and region = (claims ->> 'region')", nil, []int{1, 2, 3}, "+++3:=EU",
			[][]relay.Equality{{{Column: 1, Values: []string{"open"}}}, {{Column: 3, Values: []string{"EU"}}}},
			"(status operator(pg_catalog.=) $1::text) and (amount operator(pg_catalog.>) $2::numeric) and (region operator(pg_catalog.=) $3::text)",
			[]string{"open", "100", "EU"},
		},
		{
			"owner = (claims ->> 'sub')::uuid or claims ->> 'role' = 'admin'", nil, []int{4}, "+37:=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11+1:-",
			[][]relay.Equality{{{Column: 4, Values: []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}}}}, "((owner operator(pg_catalog.=) $1::uuid) or null::boolean)", []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		},
		{
			"tags && $1 and id = any ($2) and 1 / n > 0", []string{`["a", "b c"]`, `[1, "2", null]`}, []int{0, 7, 10}, `+10:={a,"b c"}+11:={1,2,NULL}+`,
			[][]relay.Equality{{{Column: 0, Values: []string{"1", "2"}}}},
			"(labels operator(pg_catalog.&&) $1::text[]) and (id operator(pg_catalog.=) any ($2::bigint[]))", []string{`{a,"b c"}`, "{1,2,NULL}"},
		},
		{"paid and not (f > 1)", nil, []int{9, 13}, "++", [][]relay.Equality{{{Column: 9, Values: []string{"t"}}}}, "paid and (not (f operator(pg_catalog.>) $1::double precision))", []string{"1"}},
		{"status in ('a', claims ->> 'region') and n = null", nil, []int{1, 7}, "", nil, "", nil},
		{
			"claims -> 'region' @> to_jsonb(status) and to_jsonb(n) <@ $1 and $1 @> to_jsonb(day + n)", []string{`[1, "a"]`}, []int{1, 7, 12}, `+5:="EU"+9:=[1, "a"]+9:=[1, "a"]`,
			[][]relay.Equality{{{Column: 1, Values: []string{"EU"}}}, {{Column: 7, Values: []string{"1"}}}},
			"($1::jsonb operator(pg_catalog.@>) pg_catalog.to_jsonb(status)) and (pg_catalog.to_jsonb(n) operator(pg_catalog.<@) $2::jsonb)", []string{`"EU"`, `[1, "a"]`},
		},
		{`status collate "C" >= 'b'`, nil, []int{1}, "", nil, `(status collate "C" operator(pg_catalog.>=) $1::text)`, []string{"b"}},
	} {
		b := bind(t, c.text, benchClaims, c.params...)
		if got := b.predicate.Columns(); !slices.Equal(got, c.columns) {
			t.Errorf("%s: columns: got %v, want %v", c.text, got, c.columns)
		}
		if c.text == "status in ('a', claims ->> 'region') and n = null" {
			// A conjunct that is never true.
			if sql, _ := b.SafeSQL(1); !strings.Contains(sql, "null::boolean") {
				t.Errorf("%s: got %s", c.text, sql)
			}
			continue
		}
		if b.Key() != c.key {
			t.Errorf("%s: key: got %q, want %q", c.text, b.Key(), c.key)
		}
		if got := b.Covers(); !reflect.DeepEqual(got, c.covers) {
			t.Errorf("%s: covers: got %v, want %v", c.text, got, c.covers)
		}
		sql, args := b.SafeSQL(1)
		if sql != c.sql || !slices.Equal(args, c.args) {
			t.Errorf("%s:\ngot  %s %q\nwant %s %q", c.text, sql, args, c.sql, c.args)
		}
	}
}

func TestParamErrors(t *testing.T) {
	p, err := Compile("id = $1 and tags @> $2 and info @> $3", orders(), Options{Params: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ one, two, three, want string }{
		{`7`, `["a"]`, `{"a": 1}`, ""},
		{`"7"`, `"{a}"`, `"text"`, ""},
		{`null`, `null`, `null`, ""},
		{`"x"`, `[]`, `1`, "parameter $1: invalid input syntax for type bigint"},
		{`7.5`, `[]`, `1`, "parameter $1: invalid input syntax for type bigint"},
		{`[7]`, `[]`, `1`, "parameter $1: an array or object, where one value is meant"},
		{`7`, `{"a": 1}`, `1`, "parameter $2: an array or object, where one value is meant"},
		{`7`, `[[1], 2]`, `1`, "parameter $2: malformed array literal"},
		{`7`, `[]`, `"\u0000"`, "parameter $3: unsupported Unicode escape sequence"},
	} {
		_, err := p.Bind(nil, []json.RawMessage{json.RawMessage(c.one), json.RawMessage(c.two), json.RawMessage(c.three)})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	if _, err := p.Bind(nil, nil); err == nil {
		t.Error("no parameters: got no error")
	}
}

// TestUnchanged: a value that the tuple leaves out is never guessed, but it isn't null.
func TestUnchanged(t *testing.T) {
	row := order1()
	row[8] = relay.Value{Kind: relay.ValueUnchanged}
	for text, want := range map[string]Truth{
		"info ->> 'a' = '1'": Failed, "info is null": False, "info is not null": True, "n = 7 or info ->> 'a' = '1'": True, "n = 8 and info ->> 'a' = '1'": False,
	} {
		got, fault := bind(t, text, "{}").Eval(row)
		if got != want || want == Failed && fault != ErrUnchanged {
			t.Errorf("%s: got %v %v, want %v", text, got, fault, want)
		}
	}
	if got, fault := bind(t, "n = 7", "{}").Eval(row[:2]); got != Failed || fault != ErrRow {
		t.Errorf("a short row: got %v %v", got, fault)
	}
}

// TestConcurrent compiles, binds and evaluates from several goroutines; the race detector looks on.
func TestConcurrent(t *testing.T) {
	r := orders()
	p, err := Compile("status = 'open' and region = any (tags || (claims ->> 'region')) and state in ('open', 'draft')", r, Options{Claims: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				b, err := p.Bind(json.RawMessage(benchClaims), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got, fault := b.Eval(order1()); got != True {
					t.Errorf("got %v %v", got, fault)
				}
				b.Covers()
				b.Constant()
				b.SafeSQL(1)
				if _, err := Compile("state = any ('{open}'::shop.status[])", r, Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestOtherTypes: columns of an extension's type, of a multirange and of the token's name.
func TestOtherTypes(t *testing.T) {
	r := orders()
	r.Columns = append(r.Columns,
		relay.Column{Name: "email", Source: "mail", TypeName: "public.citext", Type: &relay.Type{OID: 20005, Name: "public.citext", Kind: relay.KindBase, Extension: true}},
		relay.Column{Name: "spans", Source: "spans", TypeName: "int4multirange", Type: &relay.Type{OID: 4451, Name: "int4multirange", Kind: relay.KindMultirange}})
	row := append(order1(), textRow("Ann@x.org", "{[1,3)}")...)
	claimed := *r
	claimed.Columns = append(claimed.Columns[:len(claimed.Columns):len(claimed.Columns)], relay.Column{Name: "claims", Source: "claims", TypeName: "jsonb", Type: r.Columns[8].Type})
	for _, c := range []struct {
		of         *relay.Relation
		text       string
		want       Truth
		sql        string
		refused    string
		wayOut     string
		withClaims bool
	}{
		{r, "email::text = 'Ann@x.org'", True, "(mail::pg_catalog.text operator(pg_catalog.=) $1::text)", "", "", true},
		{r, "email::text = 'ann@x.org'", False, "(mail::pg_catalog.text operator(pg_catalog.=) $1::text)", "", "", true},
		{r, `lower(email::varchar collate "C") = 'ann@x.org' and email is not null`, True, "(mail::pg_catalog.text is not null)", "", "", true},
		{r, "email = 'ann@x.org'", Failed, "", "citext", "email::text", true},
		{r, "spans @> 5", Failed, "", "multiranges", "range", true},
		{&claimed, "claims ->> 'sub' = 'x'", Failed, "", "has a column claims", "column_name", true},
		{&claimed, "claims ->> 'a' = 'x'", Null, "((claims operator(pg_catalog.->>) $1::text) operator(pg_catalog.=) $2::text)", "", "", false},
		{&claimed, "n = 7", True, "(n operator(pg_catalog.=) $1::integer)", "", "", true},
	} {
		p, err := Compile(c.text, c.of, Options{Claims: c.withClaims})
		var e *Error
		if errors.As(err, &e) || c.refused != "" {
			if e == nil || c.refused == "" || !e.Refused || !strings.Contains(e.Reason, c.refused) || !strings.Contains(e.Hint, c.wayOut) {
				t.Errorf("%s: got %+v", c.text, e)
			}
			continue
		}
		b, err := p.Bind(json.RawMessage("{}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, fault := b.Eval(append(row, relay.Value{Kind: relay.ValueNull}))
		if sql, _ := b.SafeSQL(1); got != c.want || sql != c.sql {
			t.Errorf("%s: got %v %v and %s, want %v and %s", c.text, got, fault, sql, c.want, c.sql)
		}
	}
}
