package predicate

import (
	"slices"
	"strconv"
	"strings"
)

// array is a datum's x for array types: its elements in storage order. Without elements it has no dimensions.
type array struct {
	elems  []datum
	dims   []int
	lowers []int
}

func newArray(elems []datum) *array {
	if len(elems) == 0 {
		return &array{}
	}
	return &array{elems: elems, dims: []int{len(elems)}, lowers: []int{1}}
}

// maxDimensions is Postgres' MAXDIM.
const maxDimensions = 6

// arrayIn reads the text form. Forms that versions before 17 took and later ones don't are refused.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
func arrayIn(read func(string) (datum, *Fault)) func(string) (datum, *Fault) {
	return func(s string) (datum, *Fault) {
		p := &arrayReader{s: trimSpace(s), read: read}
		lowers, bounds, fault := p.prefix()
		if fault != nil {
			return datum{}, fault
		}
		if fault := p.list(0); fault != nil {
			return datum{}, fault
		}
		if p.s != "" {
			return datum{}, faultArray
		}
		a := &array{elems: p.elems}
		if lowers != nil && len(a.elems) == 0 {
			return datum{}, faultArray
		}
		if len(a.elems) > 0 {
			a.dims = p.dims
			a.lowers = lowers
			if lowers == nil {
				a.lowers = slices.Repeat([]int{1}, len(a.dims))
			} else if !slices.Equal(bounds, a.dims) {
				return datum{}, faultArray
			}
		}
		return datum{x: a}, nil
	}
}

type arrayReader struct {
	s     string
	read  func(string) (datum, *Fault)
	elems []datum
	dims  []int
	// leaf is the depth at which elements stand, counted from 1; 0 until one is seen.
	leaf int
}

// prefix reads "[1:2][0:3]=".
func (p *arrayReader) prefix() (lowers, dims []int, fault *Fault) {
	if !strings.HasPrefix(p.s, "[") {
		return nil, nil, nil
	}
	for strings.HasPrefix(p.s, "[") {
		inside, rest, ok := strings.Cut(p.s[1:], "]")
		low, high, both := strings.Cut(inside, ":")
		l, errLow := strconv.ParseInt(low, 10, 32)
		h, errHigh := strconv.ParseInt(high, 10, 32)
		if !ok || !both || errLow != nil || errHigh != nil || h < l || len(dims) == maxDimensions {
			return nil, nil, inexact("the bounds of an array literal are not supported in this form")
		}
		lowers, dims = append(lowers, int(l)), append(dims, int(h-l+1))
		p.s = rest
		p.trim()
	}
	if !strings.HasPrefix(p.s, "=") {
		return nil, nil, faultArray
	}
	p.s = p.s[1:]
	p.trim()
	return lowers, dims, nil
}

func (p *arrayReader) trim() {
	for p.s != "" && isSpace(p.s[0]) {
		p.s = p.s[1:]
	}
}

func (p *arrayReader) list(depth int) *Fault {
	if p.s == "" || p.s[0] != '{' || depth == maxDimensions {
		return faultArray
	}
	p.s = p.s[1:]
	n := 0
	p.trim()
	if strings.HasPrefix(p.s, "}") {
		p.s = p.s[1:]
		if depth > 0 {
			return inexact("Postgres 15 and 17 read empty dimensions of an array differently")
		}
		return nil
	}
	for {
		p.trim()
		if fault := p.item(depth); fault != nil {
			return fault
		}
		n++
		p.trim()
		if p.s == "" {
			return faultArray
		}
		c := p.s[0]
		p.s = p.s[1:]
		if c == '}' {
			break
		}
		if c != ',' {
			return faultArray
		}
	}
	for len(p.dims) <= depth {
		p.dims = append(p.dims, -1)
	}
	if p.dims[depth] >= 0 && p.dims[depth] != n {
		return faultArray
	}
	p.dims[depth] = n
	return nil
}

func (p *arrayReader) item(depth int) *Fault {
	if strings.HasPrefix(p.s, "{") {
		if p.leaf == depth+1 {
			return faultArray
		}
		return p.list(depth + 1)
	}
	if p.leaf != 0 && p.leaf != depth+1 {
		return faultArray
	}
	p.leaf = depth + 1
	text, quoted, fault := p.token()
	if fault != nil {
		return fault
	}
	if !quoted && strings.EqualFold(text, "null") {
		p.elems = append(p.elems, nullDatum)
		return nil
	}
	d, fault := p.read(text)
	p.elems = append(p.elems, d)
	return fault
}

func (p *arrayReader) token() (text string, quoted bool, fault *Fault) {
	if strings.HasPrefix(p.s, `"`) {
		text, rest, ok := unquote(p.s[1:])
		p.s = rest
		if !ok {
			return "", true, faultArray
		}
		return text, true, nil
	}
	end := strings.IndexAny(p.s, `,{}"\`)
	if end < 0 {
		return "", false, faultArray
	}
	if c := p.s[end]; c == '"' || c == '\\' {
		return "", false, inexact("an array's element is quoted as a whole or not at all")
	}
	text = trimSpace(p.s[:end])
	if text == "" || p.s[end] == '{' {
		return "", false, faultArray
	}
	p.s = p.s[end:]
	return text, false, nil
}

// unquote reads up to the closing quotation mark.
func unquote(s string) (text, rest string, ok bool) {
	if end := strings.IndexAny(s, `"\`); end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:], true
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return string(out), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			out = append(out, s[i])
		default:
			out = append(out, s[i])
		}
	}
	return "", "", false
}

func arrayOut(write func(datum) string) func(datum) string {
	return func(d datum) string {
		a := d.x.(*array)
		var b []byte
		if slices.ContainsFunc(a.lowers, func(l int) bool { return l != 1 }) {
			for i, l := range a.lowers {
				b = append(b, '[')
				b = strconv.AppendInt(b, int64(l), 10)
				b = append(b, ':')
				b = strconv.AppendInt(b, int64(l+a.dims[i]-1), 10)
				b = append(b, ']')
			}
			b = append(b, '=')
		}
		if len(a.elems) == 0 {
			return "{}"
		}
		b, _ = a.append(b, 0, 0, write)
		return string(b)
	}
}

func (a *array) append(b []byte, depth, at int, write func(datum) string) ([]byte, int) {
	b = append(b, '{')
	for i := range a.dims[depth] {
		if i > 0 {
			b = append(b, ',')
		}
		if depth < len(a.dims)-1 {
			b, at = a.append(b, depth+1, at, write)
			continue
		}
		b = appendElement(b, a.elems[at], write)
		at++
	}
	return append(b, '}'), at
}

func appendElement(b []byte, d datum, write func(datum) string) []byte {
	if d.null {
		return append(b, "NULL"...)
	}
	s := write(d)
	if s != "" && !strings.EqualFold(s, "null") && !strings.ContainsAny(s, "{}\",\\ \t\n\r\v\f") {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// compareArrays orders as array_cmp does: by the elements, null after all others, then by number, dimensions and bounds.
// For equality the shapes count too (array_eq), which agrees with it.
func compareArrays(cmp compare) compare {
	return func(x, y datum) int {
		a, b := x.x.(*array), y.x.(*array)
		for i := range min(len(a.elems), len(b.elems)) {
			c := 0
			switch p, q := a.elems[i], b.elems[i]; {
			case p.null && q.null:
			case p.null:
				c = 1
			case q.null:
				c = -1
			default:
				c = cmp(p, q)
			}
			if c != 0 {
				return c
			}
		}
		if len(a.elems) != len(b.elems) {
			return sign(len(a.elems) - len(b.elems))
		}
		if len(a.dims) != len(b.dims) {
			return sign(len(a.dims) - len(b.dims))
		}
		if c := slices.Compare(a.dims, b.dims); c != 0 {
			return c
		}
		return slices.Compare(a.lowers, b.lowers)
	}
}

// has tells whether an element equals; null equals nothing.
func (a *array) has(w *work, d datum, cmp compare) (bool, *Fault) {
	i := slices.IndexFunc(a.elems, func(e datum) bool { return !e.null && cmp(e, d) == 0 })
	if i < 0 {
		return false, w.charge(comparing * len(a.elems))
	}
	return true, w.charge(comparing * i)
}

func containsAll(w *work, a, b *array, cmp compare) (bool, *Fault) {
	for _, e := range b.elems {
		if e.null {
			return false, nil
		}
		if has, fault := a.has(w, e, cmp); !has || fault != nil {
			return false, fault
		}
	}
	return true, nil
}

func overlaps(w *work, a, b *array, cmp compare) (bool, *Fault) {
	for _, e := range b.elems {
		if e.null {
			continue
		}
		if has, fault := a.has(w, e, cmp); has || fault != nil {
			return has, fault
		}
	}
	return false, nil
}
