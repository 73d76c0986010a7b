package predicate

import (
	"fmt"
	"slices"
	"strings"
)

// sampleTypes are the built-in types of which there are samples; a polymorphic one stands for one of them.
var sampleTypes = map[uint32]string{
	oidBool: "bool", oidInt2: "int2", oidInt4: "int4", oidInt8: "int8", oidNumeric: "numeric", oidFloat4: "float4", oidFloat8: "float8",
	oidText: "text", oidVarchar: "varchar(10)", oidBpchar: "char(5)", oidUUID: "uuid", oidDate: "date", oidTime: "time",
	oidTimestamp: "timestamp", oidTimestamptz: "timestamptz", oidInterval: "interval", oidBytea: "bytea", oidJSON: "json", oidJSONB: "jsonb",
	1007: "int4[]", oidTextArray: "text[]", 2951: "uuid[]", oidInet: "inet", oidCIDR: "cidr", oidInt4Range: "int4range", oidNumRange: "numrange",
	oidDateRange: "daterange", oidTstzRange: "tstzrange", oidName: "name", oidOID: "oid",
	oidAnyElement: "int4", oidAnyArray: "int4[]", oidAnyNonArray: "uuid", oidAnyEnum: "shop.status", oidAnyRange: "int4range",
	oidAnyCompat: "int4", oidAnyCompatArr: "int4[]",
}

// everything adds a template for each operator, function and cast that has an implementation here.
func everything(templates map[string][]string) {
	add := func(result uint32, template string, ok bool) {
		if of, known := sampleTypes[result]; ok && known && !slices.Contains(templates[of], template) {
			templates[of] = append(templates[of], template)
		}
	}
	c := builtin()
	var all []*proc
	for _, list := range []map[string][]*proc{c.operators, c.functions} {
		for _, procs := range list {
			all = append(all, procs...)
		}
	}
	slices.SortFunc(all, func(x, y *proc) int { return strings.Compare(describe(x), describe(y)) })
	for _, p := range all {
		if _, ok := implementations[p.call.name]; !ok || p.variadic != 0 || slices.Contains([]string{"lpad", "rpad", "repeat"}, p.name) {
			// With a random length those three keep the server busy for minutes.
			continue
		}
		args, ok := holes(p.args, byCollation[p.call.name] != "")
		switch {
		case p.call.operator == "":
			add(p.result, "pg_catalog."+p.name+"("+strings.Join(args, ", ")+")", ok)
		case len(p.args) == 1:
			add(p.result, "("+p.name+" "+strings.Join(args, "")+")", ok)
		default:
			add(p.result, "("+strings.Join(args, " "+p.name+" ")+")", ok)
		}
	}
	var casts []castKey
	for k := range c.casts {
		casts = append(casts, k)
	}
	slices.SortFunc(casts, func(x, y castKey) int {
		return int(x.source)*100000 + int(x.target) - int(y.source)*100000 - int(y.target)
	})
	for _, k := range casts {
		source, ok := sampleTypes[k.source]
		if _, done := implementations[c.casts[k].call.name]; done || c.casts[k].method != 'f' {
			add(k.target, "({"+source+"}::"+sampleTypes[k.target]+")", ok && k.source != k.target)
		}
	}
	for _, of := range []string{"timestamp(3)", "timestamptz(0)", "time(2)", "numeric(8,3)", "varchar(4)", "char(3)"} {
		base := strings.ReplaceAll(strings.ReplaceAll(of[:strings.IndexByte(of, '(')], "varchar", "varchar(10)"), "char(10)", "char(10)")
		if base == "char" {
			base = "char(5)"
		}
		templates["text"] = append(templates["text"], "({"+base+"}::"+of+"::text)")
	}
}

func describe(p *proc) string { return fmt.Sprint(p.name, p.args, p.call.name) }

// holes are the arguments; text whose order or letters count is under the collation C.
func holes(args []uint32, collated bool) ([]string, bool) {
	var out []string
	for _, a := range args {
		of, ok := sampleTypes[a]
		if !ok {
			return nil, false
		}
		hole := "{" + of + "}"
		if collated && builtin().types[a].collatable {
			hole = "(" + hole + ` collate "C")`
		}
		out = append(out, hole)
	}
	return out, true
}
