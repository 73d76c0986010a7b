package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	readBuffer = 512 << 10
	// maxMessage bounds one message; Postgres' own limit of a tuple is 1 GB.
	maxMessage = 1 << 30
)

var errMessageSize = errors.New("a replication message's length is out of range")

// reader cuts backend messages from a socket in place.
type reader struct {
	conn     net.Conn
	buf      []byte
	from, to int
	heard    atomic.Int64 // when bytes came last, in Unix nanoseconds
	moderation
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn, buf: make([]byte, readBuffer)}
	r.heard.Store(time.Now().UnixNano())
	if sc, ok := conn.(*net.TCPConn); ok && moderates {
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
		n, err := r.read(r.conn, r.buf[r.to:])
		r.to += n
		r.heard.Store(time.Now().UnixNano())
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
