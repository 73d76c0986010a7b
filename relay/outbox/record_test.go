package outbox

import (
	"bytes"
	"strings"
	"testing"

	"pgrelay/relay"
)

func TestAppendTuple(t *testing.T) {
	all := []bool{true, true, true}
	for _, c := range []struct {
		text     string
		captured []bool
		want     string
	}{
		{`(1,,"")`, all, "1|null|"},
		{`("a ""b"" \\ c","(d,e)",{f})`, all, `a "b" \ c|(d,e)|{f}`},
		{`(,,)`, all, "null|null|null"},
		{`(1,"x, y",3)`, []bool{true, false, true}, "1|3"},
		{`()`, []bool{true}, "null"},
	} {
		tuple, err := appendTuple(nil, []byte(c.text), c.captured)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		values, rest, err := tuple.Values(nil)
		if err != nil || len(rest) != 0 {
			t.Errorf("%s: got %v with %d bytes left", c.text, err, len(rest))
		}
		var got []string
		for _, v := range values {
			if v.Kind == relay.ValueNull {
				got = append(got, "null")
			} else {
				got = append(got, string(v.Text))
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, want %q", c.text, got, c.want)
		}
		if n := fields([]byte(c.text)); n != len(c.captured) {
			t.Errorf("%s: got %d fields, want %d", c.text, n, len(c.captured))
		}
	}
	for _, text := range []string{"", "(", ")", "(1,2)", "(1,2,3,4)", `("1,2,3)`, `(1,2,"3"4)`, `("\x",2,3)`, "1,2,3", "(1,2,3"} {
		if tuple, err := appendTuple(nil, []byte(text), all); err == nil {
			t.Errorf("%q: got %q, want an error", text, tuple)
		}
	}
}

// FuzzAppendTuple: no input makes a tuple that can't be read, and fields agrees with it.
func FuzzAppendTuple(f *testing.F) {
	for _, text := range []string{`(1,,"")`, `("a ""b"" \\ c","(d,e)",{f})`, `(,,)`, `("`, `(1,2,3)x`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := []byte("before")
		tuple, err := appendTuple(before, text, []bool{true, false, true})
		if err != nil {
			return
		}
		if !bytes.HasPrefix(tuple, before) {
			t.Fatalf("%q: what was there before is gone", text)
		}
		values, rest, err := tuple[len(before):].Values(nil)
		if err != nil || len(rest) != 0 || len(values) != 2 {
			t.Fatalf("%q: got %d values, %d bytes left, %v", text, len(values), len(rest), err)
		}
		if n := fields(text); n != 3 {
			t.Fatalf("%q: got %d fields, want 3", text, n)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x19\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02ab"))
	f.Fuzz(func(t *testing.T, array []byte) {
		var b batch
		texts, err := b.texts(array)
		for range texts.count {
			if err != nil {
				return
			}
			_, err = texts.next()
		}
	})
}

func BenchmarkAppendTuple(b *testing.B) {
	text := []byte(`(4711,"0b9b2b1c-61c5-4f6e-8b1e-1d5c2f0b7a55","some name, of a thing",12.50,"2024-01-02 03:04:05.6+00",,7)`)
	captured := []bool{true, true, true, true, true, true, true}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		tuple, err := appendTuple(dst[:0], text, captured)
		if err != nil {
			b.Fatal(err)
		}
		dst = tuple
	}
}
