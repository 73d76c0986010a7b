package predicate

// implementations are what is evaluated, by the name of the function in Postgres' sources (pg_proc.prosrc), or name/arguments
// where it isn't written in C. What isn't here is refused.
var implementations map[string]any

func init() {
	implementations = map[string]any{}
	for _, m := range []map[string]any{
		integers(), floats(), numerics(), texts(), moments(), documents(), arrays(), spans(), networks(), casts(), more(), toJSON(),
	} {
		for name, f := range m {
			implementations[name] = f
		}
	}
	comparisons()
}

// suffixes are how the names of the six comparisons end.
var suffixes = map[string]order{"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}

// byBytes are the prefixes of comparisons whose equality is that of the texts.
var byBytes = map[string]bool{"text": true, "text_": true, "name": true, "bytea": true, "uuid_": true}

// byNumber are the prefixes of comparisons whose equality is that of the numbers.
var byNumber = map[string]bool{
	"int2": true, "int4": true, "int8": true, "int24": true, "int42": true, "int28": true, "int82": true, "int48": true, "int84": true,
	"oid": true, "date_": true, "time_": true, "timestamp_": true,
}

// comparisons enters the six operators of each pair of types.
func comparisons() {
	plain := map[string]compare{
		"int2": compareInt, "int4": compareInt, "int8": compareInt, "int24": compareInt, "int42": compareInt, "int28": compareInt,
		"int82": compareInt, "int48": compareInt, "int84": compareInt, "oid": compareInt, "bool": compareInt,
		"float4": compareFloat, "float8": compareFloat, "float48": compareFloat, "float84": compareFloat, "numeric_": compareNumeric,
		"text": compareBytes, "text_": compareBytes, "name": compareBytes, "bpchar": comparePadded, "bytea": compareBytes, "uuid_": compareBytes,
		"date_": compareInt, "time_": compareInt, "timestamp_": compareInt, "interval_": compareInterval, "network_": compareNetworks,
	}
	for prefix, cmp := range plain {
		for suffix, op := range suffixes {
			implementations[prefix+suffix] = comparison{cmp, op, byBytes[prefix], byNumber[prefix]}
		}
	}
	for suffix, op := range suffixes {
		for prefix, cmp := range map[string]compare{
			"date_%_timestamp": compareDateTimestamp, "date_%_timestamptz": compareDateTimestamp, "timestamp_%_date": compareTimestampDate,
			"timestamptz_%_date": compareTimestampDate, "timestamp_%_timestamptz": compareInt, "timestamptz_%_timestamp": compareInt,
		} {
			before, after, _ := cut(prefix)
			implementations[before+suffix+after] = comparison{cmp, op, false, false}
		}
		implementations["text"+suffix+"name"] = comparison{compareBytes, op, true, false}
		implementations["name"+suffix+"text"] = comparison{compareBytes, op, true, false}
		implementations["text_pattern_"+suffix] = comparison{compareBytes, op, true, false}
		implementations["bpchar_pattern_"+suffix] = comparison{comparePadded, op, false, false}
		for _, prefix := range []string{"enum_", "array_", "range_"} {
			implementations[prefix+suffix] = maker(func(b *builder, n *node) any {
				cmp := b.order(n.args[0].typ)
				if op == eq || op == ne {
					cmp = b.equality(n.args[0].typ)
				}
				if cmp != nil && b.get(b.baseOf(n.args[0].typ)).kind == 'e' && (op == eq || op == ne) {
					cmp = compareBytes
				}
				if cmp == nil {
					b.refuse(n, "values of type "+b.display(n.args[0].typ)+" can't be compared here", hintColumn)
				}
				return comparison{cmp, op, b.get(b.baseOf(n.args[0].typ)).kind == 'e', false}
			})
		}
	}
	implementations["jsonb_eq"] = comparison{compareDocs, eq, false, false}
	implementations["jsonb_ne"] = comparison{compareDocs, ne, false, false}
}

func cut(pattern string) (string, string, bool) {
	for i := range len(pattern) {
		if pattern[i] == '%' {
			return pattern[:i], pattern[i+1:], true
		}
	}
	return pattern, "", false
}

func same1(a datum) (datum, *Fault) { return a, nil }

func integers() map[string]any {
	m := map[string]any{}
	for name, l := range map[string]limits{"int2": int2Limits, "int4": int4Limits, "int8": int8Limits} {
		m[name+"pl"], m[name+"mi"], m[name+"mul"], m[name+"div"], m[name+"mod"] = l.op('+'), l.op('-'), l.op('*'), l.op('/'), l.op('%')
		m[name+"um"], m[name+"abs"], m[name+"up"] = fn1(l.negate), fn1(l.abs), fn1(same1)
		m[name+"and"] = fn2(func(a, b datum) (datum, *Fault) { return datum{i: a.i & b.i}, nil })
		m[name+"or"] = fn2(func(a, b datum) (datum, *Fault) { return datum{i: a.i | b.i}, nil })
		m[name+"xor"] = fn2(func(a, b datum) (datum, *Fault) { return datum{i: a.i ^ b.i}, nil })
		m[name+"not"] = fn1(func(a datum) (datum, *Fault) { return datum{i: ^a.i}, nil })
	}
	for name, l := range map[string]limits{
		"int24": int4Limits, "int42": int4Limits, "int28": int8Limits, "int82": int8Limits, "int48": int8Limits, "int84": int8Limits,
	} {
		m[name+"pl"], m[name+"mi"], m[name+"mul"], m[name+"div"] = l.op('+'), l.op('-'), l.op('*'), l.op('/')
	}
	return m
}

func floats() map[string]any {
	m := map[string]any{}
	for name, bits := range map[string]int{"float4": 32, "float8": 64, "float48": 64, "float84": 64} {
		m[name+"pl"], m[name+"mi"], m[name+"mul"], m[name+"div"] = floatOp(bits, '+'), floatOp(bits, '-'), floatOp(bits, '*'), floatOp(bits, '/')
	}
	for _, name := range []string{"float4", "float8"} {
		m[name+"um"] = fn1(func(a datum) (datum, *Fault) { return floatOf(-a.float()), nil })
		m[name+"up"] = fn1(same1)
		m[name+"abs"] = rounded("abs")
	}
	for _, name := range []string{"dceil", "dfloor", "dround", "dtrunc", "dsign", "dsqrt"} {
		m[name] = rounded(name)
	}
	return m
}

func numerics() map[string]any {
	cut := func(trunc bool) fn2 {
		return func(a, b datum) (datum, *Fault) { return numericRound(a, int(b.i), trunc) }
	}
	return map[string]any{
		"numeric_add": fn2(numericAdd), "numeric_sub": fn2(numericSub), "numeric_mul": fn2(numericMul), "numeric_div": fn2(numericDiv),
		"numeric_mod": fn2(numericMod), "numeric_uplus": fn1(same1),
		"numeric_uminus": fn1(func(a datum) (datum, *Fault) { return numericNeg(a), nil }),
		"numeric_abs": fn1(func(a datum) (datum, *Fault) {
			if a.s[0] == '-' {
				return numericNeg(a), nil
			}
			return a, nil
		}),
		"numeric_sign": fn1(func(a datum) (datum, *Fault) {
			if a.s == nan {
				return a, nil
			}
			return datum{s: intOut(datum{i: int64(numericSign(a.s))})}, nil
		}),
		"numeric_ceil":  fn1(func(a datum) (datum, *Fault) { return numericFloor(a, true) }),
		"numeric_floor": fn1(func(a datum) (datum, *Fault) { return numericFloor(a, false) }),
		"numeric_round": cut(false), "numeric_trunc": cut(true),
		"round/1": fn1(func(a datum) (datum, *Fault) { return numericRound(a, 0, false) }),
		"trunc/1": fn1(func(a datum) (datum, *Fault) { return numericRound(a, 0, true) }),
		"numeric": fn2(func(a, b datum) (datum, *Fault) { return numericFit(a, int32(b.i)) }),
	}
}

// casts between numbers.
func casts() map[string]any {
	toNumeric := fn1(func(a datum) (datum, *Fault) { return datum{s: intOut(a)}, nil })
	toFloat := fn1(func(a datum) (datum, *Fault) { return floatOf(float64(a.i)), nil })
	toFloat4 := fn1(func(a datum) (datum, *Fault) { return floatOf(float64(float32(a.i))), nil })
	fromNumeric := func(l limits) fn1 {
		return func(a datum) (datum, *Fault) { return numericToInt(a, l.low, l.high, l.out) }
	}
	fromFloat := func(l limits) fn1 { return floatToInt(float64(l.low), -float64(l.low), l.out) }
	return map[string]any{
		"int2_numeric": toNumeric, "int4_numeric": toNumeric, "int8_numeric": toNumeric,
		"numeric_int2": fromNumeric(int2Limits), "numeric_int4": fromNumeric(int4Limits), "numeric_int8": fromNumeric(int8Limits),
		"numeric_float4": numericToFloat(32, "real"), "numeric_float8": numericToFloat(64, "double precision"),
		"float4_numeric": floatToNumeric(6), "float8_numeric": floatToNumeric(15),
		"int28": fn1(same1), "int48": fn1(same1), "i2toi4": fn1(same1), "oidtoi8": fn1(same1),
		"int82": fn1(int2Limits.convert), "int84": fn1(int4Limits.convert), "i4toi2": fn1(int2Limits.convert), "i8tooid": fn1(oidLimits.convert),
		"i2tod": toFloat, "i4tod": toFloat, "i8tod": toFloat, "i2tof": toFloat4, "i4tof": toFloat4, "i8tof": toFloat4,
		"ftod": fn1(same1), "dtof": fn1(narrow),
		"ftoi2": fromFloat(int2Limits), "ftoi4": fromFloat(int4Limits), "ftoi8": fromFloat(int8Limits),
		"dtoi2": fromFloat(int2Limits), "dtoi4": fromFloat(int4Limits), "dtoi8": fromFloat(int8Limits),
		"int4 as oid": fn1(func(a datum) (datum, *Fault) { return datum{i: int64(uint32(a.i))}, nil }),
		"oid as int4": fn1(func(a datum) (datum, *Fault) { return datum{i: int64(int32(a.i))}, nil }),
		"int4_bool":   fn1(func(a datum) (datum, *Fault) { return boolean(a.i != 0), nil }),
		"bool_int4":   fn1(same1), "booltext": fn1(boolText),
	}
}
