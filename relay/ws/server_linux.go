package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Server accepts connections and shares them out evenly among its loops.
type Server struct {
	config    Config
	handler   Handler
	listener  net.Listener
	file      *os.File        // the listener's descriptor: net's own lets nobody wait for a connection
	raw       syscall.RawConn // of file
	loops     []*Loop
	web       *web
	admission admission
	period    time.Duration // of the wheel
	next      int           // loop; the acceptor's
	ids       atomic.Uint64
	running   atomic.Bool
	closing   chan struct{}
	shut      sync.Once
}

// Listen binds the address; nothing is accepted before Run. network is "tcp", "tcp4", "tcp6" or "unix".
func Listen(network, addr string, cfg Config, h Handler) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{config: cfg, handler: h, closing: make(chan struct{})}
	s.admission = admission{
		total: cfg.MaxConnections, perAddress: cfg.MaxPerAddress, byAddress: map[netip.Addr]int{},
	}
	s.period = time.Second
	for _, d := range []time.Duration{cfg.HandshakeTimeout, cfg.CloseTimeout, cfg.Heartbeat} {
		s.period = max(min(s.period, d/2), 10*time.Millisecond)
	}
	var err error
	if s.listener, err = net.Listen(network, addr); err != nil {
		return nil, fmt.Errorf("listen for WebSockets: %w", err)
	}
	if err = s.openFile(); err != nil {
		s.Close()
		return nil, fmt.Errorf("listen for WebSockets: %w", err)
	}
	for i := range cfg.Loops {
		l, err := newLoop(s, i)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("listen for WebSockets: %w", err)
		}
		s.loops = append(s.loops, l)
	}
	if cfg.HTTP != nil {
		s.web = newWeb(s)
	}
	return s, nil
}

func (s *Server) openFile() (err error) {
	socket, ok := s.listener.(interface{ File() (*os.File, error) })
	if !ok {
		return fmt.Errorf("network %s has no descriptors", s.listener.Addr().Network())
	}
	if s.file, err = socket.File(); err != nil {
		return err
	}
	s.raw, err = s.file.SyscallConn()
	return err
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Loops are the server's loops; the slice must not be changed.
func (s *Server) Loops() []*Loop { return s.loops }

// Close frees what Listen took where Run isn't called. It may be called twice; Run does it by itself.
func (s *Server) Close() {
	s.unlisten()
	if s.running.Load() {
		return
	}
	for _, l := range s.loops {
		l.poll.close()
	}
}

func (s *Server) unlisten() {
	s.shut.Do(func() {
		close(s.closing)
		_ = s.listener.Close()
		if s.file != nil {
			_ = s.file.Close()
		}
	})
}

// Run serves until ctx is cancelled. Then requests are answered with 503; every connection is sent what is due and
// closed with 1001, for Config.DrainTimeout at most; and Run returns nil. A failure of the sockets' machinery ends it
// in the same way, with the error.
func (s *Server) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("serve WebSockets: Run was called before")
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var loops, others sync.WaitGroup
	var failed failure
	start := func(group *sync.WaitGroup, f func() error) {
		group.Go(func() {
			if err := f(); err != nil {
				failed.note(err)
				fail(err)
			}
		})
	}
	for _, l := range s.loops {
		start(&loops, l.run)
	}
	start(&others, s.accept)
	if s.web != nil {
		start(&others, s.web.run)
	}
	<-ctx.Done()
	s.drain()
	s.unlisten()
	if s.web != nil {
		s.web.stop()
	}
	others.Wait()
	for _, l := range s.loops {
		l.Post(func() { l.stopping = true })
	}
	loops.Wait()
	for _, l := range s.loops {
		l.poll.close()
	}
	return failed.err
}

// failure is the first error of several goroutines.
type failure struct {
	once sync.Once
	err  error
}

func (f *failure) note(err error) {
	f.once.Do(func() { f.err = fmt.Errorf("serve WebSockets: %w", err) })
}

func (s *Server) drain() {
	limit, cancel := context.WithTimeout(context.Background(), s.config.DrainTimeout)
	defer cancel()
	for _, l := range s.loops {
		l.Post(l.drain)
	}
	if s.web != nil {
		s.web.drain(limit)
	}
	for _, l := range s.loops {
		select {
		case <-l.drained:
		case <-limit.Done():
		}
	}
}

// accepted is a socket on its way to a loop.
type accepted struct {
	fd      int
	remote  netip.AddrPort
	seat    seat
	verdict verdict
	at      time.Time
	read    []byte // what was read of it already
}

func (a *accepted) close() {
	_ = unix.Close(a.fd)
	a.seat.release()
}

// accept hands new sockets to the loops until the listener is closed. Without descriptors it waits and tries again,
// up to a second: the kernel's queue keeps the clients meanwhile.
func (s *Server) accept() error {
	const first, last = 5 * time.Millisecond, time.Second
	pause := first
	for {
		fd, from, err := s.acceptOne()
		switch {
		case err == nil:
			pause = first
			s.admit(fd, addrPort(from))
			continue
		case s.ended():
			return nil
		case err == unix.EBADF || err == unix.EINVAL || err == unix.ENOTSOCK:
			return fmt.Errorf("accept: %w", err)
		case err == unix.ECONNABORTED || err == unix.EINTR || err == unix.EPROTO || err == unix.EPERM:
			continue // of the one connection: accept(2), "Error handling"
		}
		s.config.Logger.Warn().Err(err).Dur("pause", pause).Msg("accepting no connections for now")
		select {
		case <-time.After(pause):
		case <-s.closing:
			return nil
		}
		pause = min(2*pause, last)
	}
}

func (s *Server) ended() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Server) acceptOne() (fd int, from unix.Sockaddr, err error) {
	waited := s.raw.Read(func(listener uintptr) bool {
		fd, from, err = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err != unix.EAGAIN
	})
	if waited != nil {
		return -1, nil, waited
	}
	return fd, from, err
}

// admit gives a socket to the next loop that has room; with none it waits for one, and so does the kernel's queue.
func (s *Server) admit(fd int, remote netip.AddrPort) {
	seat, v := s.admission.enter(remote.Addr())
	a := accepted{fd: fd, remote: remote, seat: seat, verdict: v, at: time.Now()}
	if v == refused {
		a.close()
		return
	}
	if remote.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, s.config.Unsent)
	}
	var l *Loop
	for range s.loops {
		l = s.loops[s.next%len(s.loops)]
		s.next++
		select {
		case l.inbox <- a:
			l.rouse()
			return
		default:
		}
	}
	select {
	case l.inbox <- a:
		l.rouse()
	case <-s.closing:
		a.close()
	}
}

func addrPort(from unix.Sockaddr) netip.AddrPort {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// take makes a connection of a socket.
func (l *Loop) take(a accepted) {
	c := &Conn{
		loop: l, id: l.server.ids.Add(1), fd: a.fd, remote: a.remote, seat: a.seat, verdict: a.verdict,
		deadline: a.at.Add(l.server.config.HandshakeTimeout),
	}
	l.place(c)
	if err := l.poll.add(c.fd, c.slot, c.generation()); err != nil {
		c.teardown(err)
		return
	}
	if len(a.read) > 0 {
		c.feed(a.read)
	}
}
