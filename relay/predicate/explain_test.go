package predicate

import (
	"reflect"
	"testing"

	"pgrelay/relay"
)

func TestExplain(t *testing.T) {
	const claims = `{"role": "user", "sub": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "n": "x"}`
	reads := func(values ...Operand) []Operand { return values }
	division := &Fault{"22012", "division by zero"}
	for _, c := range []struct {
		text   string
		params []string
		want   []Conjunct
	}{
		{"paid", nil, []Conjunct{{"paid", 0, True, nil, reads(Operand{Text: "paid", Value: "t"}), true}}},
		{
			"  status = 'closed' AND /* whose? */ (owner = (claims ->> 'sub')::uuid\n and n between 1 and 8)", nil, []Conjunct{
				{"status = 'closed'", 2, False, nil, reads(Operand{Text: "status", Value: "open"}), true},
				{"owner = (claims ->> 'sub')::uuid", 38, True, nil, reads(
					Operand{Text: "owner", Value: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
					Operand{Text: "(claims ->> 'sub')::uuid", Value: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}), true},
				{"n between 1 and 8", 76, True, nil, reads(Operand{Text: "n", Value: "7"}), true},
			},
		},
		{
			"((1 / (n - 7) = 1) and (paid or n = 3)) and claims ->> 'role' = 'admin'", nil, []Conjunct{
				{"(1 / (n - 7) = 1)", 1, Failed, division, reads(Operand{Text: "n", Value: "7"}), false},
				{"(paid or n = 3)", 23, True, nil, reads(Operand{Text: "paid", Value: "t"}, Operand{Text: "n", Value: "7"}), true},
				{"claims ->> 'role' = 'admin'", 44, False, nil, reads(Operand{Text: "claims ->> 'role'", Value: "user"}), true},
			},
		},
		{
			"case when paid and n > 1 then true end and info is null and region in ($1, claims ->> 'nosuch')", []string{`"EU"`}, []Conjunct{
				{"case when paid and n > 1 then true end", 0, True, nil, reads(Operand{Text: "paid", Value: "t"}, Operand{Text: "n", Value: "7"}), false},
				{"info is null", 43, False, nil, nil, true},
				{"region in ($1, claims ->> 'nosuch')", 60, True, nil, reads(Operand{Text: "region", Value: "EU"}, Operand{Text: "$1", Value: "EU"},
					Operand{Text: "claims ->> 'nosuch'", Null: true}), true},
			},
		},
		{"n = (claims ->> 'n')::int", nil, []Conjunct{{"n = (claims ->> 'n')::int", 0, Failed, syntax("integer"),
			reads(Operand{Text: "n", Value: "7"}, Operand{Text: "claims ->> 'n'", Value: "x"}), false}}},
		{"'ä' = status and day > '2024-01-01'", nil, []Conjunct{
			{"'ä' = status", 0, False, nil, reads(Operand{Text: "status", Value: "open"}), true},
			{"day > '2024-01-01'", 18, True, nil, reads(Operand{Text: "day", Value: "2024-02-29"}), true},
		}},
		{"false and jsonb_build_object(claims ->> 'n') = info and claims ->> 'role' = 'user'", nil, []Conjunct{
			{"false", 0, False, nil, nil, true},
			{"jsonb_build_object(claims ->> 'n') = info", 10, Failed, ErrRow, nil, false},
			{"claims ->> 'role' = 'user'", 56, True, nil, reads(Operand{Text: "claims ->> 'role'", Value: "user"}), false},
		}},
		{"n > 1 and (claims ->> 'n')::int = 1 and paid", nil, []Conjunct{
			{"n > 1", 0, True, nil, reads(Operand{Text: "n", Value: "7"}), true},
			{"(claims ->> 'n')::int = 1", 10, Failed, syntax("integer"), reads(Operand{Text: "claims ->> 'n'", Value: "x"}), false},
			{"paid", 40, True, nil, reads(Operand{Text: "paid", Value: "t"}), false},
		}},
		{"not (paid and n = 7) -- and so on", nil, []Conjunct{
			{"not (paid and n = 7)", 0, False, nil, reads(Operand{Text: "paid", Value: "t"}, Operand{Text: "n", Value: "7"}), true},
		}},
	} {
		row := order1()
		row[8] = relay.Value{Kind: relay.ValueUnchanged}
		got := bind(t, c.text, claims, c.params...).Explain(row)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.text, got, c.want)
		}
	}
}
