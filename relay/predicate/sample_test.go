package predicate

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// sample is a type with values in SQL text form, of which some are at the edges.
type sample struct {
	of     string // as SQL writes it
	column string
	values []string
}

var samples = []sample{
	{"bool", "b", []string{"t", "f"}},
	{"int2", "i2", []string{"0", "1", "-1", "7", "100", "32767", "-32768"}},
	{"int4", "i4", []string{"0", "1", "-1", "2", "7", "100", "2147483647", "-2147483648", "46341"}},
	{"int8", "i8", []string{"0", "1", "-1", "7", "100", "2147483648", "9223372036854775807", "-9223372036854775808", "3037000500"}},
	{"numeric", "n", []string{
		"0", "1", "-1", "1.50", "1.5", "0.001", "100", "-2.5", "2.5", "0.5", "123456789012345678901234567890.123", "NaN", "Infinity", "-Infinity",
		"1e-20", "99999999999999999999", "7", "0.00", "9223372036854775807.5", "32767.4999", "3",
	}},
	{"float4", "f4", []string{"0", "1", "-1.5", "NaN", "Infinity", "-Infinity", "3.4e38", "1e-45", "0.1", "100", "-0"}},
	{"float8", "f8", []string{"0", "1", "-1.5", "NaN", "Infinity", "-Infinity", "1.7e308", "5e-324", "0.1", "1e15", "2.5", "-0", "1e-5", "100"}},
	{"text", "t", []string{"", "a", "abc", "ABC", "a%b", `a\b`, "äöü", "1", "100", "open", " x ", "null", "a_c", "日本語", "t", "2024-02-29", "k", "b", "0x1F", "1_000", "500x", "1 2"}},
	{"varchar(10)", "v", []string{"", "a", "abc", "open", "ab  ", "1", "äöü"}},
	{"char(5)", "c", []string{"", "a", "abc", "ab", "open", "1", "ä"}},
	{"uuid", "u", []string{"00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
	{"date", "d", []string{"2000-01-01", "2024-02-29", "1999-12-31", "infinity", "-infinity", "0044-03-15 BC", "5874897-12-31", "2024-03-01", "1970-01-01"}},
	{"time", "ti", []string{"00:00:00", "23:59:59.999999", "12:30:00", "24:00:00", "04:05:06.7"}},
	{"timestamp", "ts", []string{"2000-01-01 00:00:00", "2024-02-29 12:34:56.789", "infinity", "-infinity", "1999-12-31 23:59:59.999999", "0044-03-15 00:00:00 BC", "2024-03-01 00:00:00"}},
	{"timestamptz", "tz", []string{"2000-01-01 00:00:00+00", "2024-02-29 12:34:56.789+02", "infinity", "-infinity", "2024-03-01 00:00:00Z", "1969-12-31 23:59:59.5+00"}},
	{"interval", "iv", []string{"00:00:00", "1 day", "24:00:00", "1 mon", "30 days", "-1 days +02:03:04.5", "1 year 2 mons", "-00:00:01", "-3 mons", "1 mon -1 days"}},
	{"bytea", "by", []string{`\x`, `\x00`, `\xdeadbeef`, `\xff`, `\x6162`}},
	{"shop.status", "e", []string{"open", "shipped", "closed", "Very late"}},
	{"json", "js", []string{`{"a": 1, "b":"x"}`, `[1, 2,3]`, `null`, `"s"`, `{"a":{"b": [1,{"c":null}]}}`, `{"a":1,"a":2}`}},
	{"jsonb", "jb", []string{
		`{"a": 1, "b": "x"}`, `[1, 2, 3]`, `null`, `"s"`, `{}`, `[]`, `{"a": {"b": [1, {"c": null}]}}`, `1.50`, `true`, `["a", "b"]`, `{"a": 1.0, "k": null}`,
		`{"a": "1"}`, `[null]`, `[[1]]`, `"a"`, `1`,
	}},
	{"int4[]", "ia", []string{"{}", "{1}", "{1,2,3}", "{NULL}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={7,8}"}},
	{"text[]", "ta", []string{"{}", "{a}", "{a,b}", `{"a b",NULL}`, `{"null","NULL",""}`, "{k,open}"}},
	{"uuid[]", "ua", []string{"{}", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "{NULL,00000000-0000-0000-0000-000000000000}"}},
	{"shop.status[]", "ea", []string{"{}", "{open,closed}", `{"Very late",NULL}`}},
	{"inet", "ip", []string{"10.0.0.1", "10.0.0.0/8", "192.168.1.5/24", "::1", "2001:db8::/32", "0.0.0.0/0", "10.1.2.3/16"}},
	{"cidr", "ci", []string{"10.0.0.0/8", "192.168.1.0/24", "::/0", "2001:db8::/32", "10.0.0.1/32"}},
	{"int4range", "ir", []string{"empty", "[1,10)", "[1,1]", "(,)", "(,5]", "[3,)", "[-5,7)"}},
	{"numrange", "nr", []string{"empty", "[1.0,10.5)", "(1,2]", "(,)", "[1,1]", "(2,3)"}},
	{"daterange", "dr", []string{"empty", "[2000-01-01,2024-03-01)", "(,infinity]", "[2024-02-29,2024-02-29]", "(,)"}},
	{"tstzrange", "tr", []string{"empty", `["2000-01-01 00:00:00+00","2024-03-01 00:00:00+00")`, "(,)"}},
	{"numeric[]", "nar", []string{"{}", "{1,1.0,NaN}", "{NULL,2.50}", "{-1}"}},
	{"timestamptz[]", "tza", []string{"{}", `{"2024-03-01 00:00:00Z",infinity}`, "{NULL}"}},
	{"jsonb[]", "jba", []string{"{}", `{"{\"a\": 1}",NULL}`, `{1,1.0}`}},
	{"int8range", "lr", []string{"empty", "[1,9223372036854775807)", "(,7]", "[100,)"}},
	{"tsrange", "sr", []string{"empty", `["2000-01-01 00:00:00","2024-02-29 12:34:56.789"]`, `(,"1999-12-31 23:59:59.999999")`}},
	{"shop.positive", "po", []string{"1", "7", "2147483647"}},
	{"name", "na", []string{"", "a", "open", "abc", "shop"}},
	{"oid", "o", []string{"0", "1", "7", "4294967295"}},
	{"shop.label", "dt", []string{"a", "open", "abc", "1"}},
	{`text collate "C"`, "tc", []string{"", "a", "b", "A", "ab", "äöü", "日本語", "\u00ad", "á", "ą", "č", "ア", "ｱ", "亜", "Ж", "ё", "€"}},
	{"text collate shop.loose", "tl", []string{"", "a", "A", "b"}},
}

var claims = []string{
	`{}`, `{"sub": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "n": 7, "s": "open", "list": ["a", "open"], "deep": {"x": [1, "2"]}, "yes": true}`,
	`{"sub": "nobody", "n": "100", "s": null, "list": [1, 2], "at": "2024-02-29", "yes": "no"}`,
	`{"n": 1.5, "s": "abc", "sub": "00000000-0000-0000-0000-000000000000", "at": "2024-02-29T12:34:56.789Z"}`,
}

func quote(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// templates make an expression of a type; {t} is an expression of type t, {?} one of the type that the template is for,
// {'t} an untyped literal that t reads, {op} a comparison.
var templates = map[string][]string{
	"bool": {
		"({text} {eq} (select {text}))", "(u = (select (claims ->> 'sub')::uuid))", "((select (claims ->> 'n')::int) = {num})", "(select {bool})", "({any}::text = (select {any})::text)", "({text} {eq} (select {'text}))", `({text} < (select t collate "C"))`, "((select {jsonb} -> {'key}) is null)",
		"(({num}, {text}) {eq} ({num}, {'text}))", "(({int4}, {text}, {bool}) {eq} ({num}, {text}, {bool}))", "((i4, t) in ((1, 'a'), ({int4}, {text}), ((claims ->> 'n')::int, claims ->> 's')))", "(({int4}, {date}) not in (({num}, {'date}), (null, {'date})))", "(row({any}) {eq} row({any}))", "(({any}, {any}) {eq} ({any}, {any}))",
		"({text} in (select jsonb_array_elements_text({jsonb})))", "({text} not in (select jsonb_array_elements_text(claims -> 'list')))", "(t in (select jsonb_array_elements_text(claims -> 'list')))", "({text} = any (array(select jsonb_array_elements_text({jsonb}))))", "(t = any (array(select jsonb_array_elements_text(claims -> 'list'))))", "({text} <> all (select value from jsonb_array_elements_text({jsonb})))", "({int4} in (select jsonb_array_elements_text({jsonb})::int))", "(i4 in (select x.value::int from jsonb_array_elements_text(claims -> 'list') x))", "({int4} >= all (select x::int4 from jsonb_array_elements_text({jsonb}) f(x)))", "({int4} = any (array(select jsonb_array_elements_text({jsonb})::int)))", "({jsonb} in (select jsonb_array_elements({jsonb})))", "({jsonb} = any (array(select * from jsonb_array_elements({jsonb}))))", "({num} < any (select jsonb_array_elements_text({jsonb})::numeric))", "({char(5)} in (select jsonb_array_elements_text({jsonb})::char(5)))", "({num}::text in (select jsonb_array_elements_text(jsonb_build_array({any}, {any}))))", "({text} like any (select jsonb_array_elements_text({jsonb})))",
		"(claims -> 'list' @> to_jsonb({text}))", "(claims -> 'list' @> to_jsonb(t))", "(claims -> 'list' @> to_jsonb(i4))", "({'jsonb}::jsonb @> to_jsonb(i8))", "(claims -> 'list' ? t)", "(claims ? v)", "({'jsonb}::jsonb ? t)", "(claims -> 's' @> to_jsonb(e))", "(to_jsonb(u) <@ (claims -> 'sub'))",
		"({jsonb} @> jsonb_build_array(claims ->> {'key}))", "({jsonb} @> jsonb_build_array({any}, {any}))", "(claims @> jsonb_build_object({'key}, {any}))", "({jsonb} @> jsonb_build_object({'key}, {any}, {'key}, {any}))",
		"({numeric[]} {op} {numeric[]})", "({numeric} = any ({numeric[]}))", "({timestamptz[]} && {timestamptz[]})", "({jsonb} = any ({jsonb[]}))", "({jsonb[]} = {jsonb[]})", "({timestamptz} <> all ({timestamptz[]}))",
		"({int8range} @> {int8})", "({int8range} && {int8range})", "({tsrange} @> {timestamp})", "({tsrange} << {tsrange})", "({shop.positive} {op} {num})", "({shop.positive} in ({int4}, {int4}))", "({shop.positive} = any ({int4[]}))", "({shop.positive} is distinct from {shop.positive})",
		"num_nulls({text}, {num}, null) > 1", "({text[]} {eq} string_to_array({text}, {text}))", "coalesce({shop.positive}, {int4}) > 3", "({jsonb} - {text[]} = {jsonb})",
		"({bool} and {bool})", "({bool} or {bool})", "(not {bool})", "({bool} and {bool} and {bool})", "({bool} is true)", "({bool} is not true)",
		"({bool} is false)", "({bool} is not false)", "({bool} is unknown)", "({bool} is not unknown)", "({bool} {op} {bool})",
		"case when {bool} then {bool} when {bool} then {bool} else {bool} end", "coalesce({bool}, {bool})", "nullif({bool}, {bool})",
		"({num} {op} {num})", "({num} {op} {num})", "({time} {op} {time})", "({num} is distinct from {num})", "({num} in ({num}, {num}, {num}))", "({num} between {num} and {num})",
		"({text} {eq} {text})", `({text} collate "C" {op} {text})`, "({text} like {text})", "({text} not like {'pattern})", "({text} like {'pattern})",
		`({text} collate "C" ilike {'pattern})`, "({text} like {text} escape 'a')", "({text} in ({'text}, {'text}, {text}))", "({text} ^@ {text})",
		"({text} = any ({text[]}))", "({text} <> all ({text[]}))", "({int4} = any ({int4[]}))", "({int8} < any ({int4[]}))", "({uuid} = any ({uuid[]}))",
		"({int4} >= all ({int4[]}))", "({shop.status} = any ({'shop.status[]}))", "({shop.status} = any ({shop.status[]}))", "({shop.status} {op} {'shop.status})",
		"({shop.status} in ({'shop.status}, {'shop.status}))", "({uuid} = {'uuid})", "({uuid} in ({'uuid}, {'uuid}))", "({date} {op} {'date})", "({timestamptz} {op} {'timestamptz})",
		"({jsonb} @> {jsonb})", "({jsonb} <@ {'jsonb})", "({jsonb} ? {text})", "({jsonb} ?| {text[]})", "({jsonb} ?& {text[]})", "({jsonb} = {jsonb})", "({jsonb} <> {'jsonb})",
		"({int4[]} @> {int4[]})", "({int4[]} <@ {int4[]})", "({int4[]} && {int4[]})", "({text[]} && {text[]})", "({text[]} @> {text[]})", "({int4[]} {op} {int4[]})", "({text[]} = {text[]})",
		"({shop.status[]} && {shop.status[]})", "({int4range} @> {int4})", "({int4range} @> {int4range})", "({int4range} && {int4range})", "({int4range} << {int4range})",
		"({int4range} -|- {int4range})", "({numrange} @> {numeric})", "({numrange} && {numrange})", "({numrange} &< {numrange})", "({daterange} @> {date})", "({daterange} && {daterange})",
		"({tstzrange} @> {timestamptz})", "({int4} <@ {int4range})", "({int4range} {op} {int4range})", "({numrange} >> {numrange})", "isempty({int4range})", "lower_inc({numrange})", "upper_inf({daterange})",
		"({inet} << {inet})", "({inet} <<= {inet})", "({inet} >>= {inet})", "({inet} >> {cidr})", "({inet} && {inet})", "({inet} {op} {inet})",
		"({jsonb} ->> {'key})::bool", "({shop.label} {eq} {text})", "({text}::bool)", "({int4}::bool)", "starts_with({text}, {text})",
		"(claims ->> 'yes')::bool", "(claims @> {'jsonb})", "(claims ? {'key})", "({uuid} = (claims ->> 'sub')::uuid)", "({text} = (claims ->> 's'))", "({int4} = (claims ->> 'n')::int)",
		`({text collate "C"} {op} {text})`, `({text collate "C"} {op} {text collate "C"})`, `({text collate "C"} like {text})`, `({text collate "C"} {op} {text collate "C"})`, "octet_length({text collate \"C\"}) > 2", `({text collate "C"} between 'á' and 'ž')`, `(md5({text collate "C"}) = md5({text}))`, "({text} {op} {text collate shop.loose})",
		`(greatest({text collate "C"}, {text}) {op} 'b')`, `({text collate "C"} < any ({text[]}))`, `(upper({text collate "C"}) = {text})`, `(array[{text collate "C"}] {op} array[{text}])`,
		"({num} between symmetric {num} and {num})", "({num} not between {num} and {num})", "({num} not in ({num}, null, {num}))", "({bytea} {op} {bytea})", "({time} {op} {time})", "({interval} {op} {interval})",
		"({uuid} {op} {uuid})", "(case {int4} when {int4} then {bool} when {num} then {bool} end)", "({char(5)} {eq} {char(5)})", "({char(5)} {eq} {text})", "({varchar(10)} {eq} {'text})",
	},
	"int2":        {"({int2} + {int2})", "({int4}::int2)", "(- {int2})", "abs({int2})", "({int2} % {int2})", "({numeric}::int2)"},
	"int4":        {"({int4} + {int4})", "({int4} - {int2})", "({int4} * {int4})", "({int4} / {int4})", "({int4} % {int4})", "(- {int4})", "abs({int4})", "length({text})", "cardinality({int4[]})", "({int8}::int4)", "({numeric}::int)", "({float8}::int4)", "({text}::int4)", "jsonb_array_length({jsonb})", "({int4[]})[{int4}]", "array_length({int4[]}, 1)", "({date} - {date})", "coalesce({int4}, {int4})", "nullif({int4}, {int4})", "case when {bool} then {int4} else {int4} end", "greatest({int4}, {int4}, {int4})", "least({int4}, {int4})", "strpos({text}, {text})", "octet_length({text})", "length({bytea})", "({bool}::int)", "(claims ->> 'n')::int", "lower({int4range})", "upper({int4range})", "array_position({int4[]}, {int4})", "family({inet})", "masklen({inet})", "({jsonb} -> 'a')::int4", "({int4} & {int4})", "array_upper({int4[]}, 1)", "length({char(5)})", "mod({int4}, {int4})"},
	"int8":        {"({int8} + {int4})", "({int8} * {int8})", "({int8} - {int8})", "({int8} / {int2})", "({numeric}::int8)", "({float8}::int8)", "abs({int8})", "(- {int8})", "coalesce({int4}, {int8})", "({int8} % {int8})"},
	"numeric":     {"({numeric} + {numeric})", "({numeric} - {int4})", "({numeric} * {numeric})", "({numeric} / {numeric})", "({numeric} % {numeric})", "({numeric}::numeric(6,2))", "round({numeric}, 1)", "trunc({numeric})", "ceil({numeric})", "floor({numeric})", "abs({numeric})", "(- {numeric})", "sign({numeric})", "({float8}::numeric)", "({float4}::numeric)", "({text}::numeric)", "({jsonb} -> 'a')::numeric", "(claims ->> 'n')::numeric", "coalesce({numeric}, {int4})", "lower({numrange})", "extract(year from {timestamp})", "extract(epoch from {timestamptz})", "extract(day from {date})", "extract(second from {timestamp})", "extract(dow from {date})", "round({numeric})", "greatest({numeric}, {int8})", "({int4} / {numeric})", "nullif({numeric}, {int4})", "({numeric}::numeric(3,-1))"},
	"float4":      {"({float4} + {float4})", "({float4} * {float4})", "({float8}::float4)", "({numeric}::float4)", "(- {float4})"},
	"float8":      {"({float8} + {float8})", "({float8} * {float8})", "({float8} / {float8})", "({float8} - {float4})", "({numeric}::float8)", "({int8}::float8)", "abs({float8})", "floor({float8})", "round({float8})", "({text}::float8)", "sqrt({float8})", "({float4} / {float8})"},
	"text":        {"({text} || {text})", "({text} || {num})", "left({text}, {int4})", "right({text}, {int4})", "substr({text}, {int4}, {int4})", "substring({text} from {int4})", "trim({text})", "replace({text}, {text}, {'text})", "({jsonb} ->> {'key})", "({jsonb} ->> {int4})", "({json} ->> {'key})", "({json} ->> {int4})", "({jsonb} #>> {text[]})", "(claims ->> {'key})", "({num}::text)", "({date}::text)", "({timestamp}::text)", "({timestamptz}::text)", "({interval}::text)", "({uuid}::text)", "({shop.status}::text)", "({jsonb}::text)", "({int4[]}::text)", "({text[]}::text)", "({bool}::text)", "({time}::text)", "({int4range}::text)", "({numrange}::text)", "({tstzrange}::text)", "({inet}::text)", "({bytea}::text)", `lower({text} collate "C")`, `upper({text} collate "C")`, "({char(5)}::text)", "jsonb_typeof({jsonb})", "coalesce({text}, {'text})", "nullif({text}, {'text})", "case when {bool} then {text} else {'text} end", "({text[]})[{int4}]", "reverse({text})", "split_part({text}, {text}, {int4})", "({shop.label}::text)", "({text}::varchar(3))", "host({inet})", "btrim({text}, {text})", `greatest({text} collate "C", {text})`, "({varchar(10)} || {char(5)})"},
	"varchar(10)": {"({text}::varchar(10))"},
	"char(5)":     {"({text}::char(5))", "({varchar(10)}::char(5))"},
	"uuid":        {"({text}::uuid)", "(claims ->> 'sub')::uuid", "coalesce({uuid}, {'uuid})"},
	"date":        {"({date} + {int4})", "({date} - {int4})", "({timestamp}::date)", "({timestamptz}::date)", "({text}::date)", "(claims ->> 'at')::date", "lower({daterange})", "greatest({date}, {date})"},
	"time":        {"({timestamp}::time)", "({time} + {interval})", "({timestamptz}::time)"},
	"timestamp":   {"({timestamp} + {interval})", "({timestamp} - {interval})", "({date}::timestamp)", "({timestamptz}::timestamp)", "({date} + {interval})", "({date} + {time})", "date_trunc('month', {timestamp})", "({timestamp}::timestamp(0))", "date_trunc('week', {timestamp})", "({timestamptz} at time zone 'UTC')"},
	"timestamptz": {"({timestamptz} + {interval})", "({timestamp}::timestamptz)", "(claims ->> 'at')::timestamptz", "date_trunc('day', {timestamptz})", "({date}::timestamptz)", "({text}::timestamptz)", "date_trunc('quarter', {timestamptz})"},
	"interval":    {"({num} * {interval})", "({int4} * interval '1 hour')", "({interval} * 0.3)", "({interval} * {float8})", "({timestamp} - {timestamp})", "({interval} + {interval})", "(- {interval})", "({interval} - {interval})", "({time} - {time})", "({timestamptz} - {timestamptz})"},
	"bytea":       {"({bytea} || {bytea})"},
	"shop.status": {"({text}::shop.status)", "coalesce({shop.status}, {'shop.status})", "greatest({shop.status}, {shop.status})", "(claims ->> 's')::shop.status", "({shop.status[]})[1]"},
	"json":        {"({json} -> {'key})", "({json} -> {int4})", "({jsonb}::json)"},
	"jsonb":       {"({jsonb})[{'key}]", "({jsonb})[{int4}]", "({jsonb})[{text}][{int2}]", "claims[{'key}]", "claims['deep']['x'][{int4}]", "({jsonb})[{any}]", "to_jsonb({any})", "to_jsonb({any})", "jsonb_build_array({any}, {'text}, {any})", "jsonb_build_object({any}, {any}, {'key}, {any})", "jsonb_build_array()", "jsonb_build_object()", "jsonb_build_object({text})", "jsonb_build_object(null, {any})", "jsonb_build_array(null, {any})", "({jsonb} -> {'key})", "({jsonb} -> {int4})", "({jsonb} #> {text[]})", "(claims -> {'key})", "({jsonb} || {jsonb})", "({jsonb} - {'key})", "({jsonb} - {int4})", "({json}::jsonb)", "({text}::jsonb)", "coalesce({jsonb}, {'jsonb})"},
	"int4[]":      {"array[{int4}, {int4}]", "({int4[]} || {int4})", "({int4[]} || {int4[]})", "({int4} || {int4[]})", "({text[]}::int4[])", "array[{int4}, null]"},
	"text[]":      {"array(select jsonb_array_elements_text({jsonb}))", "array(select jsonb_array_elements_text({jsonb})::varchar(2))", "array[{text}, {text}]", "({text[]} || {text})", "({int4[]}::text[])", "({shop.status[]}::text[])", "array[{'text}, {'text}]", "({uuid[]}::text[])"},
	"uuid[]":      {"array[{uuid}, {uuid}]", "({text[]}::uuid[])"},
	"inet":        {"({cidr}::inet)", "({text}::inet)"},
	"cidr":        {"({inet}::cidr)", "network({inet})"},
	"int4range":   {"int4range({int4}, {int4})", "int4range({int4}, {int4}, '[]')"},
	"numrange":    {"numrange({numeric}, {numeric}, '(]')"},
	"daterange":   {"daterange({date}, {date})"},
}

var groups = map[string][]string{
	"num":     {"int2", "int4", "int8", "numeric", "float4", "float8"},
	"time":    {"date", "timestamp", "timestamptz"},
	"op":      {"=", "<>", "<", "<=", ">", ">=", "!="},
	"eq":      {"=", "<>"},
	"any":     everyType(),
	"pattern": {"%", "a%", "%c", "_b_", "%b%", `a\%b`, "", "ab", `%\`, "%ä_", "_", "%%b_%"},
	"key":     {"a", "b", "k", "sub", "n", "s", "list", "deep", "at", "yes", "x"},
}

// generator makes random predicates, the same for the same seed.
type generator struct {
	*rand.Rand
	// params is how many parameters there may be.
	params int
}

// everyType are the types of all samples.
func everyType() []string {
	var all []string
	for _, s := range samples {
		all = append(all, s.of)
	}
	return all
}

func (g generator) pick(all []string) string { return all[g.IntN(len(all))] }

func init() { everything(templates) }

func byType(of string) sample {
	for _, s := range samples {
		if s.of == of {
			return s
		}
	}
	panic("no sample of " + of)
}

func (g generator) expr(of string, depth int) string {
	if g.IntN(150) == 0 {
		// Now and then something of another type, so that refusals are compared too.
		of = samples[g.IntN(len(samples))].of
	}
	if g.params > 0 && g.IntN(5) == 0 {
		return "$" + strconv.Itoa(1+g.IntN(g.params))
	}
	s := byType(of)
	if depth > 0 && len(templates[of]) > 0 && g.IntN(10) < 6 {
		return g.fill(g.pick(templates[of]), depth-1)
	}
	switch g.IntN(8) {
	case 0, 1:
		return quote(g.pick(s.values)) + "::" + of
	case 2:
		if g.IntN(5) == 0 {
			return "null"
		}
		if of == "int4" || of == "int8" || of == "numeric" {
			if v := g.pick(s.values); v[0] >= '0' && v[0] <= '9' && !strings.ContainsAny(v, "e") {
				return v
			}
		}
	case 3:
		if g.IntN(3) == 0 {
			return "(null::" + of + ")"
		}
	}
	return s.column
}

func (g generator) fill(template string, depth int) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "{")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		hole, after, _ := strings.Cut(rest, "}")
		template = after
		literal := strings.HasPrefix(hole, "'")
		hole = strings.TrimPrefix(hole, "'")
		all, grouped := groups[hole]
		switch {
		case hole == "op" || hole == "eq":
			out.WriteString(g.pick(all))
		case literal && grouped:
			out.WriteString(quote(g.pick(all)))
		case literal:
			out.WriteString(quote(g.pick(byType(hole).values)))
		case grouped:
			out.WriteString(g.expr(g.pick(all), depth))
		default:
			out.WriteString(g.expr(hole, depth))
		}
	}
}

func (g generator) predicate() string {
	switch g.IntN(20) {
	case 0:
		return g.expr("bool", 1)
	case 5, 6, 7, 8, 9:
		return g.junction(1 + g.IntN(3))
	case 1, 2, 3, 4:
		// An expression of any type, by what it prints.
		of := samples[g.IntN(len(samples))].of
		if len(templates[of]) > 0 {
			return "((" + g.fill(g.pick(templates[of]), 1) + ")::text = " + quote(g.pick(byType(of).values)) + ")"
		}
	}
	return g.fill(g.pick(templates["bool"]), g.IntN(5))
}

// arms are conditions that a binding decides, that an index finds, and that raise errors.
var arms = []string{
	"{int4} = {'int4}", "i4 = {'int4}", "i4 in ({'int4}, {'int4}, (claims ->> 'n')::int)", "t = (claims ->> 's')", "{'text} = t", "u = (claims ->> 'sub')::uuid", "b", "not b",
	"e = {'shop.status}", "i4 in (0, 1, -1, 2, 7, 100, 3, 4, 5, 6)", "i8 not in (0, 1, -1, 2, 7, 100, 3, 4, 5, null)", "t = any (array['a', 'b', 'c', 'd', 'abc', 'open', 'k', 'x', 'y', null])", "v not in ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'abc', 'open')",
	"u in ({'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid}, {'uuid})", "e <> all (array['open', 'open', 'open', 'open', 'open', 'open', 'open', 'open', 'closed']::shop.status[])", "i2 = any (array[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, null]::int8[])",
	"po in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", "n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", "c in ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'abc ', 'i', 'j')", "i4 > all (array[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])", "i8 = any ({'int4[]}::int4[])", "tz = {'timestamptz}", "i4 is not distinct from (claims ->> 'n')::int", "v = {'text}", "b is true", "b is false", "po = {'shop.positive}::int",
	"claims ->> 'yes' = 'no'", "(claims ->> 'yes')::bool", "(claims ->> 'n')::int = 7", "claims ? 'sub'", "claims ->> 's' is null", "true", "false", "null", "(claims ->> 'n')::int > 1",
	"100 / i4 > 1", "i4 > 1", "i4 = (select (claims ->> 'n')::int)", "(select claims ->> 'yes' = 'no')", "100 / (select i4) > 1",
	"t in (select jsonb_array_elements_text(claims -> 'list'))", "100 / i4 in (select jsonb_array_elements_text(claims -> 'list')::int)", "i4 not in (select jsonb_array_elements_text(claims -> 'list')::int)", "t = any (array(select jsonb_array_elements_text(claims -> 'deep')))",
	"t like 'a%'", "t like (claims ->> 's')", "{bool}", "i2 = i4", "ti is null",
}

// junction is a tree of AND, OR, NOT and CASE over arms.
func (g generator) junction(depth int) string {
	if depth == 0 || g.IntN(4) == 0 {
		return g.fill(g.pick(arms), 1)
	}
	switch g.IntN(12) {
	case 0:
		return "not (" + g.junction(depth-1) + ")"
	case 1:
		return "(" + g.junction(depth-1) + ")" + g.pick([]string{" is true", " is not true", " is false", " is unknown"})
	case 2:
		return "case when " + g.junction(depth-1) + " then " + g.junction(depth-1) + " when " + g.junction(depth-1) + " then true else " + g.junction(depth-1) + " end"
	}
	var all []string
	for range 2 + g.IntN(3) {
		all = append(all, "("+g.junction(depth-1)+")")
	}
	return strings.Join(all, g.pick([]string{" and ", " or "}))
}

func (g generator) row() []string {
	var row []string
	for _, s := range samples {
		v := g.pick(s.values)
		if g.IntN(8) == 0 {
			v = "\x00"
		}
		row = append(row, v)
	}
	return row
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }
