package wal

import (
	"strings"

	"pgrelay/relay"
)

// quoteLiteral is for the replication grammar, which knows no E” and takes a backslash as it is.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// PublicationNames is the value of pgoutput's option publication_names.
func PublicationNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = relay.Ident(n)
	}
	return strings.Join(quoted, ",")
}
