package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is one private Postgres server. Its methods may be called from several goroutines.
type Server struct {
	binaries  Binaries
	account   account
	config    Config
	dir       string
	superuser string
	password  string

	mu      sync.Mutex
	port    int
	lock    *os.File
	process *process
	// initial is the template's password, until the first start replaces it.
	initial string
}

// tempPattern names the folders that New makes.
const tempPattern = "pgrelay-server-*"

var sweepOnce sync.Once

// New makes a cluster and configures it; Start starts it. Whoever calls New owes a Close.
func New(config Config) (_ *Server, err error) {
	found, err := Find(config.Version)
	if err != nil {
		return nil, err
	}
	a, err := currentAccount()
	if err != nil {
		return nil, err
	}
	if found, err = reachable(found, a); err != nil {
		return nil, err
	}
	s := &Server{binaries: found, account: a, config: config, port: config.Port, superuser: config.Superuser, password: config.Password}
	if s.superuser == "" {
		s.superuser = "postgres"
	}
	if s.password == "" {
		s.password = rand.Text()
	}
	if s.port == 0 {
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// makeDir makes and claims the server's folder.
func (s *Server) makeDir() error {
	var err error
	if s.config.Dir == "" {
		sweepOnce.Do(func() { _ = Sweep(filepath.Join(place(), tempPattern)) }) // what can't be removed harms nobody
		if s.dir, err = os.MkdirTemp(place(), tempPattern); err == nil {
			err = s.account.own(s.dir)
		}
	} else {
		if s.dir, err = filepath.Abs(s.config.Dir); err != nil {
			return fmt.Errorf("make server's folder: %w", err)
		}
		if err := Sweep(s.dir); err != nil {
			return err
		}
		err = s.account.mkdir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("make server's folder: %w", err)
	}
	if s.lock, err = claim(s.dir); err != nil {
		return fmt.Errorf("claim server's folder: %w", err)
	}
	if !s.account.reaches(s.dir) {
		return errors.Join(fmt.Errorf("use %s: uid %d, whom Postgres runs as, may not enter it", s.dir, s.account.uid), s.Close())
	}
	return nil
}

// build copies the template and writes the configuration.
func (s *Server) build() error {
	t, err := templateOf(s.binaries, s.account, s.superuser)
	if err != nil {
		return err
	}
	s.initial = t.password
	if err := copyTree(t.data, s.data(), s.account); err != nil {
		return fmt.Errorf("copy template: %w", err)
	}
	if dir := socketDir(s.dir); dir != "" {
		if err := s.account.mkdir(dir); err != nil {
			return fmt.Errorf("make socket folder: %w", err)
		}
	}
	return s.configure()
}

// configure writes the settings to a file of its own, which postgresql.conf includes last.
func (s *Server) configure() error {
	const name = "pgserver.conf"
	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, []byte(s.config.settings(socketDir(s.dir), s.port)), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := s.account.own(path); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.data(), "postgresql.conf"), []byte("include '"+name+"'\n"), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logPath() string { return filepath.Join(s.dir, "log") }

// Dir is the server's folder; data/ in it is Postgres' data directory.
func (s *Server) Dir() string { return s.dir }

// Version is the server's major version.
func (s *Server) Version() int { return s.binaries.Version }

// Port on 127.0.0.1. Only the first Start may change it, where Config left it open.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// Superuser and Password are the superuser's credentials.
func (s *Server) Superuser() string { return s.superuser }

// Password is the superuser's password.
func (s *Server) Password() string { return s.password }

// DSN is the superuser's connection string for a database, over TCP. It holds the password.
func (s *Server) DSN(database string) string { return s.dsn(database, s.Port(), s.password) }

func (s *Server) dsn(database string, port int, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(s.superuser, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Admin connects as the superuser to the database postgres. The caller closes the connection.
func (s *Server) Admin(ctx context.Context) (*pgx.Conn, error) { return s.Connect(ctx, "postgres") }

// Connect connects as the superuser to a database. The caller closes the connection.
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		return nil, fmt.Errorf("connect to database %s: %w", database, err)
	}
	return conn, nil
}

// CreateDatabase makes an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := s.Admin(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Exec runs SQL, one or several statements, as the superuser in a database.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// Log is the end of the server's log, at most 8 kB of it.
func (s *Server) Log() string {
	const most = 8 << 10
	content, err := os.ReadFile(s.logPath())
	if err != nil {
		return ""
	}
	return string(content[max(0, len(content)-most):])
}

// Close ends the server and removes its folder. It may be called twice.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx, Immediate); err != nil {
		s.Crash()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove server's folder: %w", err)
	}
	err := s.lock.Close()
	s.lock = nil
	return err
}

// Modes of Stop, as pg_ctl names them.
// https://www.postgresql.org/docs/current/server-shutdown.html
const (
	Smart     = "smart"
	Fast      = "fast"
	Immediate = "immediate"
)

var stopSignals = map[string]syscall.Signal{Smart: syscall.SIGTERM, Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT}
