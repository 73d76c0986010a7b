package value

import "math/rand/v2"

// A sample is a type and how values of it are made.
type sample struct {
	of     string
	random random
	edges  []string
	// common types are tried in full number, the others in a part of it.
	common bool
	// delimiter of its arrays where it isn't a comma.
	delimiter string
	// oracle is an expression over the column (%s) that says what is right where to_json(%s) doesn't.
	oracle string
}

// schema makes the types that a database adds to its own. The row type of shop.part lacks a column in the middle.
const schema = `
create schema shop;
create extension hstore schema public;
create extension citext schema public;
create extension ltree schema public;
create type shop.mood as enum ('ok', 'NULL', '', 'it''s "q" {x} \ (b), c', 'glück', '漢字😀');
create domain shop.big as int8;
create domain shop.bigger as shop.big;
create domain shop.price as numeric(30,4);
create domain shop.label as text check (value <> 'never');
create domain shop.moment as timestamptz;
create domain shop.document as jsonb;
create domain shop.feeling as shop.mood;
create domain shop.ratio as float8;
create domain shop.bigs as int8[];
create type shop.inner as (a int8, b text, c boolean);
create domain shop.checked as shop.inner;
create type shop.outer as (
  n numeric, words text[], one shop.inner, many shop.inner[], doc jsonb, raw json, at timestamptz, big shop.big,
  mood shop.mood, ratio float8, "we""ird \ Ñ" bytea, bigs shop.bigs, code char(3), small int2);
create type shop.single as (a text);
create table shop.part (id int, gone text, total numeric, doc json, at timestamp);
alter table shop.part drop column gone;
create type shop.span as range (subtype = numeric);
create type shop.tagged as (h public.hstore, c public.citext, n numeric);
create table shop."Weird ""T""" ();
`

var (
	randomInner = composites(integers(64), randomText, pick("t", "f"))
	randomMood  = pick("ok", "NULL", "", `it's "q" {x} \ (b), c`, "glück", "漢字😀")
	randomBigs  = arrays(integers(64), ",", false)
	randomOuter = composites(randomNumeric, arrays(randomText, ",", true), randomInner, arrays(randomInner, ",", true),
		randomJSON, randomJSON, randomTimestamptz, integers(64), randomMood, floats(64), randomBytea, randomBigs,
		pick("a", "abc", "ab "), integers(16))
)

// common are the types that every application has, and what users build of them.
var common = []sample{
	{of: "boolean", random: pick("t", "f")},
	{of: "smallint", random: integers(16), edges: []string{"-32768", "32767", "0"}},
	{of: "integer", random: integers(32), edges: []string{"-2147483648", "2147483647", "0"}},
	{of: "bigint", random: integers(64), edges: []string{"-9223372036854775808", "9223372036854775807", "9007199254740993"}},
	{of: "numeric", random: randomNumeric, edges: []string{"NaN", "Infinity", "-Infinity", "0", "-0.0", "1e-16383"}},
	{of: "numeric(12,2)", random: func(r *rand.Rand) string { return digitsOf(r, 1+r.IntN(10)) + "." + digitsOf(r, 2) },
		edges: []string{"NaN", "-9999999999.99"}},
	{of: "real", random: floats(32), edges: []string{"NaN", "Infinity", "-Infinity", "-0", "3.4028235e38", "1e-45"}},
	{of: "double precision", random: floats(64),
		edges: []string{"NaN", "Infinity", "-Infinity", "-0", "1.7976931348623157e308", "5e-324", "1e15", "1e16", "0.0001", "0.00001"}},
	{of: "text", random: randomText, edges: []string{"", "NULL", `\`, `"`, "\x01\x1f\x7f", "\u2028\u2029"}},
	{of: "varchar(20)", random: randomText, edges: []string{""}},
	{of: "char(10)", random: randomText, edges: []string{"", "a", "a  "}},
	{of: "uuid", random: randomUUID},
	{of: "bytea", random: randomBytea, edges: []string{`\x`}},
	{of: "date", random: randomDate, edges: []string{"infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "5874897-12-31"}},
	{of: "time", random: randomTime, edges: []string{"24:00:00", "00:00:00"}},
	{of: "timestamp", random: randomTimestamp, edges: []string{"infinity", "-infinity", "0044-03-15 01:02:03.5 BC", "12345-01-01"}},
	{of: "timestamptz", random: randomTimestamptz,
		edges: []string{"infinity", "-infinity", "0044-03-15 01:02:03.5+00 BC", "12345-01-01", "2026-11-24 03:13:31.123456+05:30"}},
	{of: "interval", random: randomInterval, edges: []string{"0", "-178000000 years", "1 mon -1 day +01:00:00.000001"}},
	{of: "json", random: randomJSON, edges: []string{"null", " {\"a\":\n\t1, \"a\": 2} ", `"\ud800"`, "1e999999", `"\u0000"`}},
	{of: "jsonb", random: randomJSON, edges: []string{"null", `{"b": 1, "a": [1, {}]}`, "1e100"}},
	{of: "shop.mood", random: randomMood},
	{of: "shop.big", random: integers(64)},
	{of: "shop.bigger", random: integers(64)},
	{of: "shop.price", random: func(r *rand.Rand) string { return integers(64)(r) + "." + digitsOf(r, 4) }},
	{of: "shop.label", random: randomText},
	{of: "shop.moment", random: randomTimestamptz},
	{of: "shop.document", random: randomJSON},
	{of: "shop.feeling", random: randomMood},
	{of: "shop.ratio", random: floats(64), edges: []string{"NaN", "-Infinity"}},
	{of: "shop.inner", random: randomInner, edges: []string{"(,,)", `(1,"",t)`}},
	{of: "shop.outer", random: randomOuter},
}

// uncommon are the other types of Postgres.
var uncommon = []sample{
	{of: "shop.checked", random: randomInner},
	{of: "shop.single", random: composites(randomText), edges: []string{"()", `("")`}},
	{of: "shop.part", random: composites(integers(32), randomNumeric, randomJSON, randomTimestamp)},
	{of: "name", random: randomText},
	{of: `"char"`, random: randomChar, edges: []string{"", "a", `\377`, `\`}},
	{of: "oid", random: unsigned(32)},
	{of: "xid", random: unsigned(32)},
	{of: "cid", random: unsigned(32)},
	{of: "xid8", random: unsigned(64)},
	{of: "tid", random: randomTID},
	{of: "regclass", random: pick("pg_class", `shop."Weird ""T"""`)},
	{of: "regtype", random: pick("integer", `"char"`, "shop.mood", "text[]", "0")},
	{of: "regproc", random: pick("now", "0")},
	{of: "regprocedure", random: pick("lower(text)", "abs(numeric)", "0")},
	{of: "regoperator", random: pick("+(integer,integer)", "0")},
	{of: "regrole", random: pick("postgres", "0")},
	{of: "regnamespace", random: pick("shop", "pg_catalog", "0")},
	{of: "regconfig", random: pick("english", "simple")},
	{of: "money", random: randomMoney, edges: []string{"-92233720368547758.08", "92233720368547758.07"}},
	{of: "time with time zone", random: randomTimetz, edges: []string{"24:00:00-15:59:59", "00:00:00+00"}},
	{of: "inet", random: randomInet, edges: []string{"::1", "::ffff:1.2.3.4/96"}},
	{of: "cidr", random: randomCIDR},
	{of: "macaddr", random: randomMAC(6)},
	{of: "macaddr8", random: randomMAC(8)},
	{of: "bit(8)", random: func(r *rand.Rand) string { return randomBits(r, 8) }},
	{of: "varbit", random: func(r *rand.Rand) string { return randomBits(r, r.IntN(40)) }, edges: []string{""}},
	{of: "tsvector", random: randomTSVector, edges: []string{""}},
	{of: "tsquery", random: randomTSQuery, edges: []string{""}},
	{of: "jsonpath", random: randomJSONPath},
	{of: "xml", random: randomXML, edges: []string{"", "text &amp; <b/>"}},
	{of: "point", random: randomPoint, edges: []string{"(NaN,Infinity)"}},
	{of: "line", random: randomLine},
	{of: "lseg", random: points(2, "[", "]")},
	{of: "box", random: points(2, "", ""), delimiter: ";"},
	{of: "path", random: func(r *rand.Rand) string {
		return pick(points(4, "[", "]")(r), points(4, "(", ")")(r))(r)
	}},
	{of: "polygon", random: points(4, "(", ")")},
	{of: "circle", random: randomCircle},
	{of: "pg_lsn", random: randomLSN},
	{of: "pg_snapshot", random: randomSnapshot},
	{of: "txid_snapshot", random: randomSnapshot},
	{of: "refcursor", random: randomText},
	{of: "int2vector", random: randomVector, edges: []string{"", "-1"}},
	{of: "oidvector", random: randomVector, edges: []string{""}},
	{of: "int4range", random: ranges("-2147483648", "-1", "0", "7", "2147483640")},
	{of: "int8range", random: ranges("-9223372036854775808", "0", "9007199254740993")},
	{of: "numrange", random: ranges("-Infinity", "-1.50", "0", "1e30")},
	{of: "daterange", random: ranges("-infinity", "0044-03-15 BC", "2026-11-24", "10000-01-01", "infinity")},
	{of: "tsrange", random: ranges("-infinity", "0044-03-15 01:02:03 BC", "2026-11-24 03:13:31.5", "infinity")},
	{of: "tstzrange", random: ranges("-infinity", "2026-11-24 03:13:31.5+05:30", "12345-01-01 00:00:00+00")},
	{of: "shop.span", random: ranges("-1.50", "0", "1e30")},
	{of: "int8multirange", random: multiranges(ranges("-5", "0", "9007199254740993"))},
	{of: "nummultirange", random: multiranges(ranges("-1.50", "0", "1e30"))},
	{of: "tstzmultirange", random: multiranges(ranges("-infinity", "2026-11-24 03:13:31.5+05:30", "infinity"))},
	{of: "public.hstore", random: randomHstore, edges: []string{""}, oracle: "to_json(%s::text)"},
	{of: "public.citext", random: randomText},
	{of: "public.ltree", random: randomLtree, edges: []string{""}},
}

// special are types whose arrays aren't tried, or have been made by hand.
var special = []sample{
	{of: "shop.bigs", random: randomBigs, edges: []string{"{}", "[0:0]={7}"}},
	{of: "shop.bigs[]", random: arrays(randomBigs, ",", false), edges: []string{"{}", `{"{}"}`}},
	{of: "int2vector[]", random: arrays(randomVector, ",", false), edges: []string{`{""}`}},
	{of: "public.hstore[]", random: arrays(randomHstore, ",", true), oracle: "to_json(%s::text[])"},
	{of: "shop.tagged", random: composites(randomHstore, randomText, randomNumeric),
		oracle: `json_build_object('h', (%[1]s).h::text, 'c', (%[1]s).c, 'n', (%[1]s).n)`},
}

// withArrays adds the array type of each.
func withArrays(samples []sample) []sample {
	all := samples
	for _, s := range samples {
		if s.of == "int2vector" || s.of == "public.hstore" {
			continue
		}
		delimiter := s.delimiter
		if delimiter == "" {
			delimiter = ","
		}
		vector := s.of == "oidvector"
		all = append(all, sample{of: s.of + "[]", common: s.common, random: arrays(s.random, delimiter, !vector), edges: []string{"{}"}})
	}
	return all
}
