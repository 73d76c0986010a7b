package predicate

import (
	"strings"
	"unicode/utf8"
)

// liker is LIKE, NOT LIKE and, for ASCII letters alone, ILIKE.
// https://www.postgresql.org/docs/current/functions-matching.html#FUNCTIONS-LIKE
func liker(not, fold bool) fn2w {
	return func(w *work, a, b datum) (datum, *Fault) {
		s, pattern := a.s, b.s
		if fold {
			s, pattern = mapASCII(s, 'A', 'Z'), mapASCII(pattern, 'A', 'Z')
		}
		m, fault := w.like(s, pattern)
		if fault != nil {
			return datum{}, fault
		}
		return boolean((m == matched) != not), nil
	}
}

// match is what MatchText returns: whether it matched, and whether a longer text could.
type match uint8

const (
	unmatched match = iota
	matched
	// aborted: the text ended first, so that no later start can match either.
	aborted
)

// like follows MatchText of like_match.c, also in when a trailing backslash is noticed.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/like_match.c
func (w *work) like(s, p string) (match, *Fault) {
	before := len(p)
	for s != "" && p != "" {
		switch p[0] {
		case '\\':
			if p = p[1:]; p == "" {
				return unmatched, faultEscape
			}
			if s[0] != p[0] {
				return unmatched, w.charge(before - len(p))
			}
		case '%':
			if fault := w.charge(before - len(p)); fault != nil {
				return unmatched, fault
			}
			return w.likeRest(s, p[1:])
		case '_':
			_, n := utf8.DecodeRuneInString(s)
			s, p = s[n:], p[1:]
			continue
		default:
			if s[0] != p[0] {
				return unmatched, w.charge(before - len(p))
			}
		}
		s, p = s[1:], p[1:]
	}
	if s != "" {
		return unmatched, w.charge(before)
	}
	for p != "" && p[0] == '%' {
		p = p[1:]
	}
	if p == "" {
		return matched, nil
	}
	return aborted, nil
}

// likeRest matches what follows a per cent sign at every place of the text where its first letters are.
func (w *work) likeRest(s, p string) (match, *Fault) {
	for p != "" {
		if p[0] == '_' {
			if s == "" {
				return aborted, nil
			}
			_, n := utf8.DecodeRuneInString(s)
			s = s[n:]
		} else if p[0] != '%' {
			break
		}
		p = p[1:]
	}
	if p == "" {
		return matched, nil
	}
	first := p
	if end := strings.IndexAny(p, `%_\`); end >= 0 {
		first = p[:end]
	}
	if first == "" {
		// A backslash and what it stands before.
		if len(p) < 2 {
			return unmatched, faultEscape
		}
		first = p[1:2]
	}
	for {
		at := strings.Index(s, first)
		if at < 0 {
			return aborted, w.charge(len(s) / 8)
		}
		if fault := w.charge(1 + at/8); fault != nil {
			return unmatched, fault
		}
		s = s[at:]
		if m, fault := w.like(s, p); m != unmatched || fault != nil {
			return m, fault
		}
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
}

// likeEscape turns the escape of a pattern into a backslash.
func likeEscape(a, b datum) (datum, *Fault) {
	pattern, escape := a.s, b.s
	if escape == `\` {
		return a, nil
	}
	if utf8.RuneCountInString(escape) > 1 {
		return datum{}, &Fault{"22025", "invalid escape string"}
	}
	var out []byte
	after := false
	for i, r := range pattern {
		c := pattern[i : i+utf8.RuneLen(r)]
		switch {
		case escape != "" && c == escape && !after:
			out = append(out, '\\')
			after = true
			continue
		case c == `\` && (escape == "" || !after):
			out = append(out, '\\')
		}
		out = append(out, c...)
		after = false
	}
	return datum{s: string(out)}, nil
}
