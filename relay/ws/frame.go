package ws

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

// MaxFrameHeader is the length of the longest header of a server's frame.
const MaxFrameHeader = 10

// FrameHeaderSize is the length of the header of a server's frame with so large a payload.
func FrameHeaderSize(payload int) int {
	switch {
	case payload < 126:
		return 2
	case payload < 1<<16:
		return 4
	}
	return MaxFrameHeader
}

// AppendFrameHeader appends the header of a whole, unmasked text frame with so large a payload.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func AppendFrameHeader(dst []byte, payload int) []byte {
	return appendHeader(dst, gobwas.OpText, payload)
}

// AppendFrame appends a whole, unmasked text frame.
func AppendFrame(dst, payload []byte) []byte {
	return append(AppendFrameHeader(dst, len(payload)), payload...)
}

func appendHeader(dst []byte, op gobwas.OpCode, payload int) []byte {
	first := 0x80 | byte(op)
	switch {
	case payload < 126:
		return append(dst, first, byte(payload))
	case payload < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(payload))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(payload))
}

// frameEnd returns the end of the frame that byte at lies in, where b begins with a server's frame;
// at itself where a frame ends there.
func frameEnd(b []byte, at int) int {
	end := 0
	for end < at {
		h, n, err := parseHeader(b[end:])
		if err != nil {
			return len(b)
		}
		end += n + int(h.Length)
	}
	return min(end, len(b))
}

var (
	errShort      = errors.New("frame header is incomplete")
	errLengthForm = errors.New("payload length is not in its shortest form")
)

// parseHeader reads a frame's header and returns its length. errShort: more bytes are needed.
// gobwas' reader is not used: it takes an io.Reader and lets a length pass that is longer than it need be.
func parseHeader(b []byte) (h gobwas.Header, n int, err error) {
	if len(b) < 2 {
		return h, 0, errShort
	}
	h.Fin = b[0]&0x80 != 0
	h.Rsv = b[0] & 0x70 >> 4
	h.OpCode = gobwas.OpCode(b[0] & 0x0f)
	h.Masked = b[1]&0x80 != 0
	h.Length = int64(b[1] & 0x7f)
	n = 2
	switch h.Length {
	case 126:
		if len(b) < 4 {
			return h, 0, errShort
		}
		h.Length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
		if h.Length < 126 {
			return h, n, errLengthForm
		}
	case 127:
		if len(b) < 10 {
			return h, 0, errShort
		}
		length := binary.BigEndian.Uint64(b[2:])
		if length < 1<<16 || length >= 1<<63 {
			return h, 10, errLengthForm
		}
		h.Length, n = int64(length), 10
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, errShort
		}
		copy(h.Mask[:], b[n:])
		n += 4
	}
	return h, n, nil
}

// appendClose appends a close frame. 1005 makes one without a body; the reason is cut to what a control frame holds.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
func appendClose(dst []byte, code int, reason string) []byte {
	if code == codeNoStatus {
		return appendHeader(dst, gobwas.OpClose, 0)
	}
	const room = gobwas.MaxControlFramePayloadSize - 2
	reason = reason[:min(len(reason), room)]
	for !utf8.ValidString(reason) {
		reason = reason[:len(reason)-1]
	}
	dst = appendHeader(dst, gobwas.OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}
