package predicate

import (
	"encoding/json"
	"testing"

	"pgrelay/relay"
)

// orders is a relation as people have them.
func orders() *relay.Relation {
	scalar := func(name, typeName string, oid uint32) relay.Column {
		return relay.Column{Name: name, Source: name, TypeName: typeName, Type: &relay.Type{OID: oid, Name: typeName, Kind: relay.KindBase, Delimiter: ','}}
	}
	status := &relay.Type{OID: 20001, Name: "shop.status", Kind: relay.KindEnum, Labels: []string{"draft", "open", "shipped"}}
	return &relay.Relation{Name: "shop.orders", Schema: "shop", Table: "orders", Columns: []relay.Column{
		scalar("id", "bigint", oidInt8), scalar("status", "text", oidText), scalar("amount", "numeric", oidNumeric), scalar("region", "text", oidText),
		scalar("owner", "uuid", oidUUID), scalar("created", "timestamp with time zone", oidTimestamptz),
		{Name: "state", Source: "state", TypeName: "shop.status", Type: status}, scalar("n", "integer", oidInt4),
		scalar("info", "jsonb", oidJSONB), scalar("paid", "boolean", oidBool),
		{Name: "tags", Source: "labels", TypeName: "text[]", Type: &relay.Type{OID: oidTextArray, Name: "text[]", Kind: relay.KindBase, Delimiter: ',',
			Element: &relay.Type{OID: oidText, Name: "text", Kind: relay.KindBase}}},
		scalar("code", "character", oidBpchar), scalar("day", "date", oidDate), scalar("f", "double precision", oidFloat8),
	}}
}

func textRow(texts ...string) []relay.Value {
	var row []relay.Value
	for _, text := range texts {
		row = append(row, relay.Value{Kind: relay.ValueText, Text: []byte(text)})
	}
	return row
}

func order1() []relay.Value {
	return textRow("17", "open", "123.45", "EU", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "2024-02-29 12:34:56.789+00", "open", "7", `{"a": 1}`, "t",
		"{red,blue}", "ab   ", "2024-02-29", "1.5")
}

const benchClaims = `{"region": "EU", "sub": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}`

func bind(t testing.TB, text string, claims string, params ...string) *Bound {
	t.Helper()
	p, err := Compile(text, orders(), Options{Claims: true, Params: len(params)})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var raw []json.RawMessage
	for _, param := range params {
		raw = append(raw, json.RawMessage(param))
	}
	b, err := p.Bind(json.RawMessage(claims), raw)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func BenchmarkEval(b *testing.B) {
	for _, text := range []string{
		"status = 'open' and amount > 100 and region = (claims ->> 'region')",
		"owner = (claims ->> 'sub')::uuid",
		"id > 10 and n <= 7 and paid",
		"created >= '2024-01-01' and state <> 'draft'",
		"status in ('draft', 'open', 'closed')",
		"status like 'op%'",
		"info ->> 'a' = '1'",
		"region = any (tags)",
	} {
		b.Run(text, func(b *testing.B) {
			bound := bind(b, text, benchClaims)
			row := order1()
			b.ReportAllocs()
			for b.Loop() {
				if t, fault := bound.Eval(row); fault != nil || t == Null {
					b.Fatal(t, fault)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	r := orders()
	for b.Loop() {
		if _, err := Compile("status = 'open' and amount > 100 and region = (claims ->> 'region')", r, Options{Claims: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBind(b *testing.B) {
	p, err := Compile("status = 'open' and amount > 100 and region = (claims ->> 'region')", orders(), Options{Claims: true})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Bind(json.RawMessage(benchClaims), nil); err != nil {
			b.Fatal(err)
		}
	}
}
