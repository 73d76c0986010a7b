package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pgrelay/relay/pgserver"
)

// crashEnv makes the test binary start a server in the folder that it names and wait to be killed.
const crashEnv = "PGSERVER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		serveUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func serveUntilKilled(dir string) {
	s, err := pgserver.New(pgserver.Config{Dir: dir})
	if err == nil {
		err = s.Start(context.Background())
	}
	fmt.Println(s.Port(), s.Pid(), err)
	select {}
}

// versions are those that tests run on: the npm package's and Debian's, where they are installed.
func versions(t *testing.T) []int {
	var found []int
	for _, v := range []int{18, 15} {
		if _, err := pgserver.Find(v); err == nil {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		t.Fatal(pgserver.ErrNoBinaries)
	}
	return found
}

func query[T any](t *testing.T, s *pgserver.Server, sql string) T {
	t.Helper()
	ctx := t.Context()
	conn, err := s.Admin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var got T
	if err := conn.QueryRow(ctx, sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func TestServer(t *testing.T) {
	for _, version := range versions(t) {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			s := pgserver.ForTest(t, pgserver.Config{Version: version, Settings: map[string]string{"work_mem": "7MB"}})
			if got := query[int](t, s, "select current_setting('server_version_num')::int / 10000"); got != version {
				t.Errorf("version: got %d, want %d", got, version)
			}
			for name, want := range map[string]string{"wal_level": "logical", "work_mem": "7MB", "server_encoding": "UTF8"} {
				if got := query[string](t, s, "select current_setting('"+name+"')"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if err := s.CreateDatabase(t.Context(), `odd "name"`); err != nil {
				t.Fatal(err)
			}
			if err := s.Exec(t.Context(), `odd "name"`, "create extension postgres_fdw; create table t (id int)"); err != nil {
				t.Error(err)
			}
			wrong := strings.Replace(s.DSN("postgres"), s.Password(), "wrong", 1)
			if err := connect(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "28P01") {
				t.Errorf("wrong password: got %v, want 28P01", err)
			}
		})
	}
}

func TestCrashAndRestartKeepData(t *testing.T) {
	for _, version := range versions(t) {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			ctx := t.Context()
			s := pgserver.ForTest(t, pgserver.Config{Version: version})
			if err := s.Exec(ctx, "postgres", "create table kept (id int); insert into kept select generate_series(1, 1000)"); err != nil {
				t.Fatal(err)
			}
			port, pid := s.Port(), s.Pid()
			s.Crash()
			if s.Pid() != 0 {
				t.Error("runs after Crash")
			}
			if err := s.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if s.Port() != port || s.Pid() == pid {
				t.Errorf("got port %d and pid %d, want port %d and another pid than %d", s.Port(), s.Pid(), port, pid)
			}
			if got := query[int](t, s, "select count(*) from kept"); got != 1000 {
				t.Errorf("rows: got %d, want 1000", got)
			}
			if !strings.Contains(s.Log(), "automatic recovery in progress") {
				t.Error("the log doesn't tell of a recovery: the crash was none")
			}
		})
	}
}

func TestSeveralAtOnce(t *testing.T) {
	const n = 4
	servers := make([]*pgserver.Server, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s, err := pgserver.New(pgserver.Config{})
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
			if err := s.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ports := map[int]bool{}
	for _, s := range servers {
		if s == nil {
			continue
		}
		ports[s.Port()] = true
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("folder after Close: got %v, want it gone", err)
		}
	}
	if len(ports) != n {
		t.Errorf("got %d ports, want %d", len(ports), n)
	}
}

func TestStopSaysHowLongItWaited(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{})
	conn, err := s.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	// A smart shutdown waits for the session.
	err = s.Stop(ctx, pgserver.Smart)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "still running after") {
		t.Errorf("got %v, want still running", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context(), pgserver.Fast); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context(), "wrong"); err == nil {
		t.Error("unknown mode: got no error")
	}
}

// TestParentCrash kills a process with a running server: the server ends with it, and the folder serves the next one.
func TestParentCrash(t *testing.T) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pgrelay-crash-%d", os.Getpid()))
	t.Cleanup(func() { os.RemoveAll(dir) })
	port, pid := startAndKill(t, dir)
	awaitRefused(t, port)
	s := pgserver.ForTest(t, pgserver.Config{Dir: dir})
	if got := query[int](t, s, "select 1"); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	if s.Pid() == pid {
		t.Error("the old server still runs")
	}
	if _, err := pgserver.New(pgserver.Config{Dir: dir}); !errors.Is(err, os.ErrExist) {
		t.Errorf("folder in use: got %v, want %v", err, os.ErrExist)
	}
}

func TestSweepRemovesWhatACrashLeft(t *testing.T) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pgrelay-sweep-%d", os.Getpid()))
	t.Cleanup(func() { os.RemoveAll(dir) })
	startAndKill(t, dir)
	if err := pgserver.Sweep(dir + "*"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the folder gone", err)
	}
}

// startAndKill has another process start a server and kills that process.
func startAndKill(t *testing.T, dir string) (port, pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var failure string
	if _, err := fmt.Sscan(line, &port, &pid, &failure); err != nil || failure != "<nil>" {
		t.Fatalf("the other process said %q", line)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return port, pid
}

// awaitRefused holds connections to the port, each until the server ends it, until the port is closed.
func awaitRefused(t *testing.T, port int) {
	t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got %v, want the port closed", err)
			}
			return
		}
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
}

func TestLongFolderDoesWithoutSocket(t *testing.T) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pgrelay-%d-%s", os.Getpid(), strings.Repeat("long", 30)))
	s := pgserver.ForTest(t, pgserver.Config{Dir: dir})
	if got := query[string](t, s, "select current_setting('unix_socket_directories')"); got != "" {
		t.Errorf("socket folder: got %q, want none", got)
	}
}

func TestTakenPort(t *testing.T) {
	first := pgserver.ForTest(t, pgserver.Config{})
	s, err := pgserver.New(pgserver.Config{Port: first.Port()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want the log's line of the port in use", err)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := pgserver.New(pgserver.Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(s.Start(b.Context()), s.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
