//go:build !linux

package ws

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

var errUnsupported = errors.New("listen for WebSockets: this system has no epoll, only Linux is supported")

// Server is never made on a system without epoll: Listen says so.
type Server struct{}

// Listen returns an error.
func Listen(network, addr string, cfg Config, h Handler) (*Server, error) { return nil, errUnsupported }

// Addr is nil.
func (s *Server) Addr() net.Addr { return nil }

// Loops is nil.
func (s *Server) Loops() []*Loop { return nil }

// Close does nothing.
func (s *Server) Close() {}

// Run returns an error.
func (s *Server) Run(ctx context.Context) error { return errUnsupported }

// Loop is never made on a system without epoll.
type Loop struct{}

// Index is 0.
func (l *Loop) Index() int { return 0 }

// Data is nil.
func (l *Loop) Data() any { return nil }

// SetData does nothing.
func (l *Loop) SetData(v any) {}

// Now is zero.
func (l *Loop) Now() time.Time { return time.Time{} }

// Wake does nothing.
func (l *Loop) Wake() {}

// Post does nothing.
func (l *Loop) Post(f func()) {}

// Conn is never made on a system without epoll.
type Conn struct{}

// Loop is nil.
func (c *Conn) Loop() *Loop { return nil }

// ID is 0.
func (c *Conn) ID() uint64 { return 0 }

// RemoteAddr is not valid.
func (c *Conn) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// Data is nil.
func (c *Conn) Data() any { return nil }

// SetData does nothing.
func (c *Conn) SetData(v any) {}

// Pending is 0.
func (c *Conn) Pending() int { return 0 }

// Retract does nothing.
func (c *Conn) Retract(drop func(payload []byte) bool) {}

// Due does nothing.
func (c *Conn) Due() {}

// Close does nothing.
func (c *Conn) Close(code int, reason string) {}
