package predicate

import (
	"crypto/md5"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longest is how many characters lpad, rpad and repeat may make.
const longest = 1 << 20

// more are functions that rules use less often.
func more() map[string]any {
	m := map[string]any{
		"json_extract_path":      rawJSON(func(d *document, b datum) (datum, *Fault) { return rawDatum(follow(d, b.x.(*array))), nil }),
		"json_extract_path_text": rawJSON(func(d *document, b datum) (datum, *Fault) { return follow(d, b.x.(*array)).asText(), nil }),
		"json_array_length":      ofJSON(arrayLength),
		"json_typeof":            ofJSON(func(d *document) (datum, *Fault) { return datum{s: typeOf(d)}, nil }),
		"jsonb_delete_array": fn2w(func(w *work, a, b datum) (datum, *Fault) {
			var keys []string
			if fault := w.charge(len(b.x.(*array).elems) * a.size()); fault != nil {
				return datum{}, fault
			}
			if len(b.x.(*array).dims) > 1 {
				return datum{}, faultDimension
			}
			for _, e := range b.x.(*array).elems {
				if !e.null {
					keys = append(keys, e.s)
				}
			}
			return without(a.doc(), keys...)
		}),
		"timestamp_part":     fn2(partOf),
		"timestamptz_part":   fn2(partOf),
		"extract_interval":   fn2(extractInterval),
		"extract_time":       fn2(extractTime),
		"text_concat":        maker(concatenate),
		"text_concat_ws":     maker(concatenateWith),
		"pg_num_nulls":       fnN(func(a []datum) (datum, *Fault) { return countNulls(a, true) }),
		"pg_num_nonnulls":    fnN(func(a []datum) (datum, *Fault) { return countNulls(a, false) }),
		"array_to_text":      maker(arrayToText),
		"array_to_text_null": maker(arrayToText),
		"text_to_array": fn2w(func(w *work, a, b datum) (datum, *Fault) {
			return textToArray(w, a, b, nullDatum)
		}),
		"text_to_array_null": fnNw(func(w *work, a []datum) (datum, *Fault) { return textToArray(w, a[0], a[1], a[2]) }),
		"lpad":               fnN(func(a []datum) (datum, *Fault) { return pad(a[0].s, a[1].i, a[2].s, true) }),
		"rpad":               fnN(func(a []datum) (datum, *Fault) { return pad(a[0].s, a[1].i, a[2].s, false) }),
		"lpad/2":             fn2(func(a, b datum) (datum, *Fault) { return pad(a.s, b.i, " ", true) }),
		"rpad/2":             fn2(func(a, b datum) (datum, *Fault) { return pad(a.s, b.i, " ", false) }),
		"repeat": fn2(func(a, b datum) (datum, *Fault) {
			if n := max(b.i, 0); n*int64(len(a.s)) <= longest {
				return datum{s: strings.Repeat(a.s, int(n))}, nil
			}
			return datum{}, inexact("a text of this length isn't made for each row")
		}),
		"md5_text": fn1(func(a datum) (datum, *Fault) {
			sum := md5.Sum([]byte(a.s))
			return datum{s: hex.EncodeToString(sum[:])}, nil
		}),
		"array_remove": ofElements(0, func(cmp compare) any {
			return fn2(func(a, b datum) (datum, *Fault) { return removeFrom(a, b, cmp) })
		}),
	}
	return m
}

func ofJSON(f func(*document) (datum, *Fault)) fn1w {
	return func(w *work, a datum) (datum, *Fault) {
		d, fault := w.document(a.s)
		if fault != nil {
			return datum{}, fault
		}
		return f(d)
	}
}

// partOf is date_part, a float8.
func partOf(a, b datum) (datum, *Fault) {
	field := strings.ToLower(a.s)
	if finite(b.i) {
		_, t := splitDay(b.i)
		sec, micro := float64(t%minute/second), float64(t%second)
		switch field {
		case "epoch":
			return floatOf(float64(b.i+unixDays*day) / 1e6), nil
		case "second", "seconds":
			return floatOf(sec + micro/1e6), nil
		case "milliseconds", "millisecond":
			return floatOf(sec*1000 + micro/1000), nil
		}
	}
	d, fault := extractMoment(true)(a, b)
	if fault != nil || d.null {
		return d, fault
	}
	f, _ := strconv.ParseFloat(d.s, 64)
	return floatOf(f), nil
}

func integerDatum(n int64) datum { return datum{s: strconv.FormatInt(n, 10)} }

func extractInterval(a, b datum) (datum, *Fault) {
	v := b.x.(interval)
	switch strings.ToLower(a.s) {
	case "year", "years":
		return integerDatum(int64(v.months / 12)), nil
	case "month", "months":
		return integerDatum(int64(v.months % 12)), nil
	case "day", "days":
		return integerDatum(int64(v.days)), nil
	case "hour", "hours":
		return integerDatum(v.time / hour), nil
	case "epoch":
		// A year has 365.25 days here, a month 30.
		seconds := (1461*int64(v.months/12) + 120*int64(v.months%12) + 4*int64(v.days)) * 21600
		if seconds > math.MaxInt64/second/2 || seconds < -math.MaxInt64/second/2 {
			return datum{}, inexact("EXTRACT of an interval of this length is not supported")
		}
		if total, ok := addChecked(seconds*second, v.time); ok {
			return fractional(total, 6), nil
		}
		return datum{}, inexact("EXTRACT of an interval of this length is not supported")
	}
	return clockPart(a.s, v.time)
}

func extractTime(a, b datum) (datum, *Fault) {
	switch strings.ToLower(a.s) {
	case "hour", "hours":
		return integerDatum(b.i / hour), nil
	case "epoch":
		return fractional(b.i, 6), nil
	}
	return clockPart(a.s, b.i)
}

func clockPart(field string, t int64) (datum, *Fault) {
	switch strings.ToLower(field) {
	case "minute", "minutes":
		return integerDatum(t / minute % 60), nil
	case "second", "seconds":
		return fractional(t%minute, 6), nil
	case "milliseconds", "millisecond":
		return fractional(t%minute, 3), nil
	case "microseconds", "microsecond":
		return integerDatum(t % minute), nil
	}
	return datum{}, inexact("EXTRACT of this field is not supported")
}

// writers are the output functions of the arguments from the first given on.
func (b *builder) writers(n *node, from int) []func(datum) string {
	var all []func(datum) string
	for _, arg := range n.args[from:] {
		write := b.output(arg.typ)
		if write == nil {
			b.refuse(n, "values of type "+b.display(arg.typ)+" are not supported here", hintColumn)
		}
		all = append(all, write)
	}
	return all
}

func concatenate(b *builder, n *node) any {
	writers := b.writers(n, 0)
	return fnNw(func(w *work, a []datum) (datum, *Fault) {
		var out strings.Builder
		for i, d := range a {
			if !d.null {
				if fault := w.charge(d.whole()); fault != nil {
					return datum{}, fault
				}
				out.WriteString(writers[i](d))
			}
		}
		return datum{s: out.String()}, nil
	})
}

func concatenateWith(b *builder, n *node) any {
	writers := b.writers(n, 1)
	return fnNw(func(w *work, a []datum) (datum, *Fault) {
		if a[0].null {
			return nullDatum, nil
		}
		var parts []string
		for i, d := range a[1:] {
			if !d.null {
				if fault := w.charge(d.whole() + len(a[0].s)); fault != nil {
					return datum{}, fault
				}
				parts = append(parts, writers[i](d))
			}
		}
		return datum{s: strings.Join(parts, a[0].s)}, nil
	})
}

func countNulls(a []datum, null bool) (datum, *Fault) {
	n := 0
	for _, d := range a {
		if d.null == null {
			n++
		}
	}
	return count(n)
}

// arrayToText is array_to_string with two arguments or three.
func arrayToText(b *builder, n *node) any {
	write := b.output(b.elemOf(n.args[0].typ))
	if write == nil {
		b.refuse(n, "elements of type "+b.display(b.elemOf(n.args[0].typ))+" are not supported here", hintColumn)
	}
	return fnNw(func(w *work, a []datum) (datum, *Fault) {
		if a[0].null || a[1].null {
			return nullDatum, nil
		}
		elems, between := a[0].x.(*array).elems, len(a[1].s)
		if len(a) > 2 {
			between += len(a[2].s)
		}
		if fault := w.charge(a[0].whole() + len(elems)*between); fault != nil {
			return datum{}, fault
		}
		var parts []string
		for _, e := range elems {
			switch {
			case !e.null:
				parts = append(parts, write(e))
			case len(a) > 2 && !a[2].null:
				parts = append(parts, a[2].s)
			}
		}
		return datum{s: strings.Join(parts, a[1].s)}, nil
	})
}

// textToArray is string_to_array: a null separator parts every character, an empty one none.
func textToArray(w *work, text, separator, null datum) (datum, *Fault) {
	if text.null {
		return nullDatum, nil
	}
	if fault := w.charge(3 * parsing * (1 + strings.Count(text.s, separator.s))); fault != nil {
		return datum{}, fault
	}
	var parts []string
	switch {
	case text.s == "":
	case separator.null:
		parts = strings.Split(text.s, "")
	case separator.s == "":
		parts = []string{text.s}
	default:
		parts = strings.Split(text.s, separator.s)
	}
	elems := make([]datum, len(parts))
	for i, part := range parts {
		elems[i] = datum{s: part}
		if !null.null && part == null.s {
			elems[i] = nullDatum
		}
	}
	return datum{x: newArray(elems)}, nil
}

func pad(s string, n int64, fill string, left bool) (datum, *Fault) {
	if n > longest {
		return datum{}, inexact("a text of this length isn't made for each row")
	}
	have := int64(utf8.RuneCountInString(s))
	if n <= have {
		return datum{s: s[:cutAt(s, n)]}, nil
	}
	if fill == "" {
		return datum{s: s}, nil
	}
	need := n - have
	padding := strings.Repeat(fill, int(need)/utf8.RuneCountInString(fill)+1)
	padding = padding[:cutAt(padding, need)]
	if left {
		return datum{s: padding + s}, nil
	}
	return datum{s: s + padding}, nil
}

// removeFrom takes out all elements that equal; null equals null.
func removeFrom(a, b datum, cmp compare) (datum, *Fault) {
	if a.null {
		return nullDatum, nil
	}
	v := a.x.(*array)
	if len(v.dims) > 1 {
		return datum{}, &Fault{"0A000", "removing elements from multidimensional arrays is not supported"}
	}
	kept := slices.DeleteFunc(slices.Clone(v.elems), func(e datum) bool {
		return e.null && b.null || !e.null && !b.null && cmp(e, b) == 0
	})
	if len(kept) == 0 {
		return datum{x: &array{}}, nil
	}
	return datum{x: &array{elems: kept, dims: []int{len(kept)}, lowers: v.lowers}}, nil
}
