package journal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgrelay/relay"
)

func write(j *Journal, xid uint64, end relay.LSN, messages ...string) {
	j.Begin(xid, int64(xid))
	for _, m := range messages {
		j.Append([]byte(m))
	}
	j.Commit(end)
}

func contents(t *testing.T, j *Journal, position relay.LSN) (got []string) {
	t.Helper()
	for {
		tx, ok, err := j.Next(position)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got
		}
		_ = tx.Messages(func(m []byte) error {
			got = append(got, fmt.Sprintf("%d:%s", tx.XID, m))
			return nil
		})
		position = tx.End
	}
}

func TestNextContinuesAfterAPosition(t *testing.T) {
	j := New(Config{}, 100)
	write(j, 1, 110, "a", "b")
	write(j, 2, 120)
	write(j, 3, 130, "c")
	for position, want := range map[relay.LSN]string{100: "[1:a 1:b 3:c]", 110: "[3:c]", 115: "[3:c]", 130: "[]"} {
		if got := fmt.Sprint(contents(t, j, position)); got != want {
			t.Errorf("after %d: got %s, want %s", position, got, want)
		}
	}
	if _, _, err := j.Next(99); !errors.Is(err, ErrGone) {
		t.Errorf("before the window: got %v, want ErrGone", err)
	}
}

func TestAbandonedTransactionComesAgain(t *testing.T) {
	j := New(Config{}, 0)
	j.Begin(1, 1)
	j.Append([]byte("lost"))
	j.Abandon()
	write(j, 1, 10, "again")
	if got, want := fmt.Sprint(contents(t, j, 0)), "[1:again]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if size, n := j.Size(); size != 9 || n != 1 {
		t.Errorf("size: got %d bytes in %d transactions, want 9 in 1", size, n)
	}
}

func TestWindowIsBounded(t *testing.T) {
	message := string(bytes.Repeat([]byte("x"), 1000))
	for name, c := range map[string]struct {
		cfg   Config
		start relay.LSN
	}{
		"bytes": {Config{Bytes: 3 * 1004}, 97},
		"wal":   {Config{WAL: 5}, 94},
		"age":   {Config{Age: time.Nanosecond}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			j := New(c.cfg, 0)
			for i := range relay.LSN(100) {
				write(j, uint64(i), i+1, message)
			}
			if start, end := j.Window(); start < c.start || start > 100 || end != 100 {
				t.Errorf("got window %d to %d, want it to start at %d or later", start, end, c.start)
			}
		})
	}
}

func TestLargeTransactionSpansChunks(t *testing.T) {
	j := New(Config{}, 0)
	message := bytes.Repeat([]byte("y"), 100_000)
	j.Begin(7, 7)
	for range 20 {
		j.Append(message)
	}
	j.Commit(10)
	n := 0
	tx, _, err := j.Next(0)
	if err != nil {
		t.Fatal(err)
	}
	_ = tx.Messages(func(m []byte) error {
		if !bytes.Equal(m, message) {
			t.Errorf("message %d differs", n)
		}
		n++
		return nil
	})
	if n != 20 {
		t.Errorf("got %d messages, want 20", n)
	}
}

func TestTransactionLargerThanTheWindow(t *testing.T) {
	j := New(Config{Bytes: 100}, 0)
	write(j, 1, 10, "a")
	j.Begin(2, 2)
	for range 100 {
		j.Append([]byte("0123456789"))
	}
	j.Commit(20)
	if start, _ := j.Window(); start != 20 {
		t.Errorf("got start %d, want 20: nobody can go on from before", start)
	}
	if size, n := j.Size(); size != 0 || n != 0 {
		t.Errorf("got %d bytes in %d transactions, want none", size, n)
	}
}

func BenchmarkSingleRow(b *testing.B) {
	j := New(Config{}, 0)
	message := bytes.Repeat([]byte("x"), 120)
	b.ReportAllocs()
	var end relay.LSN
	for b.Loop() {
		end += 200
		j.Begin(uint64(end), 0)
		j.Append(message)
		j.Commit(end)
	}
}
