package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"pgrelay/relay/client"
)

// differences compares what a subscription shows with the table's contents; nil where they are equal, else the first
// few rows that only one side has.
func differences(got, want []client.Row, names []string) []string {
	count := map[string]int{}
	for _, row := range want {
		count[text(row, names)]++
	}
	for _, row := range got {
		count[text(row, names)]--
	}
	var out []string
	for row, n := range count {
		switch {
		case n == 0:
			continue
		case len(out) == 6:
			return append(out, "…")
		case n > 0:
			out = append(out, fmt.Sprintf("missing %d of %.300s", n, row))
		default:
			out = append(out, fmt.Sprintf("%d too many of %.300s", -n, row))
		}
	}
	return out
}

// text is a row's columns in a form in which equal values are equal text.
func text(row client.Row, names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		b.WriteByte('=')
		b.Write(canonical(row[name]))
		b.WriteByte(' ')
	}
	return b.String()
}

// canonical is a JSON value written anew, numbers as they are; most scalars need no rewriting.
func canonical(value json.RawMessage) []byte {
	if len(value) == 0 || value[0] != '{' && value[0] != '[' && bytes.IndexByte(value, '\\') < 0 {
		return value
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return value
	}
	again, err := json.Marshal(v)
	if err != nil {
		return value
	}
	return again
}
