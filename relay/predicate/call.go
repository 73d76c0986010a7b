package predicate

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"pgrelay/relay"
)

func identName(parts []string) string { return relay.Ident(parts...) }

// timeBound are functions whose result depends on when they are asked.
var timeBound = map[string]bool{
	"now": true, "transaction_timestamp": true, "statement_timestamp": true, "clock_timestamp": true, "timeofday": true, "age": true,
}

// lengths are the functions behind casts with a modifier; called by name they take any.
var lengths = map[string]bool{
	"timestamp_scale": true, "timestamptz_scale": true, "time_scale": true, "bpchar": true, "varchar": true, "numeric": true,
}

func (a *analyzer) funcCall(f *pg.FuncCall) *node {
	at := pos(f.Location)
	var parts []string
	for _, n := range f.Funcname {
		parts = append(parts, n.GetString_().GetSval())
	}
	name := parts[len(parts)-1]
	if len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" {
		a.refuse(at, "functions of other schemas are not supported", "use Postgres' own functions")
	}
	if len(f.AggOrder) > 0 || f.AggFilter != nil || f.Over != nil || f.AggStar || f.AggDistinct || f.AggWithinGroup || f.FuncVariadic {
		a.refuse(at, "aggregate and window functions and VARIADIC are not supported", "a predicate sees one row")
	}
	for _, raw := range f.Args {
		if raw.GetNamedArgExpr() != nil {
			a.refuse(at, "named arguments are not supported", "write the arguments in their order")
		}
	}
	args := a.all(f.Args)
	for _, arg := range args {
		a.plain(arg)
	}
	return a.function(name, args, at)
}

func (a *analyzer) function(name string, args []*node, at int) *node {
	actual := typesOf(args)
	if timeBound[name] {
		a.refuse(at, name+"() depends on when it is asked, so that rows would appear and vanish without a change", "compare with a constant, a claim or a parameter")
	}
	r, fitting := a.types.function(name, actual)
	if len(args) == 1 && a.types.typeNames[name] != nil && (r == nil || r.args[0] != actual[0]) {
		a.refuse(at, name+"(…) as a cast is not supported", "write (…)::"+name)
	}
	if r == nil {
		a.noFunction(at, fitting, name, actual)
	}
	switch {
	case r.proc.kind != 'f':
		a.refuse(at, name+" is an aggregate or window function", "a predicate sees one row")
	case r.proc.set:
		a.refuse(at, name+"() returns a set", "a predicate has one value")
	case lengths[r.proc.call.name] && len(args) > 1:
		a.refuse(at, name+"() with a type modifier is not supported", "write a cast: (…)::"+name+"(…)")
	case r.proc.call.volatility == 'v':
		a.refuse(at, name+"() is volatile: it may answer differently each time", "use a value that is stored")
	}
	return a.apply(r, args, at, kindCall)
}

func (a *analyzer) noFunction(at, fitting int, name string, actual []uint32) {
	signature := name + "(" + a.types.names(actual) + ")"
	if fitting > 1 {
		panic(stop{&Error{Position: at, Reason: "function " + signature + " is not unique", Hint: "cast an argument"}})
	}
	if len(a.types.functions[name]) > 0 {
		panic(stop{&Error{Position: at, Reason: "function " + signature + " does not exist", Hint: "cast an argument"}})
	}
	panic(stop{&Error{Position: at, Reason: "function " + signature + " is not known here", Hint: "use Postgres' own functions that 15 to 18 have", Refused: true}})
}

// byWord are functions whose first argument is a word of which only some are evaluated.
var byWord = map[string]bool{
	"timestamp_trunc": true, "timestamptz_trunc": true, "extract_timestamp": true, "extract_timestamptz": true, "extract_date": true,
	"timestamptz_zone": true, "timestamp_zone": true, "timestamp_part": true, "timestamptz_part": true,
}

// word refuses a word that isn't evaluated when the predicate is compiled, instead of for each row.
func (a *analyzer) word(n *node) {
	if !byWord[n.call.name] || !n.args[0].constant() || n.args[0].value.null {
		return
	}
	first := n.args[0]
	if _, fault := implementations[n.call.name].(fn2)(first.value, datum{}); fault != nil {
		a.refuse(first.pos, fault.Message, wayOfWord(n.call.name))
	}
}

// callable refuses a call that nothing here evaluates, with the reason.
func (a *analyzer) callable(n *node) {
	if strings.HasPrefix(n.call.name, "textregex") || strings.Contains(n.call.name, "regex") || strings.HasPrefix(n.call.name, "regexp") {
		a.refuse(n.pos, "regular expressions are not evaluated exactly as Postgres does", "use LIKE, left() or strpos()")
	}
	a.collated(n)
	if _, ok := implementations[n.call.name]; !ok {
		a.refuse(n.pos, "this function or operator is not supported: "+n.call.name, wayOf(n.call.name))
	}
	a.word(n)
}
