package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair is a connection over loopback and a reader of it.
func pair(t testing.TB) (net.Conn, *reader) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sender, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = sender.Close()
	})
	return sender, newReader(conn)
}

// numbered is a message that holds its number.
func numbered(n, size int) []byte {
	payload := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(payload, uint64(n))
	return copyData(payload)
}

func wantNumber(t *testing.T, r *reader, n, size int) {
	t.Helper()
	kind, body, err := r.message()
	if err != nil {
		t.Fatalf("message %d: %v", n, err)
	}
	if got := binary.BigEndian.Uint64(body[25:]); kind != 'd' || got != uint64(n) || len(body) != 25+max(size, 8) {
		t.Fatalf("got kind %q, message %d of %d bytes, want %d of %d", kind, got, len(body), n, 25+size)
	}
}

func send(t *testing.T, conn net.Conn, b []byte) {
	if _, err := conn.Write(b); err != nil {
		t.Error(err)
	}
}

func TestReaderPutsMessagesTogether(t *testing.T) {
	sender, r := pair(t)
	sizes := []int{0, 1, 100, readBuffer - 40, readBuffer, 3 * readBuffer, 5, 8, readBuffer + 1, 2}
	go func() {
		for n, size := range sizes {
			message := numbered(n, size)
			for len(message) > 0 { // cut anywhere, also within the header
				cut := min(len(message), 1+(n*7919+len(message))%70_000)
				if cut > 1 && len(message) < 300 {
					cut = 1
				}
				send(t, sender, message[:cut])
				message = message[cut:]
			}
		}
	}()
	for n, size := range sizes {
		wantNumber(t, r, n, size)
		if size < readBuffer/2 && n > 5 && len(r.buf) > 4*readBuffer {
			t.Errorf("%d bytes are kept after a large message", len(r.buf))
		}
	}
}

// TestModerationKeepsEverything sends as a walsender does, each message by itself, in bursts.
func TestModerationKeepsEverything(t *testing.T) {
	sender, r := pair(t)
	const bursts, each = 3, 20_000
	next := make(chan struct{})
	go func() {
		for burst := range bursts {
			for i := range each {
				send(t, sender, numbered(burst*each+i, 100))
			}
			<-next
		}
	}()
	for burst := range bursts {
		seen := false
		for i := range each {
			wantNumber(t, r, burst*each+i, 100)
			seen = seen || r.moderated
		}
		if moderates && !seen {
			t.Errorf("burst %d was read as it came", burst)
		}
		next <- struct{}{}
	}
}

// TestModerationEndsWhereTheStreamIsQuiet reads a lone message in spite of the low-water mark.
func TestModerationEndsWhereTheStreamIsQuiet(t *testing.T) {
	if !moderates {
		t.Skip("reads are not moderated here")
	}
	sender, r := pair(t)
	r.moderate(true)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for n := range 3 {
			wantNumber(t, r, n, 10)
		}
	}()
	for n := range 2 {
		send(t, sender, numbered(n, 10))
	}
	// The reader is quiet by now or will be; either way the next message comes through.
	time.AfterFunc(3*moderateNaps*moderateNap, func() { send(t, sender, numbered(2, 10)) })
	<-read
	if r.moderated {
		t.Error("reads are moderated still")
	}
}

func TestReaderEnds(t *testing.T) {
	for _, moderated := range []bool{false, moderates} {
		sender, r := pair(t)
		if moderated {
			r.moderate(true)
		}
		send(t, sender, numbered(1, 10)[:20])
		_ = sender.Close()
		if _, _, err := r.message(); !errors.Is(err, io.EOF) {
			t.Errorf("moderated %t, the sender left: got %v, want EOF", moderated, err)
		}
		_, r = pair(t)
		if moderated {
			r.moderate(true)
		}
		time.AfterFunc(moderateNap, func() { _ = r.conn.Close() })
		if _, _, err := r.message(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("moderated %t, closed here: got %v, want ErrClosed", moderated, err)
		}
	}
}

func TestReaderRefusesSizesOutOfRange(t *testing.T) {
	for _, size := range []uint32{0, 3, maxMessage + 1, 1 << 31, 1<<32 - 1} {
		sender, r := pair(t)
		send(t, sender, binary.BigEndian.AppendUint32([]byte{'d'}, size))
		if _, _, err := r.message(); !errors.Is(err, errMessageSize) {
			t.Errorf("size %d: got %v, want %v", size, err, errMessageSize)
		}
	}
}
