package ws

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gobwas "github.com/gobwas/ws"
)

// maxHead is the largest request head in bytes.
const maxHead = 16 << 10

// handshake looks for the end of the request head, of whose bytes the first seen were searched before, and answers
// it. It returns the bytes that follow the head: the peer's first frames.
func (c *Conn) handshake(b []byte, seen int) []byte {
	end := headEnd(b, max(seen-3, 0))
	if end < 0 || end > maxHead {
		if len(b) > maxHead {
			c.answer(http.StatusRequestHeaderFieldsTooLarge, "the request head is larger than 16 KiB", "")
			return nil
		}
		return b
	}
	s := c.loop.server
	method, target, ok := requestLine(b[:end])
	switch {
	case !ok:
		c.answer(http.StatusBadRequest, "not an HTTP/1.1 request", "")
	case c.verdict == crowded:
		c.answer(http.StatusTooManyRequests, "too many connections from this address", "")
	case c.loop.draining:
		c.answer(http.StatusServiceUnavailable, "the server is going away", "")
	case !s.config.upgrades(target) && s.config.HTTP == nil:
		c.answer(http.StatusNotFound, "not found", "")
	case !s.config.upgrades(target):
		s.web.take(c, b)
	case c.verdict == full:
		c.answer(http.StatusTooManyRequests, "too many connections", "")
	case method != http.MethodGet:
		c.answer(http.StatusMethodNotAllowed, "only GET can be upgraded", "Allow: GET\r\n")
	default:
		return c.upgrade(b[:end], b[end:])
	}
	return nil
}

// headEnd returns the end of the blank line that ends a request head, or -1. A line may end in LF alone.
// https://www.rfc-editor.org/rfc/rfc9112#section-2.2
func headEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		switch rest := b[from:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return from + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return from + 2
		}
	}
}

func requestLine(head []byte) (method, target string, ok bool) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) != 3 || !strings.HasPrefix(fields[2], "HTTP/1.") {
		return "", "", false
	}
	return fields[0], fields[1], true
}

// upgrades tells whether a request for the target is one for the WebSocket. The target is taken as it is written: one
// in absolute form or with escapes in its path is for another.
func (c *Config) upgrades(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return path == c.Path
}

// upgrade answers a request for the WebSocket.
func (c *Conn) upgrade(head, rest []byte) []byte {
	if !keyed(head) {
		c.answer(http.StatusBadRequest, "the Sec-WebSocket-Key is not the base64 of 16 bytes", "")
		return nil
	}
	u := upgrade{config: &c.loop.server.config, request: Request{Remote: c.remote}}
	socket := memory{in: head}
	_, err := u.upgrader().Upgrade(&socket)
	var rejected *gobwas.ConnectionRejectedError
	switch {
	case errors.As(err, &rejected):
		more := ""
		switch rejected.StatusCode() {
		case http.StatusUpgradeRequired:
			more = "Sec-WebSocket-Version: 13\r\n"
		case http.StatusUnauthorized:
			more = "WWW-Authenticate: Bearer\r\n"
		}
		c.answer(rejected.StatusCode(), rejected.Error(), more)
		return nil
	case err != nil:
		c.answer(http.StatusBadRequest, "malformed HTTP request", "")
		return nil
	}
	b := &c.loop.batch
	b.raw(socket.out)
	c.write(b)
	b.reset()
	if c.state == stateGone {
		return nil
	}
	c.open(u.request)
	return rest
}

// keyed tells whether the request's key, if it has one, is what it must be; gobwas looks at its length only.
// https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
func keyed(head []byte) bool {
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("Sec-WebSocket-Key")) {
			nonce, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(value)))
			return err == nil && len(nonce) == 16
		}
	}
	return true
}

func (c *Conn) open(r Request) {
	c.state, c.opened = stateOpen, true
	c.heard = c.loop.now
	c.deadline = time.Time{}
	c.loop.open++
	c.loop.server.handler.Open(c, r)
}

// upgrade gathers what gobwas finds in a request head, in the order in which it stands there.
type upgrade struct {
	config   *Config
	request  Request
	offered  bool
	selected bool
}

func (u *upgrade) upgrader() gobwas.Upgrader {
	return gobwas.Upgrader{
		OnRequest: func(uri []byte) error {
			u.request.Path, u.request.Query, _ = strings.Cut(string(uri), "?")
			return nil
		},
		OnHost: func(host []byte) error {
			u.request.Host = string(host)
			return nil
		},
		OnHeader: func(key, value []byte) error {
			switch string(key) {
			case "Origin":
				u.request.Origin = string(value)
			case "Authorization":
				u.request.Authorization = string(value)
			}
			return nil
		},
		Protocol: func(name []byte) bool {
			u.offered = true
			u.selected = u.selected || string(name) == u.config.Subprotocol
			return string(name) == u.config.Subprotocol
		},
		OnBeforeUpgrade: func() (gobwas.HandshakeHeader, error) { return noHeader, u.decide() },
	}
}

var noHeader = gobwas.HandshakeHeaderString("")

func (u *upgrade) decide() error {
	switch {
	case u.offered && !u.selected:
		return reject(http.StatusBadRequest, "the subprotocol is "+u.config.Subprotocol)
	case !u.config.allows(u.request.Origin, u.request.Host):
		return reject(http.StatusForbidden, "the origin is not allowed")
	case u.config.Admit == nil:
		return nil
	}
	if status, text := u.config.Admit(&u.request); status != 0 {
		return reject(status, text)
	}
	return nil
}

func reject(status int, text string) error {
	return gobwas.RejectConnectionError(gobwas.RejectionStatus(status), gobwas.RejectionReason(text))
}

// allows tells whether a page of this origin may connect.
// https://www.rfc-editor.org/rfc/rfc6455#section-10.2
func (c *Config) allows(origin, host string) bool {
	if origin == "" {
		return true
	}
	for _, o := range c.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	if len(c.Origins) > 0 {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// answer writes an HTTP response and ends the connection.
func (c *Conn) answer(status int, text, header string) {
	b := &c.loop.batch
	b.raw([]byte("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) +
		"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(text)+1) +
		"\r\nConnection: close\r\n" + header + "\r\n" + text + "\n"))
	c.write(b)
	b.reset()
	if c.state != stateGone {
		c.discard()
	}
}

// memory is a socket for gobwas: the request head in, the answer out.
type memory struct{ in, out []byte }

func (m *memory) Read(p []byte) (int, error) {
	if len(m.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.in)
	m.in = m.in[n:]
	return n, nil
}

func (m *memory) Write(p []byte) (int, error) {
	m.out = append(m.out, p...)
	return len(p), nil
}
