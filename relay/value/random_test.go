package value

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// random makes one value of a type, as the text that Postgres reads.
type random func(r *rand.Rand) string

// pick makes one of the given texts.
func pick(texts ...string) random {
	return func(r *rand.Rand) string { return texts[r.IntN(len(texts))] }
}

// alphabets are what random text is made of: plain, what some syntax quotes, control characters, and more bytes each.
var alphabets = []string{
	"abcdefghijklmnopqrstuvwxyz ABCXYZ0123456789_-", `"\{}(),;:'<>&/= %$` + "`", "\x01\x02\b\t\n\v\f\r\x1b\x1f\x7f",
	"äßéñøΩжא", "漢字かな€\u2028\u2029\ufeff", "𝄞😀🧑\u200d🚀",
}

func letters(r *rand.Rand, n int) string {
	var b strings.Builder
	alphabet := []rune(alphabets[0])
	for range n {
		if r.IntN(4) == 0 {
			alphabet = []rune(alphabets[r.IntN(len(alphabets))])
		}
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// randomText is short mostly, at times long enough to be stored out of line.
func randomText(r *rand.Rand) string {
	switch r.IntN(200) {
	case 0:
		return letters(r, 2000+r.IntN(3000))
	case 1, 2, 3:
		return pick("", "NULL", "null", `""`, `\`, "{}", "()", `\N`, " ", "NaN", "\\x")(r)
	}
	return letters(r, r.IntN(40))
}

func randomWord(r *rand.Rand) string {
	b := make([]byte, 1+r.IntN(8))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

func randomBits(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(r.IntN(2))
	}
	return string(b)
}

// integers makes whole numbers of every size up to the given number of bits.
func integers(bits int) random {
	return func(r *rand.Rand) string { return strconv.FormatInt(int64(r.Uint64())>>(64-bits+r.IntN(bits)), 10) }
}

// unsigned makes whole numbers of every size up to the given number of bits.
func unsigned(bits int) random {
	return func(r *rand.Rand) string { return strconv.FormatUint(r.Uint64()>>(64-bits+r.IntN(bits)), 10) }
}

// floats makes any bit pattern at times, else numbers as people write them.
func floats(bits int) random {
	return func(r *rand.Rand) string {
		switch r.IntN(3) {
		case 0:
			return strconv.FormatFloat(r.NormFloat64()*1000, 'f', r.IntN(5), bits)
		case 1:
			return strconv.FormatFloat(math.Pow(10, float64(r.IntN(40)-20))*r.Float64(), 'g', -1, bits)
		}
		v := math.Float64frombits(r.Uint64())
		if bits == 32 {
			v = float64(math.Float32frombits(r.Uint32()))
		}
		return strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, bits), "+")
	}
}

func randomNumeric(r *rand.Rand) string {
	switch r.IntN(50) {
	case 0:
		return pick("NaN", "Infinity", "-Infinity", "0.00", "-0", "1e-300", "1e300", "1e1000")(r)
	case 1:
		return digitsOf(r, 300) + "." + digitsOf(r, 100)
	}
	return pick("", "-")(r) + digitsOf(r, 1+r.IntN(25)) + pick("", "."+digitsOf(r, 1+r.IntN(15)))(r)
}

func digitsOf(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(r.IntN(10))
	}
	return string(b)
}

func randomBytea(r *rand.Rand) string {
	n := r.IntN(50)
	if r.IntN(200) == 0 {
		n = 3000
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return fmt.Sprintf(`\x%x`, b)
}

func randomUUID(r *rand.Rand) string {
	h := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// randomJSON makes documents with blanks and line ends between tokens, escapes, doubled keys and numbers of any size.
func randomJSON(r *rand.Rand) string {
	var b strings.Builder
	writeJSON(&b, r, 0)
	return b.String()
}

func writeJSON(b *strings.Builder, r *rand.Rand, depth int) {
	blank := func() { b.WriteString(pick("", "", "", " ", "\n", "\t\r\n  ")(r)) }
	blank()
	defer blank()
	kind := r.IntN(8)
	if depth > 3 && kind < 4 {
		kind += 4
	}
	switch kind {
	case 0, 1:
		b.WriteByte('[')
		for i := range r.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, r, depth+1)
		}
		b.WriteByte(']')
	case 2, 3:
		b.WriteByte('{')
		for i := range r.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(AppendText(nil, letters(r, r.IntN(4))))
			b.WriteByte(':')
			writeJSON(b, r, depth+1)
		}
		b.WriteByte('}')
	case 4:
		b.WriteString(pick("null", "true", "false", "-0", "1e300", "12345678901234567890123", "0.10", "1E+2")(r))
	case 5:
		b.WriteString(integers(64)(r))
	default:
		text := string(AppendText(nil, letters(r, r.IntN(12))))
		b.WriteString(text[:len(text)-1] + pick("", "", `\u00e9`, `\/`, `\ud834\udd1e`)(r) + `"`)
	}
}
