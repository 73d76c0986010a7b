package predicate

import "strings"

// The ways out of what is refused for a type or a function. Each refusal has one.
const (
	hintColumn  = "keep what is to be compared in a column of another type"
	hintCompute = "keep the result in a column of the table, by a trigger or a stored generated column, and compare that"
	hintForm    = "write it in the form that Postgres prints"
	hintDigits  = "write a number of fewer digits"
	hintPath    = "use @>, ?, -> and ->>"
	hintLength  = "compare lengths, or the text itself"
)

// ways are the ways out for functions and operators, by the beginning of their names in Postgres' sources.
var ways = []struct{ name, hint string }{
	{"binary_encode", `compare the bytea itself: with a literal '\x…', or with a column`}, {"binary_decode", `write the bytea as a literal: '\x…'`},
	{"sha", hintCompute}, {"md5_bytea", hintCompute}, {"text_format", "join the parts by ||"}, {"translate", "use replace()"},
	{"ascii", "compare the character itself: left(…, 1)"}, {"chr", "write the character itself"},
	{"timestamp_to_char", "use extract() or date_trunc(), or compare with a literal"}, {"timestamptz_to_char", "use extract() or date_trunc(), or compare with a literal"},
	{"interval_to_char", "use extract(), or compare with a literal"}, {"int4_to_char", "compare the number itself"}, {"int8_to_char", "compare the number itself"},
	{"numeric_to_char", "compare the number itself"}, {"float4_to_char", "compare the number itself"}, {"float8_to_char", "compare the number itself"},
	{"to_date", "write (…)::date, of a text in ISO form"}, {"to_timestamp", "write (…)::timestamptz, of a text in ISO form"}, {"numeric_to_number", "write (…)::numeric"},
	{"timestamp_izone", "add or subtract the interval"}, {"timestamptz_izone", "write at time zone 'UTC' and add or subtract the interval"},
	{"timetz", "keep a time without time zone, or a timestamptz"}, {"jsonb_path", hintPath}, {"jsonb_lt", "compare a part of it: (… ->> 'a')::numeric"},
	{"jsonb_le", "compare a part of it: (… ->> 'a')::numeric"}, {"jsonb_gt", "compare a part of it: (… ->> 'a')::numeric"}, {"jsonb_ge", "compare a part of it: (… ->> 'a')::numeric"},
	{"json_build", "use jsonb_build_array() or jsonb_build_object()"}, {"to_json", "use to_jsonb()"}, {"row_to_json", "use jsonb_build_object()"},
	{"ts_", "keep the words in a column of type text[] and compare by @>"}, {"to_ts", "keep the words in a column of type text[] and compare by @>"},
}

// wayOf is the way out where a function isn't supported.
func wayOf(name string) string {
	for _, w := range ways {
		if strings.HasPrefix(name, w.name) {
			return w.hint
		}
	}
	return hintCompute
}

// wayOfType is the way out where a type's literals aren't read.
func (t *types) wayOfType(oid uint32) string {
	switch t.get(t.baseOf(oid)).name {
	case "jsonpath":
		return hintPath
	case "tsvector", "tsquery":
		return "keep the words in a column of type text[] and compare by @>"
	case "timetz":
		return "keep a time without time zone, or a timestamptz"
	case "money":
		return "keep amounts in a column of type numeric"
	case "bit", "varbit":
		return "keep the bits in a column of type boolean each, or of type integer with the operator &"
	case "xml":
		return "keep what is to be compared in a column of its own, or in a jsonb"
	}
	return hintColumn
}

// wordWays are the ways out where a function doesn't take a word.
var wordWays = map[string]string{
	"timestamp_trunc": "write one of microseconds, milliseconds, second, minute, hour, day, week, month, quarter, year", "timestamptz_trunc": "write one of microseconds, milliseconds, second, minute, hour, day, week, month, quarter, year",
	"timestamptz_zone": "write 'UTC', or keep the local time in a column", "timestamp_zone": "write 'UTC', or keep the moment in a column of type timestamptz",
}

func wayOfWord(name string) string {
	if hint := wordWays[name]; hint != "" {
		return hint
	}
	return "write one of year, quarter, month, week, day, dow, doy, hour, minute, second, epoch"
}
