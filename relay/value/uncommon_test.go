package value

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Values of types that few tables have.

func randomPoint(r *rand.Rand) string {
	return "(" + floats(32)(r) + "," + floats(32)(r) + ")"
}

// points joins up to n points, at least two.
func points(n int, open, shut string) random {
	return func(r *rand.Rand) string {
		parts := make([]string, 2+r.IntN(n-1))
		for i := range parts {
			parts[i] = randomPoint(r)
		}
		return open + strings.Join(parts, ",") + shut
	}
}

func randomLine(r *rand.Rand) string {
	return fmt.Sprintf("{%d,%g,%g}", 1+r.IntN(9), r.NormFloat64(), r.NormFloat64())
}

func randomCircle(r *rand.Rand) string {
	return fmt.Sprintf("<(%g,%g),%g>", r.NormFloat64(), r.NormFloat64(), r.ExpFloat64())
}

func randomInet(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return fmt.Sprintf("%d.%d.%d.%d/%d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(33))
	}
	return fmt.Sprintf("%x:%x::%x/%d", r.IntN(1<<16), r.IntN(1<<16), r.IntN(1<<16), r.IntN(129))
}

func randomCIDR(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return fmt.Sprintf("%d.%d.0.0/%d", r.IntN(256), r.IntN(256), 16+r.IntN(17))
	}
	return fmt.Sprintf("%x:%x::/%d", r.IntN(1<<16), r.IntN(1<<16), 32+r.IntN(97))
}

func randomMAC(bytes int) random {
	return func(r *rand.Rand) string {
		parts := make([]string, bytes)
		for i := range parts {
			parts[i] = fmt.Sprintf("%02x", r.IntN(256))
		}
		return strings.Join(parts, ":")
	}
}

func randomMoney(r *rand.Rand) string {
	return pick("", "-")(r) + digitsOf(r, 1+r.IntN(16)) + "." + digitsOf(r, 2)
}

func randomVector(r *rand.Rand) string {
	parts := make([]string, r.IntN(5))
	for i := range parts {
		parts[i] = unsigned(15)(r)
	}
	return strings.Join(parts, " ")
}

func randomLSN(r *rand.Rand) string { return fmt.Sprintf("%X/%X", r.Uint32(), r.Uint32()) }

func randomTID(r *rand.Rand) string { return fmt.Sprintf("(%d,%d)", r.Uint32(), r.IntN(1<<16)) }

func randomSnapshot(r *rand.Rand) string {
	low := 1 + r.IntN(1000)
	return fmt.Sprintf("%d:%d:%d,%d", low, low+10, low+r.IntN(4), low+5+r.IntN(4))
}

// lexeme is a word, or anything in quotes.
func lexeme(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return randomWord(r)
	}
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace("x"+letters(r, r.IntN(10))) + "'"
}

func randomTSVector(r *rand.Rand) string {
	parts := make([]string, r.IntN(5))
	for i := range parts {
		parts[i] = lexeme(r) + pick("", ":1", ":2A,17", ":3B")(r)
	}
	return strings.Join(parts, " ")
}

func randomTSQuery(r *rand.Rand) string {
	s := lexeme(r) + pick("", ":*", ":AB")(r)
	for range r.IntN(4) {
		s += pick(" & ", " | ", " & !", " <-> ", " <3> ")(r) + lexeme(r)
	}
	return s
}

func randomXML(r *rand.Rand) string {
	return fmt.Sprintf("<%s a=\"%d\">\n%s<![CDATA[\"\\]]></%[1]s>", "x"+randomWord(r), r.IntN(99),
		strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(strings.Map(noControl, letters(r, r.IntN(20)))))
}

func noControl(c rune) rune {
	if c < ' ' || c == '\ufeff' {
		return -1
	}
	return c
}

func randomJSONPath(r *rand.Rand) string {
	return pick("$", "strict $", "$[*]")(r) + "." + string(AppendText(nil, letters(r, 1+r.IntN(8)))) +
		pick("", " ? (@.b > 1.5)", ` ? (@ like_regex "^a\\d")`, "[0 to last].size()")(r)
}

func randomHstore(r *rand.Rand) string {
	parts := make([]string, r.IntN(4))
	for i := range parts {
		parts[i] = `"` + arrayQuotes.Replace(letters(r, 1+r.IntN(6))) + `"=>` +
			pick("NULL", `"`+arrayQuotes.Replace(letters(r, r.IntN(8)))+`"`)(r)
	}
	return strings.Join(parts, ", ")
}

func randomLtree(r *rand.Rand) string {
	parts := make([]string, 1+r.IntN(4))
	for i := range parts {
		parts[i] = randomWord(r) + "_" + digitsOf(r, 2)
	}
	return strings.Join(parts, ".")
}

// randomChar is one byte as "char" reads it: ASCII, or octal.
func randomChar(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return fmt.Sprintf(`\%o`, 128+r.IntN(128))
	}
	return string(rune(1 + r.IntN(127)))
}
