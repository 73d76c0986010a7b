package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Start starts the server and returns when it takes connections. A server that runs already is an error.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.start(ctx)
	// A port that was free when New looked may have been taken since; before the first start nobody knows it yet.
	for range 5 {
		if !errors.Is(err, errEnded) || s.initial == "" || s.config.Port != 0 {
			break
		}
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.configure(); err != nil {
			return err
		}
		err = s.start(ctx)
	}
	if err != nil {
		return err
	}
	return s.setPassword(ctx)
}

// errEnded tells that the postmaster ended before it took connections.
var errEnded = errors.New("postgres ended at its start")

// start runs postgres until postmaster.pid says that it is ready.
func (s *Server) start(ctx context.Context) error {
	if s.lock == nil {
		return errors.New("start server: it is closed")
	}
	if s.process != nil && !s.process.ended() {
		return errors.New("start server: it runs already")
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open server's log: %w", err)
	}
	defer log.Close()
	cmd := s.account.command(s.binaries.postgres(), "-D", s.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.data(), log, log
	dieWithParent(cmd.SysProcAttr)
	s.process, err = launch(cmd)
	if err != nil {
		s.process = nil
		return fmt.Errorf("start server: %w", err)
	}
	if err := s.awaitReady(ctx); err != nil {
		s.process.kill()
		return fmt.Errorf("start server: %w; its log ends with:\n%s", err, s.Log())
	}
	return nil
}

// awaitReady reads postmaster.pid every 5 ms, as pg_ctl does every 100.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, state := readPidFile(s.data())
		if pid == s.process.cmd.Process.Pid && (state == "ready" || state == "standby") {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.process.done:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// setPassword replaces the template's password at the first start.
func (s *Server) setPassword(ctx context.Context) error {
	if s.initial == "" {
		return nil
	}
	conn, err := pgx.Connect(ctx, s.dsn("postgres", s.port, s.initial))
	if err != nil {
		return fmt.Errorf("set superuser's password: %w", err)
	}
	defer conn.Close(ctx)
	var statement string
	err = conn.QueryRow(ctx, "select format('alter role %I password %L', $1::text, $2::text)", s.superuser, s.password).Scan(&statement)
	if err != nil {
		return fmt.Errorf("set superuser's password: %w", err)
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("set superuser's password: %w", err)
	}
	s.initial = ""
	return nil
}

// Stop ends the server in one of the modes Smart, Fast and Immediate and waits until it has ended; past ctx the error says
// for how long it waited, and the server still goes on shutting down. A server that doesn't run is no error.
func (s *Server) Stop(ctx context.Context, mode string) error {
	signal, ok := stopSignals[mode]
	if !ok {
		return fmt.Errorf("stop server: unknown mode %q", mode)
	}
	p := s.running()
	if p == nil {
		return nil
	}
	begin := time.Now()
	if err := syscall.Kill(p.cmd.Process.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop server: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop server (%s): still running after %s: %w", mode, time.Since(begin).Round(time.Millisecond), context.Cause(ctx))
	}
}

// Crash kills the postmaster and all its children with SIGKILL and returns when none is left.
func (s *Server) Crash() {
	if p := s.running(); p != nil {
		p.kill()
	}
}

// Restart stops the server in mode Fast and starts it on the same port.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx, Fast); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Pid is the postmaster's process id, or 0 while it doesn't run.
func (s *Server) Pid() int {
	if p := s.running(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.process.ended() {
		return nil
	}
	return s.process
}
