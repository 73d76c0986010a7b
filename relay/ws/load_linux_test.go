package ws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The load side of the benchmarks is this test's binary once more: its CPU time isn't the server's, and the limit of
// descriptors counts for each.
const loadEnv = "PGRELAY_WS_LOAD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(loadEnv); spec != "" {
		if err := load(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// startLoad opens n connections to addr, with a handshake or without, from another process that reads and forgets
// what comes until the benchmark ends.
func startLoad(b *testing.B, addr string, n int, handshake bool) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %t", loadEnv, addr, n, handshake))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatalf("load: %q, %v", line, err)
	}
}

func load(spec string) error {
	fields := strings.Fields(spec)
	n, err := strconv.Atoi(fields[1])
	if err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	for i := range n {
		if err := loadOne(epoll, fields[0], fields[2] == "true"); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("ready")
	buffer := make([]byte, 256<<10)
	events := make([]unix.EpollEvent, 256)
	for {
		k, err := unix.EpollWait(epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(k, 0)] {
			if n, err := unix.Read(int(e.Fd), buffer); n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
				_ = unix.Close(int(e.Fd))
			}
		}
	}
}

func loadOne(epoll int, addr string, handshake bool) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	if handshake {
		if _, err := conn.Write([]byte(head + "\r\n")); err != nil {
			return err
		}
		answer := make([]byte, 129)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	_ = conn.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	_ = file.Close()
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}
