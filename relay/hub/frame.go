package hub

import (
	"encoding/binary"
	"strconv"
	"time"
)

// headerRoom is the length of the longest header of an unmasked frame (RFC 6455, section 5.2).
const headerRoom = 10

// finishFrame writes the header of a text frame in front of the payload that begins at b[headerRoom] and
// returns the frame.
func finishFrame(b []byte) []byte {
	const finText = 0x81
	n := len(b) - headerRoom
	switch {
	case n < 126:
		b[headerRoom-2], b[headerRoom-1] = finText, byte(n)
		return b[headerRoom-2:]
	case n < 1<<16:
		b[headerRoom-4], b[headerRoom-3] = finText, 126
		binary.BigEndian.PutUint16(b[headerRoom-2:], uint16(n))
		return b[headerRoom-4:]
	default:
		b[0], b[1] = finText, 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
		return b
	}
}

// Frame is a text frame with this payload.
func Frame(payload []byte) []byte {
	b := make([]byte, headerRoom, headerRoom+len(payload))
	return finishFrame(append(b, payload...))
}

// appendTime appends Unix microseconds as RFC 3339 in UTC with six digits.
func appendTime(dst []byte, micros int64) []byte {
	return time.UnixMicro(micros).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
