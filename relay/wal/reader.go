package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Read moderation, in the manner of NAPI: the walsender sends each message by itself, and much of its time
// goes into waking a reader that is too eager. Above moderateReads reads per second the reader asks to be
// woken about once per moderateEvery instead, which lets the server send faster; below, nothing is delayed.
const (
	moderateWindow = 64
	moderateReads  = 20000
	moderateEvery  = time.Millisecond
	moderateWait   = 2 * time.Millisecond
	lowMarkMin     = 4 << 10
	lowMarkMax     = 128 << 10

	readBuffer = 512 << 10
	// maxMessage bounds one message; Postgres' own limit of a tuple is 1 GB.
	maxMessage = 1 << 30
)

var errMessageSize = errors.New("a replication message's length is out of range")

// reader cuts backend messages from a socket in place.
type reader struct {
	conn     net.Conn
	raw      syscall.RawConn
	buf      []byte
	from, to int
	lowMark  int
	started  time.Time
	reads    int
	bytes    int
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn, buf: make([]byte, readBuffer)}
	if sc, ok := conn.(*net.TCPConn); ok {
		r.raw, _ = sc.SyscallConn()
	}
	return r
}

// message returns the next backend message; body is valid until the next call.
func (r *reader) message() (kind byte, body []byte, err error) {
	if err := r.fill(5); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(r.buf[r.from+1:]))
	if size < 4 || size > maxMessage {
		return 0, nil, errMessageSize
	}
	if err := r.fill(size + 1); err != nil {
		return 0, nil, err
	}
	kind = r.buf[r.from]
	body = r.buf[r.from+5 : r.from+1+size]
	r.from += size + 1
	return kind, body, nil
}

func (r *reader) buffered() bool {
	have := r.to - r.from
	return have >= 5 && have > int(binary.BigEndian.Uint32(r.buf[r.from+1:]))
}

// fill reads until need bytes are there.
func (r *reader) fill(need int) error {
	for r.to-r.from < need {
		r.room(need)
		n, err := r.read(r.buf[r.to:])
		r.to += n
		if n == 0 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil && r.to-r.from < need {
			return err
		}
	}
	return nil
}

// room moves what is left to the front, and grows the buffer for a large message or shrinks it after one.
func (r *reader) room(need int) {
	switch {
	case need > len(r.buf):
		grown := make([]byte, need+need/4)
		r.to = copy(grown, r.buf[r.from:r.to])
		r.from, r.buf = 0, grown
	case len(r.buf) > readBuffer && need <= readBuffer && r.to-r.from <= readBuffer:
		small := make([]byte, readBuffer)
		r.to = copy(small, r.buf[r.from:r.to])
		r.from, r.buf = 0, small
	case r.from > 0 && (r.from == r.to || len(r.buf)-r.from < need):
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
}

func (r *reader) read(b []byte) (int, error) {
	if r.raw == nil {
		return r.conn.Read(b)
	}
	if r.lowMark > 1 {
		_ = r.conn.SetReadDeadline(time.Now().Add(moderateWait))
	}
	n, err := r.conn.Read(b)
	if err != nil && r.lowMark > 1 && errors.Is(err, os.ErrDeadlineExceeded) {
		return r.readSlower(b)
	}
	r.moderate(n)
	return n, err
}

// readSlower takes what is there when less came than foreseen, and leaves the mode where the stream is quiet.
func (r *reader) readSlower(b []byte) (int, error) {
	r.setLowMark(1)
	_ = r.conn.SetReadDeadline(time.Time{})
	r.reads = 0
	n, err := r.conn.Read(b)
	if n >= lowMarkMin/2 {
		r.setLowMark(max(lowMarkMin, n/2))
	}
	return n, err
}

// moderate adapts the low-water mark to the rate of the last reads.
func (r *reader) moderate(n int) {
	if r.reads == 0 {
		r.started, r.bytes = time.Now(), 0
	}
	r.bytes += n
	if r.reads++; r.reads <= moderateWindow {
		return
	}
	r.reads = 0
	took := max(time.Since(r.started), time.Microsecond)
	mark := min(lowMarkMax, max(lowMarkMin, int(float64(r.bytes)*float64(moderateEvery)/float64(took))))
	switch {
	case r.lowMark > 1 && (mark > r.lowMark*5/4 || mark < r.lowMark*3/4),
		r.lowMark <= 1 && took < moderateWindow*time.Second/moderateReads:
		r.setLowMark(mark)
	}
}

func (r *reader) setLowMark(mark int) {
	if mark <= 1 {
		_ = r.conn.SetReadDeadline(time.Time{})
	}
	_ = r.raw.Control(func(fd uintptr) { setReceiveLowMark(fd, mark) })
	r.lowMark = mark
}
