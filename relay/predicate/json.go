package predicate

import (
	"strings"
	"unicode/utf8"
)

// document is a parsed json or jsonb value.
type document struct {
	kind jsonKind
	// text is a string's value or a number's canonical numeric.
	text  string
	elems []*document
	// keys are an object's, sorted as jsonb sorts them (by length, then bytes) unless it is a json's.
	keys []string
	// raw is the text as it was written; of a json only.
	raw string
	// bytes it takes to write it, or less.
	bytes int
}

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonString
	jsonNumber
	jsonTrue
	jsonFalse
	jsonArray
	jsonObject
)

func (d *document) scalar() bool { return d.kind < jsonArray }

var emptyObject = &document{kind: jsonObject, bytes: 2}

// maxNesting of a document; Postgres' own limit is its stack's.
const maxNesting = 1000

// reader parses a document as json_in and jsonb_in do.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/common/jsonapi.c
type reader struct {
	s     string
	at    int
	depth int
	// raw keeps texts, the order and the duplicates of keys, as json does.
	raw bool
	// loose doesn't look at what escapes stand for, as json_in.
	loose bool
	// encoded refuses what depends on an encoding other than UTF8.
	encoded bool
}

func parseJSON(s string, raw, loose, encoded bool) (*document, *Fault) {
	r := &reader{s: s, raw: raw, loose: loose, encoded: encoded}
	d, fault := r.value()
	if fault != nil {
		return nil, fault
	}
	r.space()
	if r.at < len(s) {
		return nil, faultJSON
	}
	return d, nil
}

func (r *reader) space() {
	for r.at < len(r.s) && strings.IndexByte(" \t\n\r", r.s[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) next(c byte) bool {
	r.space()
	if r.at < len(r.s) && r.s[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) value() (*document, *Fault) {
	r.space()
	if r.at >= len(r.s) {
		return nil, faultJSON
	}
	if r.depth++; r.depth > maxNesting {
		return nil, inexact("a document is nested deeper than 1000")
	}
	start := r.at
	d, fault := r.bare()
	r.depth--
	if fault != nil {
		return nil, fault
	}
	if r.raw {
		d.raw = r.s[start:r.at]
	}
	d.bytes = max(r.at-start, len(d.text))
	return d, nil
}

func (r *reader) bare() (*document, *Fault) {
	switch c := r.s[r.at]; {
	case c == '{':
		return r.object()
	case c == '[':
		return r.array()
	case c == '"':
		text, fault := r.str()
		return &document{kind: jsonString, text: text}, fault
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, w := range words {
		if rest := r.s[r.at:]; strings.HasPrefix(rest, w.text) && (len(rest) == len(w.text) || !wordByte(rest[len(w.text)])) {
			r.at += len(w.text)
			return &document{kind: w.kind}, nil
		}
	}
	return nil, faultJSON
}

var words = [...]struct {
	text string
	kind jsonKind
}{{"null", jsonNull}, {"true", jsonTrue}, {"false", jsonFalse}}

// wordByte tells of bytes that make one token with letters before them.
func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

func (r *reader) digits() bool {
	start := r.at
	for r.at < len(r.s) && r.s[r.at] >= '0' && r.s[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

func (r *reader) number() (*document, *Fault) {
	start := r.at
	if r.s[r.at] == '-' {
		r.at++
	}
	if r.at < len(r.s) && r.s[r.at] == '0' {
		r.at++
	} else if !r.digits() {
		return nil, faultJSON
	}
	if r.at < len(r.s) && r.s[r.at] == '.' {
		if r.at++; !r.digits() {
			return nil, faultJSON
		}
	}
	if r.at < len(r.s) && r.s[r.at]|0x20 == 'e' {
		r.at++
		if r.at < len(r.s) && (r.s[r.at] == '+' || r.s[r.at] == '-') {
			r.at++
		}
		if !r.digits() {
			return nil, faultJSON
		}
	}
	if r.at < len(r.s) && wordByte(r.s[r.at]) {
		return nil, faultJSON
	}
	if r.raw {
		return &document{kind: jsonNumber, text: r.s[start:r.at]}, nil
	}
	n, fault := numericIn(r.s[start:r.at])
	return &document{kind: jsonNumber, text: n.s}, fault
}

func (r *reader) str() (string, *Fault) {
	r.at++
	start := r.at
	for r.at < len(r.s) {
		switch c := r.s[r.at]; {
		case c == '"':
			r.at++
			return r.s[start : r.at-1], nil
		case c == '\\':
			return r.escaped(start)
		case c < 0x20:
			return "", faultJSON
		}
		r.at++
	}
	return "", faultJSON
}

func (r *reader) escaped(start int) (string, *Fault) {
	out := []byte(r.s[start:r.at])
	high := rune(0)
	for r.at < len(r.s) {
		c := r.s[r.at]
		if high != 0 && c != '\\' {
			return "", faultJSON
		}
		switch {
		case c == '"':
			r.at++
			return string(out), nil
		case c < 0x20:
			return "", faultJSON
		case c != '\\':
			out = append(out, c)
			r.at++
			continue
		}
		if r.at+1 >= len(r.s) {
			return "", faultJSON
		}
		e := r.s[r.at+1]
		r.at += 2
		if e == 'u' {
			var fault *Fault
			if out, high, fault = r.unicode(out, high); fault != nil {
				return "", fault
			}
			continue
		}
		i := strings.IndexByte(`"\/bfnrt`, e)
		if i < 0 || high != 0 {
			return "", faultJSON
		}
		out = append(out, "\"\\/\b\f\n\r\t"[i])
	}
	return "", faultJSON
}

// unicode reads the four digits behind \u; high is a surrogate that waits for its second half.
func (r *reader) unicode(out []byte, high rune) ([]byte, rune, *Fault) {
	if r.at+4 > len(r.s) {
		return nil, 0, faultJSON
	}
	v := rune(0)
	for range 4 {
		if !isHex(r.s[r.at]) {
			return nil, 0, faultJSON
		}
		v = v<<4 | rune(strings.IndexByte("0123456789abcdef", lowerHex(r.s[r.at])))
		r.at++
	}
	switch {
	case r.encoded && v >= utf8.RuneSelf:
		return nil, 0, faultEncoded
	case r.loose:
		return out, 0, nil
	case v == 0:
		return nil, 0, &Fault{"22P05", "unsupported Unicode escape sequence"}
	case v >= 0xD800 && v <= 0xDBFF:
		if high != 0 {
			return nil, 0, faultJSON
		}
		return out, v, nil
	case v >= 0xDC00 && v <= 0xDFFF:
		if high == 0 {
			return nil, 0, faultJSON
		}
		return utf8.AppendRune(out, 0x10000+(high-0xD800)<<10+(v-0xDC00)), 0, nil
	case high != 0:
		return nil, 0, faultJSON
	}
	return utf8.AppendRune(out, v), 0, nil
}

func (r *reader) array() (*document, *Fault) {
	d := &document{kind: jsonArray}
	r.at++
	if r.next(']') {
		return d, nil
	}
	for {
		e, fault := r.value()
		if fault != nil {
			return nil, fault
		}
		d.elems = append(d.elems, e)
		if r.next(']') {
			return d, nil
		}
		if !r.next(',') {
			return nil, faultJSON
		}
	}
}

func (r *reader) object() (*document, *Fault) {
	d := &document{kind: jsonObject}
	r.at++
	if r.next('}') {
		return d, nil
	}
	for {
		if r.space(); r.at >= len(r.s) || r.s[r.at] != '"' {
			return nil, faultJSON
		}
		key, fault := r.str()
		if fault != nil {
			return nil, fault
		}
		if r.encoded && !r.raw && !ascii(key) {
			return nil, faultEncoded
		}
		if !r.next(':') {
			return nil, faultJSON
		}
		e, fault := r.value()
		if fault != nil {
			return nil, fault
		}
		d.keys, d.elems = append(d.keys, key), append(d.elems, e)
		if r.next('}') {
			break
		}
		if !r.next(',') {
			return nil, faultJSON
		}
	}
	if !r.raw {
		d.sort()
	}
	return d, nil
}
