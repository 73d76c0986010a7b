package pgserver

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PoolerForTest starts a PgBouncer in transaction mode in front of the server that a DSN names; it ends with the test. It
// returns the DSN with the pooler in the server's place. Each transaction may be served by another of its few sessions, and
// what a transaction leaves in a session (settings, LISTEN, prepared statements, locks) meets the next one.
// https://www.pgbouncer.org/features.html
func PoolerForTest(t testing.TB, dsn string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path = "/usr/sbin/pgbouncer"; !executable(path) {
			t.Fatal("pgbouncer not found: apt-get install pgbouncer")
		}
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	a, err := currentAccount()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(place(), "pgrelay-pooler-*")
	if err == nil {
		err = a.own(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	ini, users, log := filepath.Join(dir, "ini"), filepath.Join(dir, "users"), filepath.Join(dir, "log")
	for file, text := range map[string]string{
		users: fmt.Sprintf("%q %q\n", c.User, c.Password),
		ini: fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 10
logfile = %s
`, c.Port, port, users, log),
	} {
		if err = os.WriteFile(file, []byte(text), 0o600); err == nil {
			err = a.own(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := a.command(path, "-q", ini)
	dieWithParent(cmd.SysProcAttr)
	p, err := launch(cmd)
	if err != nil {
		t.Fatalf("start pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM) // at once, unlike SIGINT
		<-p.done
		if text, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("PgBouncer's log:\n%s", text)
		}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if p.ended() || time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			t.Fatalf("pgbouncer doesn't answer: %v; its log:\n%s", err, text)
		}
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}
