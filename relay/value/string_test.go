package value

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestClean puts each byte at each place of strings around the length of a word.
func TestClean(t *testing.T) {
	for length := range 27 {
		for at := range length {
			for c := range 256 {
				s := []byte(strings.Repeat("\xff", length))
				s[at] = byte(c)
				want := length
				if c < ' ' || c == '"' || c == '\\' {
					want = at
				}
				if got := clean(s); got != want {
					t.Fatalf("byte %#x at %d of %d: got %d, want %d", c, at, length, got, want)
				}
			}
		}
	}
}

func TestAppendString(t *testing.T) {
	all := make([]byte, 128)
	for i := range all {
		all[i] = byte(i)
	}
	for _, s := range []string{"", "a", string(all), "ü\u2028€𝄞", strings.Repeat("clean ", 50) + `"`, `\\\"""`} {
		got := AppendString(nil, []byte(s))
		if text := AppendText(nil, s); string(text) != string(got) {
			t.Errorf("AppendText gives %s, AppendString %s", text, got)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != s {
			t.Errorf("%q came back as %q: %v", s, back, err)
		}
	}
}
