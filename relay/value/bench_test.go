package value

import (
	"strings"
	"testing"

	"pgrelay/relay"
)

type cell struct {
	encoder *Encoder
	text    []byte
}

// typicalRow is a row of ten columns as applications have them, about 300 bytes of text.
func typicalRow() []cell {
	row := []struct {
		of   *relay.Type
		text string
	}{
		{typeInt8, "184467440737"},
		{base(2950), "0e2f8f9c-5d0a-4b0e-9a64-0a4b2f1c7d11"},
		{typeText, "Ada Lovelace"},
		{base(1043), "ada@example.com"},
		{typeInt4, "42"},
		{base(1700), "12345.67"},
		{base(oidBool), "t"},
		{base(oidTimestamptz), "2026-11-24 03:13:31.123456+00"},
		{base(oidJSONB), `{"tags": ["a", "b"], "theme": "dark", "visits": 17, "address": {"city": "London"}}`},
		{arrayOf(typeText), `{red,green,"dark blue"}`},
	}
	cells := make([]cell, len(row))
	for i, c := range row {
		cells[i] = cell{New(c.of), []byte(c.text)}
	}
	return cells
}

func benchmark(b *testing.B, row ...cell) {
	var dst []byte
	size := 0
	for _, c := range row {
		size += len(c.text)
		dst = c.encoder.Append(dst, c.text)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for _, c := range row {
			dst = c.encoder.Append(dst, c.text)
		}
	}
}

func BenchmarkRow(b *testing.B) { benchmark(b, typicalRow()...) }

func BenchmarkText(b *testing.B) {
	benchmark(b, cell{New(typeText), []byte(strings.Repeat("the quick brown fox ", 50))})
}

func BenchmarkTextWithEscapes(b *testing.B) {
	benchmark(b, cell{New(typeText), []byte(strings.Repeat("\"quick\"\tbrown\\fox\n", 50))})
}

func BenchmarkArrayOfComposites(b *testing.B) {
	benchmark(b, cell{New(arrayOf(typePair)), []byte(`{"(1,\"{\"\"a\\\\\\\\b\"\"}\",\"\"\"x\"\"\")","(2,{c},)"}`)})
}

// TestNoAllocations holds the promise of the benchmarks in every run.
func TestNoAllocations(t *testing.T) {
	row := append(typicalRow(),
		cell{New(arrayOf(typePair)), []byte(`{"(1,\"{\"\"a\\\\\\\\b\"\"}\",\"\"\"x\"\"\")","(2,{c},)"}`)},
		cell{New(typePair), []byte("malformed")})
	dst := make([]byte, 0, 4096)
	allocs := testing.AllocsPerRun(100, func() {
		dst = dst[:0]
		for _, c := range row {
			dst = c.encoder.Append(dst, c.text)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a row, want none", allocs)
	}
}
