package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"pgrelay/relay/wire"
)

// Defaults and limits.
const (
	// DefaultMaxMessage bounds a server's message, in bytes.
	DefaultMaxMessage = 256 << 20
	// DefaultTimeout bounds the way from the dial to welcome.
	DefaultTimeout = 10 * time.Second

	writeTimeout = 10 * time.Second
	closeTimeout = 2 * time.Second
)

// Options of a connection. The zero value connects as anon.
type Options struct {
	// Token is the JWT that hello carries; empty for anon.
	Token string
	// Lagged is hello's lagged: wire.LaggedResync (the default) or wire.LaggedClose.
	Lagged string
	// Strict refuses fields and types of messages that this version doesn't know, which the protocol tells a client to
	// ignore.
	Strict bool
	// MaxMessage bounds a server's message, in bytes; default DefaultMaxMessage.
	MaxMessage int
	// Timeout bounds the way from the dial to welcome; default DefaultTimeout.
	Timeout time.Duration
}

// Conn is one connection. One goroutine may receive while others send.
type Conn struct {
	conn    net.Conn
	reader  *bufio.Reader
	options Options
	welcome wire.ServerMessage

	writing sync.Mutex

	mu    sync.Mutex
	gate  chan struct{} // closed, or open while stalled
	ended chan struct{}
	once  sync.Once
}

// Dial connects, says hello and waits for welcome. Its errors are a *StatusError where the handshake was answered by
// another status, a *CloseError where the server closed, else those of the network.
func Dial(ctx context.Context, url string, o Options) (*Conn, error) {
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, buffered, err := handshake(ctx, url)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, reader: bufio.NewReaderSize(buffered, 16<<10), options: o, ended: make(chan struct{}), gate: closedGate()}
	stop := context.AfterFunc(ctx, c.Drop)
	err = c.hello()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Drop()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return c, nil
}

// handshake returns the connection and what is to be read from it, the bytes that came with the answer first.
func handshake(ctx context.Context, url string) (net.Conn, io.Reader, error) {
	dialer := ws.Dialer{Protocols: []string{wire.Subprotocol}}
	var refusal string
	dialer.OnStatusError = func(_ int, _ []byte, response io.Reader) { refusal = body(response) }
	conn, buffered, shake, err := dialer.Dial(ctx, url)
	if status := ws.StatusError(0); errors.As(err, &status) {
		return nil, nil, &StatusError{Status: int(status), Body: refusal}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	if shake.Protocol != wire.Subprotocol {
		conn.Close()
		return nil, nil, fmt.Errorf("connect to %s: the server doesn't speak %s", url, wire.Subprotocol)
	}
	if buffered == nil {
		return conn, conn, nil
	}
	early, _ := buffered.Peek(buffered.Buffered())
	reader := io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	ws.PutReader(buffered)
	return conn, reader, nil
}

func (c *Conn) hello() error {
	if err := c.Send(wire.ClientMessage{Type: wire.TypeHello, Token: c.options.Token, Lagged: c.options.Lagged}); err != nil {
		return err
	}
	_, m, err := c.Receive()
	if err != nil {
		return err
	}
	if m.Type != wire.TypeWelcome || m.Session == "" || m.Role == "" || m.HeartbeatMS <= 0 || m.Limits == nil {
		return fmt.Errorf("got a %q that is no welcome", m.Type)
	}
	c.welcome = *m
	return nil
}

// Welcome is the server's answer to hello.
func (c *Conn) Welcome() wire.ServerMessage { return c.welcome }

// Send writes one message.
func (c *Conn) Send(m wire.ClientMessage) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Type, err)
	}
	return c.SendFrame(ws.NewTextFrame(text))
}

// SendFrame masks and writes one frame of any kind, a malformed one too.
func (c *Conn) SendFrame(f ws.Frame) error {
	raw, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return fmt.Errorf("mask frame: %w", err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("write to the relay: %w", err)
	}
	if _, err := c.conn.Write(raw); err != nil {
		return fmt.Errorf("write to the relay: %w", err)
	}
	return nil
}

// Stall makes Receive stop reading after the message that it may be reading, until Unstall: a slow client.
func (c *Conn) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gate:
		c.gate = make(chan struct{})
	default:
	}
}

// Unstall ends a Stall.
func (c *Conn) Unstall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gate:
	default:
		close(c.gate)
	}
}

// Close says goodbye with 1000 and closes the connection after the server's answer, or two seconds. Receive must be
// running for the answer to be heard.
func (c *Conn) Close() error {
	err := c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	if err == nil {
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case <-c.ended:
		case <-timer.C:
		}
	}
	c.end()
	return err
}

// Drop resets the TCP connection, as a cut cable or a killed process would.
func (c *Conn) Drop() {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // of no use on a connection that is already gone
	}
	c.end()
}

func (c *Conn) end() {
	c.once.Do(func() {
		close(c.ended)
		c.conn.Close()
	})
}

func closedGate() chan struct{} {
	gate := make(chan struct{})
	close(gate)
	return gate
}
