package predicate

import "fmt"

// Fault is an error that the evaluation of a row raises, as Postgres would: the row isn't visible.
// It holds no value of a row.
type Fault struct {
	// Code is the SQLSTATE. https://www.postgresql.org/docs/current/errcodes-appendix.html
	Code    string
	Message string
}

// Error is the message.
func (f *Fault) Error() string { return f.Message }

// ErrUnchanged is the fault of a row whose tuple leaves out a value that the predicate reads (unchanged TOAST).
var ErrUnchanged = &Fault{codeUnchanged, "the tuple lacks a value that the predicate reads"}

// ErrRow is the fault of a row that isn't one of the relation.
var ErrRow = &Fault{codeRow, "the row doesn't fit the relation"}

const (
	codeRow       = "PR003"
	codeUnchanged = "PR001"
	// codeInexact is that of a value whose form Postgres may accept and this package doesn't: an error too, so that
	// nothing becomes visible by it.
	codeInexact = "PR002"
	codeCostly  = "PR004"
)

// inexact tells of an error where Postgres may have a value.
func (f *Fault) inexact() bool { return f.Code == codeInexact || f.Code == codeCostly }

func inexact(format string, args ...any) *Fault {
	return &Fault{codeInexact, fmt.Sprintf(format, args...)}
}

// The faults that evaluation meets often; they are made once.
var (
	faultZero      = &Fault{"22012", "division by zero"}
	faultInt2      = &Fault{"22003", "smallint out of range"}
	faultInt4      = &Fault{"22003", "integer out of range"}
	faultInt8      = &Fault{"22003", "bigint out of range"}
	faultOID       = &Fault{"22003", "OID out of range"}
	faultOverflow  = &Fault{"22003", "value out of range: overflow"}
	faultUnderflow = &Fault{"22003", "value out of range: underflow"}
	faultNumeric   = &Fault{"22003", "value overflows numeric format"}
	faultField     = &Fault{"22003", "numeric field overflow"}
	faultDate      = &Fault{"22008", "date out of range"}
	faultStamp     = &Fault{"22008", "timestamp out of range"}
	faultClock     = &Fault{"22008", "date/time field value out of range"}
	faultInterval  = &Fault{"22008", "interval out of range"}
	faultEscape    = &Fault{"22025", "LIKE pattern must not end with escape character"}
	faultSubstring = &Fault{"22011", "negative substring length not allowed"}
	faultArray     = &Fault{"22P02", "malformed array literal"}
	faultRange     = &Fault{"22P02", "malformed range literal"}
	faultBounds    = &Fault{"22000", "range lower bound must be less than or equal to range upper bound"}
	faultJSON      = &Fault{"22P02", "invalid input syntax for type json"}
	faultScalar    = &Fault{"22023", "cannot do this with a jsonb value of this kind"}
	faultDimension = &Fault{"2202E", "wrong number of array subscripts"}
)

// syntax is the fault of a text that the type's input function doesn't take. The text itself isn't told.
func syntax(typeName string) *Fault {
	f, ok := syntaxFaults[typeName]
	if !ok {
		return &Fault{"22P02", "invalid input syntax for type " + typeName}
	}
	return f
}

var syntaxFaults = func() map[string]*Fault {
	all := map[string]*Fault{}
	for _, name := range []string{
		"boolean", "smallint", "integer", "bigint", "oid", "numeric", "real", "double precision", "uuid", "bytea", "date", "time",
		"timestamp", "interval", "inet", "cidr",
	} {
		all[name] = &Fault{"22P02", "invalid input syntax for type " + name}
	}
	return all
}()
