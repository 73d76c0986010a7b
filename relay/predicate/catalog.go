package predicate

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// catalogText is what Postgres 15 and 18 have in common of pg_type, pg_operator, pg_cast and pg_proc, a line for each
// object; TestCatalog writes it. What only one of them has is unknown here, and so refused.
//
//	t oid name category preferred kind element array collatable subtype input-volatility output-volatility display
//	o name left right result volatility strict implementation
//	c source target context method volatility arguments implementation
//	f name kind volatility strict set variadic defaults result implementation arguments
//
//go:embed catalog.txt
var catalogText string

// typ is a data type as the resolution of operators sees it.
// https://www.postgresql.org/docs/current/catalog-pg-type.html
type typ struct {
	oid       uint32
	name      string
	display   string
	category  byte
	preferred bool
	kind      byte
	// elem is an array's element type, else 0; array the type of arrays of this type, or 0.
	elem, array uint32
	collatable  bool
	// subtype is a range's.
	subtype uint32
	// base is a domain's.
	base   uint32
	labels []string
	// volatility of the input and the output function.
	in, out byte
	// opaque tells of a type whose operators aren't Postgres' own: an extension's, a composite, a user's range.
	opaque bool
}

// proc is a function, an operator or a cast's function: what is called, with which declared types.
type proc struct {
	name     string
	kind     byte
	args     []uint32
	result   uint32
	variadic uint32
	defaults int
	set      bool
	call     callee
}

// callee is what resolution found: the implementation's name in Postgres' sources, and how the planner may treat it.
type callee struct {
	name       string
	volatility byte
	strict     bool
	// operator is its symbol; empty for a function.
	operator string
}

type castKey struct{ source, target uint32 }

type castRow struct {
	context, method byte
	args            int
	call            callee
}

// catalog is read-only after load.
type catalog struct {
	types     map[uint32]*typ
	typeNames map[string]*typ
	operators map[string][]*proc
	functions map[string][]*proc
	casts     map[castKey]castRow
}

var builtin = sync.OnceValue(loadCatalog)

func loadCatalog() *catalog {
	c := &catalog{
		types: map[uint32]*typ{}, typeNames: map[string]*typ{}, operators: map[string][]*proc{},
		functions: map[string][]*proc{}, casts: map[castKey]castRow{},
	}
	for line := range strings.Lines(catalogText) {
		f := strings.Fields(line)
		switch f[0] {
		case "t":
			t := &typ{
				oid: number(f[1]), name: f[2], category: f[3][0], preferred: f[4] == "1", kind: f[5][0], elem: number(f[6]),
				array: number(f[7]), collatable: f[8] == "1", subtype: number(f[9]), in: f[10][0], out: f[11][0],
				display: strings.ReplaceAll(f[12], "_", " "),
			}
			c.types[t.oid], c.typeNames[t.name] = t, t
		case "o":
			p := &proc{name: f[1], result: number(f[4]), call: callee{f[7], f[5][0], f[6] == "1", f[1]}}
			if left := number(f[2]); left != 0 {
				p.args = append(p.args, left)
			}
			p.args = append(p.args, number(f[3]))
			c.operators[p.name] = append(c.operators[p.name], p)
		case "c":
			n, _ := strconv.Atoi(f[6])
			c.casts[castKey{number(f[1]), number(f[2])}] = castRow{f[3][0], f[4][0], n, callee{f[7], f[5][0], true, ""}}
		case "f":
			p := &proc{
				name: f[1], kind: f[2][0], call: callee{f[9], f[3][0], f[4] == "1", ""}, set: f[5] == "1",
				variadic: number(f[6]), result: number(f[8]),
			}
			p.defaults, _ = strconv.Atoi(f[7])
			if len(f) > 10 {
				for _, a := range strings.Split(f[10], ",") {
					p.args = append(p.args, number(a))
				}
			}
			c.functions[p.name] = append(c.functions[p.name], p)
		}
	}
	return c
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// The oids that the code names.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat
const (
	oidBool          = 16
	oidBytea         = 17
	oidChar          = 18
	oidName          = 19
	oidInt8          = 20
	oidInt2          = 21
	oidInt2Vector    = 22
	oidInt4          = 23
	oidText          = 25
	oidOID           = 26
	oidOIDVector     = 30
	oidJSON          = 114
	oidCIDR          = 650
	oidFloat4        = 700
	oidFloat8        = 701
	oidUnknown       = 705
	oidInet          = 869
	oidBpchar        = 1042
	oidVarchar       = 1043
	oidDate          = 1082
	oidTime          = 1083
	oidTimestamp     = 1114
	oidTimestamptz   = 1184
	oidInterval      = 1186
	oidNumeric       = 1700
	oidRecord        = 2249
	oidAny           = 2276
	oidAnyArray      = 2277
	oidAnyElement    = 2283
	oidAnyNonArray   = 2776
	oidUUID          = 2950
	oidAnyEnum       = 3500
	oidJSONB         = 3802
	oidAnyRange      = 3831
	oidAnyMultirange = 4537
	oidAnyCompat     = 5077
	oidAnyCompatArr  = 5078
	oidAnyCompatNon  = 5079
	oidAnyCompatRng  = 5080
	oidAnyCompatMrng = 4538
	oidTextArray     = 1009
	oidInt4Range     = 3904
	oidNumRange      = 3906
	oidTSRange       = 3908
	oidTstzRange     = 3910
	oidDateRange     = 3912
	oidInt8Range     = 3926
)

func polymorphic(t uint32) bool {
	switch t {
	case oidAnyElement, oidAnyArray, oidAnyNonArray, oidAnyEnum, oidAnyRange, oidAnyMultirange,
		oidAnyCompat, oidAnyCompatArr, oidAnyCompatNon, oidAnyCompatRng, oidAnyCompatMrng:
		return true
	}
	return false
}
