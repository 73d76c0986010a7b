package doctor

import (
	"testing"

	"pgrelay/relay"
)

// TestUnindexed: what finds those whom a change concerns by value, and what doesn't.
func TestUnindexed(t *testing.T) {
	text := &relay.Type{OID: 25, Name: "text", Kind: relay.KindBase, Delimiter: ','}
	column := func(name string, typ *relay.Type) relay.Column {
		return relay.Column{Name: name, Source: name, TypeName: typ.Name, Type: typ}
	}
	base := func(oid uint32, name string) *relay.Type {
		return &relay.Type{OID: oid, Name: name, Kind: relay.KindBase, Delimiter: ','}
	}
	relation := &relay.Relation{Name: "a.b", InsertOnly: true, Columns: []relay.Column{
		column("id", base(20, "bigint")), column("owner", base(2950, "uuid")), column("level", base(23, "integer")), column("status", text),
		column("public", base(16, "boolean")), column("tags", &relay.Type{OID: 1009, Name: "text[]", Kind: relay.KindBase, Delimiter: ',', Element: text}),
	}}
	for predicate, want := range map[string]bool{
		"true":                             false,
		"level > 3":                        false, // the same for everybody: one question
		"status = 'open'":                  false,
		"owner = (claims ->> 'sub')::uuid": false,
		"owner = (claims ->> 'sub')::uuid and level < (claims ->> 'level')::int":                 false,
		"level < (claims ->> 'level')::int":                                                      true,
		"public or owner = (claims ->> 'sub')::uuid":                                             false,
		"status <> 'draft' or owner = (claims ->> 'sub')::uuid":                                  true,
		"status <> (claims ->> 'it''s')":                                                         true,
		"claims ->> 'role' = 'boss' or owner = (claims ->> 'sub')::uuid":                         false,
		"tags @> array[claims ->> 'tag']":                                                        true,
		"status like (claims ->> 'prefix') || '%'":                                               true,
		"level between (claims ->> 'low')::int and (claims ->> 'high')::int":                     true,
		"level between (claims ->> 'low')::int and (claims ->> 'high')::int and status = 'open'": false,
		"nonsense": false, // said elsewhere
	} {
		if got := unindexed(&relay.Rule{Predicate: predicate}, relation); got != want {
			t.Errorf("%s: got %t, want %t", predicate, got, want)
		}
	}
}
