package ws

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

func TestAppendFrameIsGobwasFrame(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536, 100000} {
		payload := bytes.Repeat([]byte("x"), n)
		want := gobwas.MustCompileFrame(gobwas.NewTextFrame(payload))
		got := AppendFrame(nil, payload)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: differs", n)
		}
		if FrameHeaderSize(n) != len(want)-n || len(AppendFrameHeader(nil, n)) != len(want)-n {
			t.Errorf("%d bytes: header of %d", n, FrameHeaderSize(n))
		}
	}
}

func TestFrameEnd(t *testing.T) {
	var b []byte
	ends := []int{0}
	for _, n := range []int{0, 10, 126, 70000, 1} {
		b = AppendFrame(b, make([]byte, n))
		ends = append(ends, len(b))
	}
	for at, i := 0, 0; at <= len(b); at++ {
		if at > ends[i] {
			i++
		}
		if got := frameEnd(b, at); got != ends[i] {
			t.Fatalf("frameEnd(%d) = %d, want %d", at, got, ends[i])
		}
	}
}

func TestBacklogReplace(t *testing.T) {
	first := AppendFrame(AppendFrame(nil, []byte("one")), []byte("two"))
	for offset, want := range map[int]string{0: "", 1: "one", 4: "one", 5: "", 6: "two", 9: "two"} {
		o := &backlog{segments: []segment{{bytes: first}, {bytes: first}}, offset: offset, size: 2*len(first) - offset}
		o.replace([]byte("last"))
		var left []byte
		for _, s := range o.segments {
			left = append(left, s.bytes...)
		}
		left = left[o.offset:]
		if o.size != len(left) || !bytes.HasSuffix(left, []byte(want[max(0, len(want)-1):]+"last")) || len(left) > 4+5 {
			t.Errorf("offset %d: %q of size %d", offset, left, o.size)
		}
	}
}

func TestBatchJoinsNeighbours(t *testing.T) {
	ring := AppendFrame(AppendFrame(AppendFrame(nil, []byte("one")), []byte("two")), []byte("three"))
	var b Batch
	b.Add(ring[0:5])
	b.Add(ring[5:10])
	b.Text([]byte("private"))
	b.TextString("string")
	b.Add(ring[10:17])
	b.Add(nil)
	b.Add(ring[0:5:5])
	b.Add(ring[5:10])
	want := "\x81\x03one\x81\x03two\x81\x07private\x81\x06string\x81\x05three\x81\x03one\x81\x03two"
	var got []byte
	for _, s := range b.segments {
		got = append(got, s.bytes...)
	}
	if string(got) != want || b.Len() != len(want) {
		t.Errorf("got %q of %d bytes, want %q", got, b.Len(), want)
	}
	if len(b.segments) != 5 { // a slice whose capacity ends with it is another array for all that is known
		t.Errorf("%d segments, want 5", len(b.segments))
	}
	if &b.segments[0].bytes[0] != &ring[0] {
		t.Error("shared frames were copied")
	}
}

func TestBatchArenaMoves(t *testing.T) {
	var b Batch
	var want []byte
	for i := range 300 {
		payload := strings.Repeat("x", i*7)
		b.TextString(payload)
		want = AppendFrame(want, []byte(payload))
	}
	var got []byte
	for _, s := range b.segments {
		got = append(got, s.bytes...)
	}
	if !bytes.Equal(got, want) {
		t.Error("differs")
	}
	if b.reset(); len(b.segments) != 0 || b.Len() != 0 || cap(b.arena) > maxArena {
		t.Error("not reset")
	}
}

func TestAdmission(t *testing.T) {
	a := &admission{total: 2, perAddress: 1, byAddress: map[netip.Addr]int{}}
	one, v1 := a.enter(netip.MustParseAddr("2001:db8::1"))
	two, v2 := a.enter(netip.MustParseAddr("2001:db8::2")) // the same /64
	three, v3 := a.enter(netip.MustParseAddr("::ffff:192.0.2.1"))
	if v1 != admitted || v2 != crowded || v3 != full {
		t.Errorf("verdicts %d %d %d", v1, v2, v3)
	}
	for _, s := range []*seat{&one, &two, &three, &one} {
		s.release()
	}
	if a.taken != 0 || len(a.byAddress) != 0 {
		t.Errorf("%d taken, %v", a.taken, a.byAddress)
	}
	for range 2 + reserve {
		if _, v := a.enter(netip.Addr{}); v == refused {
			t.Fatal("refused with room in the reserve")
		}
	}
	if _, v := a.enter(netip.Addr{}); v != refused {
		t.Errorf("verdict %d past the reserve", v)
	}
}

// FuzzParseHeader compares with gobwas' reader, which takes lengths that aren't in their shortest form.
func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4})
	f.Add([]byte{0x81, 126, 0, 200})
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, n, err := parseHeader(b)
		r := bytes.NewReader(b)
		want, wantErr := gobwas.ReadHeader(r)
		switch {
		case err == errShort:
			if wantErr != io.EOF && wantErr != io.ErrUnexpectedEOF && wantErr != gobwas.ErrHeaderLengthMSB {
				t.Fatalf("short, but gobwas says %v", wantErr)
			}
		case err == errLengthForm:
			if wantErr == nil && want.Length >= 1<<16 {
				t.Fatalf("length %d refused", want.Length)
			}
		case wantErr != nil || got != want || n != len(b)-r.Len():
			t.Fatalf("got %+v of %d bytes, want %+v, %v", got, n, want, wantErr)
		}
	})
}
