package relay

import "strings"

// TextSettings pin the text form of values, in the stream and in whatever else is read at a source: each is a setting's
// name and value. The triggers' functions pin the same.
// https://www.postgresql.org/docs/current/runtime-config-client.html
var TextSettings = [][2]string{
	{"datestyle", "ISO, MDY"},
	{"timezone", "UTC"},
	{"intervalstyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"lc_monetary", "C"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog"},
}

// SetLocal are the statements that give settings until the transaction's end.
func SetLocal(settings [][2]string) string {
	var b strings.Builder
	for _, s := range settings {
		b.WriteString("set local " + s[0] + " to " + Literal(s[1]) + ";")
	}
	return b.String()
}
