package ws

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// run is serve with a hand on the end.
func run(t *testing.T, cfg Config, h Handler) (s *Server, stop func(), done chan error) {
	t.Helper()
	s, err := Listen("tcp", "127.0.0.1:0", cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done = make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, cancel, done
}

func TestShutdownWritesWhatIsDue(t *testing.T) {
	const count = 300
	f := &feeder{}
	for i := range count {
		f.frames = append(f.frames, AppendFrame(nil, []byte(fmt.Sprintf("%010000d", i))))
	}
	h := newRecorder()
	h.pull = f.pull
	h.onMsg = func(c *Conn, _ []byte) { c.Due() }
	s, stop, done := run(t, Config{Loops: 2}, h)
	c, late, idle := dialSmall(t, s), dial(t, s), open(t, s)
	<-h.opened
	<-h.opened
	late.send([]byte("GET "))
	c.text("go")
	c.wantText(fmt.Sprintf("%010000d", 0))
	stop()
	for i := range count { // an idle connection has its due as well
		idle.wantText(fmt.Sprintf("%010000d", i))
	}
	idle.wantClose(1001)
	late.send([]byte("/v1/ws HTTP/1.1\r\n\r\n"))
	late.response(503)
	for i := 1; i < count; i++ {
		c.wantText(fmt.Sprintf("%010000d", i))
	}
	c.wantClose(1001)
	c.send(frame(gobwas.OpClose, true, closeBody(1001, "")))
	c.wantEOF()
	idle.send(frame(gobwas.OpClose, true, closeBody(1001, "")))
	idle.wantEOF()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 2 {
		if err, ok := (<-h.closed).(*CloseError); !ok || err.Code != 1001 {
			t.Errorf("Closed got %v", err)
		}
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the address is still bound")
	}
	s.Loops()[0].Wake()
	s.Loops()[0].Post(func() { t.Error("ran after the end") })
	s.Close()
	if err := s.Run(context.Background()); err == nil {
		t.Error("a second Run returned no error")
	}
}

func TestShutdownIsBoundedByTheDrainTimeout(t *testing.T) {
	h := newRecorder()
	frames := AppendFrame(nil, bytes.Repeat([]byte("x"), 60_000))
	h.pull = func(_ *Conn, out *Batch) bool { out.Add(frames); return true }
	h.onMsg = func(c *Conn, _ []byte) { c.Due() }
	s, stop, done := run(t, Config{DrainTimeout: 50 * time.Millisecond}, h)
	c := open(t, s)
	c.text("go")
	c.next()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-h.closed; err != errShutdown {
		t.Errorf("Closed got %v", err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	s, err := Listen("tcp", "127.0.0.1:0", Config{}, newRecorder())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
}

func TestListenErrors(t *testing.T) {
	for name, cfg := range map[string]Config{
		"Loops": {Loops: -1}, "Heartbeat": {Heartbeat: -1}, "Path": {Path: "ws"}, "MaxPerAddress": {MaxPerAddress: -1},
	} {
		if _, err := Listen("tcp", "127.0.0.1:0", cfg, newRecorder()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Listen("tcp", "127.0.0.1:99999", Config{}, newRecorder()); err == nil {
		t.Error("no error for a port that can't be")
	}
}

func TestOtherPathsAreServedByHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	h := newRecorder()
	s := serve(t, Config{HTTP: mux, MaxConnections: 1}, h)
	c := dial(t, s)
	body := strings.Repeat("b", 100_000)
	for range 3 { // on one connection
		c.send([]byte(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)))
		got, err := io.ReadAll(c.response(200).Body)
		if err != nil || string(got) != body {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	c.send([]byte("GET /none HTTP/1.1\r\nHost: x\r\n\r\n"))
	_, _ = io.ReadAll(c.response(404).Body)

	for _, target := range []string{"http://x/v1/ws", "/v1/%77s", "//v1/ws", "/v1/ws/"} {
		c.send([]byte(strings.Replace(head, "/v1/ws", target, 1) + "\r\n"))
		if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode < 300 || r.StatusCode > 404 {
			t.Fatalf("%s: %v, %v", target, r, err)
		} else {
			_, _ = io.ReadAll(r.Body)
		}
	}

	t.Run("a kept connection is upgraded, frames behind the head included", func(t *testing.T) {
		c.send(append([]byte(head+"X-Y: z\r\n\r\n"), frame(gobwas.OpText, true, "at once")...))
		c.response(101)
		c.wantText("at once")
		c.text("later")
		c.wantText("later")
		if got := (<-h.opened).RemoteAddr().String(); got != c.LocalAddr().String() {
			t.Errorf("remote address %s", got)
		}
	})
	t.Run("a full server still answers", func(t *testing.T) {
		health := dial(t, s)
		health.send([]byte("GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		_, _ = io.ReadAll(health.response(404).Body)
		health.wantEOF()
	})
	t.Run("and has room again", func(t *testing.T) {
		_ = c.Close()
		<-h.closed
		open(t, s)
	})
}

func TestLimits(t *testing.T) {
	h := newRecorder()
	s := serve(t, Config{MaxConnections: 3, MaxPerAddress: 2}, h)
	from := func(ip string) *client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		conn, err := d.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := wrap(t, conn)
		c.send([]byte(head + "\r\n"))
		return c
	}
	first := from("127.0.0.1")
	first.response(101)
	from("127.0.0.1").response(101)
	crowded := from("127.0.0.1")
	_, _ = io.ReadAll(crowded.response(429).Body)
	_ = crowded.Close()
	third := from("127.0.0.2")
	// The crowded connection holds a seat until the server has seen its end.
	for r := third; ; r = from("127.0.0.2") {
		if answer, err := http.ReadResponse(r.r, nil); err != nil {
			t.Fatal(err)
		} else if answer.StatusCode == 101 {
			break
		}
		_ = r.Close()
	}
	full := from("127.0.0.3")
	if body, _ := io.ReadAll(full.response(429).Body); string(body) != "too many connections\n" {
		t.Errorf("body %q", body)
	}
}

// TestWithoutDescriptors takes every descriptor away while a client connects: it is served when there are some again.
func TestWithoutDescriptors(t *testing.T) {
	warned := make(lines, 1)
	s := serve(t, Config{Loops: 1, Logger: zerolog.New(warned)}, newRecorder())
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	port := s.Addr().(*net.TCPAddr).Port
	connected := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if connected == nil {
		if got := <-warned; !strings.Contains(got, "too many open files") {
			t.Errorf("logged %s", got)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if connected != nil {
		t.Fatal(connected)
	}
	file := os.NewFile(uintptr(fd), "socket")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		t.Fatal(err)
	}
	c := wrap(t, conn)
	c.send([]byte(head + "\r\n"))
	c.response(101)
}

// lines gets a logger's lines, those for which there is room.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

func TestStormLeavesRoomForOthers(t *testing.T) {
	h := newRecorder()
	s := serve(t, Config{Loops: 1}, h)
	c := open(t, s)
	<-h.opened
	const storm = 1000
	errs := make(chan error, storm)
	for range storm {
		go func() {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err == nil {
				_, err = conn.Write([]byte(head + "\r\n"))
			}
			if err == nil {
				_, err = http.ReadResponse(bufio.NewReader(conn), nil)
			}
			if conn != nil {
				_ = conn.Close()
			}
			errs <- err
		}()
	}
	for i := range storm {
		want := fmt.Sprint(i)
		c.text(want)
		c.wantText(want)
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}
