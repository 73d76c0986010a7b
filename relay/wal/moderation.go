package wal

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Read moderation, in the manner of NAPI: the walsender sends each message by itself, and much of its time
// goes into waking a reader that is too eager. Above moderateReads reads per second the reader takes what is there,
// naps, and so on, which lets the server send faster; below, nothing is delayed.
const (
	moderateReads  = 20000
	moderateWindow = 64
	// moderateAgain is the window where the last moderation ended less than moderatePause ago: the sender had no
	// processor for a moment.
	moderateAgain = 4
	moderatePause = 50 * time.Millisecond
	// moderateNap is the longest that bytes wait. With 1 ms the server sends a sixth fewer single-row transactions.
	moderateNap = 2 * time.Millisecond
	// moderateNaps without a byte end the moderation.
	moderateNaps = 2
	// lowMark keeps the poller from being woken during a nap by less than that.
	lowMark = 64 << 10
)

// moderation decides how a socket is read. Without raw it is read as it comes.
type moderation struct {
	raw       syscall.RawConn
	moderated bool
	// began is when the window of reads began, ended when reads were last moderated.
	began, ended time.Time
	reads        int
}

func (m *moderation) read(conn net.Conn, b []byte) (int, error) {
	if m.moderated {
		if n, err := m.readMany(b); n > 0 || err != nil {
			return n, err
		}
	}
	n, err := conn.Read(b)
	if err == nil && m.raw != nil {
		m.observe(time.Now())
	}
	return n, err
}

// observe begins to moderate when the last window of reads was a fast one.
func (m *moderation) observe(now time.Time) {
	if m.reads == 0 {
		m.began = now
	}
	window := moderateWindow
	if now.Sub(m.ended) < moderatePause {
		window = moderateAgain
	}
	if m.reads++; m.reads <= window {
		return
	}
	m.reads = 0
	if now.Sub(m.began) < time.Duration(window)*time.Second/moderateReads {
		m.moderate(true)
	}
}

// readMany takes what is there, after naps where nothing is. It returns 0 when the stream has become quiet.
func (m *moderation) readMany(b []byte) (n int, err error) {
	for naps := 0; ; naps++ {
		if naps > 0 {
			time.Sleep(moderateNap)
		}
		closed := m.raw.Control(func(fd uintptr) { n, err = readNow(fd, b) })
		switch {
		case closed != nil:
			return 0, closed
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN) && naps < moderateNaps:
			continue
		case errors.Is(err, syscall.EAGAIN):
			m.moderate(false)
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (m *moderation) moderate(on bool) {
	m.moderated = on
	mark := lowMark
	if !on {
		m.ended, m.reads = time.Now(), 0
		mark = 1
	}
	_ = m.raw.Control(func(fd uintptr) { setReceiveLowMark(fd, mark) })
}
