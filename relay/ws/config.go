package ws

import (
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/rs/zerolog"
)

// Config is how the server behaves. The zero value works.
type Config struct {
	// Loops is the number of epoll loops, each a goroutine; default GOMAXPROCS.
	Loops int
	// Path is the only path that is upgraded; default "/v1/ws".
	Path string
	// Subprotocol is the one that is spoken; default "pgrelay.v1". A request that offers others only gets HTTP 400,
	// one that offers none is accepted.
	Subprotocol string
	// Origins are the values of Origin that are allowed ("https://app.example.com"), "*" for any. Empty: only the host
	// that the request itself names. A request without Origin comes from no browser and passes. Else HTTP 403.
	Origins []string
	// Admit decides on a well-formed request before it is upgraded. A status other than 0 is the HTTP answer, and
	// text its body. It runs on a loop's goroutine: it must not block. Default: everybody is admitted.
	Admit func(r *Request) (status int, text string)
	// HandshakeTimeout runs from the accept to the complete request head; default 10 s.
	HandshakeTimeout time.Duration
	// CloseTimeout is how long a connection that was told to close may take to answer; default 2 s.
	CloseTimeout time.Duration
	// DrainTimeout bounds the shutdown: what is due is still written for so long; default 5 s.
	DrainTimeout time.Duration
	// Heartbeat is the silence after which the peer is sent a ping; after twice as long it is closed with 4408.
	// Default 25 s.
	Heartbeat time.Duration
	// MaxMessage is the largest message of a client in bytes, its fragments together; default 64 KiB. Past it 1009.
	MaxMessage int
	// BatchLimit is Batch.Limit in bytes: what one connection may write before the others have their turn;
	// default 64 KiB.
	BatchLimit int
	// Unsent bounds what the kernel keeps of a connection's bytes beyond those on their way to the peer
	// (TCP_NOTSENT_LOWAT), in bytes; default 128 KiB. Without it a socket swallows megabytes for a reader that stands
	// still, which then can be neither joined, replaced nor withdrawn.
	Unsent int
	// MaxConnections bounds the sockets in all, MaxPerAddress those of one IPv4 address or IPv6 /64 network;
	// past either a request gets HTTP 429. Default 0: no bound but the descriptors.
	MaxConnections, MaxPerAddress int
	// HTTP serves every other path: it is given the socket with the bytes that were read, keep-alive included.
	// Default nil: HTTP 404.
	HTTP http.Handler
	// Logger gets what concerns no connection in particular.
	Logger zerolog.Logger
}

func (c *Config) setDefaults() error {
	for _, d := range []struct {
		name string
		of   *time.Duration
		is   time.Duration
	}{
		{"HandshakeTimeout", &c.HandshakeTimeout, 10 * time.Second},
		{"CloseTimeout", &c.CloseTimeout, 2 * time.Second},
		{"DrainTimeout", &c.DrainTimeout, 5 * time.Second},
		{"Heartbeat", &c.Heartbeat, 25 * time.Second},
	} {
		if *d.of < 0 {
			return fmt.Errorf("ws config: %s is negative", d.name)
		}
		if *d.of == 0 {
			*d.of = d.is
		}
	}
	for _, n := range []struct {
		name string
		of   *int
		is   int
	}{
		{"Loops", &c.Loops, runtime.GOMAXPROCS(0)},
		{"MaxMessage", &c.MaxMessage, 64 << 10},
		{"BatchLimit", &c.BatchLimit, 64 << 10},
		{"Unsent", &c.Unsent, 128 << 10},
		{"MaxConnections", &c.MaxConnections, 0},
		{"MaxPerAddress", &c.MaxPerAddress, 0},
	} {
		if *n.of < 0 {
			return fmt.Errorf("ws config: %s is negative", n.name)
		}
		if *n.of == 0 {
			*n.of = n.is
		}
	}
	if c.Path == "" {
		c.Path = "/v1/ws"
	}
	if c.Path[0] != '/' {
		return fmt.Errorf("ws config: Path %q does not begin with a slash", c.Path)
	}
	if c.Subprotocol == "" {
		c.Subprotocol = "pgrelay.v1"
	}
	return nil
}

// Request is what is known of the request that was upgraded.
type Request struct {
	Remote netip.AddrPort
	Path   string
	// Query is the raw query without the question mark.
	Query  string
	Host   string
	Origin string
	// Authorization is the header's value: a secret, if it is there.
	Authorization string
}
