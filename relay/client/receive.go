package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"pgrelay/relay/wire"
)

// ErrSilent tells that no message came within twice the server's heartbeat.
var ErrSilent = errors.New("the relay has been silent for twice its heartbeat")

// errDropped is what Receive returns after Drop or Close.
var errDropped = errors.New("the connection was closed here")

// StatusError is an HTTP answer other than 101.
type StatusError struct {
	Status int
	// Body is the beginning of the answer's text.
	Body string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("the relay refused the connection: %d %s", e.Status, http.StatusText(e.Status))
	if e.Body != "" {
		text += ": " + e.Body
	}
	return text
}

// CloseError is a close frame of the server. https://www.rfc-editor.org/rfc/rfc6455#section-7.4
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the relay closed the connection with %d", e.Code)
	}
	return fmt.Sprintf("the relay closed the connection with %d: %s", e.Code, e.Reason)
}

// Receive returns the next message, as text and decoded. Pings are answered on the way.
func (c *Conn) Receive() ([]byte, *wire.ServerMessage, error) {
	raw, err := c.text()
	if err != nil {
		return nil, nil, c.cause(err)
	}
	m := &wire.ServerMessage{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if c.options.Strict {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(m); err != nil {
		return raw, nil, violation("", "", "a message that can't be decoded: %v", err)
	}
	if m.Type == "" {
		return raw, nil, violation("", "", "a message without a type")
	}
	return raw, m, nil
}

// cause tells why a read failed.
func (c *Conn) cause(err error) error {
	select {
	case <-c.ended:
		if !errors.As(err, new(*CloseError)) {
			return errDropped
		}
	default:
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSilent
	}
	return err
}

// text reads one text message, fragmented or not, and handles the control frames before and within it.
func (c *Conn) text() ([]byte, error) {
	if err := c.pass(); err != nil {
		return nil, err
	}
	c.listen()
	state := ws.StateClientSide
	var message []byte
	for {
		h, err := ws.ReadHeader(c.reader)
		if err != nil {
			return nil, fmt.Errorf("read from the relay: %w", err)
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return nil, violation("", "", "a bad frame: %v", err)
		}
		if h.OpCode.IsControl() {
			if err := c.control(h); err != nil {
				return nil, err
			}
			continue
		}
		if h.OpCode == ws.OpBinary {
			return nil, violation("", "", "a binary frame")
		}
		c.listen()
		if message, err = c.payload(message, h.Length); err != nil {
			return nil, err
		}
		if h.Fin {
			if !utf8.Valid(message) {
				return nil, violation("", "", "text that is no UTF-8")
			}
			return message, nil
		}
		state = state.Set(ws.StateFragmented)
	}
}

// pass waits while the connection is stalled.
func (c *Conn) pass() error {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	select {
	case <-gate:
		return nil
	case <-c.ended:
		return errDropped
	}
}

// listen sets the time by which the server must be heard; before welcome there is none.
func (c *Conn) listen() {
	if c.welcome.HeartbeatMS > 0 {
		// A failure shows at the read that follows.
		_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Duration(c.welcome.HeartbeatMS) * time.Millisecond))
	}
}

// payload appends n bytes. Memory grows with what has arrived, not with what a header announces.
func (c *Conn) payload(message []byte, n int64) ([]byte, error) {
	if n > int64(c.options.MaxMessage-len(message)) {
		return nil, violation("", "", "a message of more than %d bytes", c.options.MaxMessage)
	}
	b := bytes.NewBuffer(message)
	if n <= 1<<20 {
		b.Grow(int(n))
	}
	if _, err := io.CopyN(b, c.reader, n); err != nil {
		return nil, fmt.Errorf("read from the relay: %w", err)
	}
	return b.Bytes(), nil
}

// control answers a ping and turns a close frame, answered too, into a *CloseError.
func (c *Conn) control(h ws.Header) error {
	payload := make([]byte, h.Length) // at most 125, which CheckHeader has seen to
	if _, err := io.ReadFull(c.reader, payload); err != nil {
		return fmt.Errorf("read from the relay: %w", err)
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.SendFrame(ws.NewPongFrame(payload))
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		// The answer is a courtesy to a server that is going away.
		_ = c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
		c.end()
		return &CloseError{Code: int(code), Reason: reason}
	}
	return nil
}

// body is the beginning of an HTTP answer's text.
func body(raw io.Reader) string {
	response, err := http.ReadResponse(bufio.NewReader(raw), nil)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 512))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
