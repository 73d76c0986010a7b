package ws

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The frame of the benchmarks, and many of them side by side, as they lie in a shared log.
var (
	benchFrame = AppendFrame(nil, bytes.Repeat([]byte("x"), 250))
	benchLog   = bytes.Repeat(benchFrame, 300)
)

// fan is a Handler that sends each connection all frames that were published since its last Pull.
type fan struct {
	recorder
	published atomic.Int64
	delivered atomic.Int64
	progress  chan struct{}
}

// fanConn is a connection's cursor.
type fanConn struct{ at int64 }

// fanLoop is a loop's connections.
type fanLoop struct{ conns []*Conn }

func (f *fan) Open(c *Conn, _ Request) {
	l := c.Loop().Data().(*fanLoop)
	l.conns = append(l.conns, c)
	c.SetData(&fanConn{f.published.Load()})
	f.opened <- c
}

func (f *fan) Wake(l *Loop) {
	for _, c := range l.Data().(*fanLoop).conns {
		c.Due()
	}
}

func (f *fan) Pull(c *Conn, out *Batch) bool {
	at := c.Data().(*fanConn)
	n := min(f.published.Load()-at.at, int64(out.Limit/len(benchFrame)))
	out.Add(benchLog[:int(n)*len(benchFrame)])
	at.at += n
	f.delivered.Add(n)
	select {
	case f.progress <- struct{}{}:
	default:
	}
	return at.at < f.published.Load()
}

func (f *fan) publish(s *Server) {
	f.published.Add(1)
	for _, l := range s.Loops() {
		l.Wake()
	}
}

func newFan(b *testing.B, n int) (*fan, *Server) {
	b.Helper()
	f := &fan{recorder: *newRecorder(), progress: make(chan struct{}, 1)}
	s, err := Listen("tcp", "127.0.0.1:0", Config{}, f)
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range s.Loops() {
		l.SetData(&fanLoop{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	startLoad(b, s.Addr().String(), n, true)
	for range n {
		<-f.opened
	}
	return f, s
}

func cpu() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}

// measure reports deliveries a second and the server's CPU time for each.
func measure(b *testing.B, n int, f func()) {
	before := cpu()
	b.ResetTimer()
	f()
	b.StopTimer()
	all := float64(b.N) * float64(n)
	b.ReportMetric(all/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(cpu()-before)/all, "cpu-ns/delivery")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFanout sends a frame of 250 bytes to all connections: raw is write(2) of each frame on each socket in a
// plain loop, single waits for each frame to be out before the next, saturated publishes up to 200 ahead.
func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("raw/%d", n), func(b *testing.B) { rawFanout(b, n) })
		b.Run(fmt.Sprintf("single/%d", n), func(b *testing.B) { fanout(b, n, 0) })
		b.Run(fmt.Sprintf("saturated/%d", n), func(b *testing.B) { fanout(b, n, 200) })
	}
}

func fanout(b *testing.B, n int, ahead int64) {
	f, s := newFan(b, n)
	measure(b, n, func() {
		for i := range int64(b.N) {
			f.publish(s)
			for i+1-f.delivered.Load()/int64(n) > ahead {
				<-f.progress
			}
		}
		for f.delivered.Load() < int64(b.N)*int64(n) {
			<-f.progress
		}
	})
}

func rawFanout(b *testing.B, n int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var fds []int
	accepted := make(chan error, 1)
	go func() {
		for range n {
			conn, err := listener.Accept()
			if err != nil {
				accepted <- err
				return
			}
			raw, _ := conn.(*net.TCPConn).SyscallConn()
			_ = raw.Control(func(fd uintptr) {
				own, _ := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
				fds = append(fds, own)
			})
			_ = conn.Close()
		}
		accepted <- nil
	}()
	startLoad(b, listener.Addr().String(), n, false)
	if err := <-accepted; err != nil {
		b.Fatal(err)
	}
	measure(b, n, func() {
		for range b.N {
			for _, fd := range fds {
				for {
					_, err := unix.Write(fd, benchFrame)
					if err == nil {
						break
					}
					if err != unix.EAGAIN {
						b.Fatal(err)
					}
					_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
				}
			}
		}
	})
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// BenchmarkIdle reports what an idle connection costs in heap and in resident memory.
func BenchmarkIdle(b *testing.B) {
	const n = 10_000
	heap, resident := footprint()
	_, s := newFan(b, n)
	after, residentAfter := footprint()
	b.ReportMetric((after-heap)/n, "heap-B/conn")
	b.ReportMetric((residentAfter-resident)/n, "rss-B/conn")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(s)
}

func footprint() (heap, resident float64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var size, pages int64
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(b), &size, &pages)
	}
	return float64(m.HeapAlloc), float64(pages * int64(os.Getpagesize()))
}
