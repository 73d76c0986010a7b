package journal

import (
	"bytes"
	"testing"

	"pgrelay/relay"
)

// BenchmarkAppend takes in the rows of large transactions.
func BenchmarkAppend(b *testing.B) {
	message := bytes.Repeat([]byte("x"), 200)
	j := New(Config{}, 0)
	end, rows := relay.LSN(0), 0
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if rows%1000 == 0 {
			end += 300_000
			j.Commit(end)
			j.Begin(uint64(end), 1_795_490_000_000_000)
		}
		j.Append(message)
		rows++
	}
}
