package ws

import (
	"bytes"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// TestRetract takes frames back wherever a write has stopped: what the peer reads is whole frames, without those that
// were taken back unless their first byte was written.
func TestRetract(t *testing.T) {
	frame := func(payload string) []byte { return AppendFrame(nil, []byte(payload)) }
	ping := appendHeader(nil, gobwas.OpPing, 0)
	first := bytes.Join([][]byte{frame("drop 1"), frame("keep 2"), ping, frame("drop 3")}, nil)
	second := append(frame("keep 4"), frame("drop "+string(make([]byte, 70_000)))...)
	all := append(bytes.Clone(first), second...)
	for written := 0; written < len(all); written++ {
		if written > 60 && written < len(all)-60 {
			continue // within the long frame
		}
		o := &backlog{segments: []segment{{bytes: first}, {bytes: second}}, size: len(all) - written, offset: written}
		for o.offset >= len(o.segments[0].bytes) {
			o.offset -= len(o.segments[0].bytes)
			o.segments = o.segments[1:]
		}
		o.retract(func(payload []byte) bool { return bytes.HasPrefix(payload, []byte("drop")) })
		got, left := bytes.Clone(all[:written]), 0
		for i, s := range o.segments {
			b := s.bytes
			if i == 0 {
				b = b[o.offset:]
			}
			if len(b) == 0 {
				t.Fatalf("%d bytes written: an empty segment is left", written)
			}
			got, left = append(got, b...), left+len(b)
		}
		if left != o.size {
			t.Errorf("%d bytes written: %d are left, and said to be %d", written, left, o.size)
		}
		at := 0
		var want []byte
		for at < len(all) {
			h, n, err := parseHeader(all[at:])
			if err != nil {
				t.Fatal(err)
			}
			end := at + n + int(h.Length)
			if at < written || !bytes.HasPrefix(all[at+n:end], []byte("drop")) {
				want = append(want, all[at:end]...)
			}
			at = end
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes written: got %d bytes, want %d", written, len(got), len(want))
		}
	}
}
