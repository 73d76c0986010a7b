package relay

// Capture is how a relation's changes are seen.
type Capture string

// The ways of capture, as the protocol's subscribed.capture names them.
const (
	CaptureLogical   Capture = "logical"
	CaptureTrigger   Capture = "trigger"
	CaptureWarehouse Capture = "warehouse"
)

// Kind is a type's pg_type.typtype.
// https://www.postgresql.org/docs/current/catalog-pg-type.html
type Kind byte

// The kinds of types.
const (
	KindBase       Kind = 'b'
	KindComposite  Kind = 'c'
	KindDomain     Kind = 'd'
	KindEnum       Kind = 'e'
	KindPseudo     Kind = 'p'
	KindRange      Kind = 'r'
	KindMultirange Kind = 'm'
)

// Type is a data type as the source's catalog describes it.
type Type struct {
	OID uint32
	// Name is what format_type prints, without a modifier: "integer", "timestamp with time zone", "shop.status".
	Name string
	Kind Kind
	// Delimiter separates an array's elements in its text form; ',' for all types but box.
	Delimiter byte
	// Element is an array's element type, else nil.
	Element *Type
	// Base is a domain's base type, or a range's or multirange's subtype, else nil.
	Base *Type
	// Fields are a composite type's attributes in order, else nil.
	Fields []Field
	// Labels are an enum's labels in their declared order, else nil.
	Labels []string
	// Extension tells that an extension owns the type (hstore, citext, …).
	Extension bool
}

// Field is one attribute of a composite type.
type Field struct {
	Name string
	Type *Type
}

// Column is a column of a relation.
type Column struct {
	// Name is the column's name in the warehouse.
	Name string
	// Source is its name in the table at the source; the same as Name unless the foreign table renames it.
	Source string
	// TypeName is what format_type prints with the modifier: "numeric(12,2)".
	TypeName string
	Type     *Type
	NotNull  bool
	// Collation is the column's pg_collation.collname, behind its schema and a point where it isn't in pg_catalog; empty
	// for the database's default and for a type that isn't collatable. Nondeterministic: different strings may be equal
	// under it (collisdeterministic is false).
	// https://www.postgresql.org/docs/current/catalog-pg-collation.html
	Collation        string
	Nondeterministic bool
	// Fill is the one value that every row older than the column has, as a SQL text value; nil means null.
	// It is of use only where Filled is true.
	Fill   *string
	Filled bool
	// Number is the column's pg_attribute.attnum, and Stamp a text that differs whenever the attribute, or its type, was
	// changed in any way.
	Number int16
	Stamp  string
}

// Identity is a table's replica identity, pg_class.relreplident.
// https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
type Identity byte

// The replica identities.
const (
	IdentityDefault Identity = 'd'
	IdentityFull    Identity = 'f'
	IdentityIndex   Identity = 'i'
	IdentityNothing Identity = 'n'
)

// Leaf is a physical table whose changes make up a relation: the relation's table itself or a partition of it.
type Leaf struct {
	OID      uint32
	Schema   string
	Table    string
	Identity Identity
	// Full tells that the old tuple carries every column; read from the catalog, never from a message.
	Full bool
	// NoFull: with replica identity FULL the application's own UPDATE and DELETE would fail here, for generated columns
	// that aren't published (18).
	NoFull bool
	// Key names the source columns that the old tuple of a delete or a key change carries; nil where there is no identity.
	Key []string
	// Member is the oid of the table's entry in the publication (pg_publication_rel): another one tells that the table
	// was out of it meanwhile, so changes are missing from the stream.
	Member uint32
}

// Relation is a table as the relay publishes it: named by the warehouse, captured at its source.
// It is immutable; a schema change makes a new one.
type Relation struct {
	// Name is "schema.table" as the warehouse names it.
	Name string
	// Server is the source's name.
	Server  string
	Capture Capture
	// Schema, Table and OID are those of the table at the source (of the root, where it is partitioned).
	Schema string
	Table  string
	OID    uint32
	// Partitioned tells that OID is a partitioned root: its rows are in Leaves.
	Partitioned bool
	Columns     []Column
	// Key holds the indexes into Columns of what the protocol calls the key; empty for a bag and an insert-only table.
	Key []int
	// Bag: no key and every leaf FULL, so equal rows may occur.
	Bag bool
	// InsertOnly: published for inserts and TRUNCATE alone.
	InsertOnly bool
	Leaves     []Leaf
	// Encoding is the source's server_encoding, "UTF8" or "EUC_JP"; empty means UTF8. Tuples are UTF-8 all the same, but
	// the order of bytes and the like are the encoding's.
	// https://www.postgresql.org/docs/current/multibyte.html
	Encoding string
	// Highest is the largest attnum of the table at the source, shown or not: a column with a larger one came later.
	Highest int16
	// Stamp differs when the triggers that capture the table were touched, so that changes may be missing; empty without any.
	Stamp string
	// Fingerprint is a text that differs whenever anything above, or the table's storage (relfilenode), does.
	Fingerprint string
}

// Column returns the index of the column with this warehouse name, or -1.
func (r *Relation) Column(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// KeyNames are the names of the key's columns.
func (r *Relation) KeyNames() []string {
	names := make([]string, len(r.Key))
	for i, k := range r.Key {
		names[i] = r.Columns[k].Name
	}
	return names
}
