package ws

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
)

// The tests are named after the sections of https://www.rfc-editor.org/rfc/rfc6455 that they hold the server to.

func TestSection4_2_1_BadHandshake(t *testing.T) {
	s := serve(t, Config{Origins: []string{"https://app.example.com"}}, newRecorder())
	without := func(name string) string {
		var kept []string
		for _, line := range strings.SplitAfter(head, "\r\n") {
			if !strings.HasPrefix(line, name) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "") + "\r\n"
	}
	for _, test := range []struct {
		name, request string
		want          int
	}{
		{"no Host", without("Host"), 400},
		{"no Upgrade", without("Upgrade"), 400},
		{"no Connection", without("Connection"), 400},
		{"no version", without("Sec-WebSocket-Version"), 400},
		{"no key", without("Sec-WebSocket-Key"), 400},
		{"short key", strings.Replace(head, "dGhlIHNhbXBsZSBub25jZQ==", "abc", 1) + "\r\n", 400},
		{"long key", strings.Replace(head, "dGhlIHNhbXBsZSBub25jZQ==", strings.Repeat("dGhl", 50), 1) + "\r\n", 400},
		{"24 bytes that are no key", strings.Replace(head, "dGhlIHNhbXBsZSBub25jZQ==", "????????????????????????", 1) + "\r\n", 400},
		{"other version", strings.Replace(head, "Version: 13", "Version: 8", 1) + "\r\n", 426},
		{"POST", strings.Replace(head, "GET", "POST", 1) + "\r\n", 405},
		{"HTTP/1.0", strings.Replace(head, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n", 505},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", 400},
		{"no HTTP", "\x16\x03\x01 hello\r\n\r\n", 400},
		{"line without colon", head + "nonsense\r\n\r\n", 400},
		{"other path", strings.Replace(head, "/v1/ws", "/other", 1) + "\r\n", 404},
		{"foreign origin", head + "Origin: https://evil.example.com\r\n\r\n", 403},
		{"opaque origin", head + "Origin: null\r\n\r\n", 403},
		{"other subprotocol", head + "Sec-WebSocket-Protocol: mqtt, soap\r\n\r\n", 400},
		{"large head", head + "X: " + strings.Repeat("x", maxHead) + "\r\n\r\n", 431},
		{"allowed origin", head + "Origin: https://app.example.com\r\n\r\n", 101},
		{"subprotocol among others", head + "Sec-WebSocket-Protocol: mqtt, pgrelay.v1\r\n\r\n", 101},
		{"lines ended by LF", strings.ReplaceAll(head, "\r\n", "\n") + "\n", 101},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, s)
			c.send([]byte(test.request))
			r := c.response(test.want)
			if test.want == 101 {
				if got := r.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
					t.Errorf("accept %q", got)
				}
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || len(body) == 0 || int64(len(body)) != r.ContentLength {
				t.Errorf("body %q of %d bytes, %v", body, r.ContentLength, err)
			}
			if test.want == 426 && r.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Error("426 without the version that is spoken")
			}
			c.wantEOF()
		})
	}
}

func TestSection4_1_SplitAndPipelinedHandshake(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	t.Run("byte by byte", func(t *testing.T) {
		c := dial(t, s)
		for _, b := range []byte(head + "\r\n") {
			c.send([]byte{b})
		}
		c.response(101)
		c.text("whole")
		c.wantText("whole")
	})
	t.Run("frames in the same segment", func(t *testing.T) {
		c := dial(t, s)
		all := append([]byte(head+"\r\n"), frame(gobwas.OpText, true, "first")...)
		second := frame(gobwas.OpText, true, "second")
		c.send(append(all, second[:5]...))
		c.response(101)
		c.wantText("first")
		c.send(second[5:])
		c.wantText("second")
	})
}

func TestSection10_2_OwnHostWithoutList(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	for origin, want := range map[string]int{"http://relay": 101, "https://RELAY": 101, "http://relay.evil": 403, "http://evil/relay": 403} {
		c := dial(t, s)
		c.send([]byte(head + "Origin: " + origin + "\r\n\r\n"))
		c.response(want)
	}
}

func TestSection5_2_Lengths(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	c := open(t, s)
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		want := strings.Repeat("x", n)
		c.text(want)
		c.wantText(want)
	}
	t.Run("in two writes cut anywhere", func(t *testing.T) {
		f := frame(gobwas.OpText, true, strings.Repeat("y", 130))
		for cut := 1; cut < len(f); cut++ {
			c.send(f[:cut])
			c.send(f[cut:])
			c.wantText(strings.Repeat("y", 130))
		}
	})
}

// masked makes a client's frame by hand: the header's first bytes as given, a mask, the payload.
func masked(header []byte, payload string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	p := []byte(payload)
	gobwas.Cipher(p, mask, 0)
	h := append([]byte(nil), header...)
	h[1] |= 0x80
	return append(append(h, mask[:]...), p...)
}

func closeBody(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

func TestSection7_1_7_FailTheConnection(t *testing.T) {
	s := serve(t, Config{MaxMessage: 1000}, newRecorder())
	long := make([]byte, 10)
	long[0], long[1] = 0x81, 127
	huge := bytes.Clone(long)
	huge[2] = 0x80
	binary.BigEndian.PutUint64(long[2:], 200)
	for _, test := range []struct {
		name string
		send []byte
		want int
	}{
		{"5.1 unmasked", []byte{0x81, 0x01, 'x'}, 1002},
		{"5.1 unmasked control", []byte{0x89, 0x00}, 1002},
		{"5.2 RSV1", masked([]byte{0xc1, 1}, "x"), 1002},
		{"5.2 RSV2", masked([]byte{0xa1, 1}, "x"), 1002},
		{"5.2 RSV3", masked([]byte{0x91, 1}, "x"), 1002},
		{"5.2 opcode 3", masked([]byte{0x83, 0}, ""), 1002},
		{"5.2 opcode 7", masked([]byte{0x87, 0}, ""), 1002},
		{"5.2 opcode B", masked([]byte{0x8b, 0}, ""), 1002},
		{"5.2 opcode F", masked([]byte{0x8f, 0}, ""), 1002},
		{"5.2 16-bit length of a short payload", masked([]byte{0x81, 126, 0, 5}, "short"), 1002},
		{"5.2 64-bit length of a short payload", masked(long, strings.Repeat("x", 200)), 1002},
		{"5.2 length with its top bit set", masked(huge, ""), 1002},
		{"5.4 continuation of nothing", frame(gobwas.OpContinuation, true, "x"), 1002},
		{"5.4 text within a fragmented message", append(frame(gobwas.OpText, false, "x"), frame(gobwas.OpText, true, "y")...), 1002},
		{"5.5 fragmented ping", masked([]byte{0x09, 0}, ""), 1002},
		{"5.5 fragmented close", masked([]byte{0x08, 0}, ""), 1002},
		{"5.5 large ping", masked([]byte{0x89, 126, 0, 126}, strings.Repeat("x", 126)), 1002},
		{"5.5.1 close with half a code", frame(gobwas.OpClose, true, "x"), 1002},
		{"5.6 binary", frame(gobwas.OpBinary, true, "x"), 1003},
		{"8.1 bad UTF-8", frame(gobwas.OpText, true, "\xff"), 1007},
		{"8.1 surrogate", frame(gobwas.OpText, true, "\xed\xa0\x80"), 1007},
		{"8.1 character that never ends", append(frame(gobwas.OpText, false, "\xc3"), frame(gobwas.OpContinuation, true, "x")...), 1007},
		{"8.1 bad UTF-8 in a close reason", frame(gobwas.OpClose, true, closeBody(1000, "\xff")), 1007},
		{"10.4 too large", masked([]byte{0x81, 126, 0x03, 0xe9}, ""), 1009},
		{"10.4 too large in fragments", append(frame(gobwas.OpText, false, strings.Repeat("x", 600)), frame(gobwas.OpContinuation, true, strings.Repeat("x", 401))...), 1009},
		{"7.4.1 code 999", frame(gobwas.OpClose, true, closeBody(999, "")), 1002},
		{"7.4.1 code 1004", frame(gobwas.OpClose, true, closeBody(1004, "")), 1002},
		{"7.4.1 code 1005", frame(gobwas.OpClose, true, closeBody(1005, "")), 1002},
		{"7.4.1 code 1006", frame(gobwas.OpClose, true, closeBody(1006, "")), 1002},
		{"7.4.1 code 1015", frame(gobwas.OpClose, true, closeBody(1015, "")), 1002},
		{"7.4.1 code 1016", frame(gobwas.OpClose, true, closeBody(1016, "")), 1002},
		{"7.4.2 code 2999", frame(gobwas.OpClose, true, closeBody(2999, "")), 1002},
		{"7.4.2 code 5000", frame(gobwas.OpClose, true, closeBody(5000, "")), 1002},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t, s)
			c.send(test.send)
			c.wantClose(test.want)
			c.send(frame(gobwas.OpText, true, "not read any more"))
			c.wantEOF()
		})
	}
}

func TestSection5_4_Fragmentation(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	c := open(t, s)
	c.send(frame(gobwas.OpText, false, "on\xc3"))
	c.send(frame(gobwas.OpPing, true, "between"))
	if f := c.next(); f.Header.OpCode != gobwas.OpPong || string(f.Payload) != "between" {
		t.Fatalf("got %v %q, want the pong", f.Header.OpCode, f.Payload)
	}
	c.send(frame(gobwas.OpContinuation, false, ""))
	c.send(frame(gobwas.OpPong, true, "unasked"))
	c.send(frame(gobwas.OpContinuation, false, "\xa9"))
	c.send(frame(gobwas.OpContinuation, true, " message"))
	c.wantText("oné message")
	c.text("next")
	c.wantText("next")
}

func TestSection5_5_2_PingPong(t *testing.T) {
	s := serve(t, Config{}, newRecorder())
	c := open(t, s)
	for _, payload := range []string{"", strings.Repeat("p", 125)} {
		c.send(frame(gobwas.OpPing, true, payload))
		if f := c.next(); f.Header.OpCode != gobwas.OpPong || f.Header.Masked || string(f.Payload) != payload {
			t.Fatalf("got %v %q, want a pong with %q", f.Header.OpCode, f.Payload, payload)
		}
	}
}

func TestSection7_1_2_PeerCloses(t *testing.T) {
	h := newRecorder()
	s := serve(t, Config{}, h)
	for _, test := range []struct {
		name, body string
		want       CloseError
	}{
		{"without a code", "", CloseError{1005, "", true}},
		{"normally", closeBody(1000, "done"), CloseError{1000, "done", true}},
		{"with an application's code", closeBody(4999, "ü"), CloseError{4999, "ü", true}},
		{"with a registered code", closeBody(1012, ""), CloseError{1012, "", true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t, s)
			c.send(append(frame(gobwas.OpClose, true, test.body), frame(gobwas.OpText, true, "after the close")...))
			f := c.next()
			want := test.body[:min(2, len(test.body))]
			if f.Header.OpCode != gobwas.OpClose || string(f.Payload) != want {
				t.Fatalf("got %v %q, want close %q", f.Header.OpCode, f.Payload, want)
			}
			c.wantEOF()
			if got, ok := (<-h.closed).(*CloseError); !ok || *got != test.want {
				t.Errorf("Closed got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSection7_1_2_ServerCloses(t *testing.T) {
	h := newRecorder()
	h.onMsg = func(c *Conn, payload []byte) {
		c.Close(4429, string(payload))
		c.Close(1000, "the first counts")
		c.Due()
	}
	h.pull = func(c *Conn, out *Batch) bool { t.Error("pulled after Close"); return false }
	s := serve(t, Config{CloseTimeout: 100 * time.Millisecond}, h)
	want := CloseError{4429, strings.Repeat("ü", 61), false}

	t.Run("and the peer answers", func(t *testing.T) {
		c := open(t, s)
		c.send(append(frame(gobwas.OpText, true, strings.Repeat("ü", 100)), frame(gobwas.OpText, true, "ignored")...))
		c.wantClose(4429)
		c.send(frame(gobwas.OpClose, true, closeBody(4429, "")))
		c.wantEOF()
		if got := (<-h.closed).(*CloseError); got.Code != want.Code || got.Remote {
			t.Errorf("Closed got %v", got)
		}
	})
	t.Run("and the peer does not answer", func(t *testing.T) {
		c := open(t, s)
		c.text("bye")
		c.wantClose(4429)
		c.wantEOF()
		if got := (<-h.closed).(*CloseError); got.Code != 4429 || got.Remote {
			t.Errorf("Closed got %v", got)
		}
	})
}

func TestSection7_1_5_PeerVanishes(t *testing.T) {
	h := newRecorder()
	s := serve(t, Config{}, h)
	t.Run("with a FIN", func(t *testing.T) {
		c := open(t, s)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.wantEOF()
		if err := <-h.closed; err != io.ErrUnexpectedEOF {
			t.Errorf("Closed got %v", err)
		}
	})
	t.Run("with a reset", func(t *testing.T) {
		c := open(t, s)
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Conn.Close()
		if err := <-h.closed; err == nil {
			t.Error("Closed got no error")
		}
	})
	t.Run("with a close frame and a FIN at once", func(t *testing.T) {
		c := open(t, s)
		c.send(frame(gobwas.OpClose, true, closeBody(1000, "")))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.wantClose(1000)
		c.wantEOF()
		if err, ok := (<-h.closed).(*CloseError); !ok || err.Code != 1000 {
			t.Errorf("Closed got %v", err)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	h := newRecorder()
	s := serve(t, Config{Heartbeat: 200 * time.Millisecond, CloseTimeout: 200 * time.Millisecond}, h)
	c := open(t, s)
	for range 2 {
		if f := c.next(); f.Header.OpCode != gobwas.OpPing {
			t.Fatalf("got %v, want a ping", f.Header.OpCode)
		}
		c.send(frame(gobwas.OpPong, true, ""))
	}
	if f := c.next(); f.Header.OpCode != gobwas.OpPing {
		t.Fatalf("got %v, want a ping", f.Header.OpCode)
	}
	c.wantClose(4408)
	c.wantEOF()
	if err, ok := (<-h.closed).(*CloseError); !ok || err.Code != 4408 {
		t.Errorf("Closed got %v", err)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	s := serve(t, Config{HandshakeTimeout: 50 * time.Millisecond}, newRecorder())
	c := dial(t, s)
	c.send([]byte(head))
	c.wantEOF()
}

func TestAdmit(t *testing.T) {
	cfg := Config{Admit: func(r *Request) (int, string) {
		if r.Authorization != "Bearer good" {
			return http.StatusUnauthorized, "the token is bad"
		}
		return 0, ""
	}}
	h := newRecorder()
	s := serve(t, cfg, h)
	c := dial(t, s)
	c.send([]byte(head + "Authorization: Bearer bad\r\n\r\n"))
	if body, err := io.ReadAll(c.response(401).Body); err != nil || string(body) != "the token is bad\n" {
		t.Errorf("body %q, %v", body, err)
	}
	c.wantEOF()
	c = dial(t, s)
	c.send([]byte(strings.Replace(head, "/v1/ws", "/v1/ws?a=b&c", 1) + "Authorization: Bearer good\r\n\r\n"))
	c.response(101)
	<-h.opened
	h.mu.Lock()
	defer h.mu.Unlock()
	want := Request{Remote: h.request.Remote, Path: "/v1/ws", Query: "a=b&c", Host: "relay", Authorization: "Bearer good"}
	if h.request != want || h.request.Remote.String() != c.LocalAddr().String() {
		t.Errorf("got request %+v, want %+v", h.request, want)
	}
}
