package ws

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// readable reads once; epoll tells again if there is more, after the others had their turn.
func (c *Conn) readable() {
	n, err := unix.Read(c.fd, c.loop.buffer)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		c.teardown(err)
		return
	case n == 0:
		c.teardown(errGone)
		return
	}
	c.feed(c.loop.buffer[:n])
}

// feed handles bytes that came, b being valid during the call only, and keeps those of what isn't complete.
func (c *Conn) feed(b []byte) {
	kept := len(c.in)
	if kept > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	if c.state == stateHandshake {
		b = c.handshake(b, kept)
	}
	rest := c.frames(b)
	switch {
	case c.state == stateGone || c.state == stateDiscard || c.failed || len(rest) == 0:
		c.in = nil
	case kept > 0 && len(rest) == len(c.in): // nothing was complete: c.in is rest already
	default:
		c.in = bytes.Clone(rest)
	}
}

// frames handles the complete frames in b and returns the rest.
func (c *Conn) frames(b []byte) []byte {
	for c.state == stateOpen || c.state == stateClosing && !c.failed {
		h, n, err := parseHeader(b)
		if err == errShort {
			return b
		}
		if err != nil {
			c.fail(codeProtocol, err.Error())
			return nil
		}
		if !c.acceptable(h) {
			return nil
		}
		end := n + int(h.Length)
		if len(b) < end {
			return b
		}
		payload := b[n:end:end]
		gobwas.Cipher(payload, h.Mask, 0)
		b = b[end:]
		c.heard, c.pinged = c.loop.now, false
		c.frame(h, payload)
	}
	if c.state == stateHandshake {
		return b
	}
	return nil
}

// acceptable checks a header before its payload is waited for, so that nothing too large is ever kept.
func (c *Conn) acceptable(h gobwas.Header) bool {
	check := gobwas.StateServerSide
	if c.fragmented {
		check = check.Set(gobwas.StateFragmented)
	}
	if err := gobwas.CheckHeader(h, check); err != nil {
		c.fail(codeProtocol, err.Error())
		return false
	}
	if h.OpCode == gobwas.OpBinary {
		c.fail(codeUnsupported, "only text messages are understood")
		return false
	}
	if h.OpCode.IsData() && h.Length > int64(c.loop.server.config.MaxMessage-len(c.message)) {
		c.fail(codeTooLarge, "the message is too large")
		return false
	}
	return true
}

func (c *Conn) frame(h gobwas.Header, payload []byte) {
	switch h.OpCode {
	case gobwas.OpText, gobwas.OpContinuation:
		c.fragment(h, payload)
	case gobwas.OpPing:
		if c.state == stateOpen { // of several only the last needs an answer: RFC 6455, section 5.5.3
			c.pong, c.pongDue = bytes.Clone(payload), true
			c.enqueue()
		}
	case gobwas.OpClose:
		c.closed(payload)
	}
}

func (c *Conn) fragment(h gobwas.Header, payload []byte) {
	whole := h.Fin && !c.fragmented
	c.fragmented = !h.Fin
	if c.state != stateOpen {
		return
	}
	if !whole {
		c.message = append(c.message, payload...)
		if !h.Fin {
			return
		}
		payload = c.message
		c.message = nil
	}
	if !utf8.Valid(payload) {
		c.fail(codeInvalidUTF8, "the message is not valid UTF-8")
		return
	}
	c.loop.server.handler.Message(c, payload)
}

// closed handles the peer's close frame.
// https://www.rfc-editor.org/rfc/rfc6455#section-7.4
func (c *Conn) closed(payload []byte) {
	code, reason := codeNoStatus, ""
	if len(payload) > 0 {
		if len(payload) == 1 {
			c.fail(codeProtocol, "the close frame has half a code")
			return
		}
		code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		if !sendable(code) {
			c.fail(codeProtocol, "the close code must not be sent")
			return
		}
		if !utf8.ValidString(reason) {
			c.fail(codeInvalidUTF8, "the close reason is not valid UTF-8")
			return
		}
	}
	c.peerClosed = true
	switch {
	case c.state == stateOpen:
		c.reason = &CloseError{Code: code, Reason: reason, Remote: true}
		c.beginClose()
	case c.closeSent && c.out == nil:
		c.teardown(nil)
	}
}

// sendable tells whether a close frame may carry the code: those that the RFC and IANA's registry define for it,
// and the ranges of libraries and applications.
// https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
func sendable(code int) bool {
	return 1000 <= code && code <= 1003 || 1007 <= code && code <= 1014 || 3000 <= code && code <= 4999
}
