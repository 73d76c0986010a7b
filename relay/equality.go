package relay

// Equality says that a column has one of some values.
type Equality struct {
	// Column is an index into the relation's columns.
	Column int
	// Values are the texts that Postgres prints for them, each once; a row that fulfils the equality has one of them, byte
	// for byte, in its tuple. There may be none: then no row fulfils it.
	Values []string
}
