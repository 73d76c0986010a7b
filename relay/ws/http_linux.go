package ws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// web is a net/http server on the sockets whose request wasn't for the WebSocket. It is their net.Listener.
type web struct {
	server *Server
	http   http.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	moving sync.WaitGroup
}

// Limits of plain HTTP: a request and its answer each have a minute, an idle connection too.
const webTimeout = time.Minute

func newWeb(s *Server) *web {
	w := &web{server: s, conns: make(chan net.Conn), done: make(chan struct{})}
	w.http = http.Server{
		Handler:           w,
		ReadHeaderTimeout: s.config.HandshakeTimeout,
		ReadTimeout:       webTimeout,
		WriteTimeout:      webTimeout,
		IdleTimeout:       webTimeout,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          log.New(s.config.Logger, "", 0),
	}
	return w
}

func (w *web) run() error {
	if err := w.http.Serve(w); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

func (w *web) drain(ctx context.Context) {
	if err := w.http.Shutdown(ctx); err != nil {
		w.server.config.Logger.Warn().Err(err).Msg("HTTP requests were cut off")
	}
}

func (w *web) stop() {
	_ = w.Close()
	_ = w.http.Close()
	w.moving.Wait()
}

// Accept returns the next socket that a loop handed over.
func (w *web) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (w *web) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

// Addr is the server's.
func (w *web) Addr() net.Addr { return w.server.Addr() }

// take moves a socket from its loop to net/http.
func (w *web) take(c *Conn, read []byte) {
	socket := &webConn{web: w, read: bytes.Clone(read), seat: c.seat, remote: c.remote}
	fd := c.fd
	c.detach()
	w.moving.Go(func() {
		file := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			socket.seat.release()
			w.server.config.Logger.Warn().Err(err).Msg("can't hand a connection to HTTP")
			return
		}
		socket.Conn = conn
		select {
		case w.conns <- socket:
		case <-w.done:
			_ = socket.Close()
		}
	})
}

// ServeHTTP passes requests on, apart from those for the WebSocket on a connection that served HTTP before, as a
// proxy's may be: that goes back to a loop.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	// By the same rule as a loop's: a request that both hold to be the other's would go round forever.
	if !w.server.config.upgrades(r.RequestURI) {
		w.server.config.HTTP.ServeHTTP(rw, r)
		return
	}
	if err := w.giveBack(rw, r); err != nil {
		w.server.config.Logger.Warn().Err(err).Msg("can't take a connection back from HTTP")
	}
}

func (w *web) giveBack(rw http.ResponseWriter, r *http.Request) error {
	conn, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return fmt.Errorf("hijack: %w", err)
	}
	defer conn.Close()
	socket, ok := conn.(*webConn)
	if !ok {
		return fmt.Errorf("hijack: unexpected %T", conn)
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(&head)
	head.WriteString("\r\n")
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	head.Write(rest)
	fd, err := socket.duplicate()
	if err != nil {
		return err
	}
	a := accepted{fd: fd, remote: socket.remote, at: time.Now(), read: head.Bytes()}
	socket.leave()
	a.seat, a.verdict = w.server.admission.enter(a.remote.Addr())
	l := w.server.loops[fd%len(w.server.loops)]
	if a.verdict == refused || !l.post(func() { l.take(a) }) {
		a.close()
	}
	return nil
}

// webConn is a socket of which some bytes were read before.
type webConn struct {
	net.Conn
	web    *web
	read   []byte
	remote netip.AddrPort
	mu     sync.Mutex // guards seat: net/http may close from several goroutines
	seat   seat
}

func (c *webConn) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	if c.read = c.read[n:]; len(c.read) == 0 {
		c.read = nil
	}
	return n, nil
}

// leave gives the seat back.
func (c *webConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seat.release()
}

// Close gives the seat back too.
func (c *webConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection without a reset.
func (c *webConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// duplicate is a descriptor of the same socket.
func (c *webConn) duplicate() (int, error) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("duplicate a socket: %T has no descriptor", c.Conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("duplicate a socket: %w", err)
	}
	fd := -1
	if e := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		err = e
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate a socket: %w", err)
	}
	return fd, nil
}
