package pgserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running postmaster.
type process struct {
	cmd *exec.Cmd
	// done is closed when the postmaster has ended and is reaped.
	done chan struct{}
}

// launch starts cmd so that it ends with this process where the system can arrange it. The kernel ties the child to the
// thread that made it (PR_SET_PDEATHSIG, prctl(2)), hence a thread that stays until the child has gone.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in the server's log
			close(p.done)
		}
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the postmaster and all its children at once, as a power cut would, and waits until none is left:
// a child that still holds the shared memory would keep the next postmaster from starting.
func (p *process) kill() {
	if p.ended() {
		return
	}
	pid := p.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP) // so that it starts no further child
	family := children(pid)
	for _, child := range family {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	<-p.done
	for _, child := range family {
		awaitGone(child)
	}
}

// awaitGone waits until a process that has been killed is gone or a zombie.
func awaitGone(pid int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		<-tick.C
	}
}

// reap ends the postmaster that an ended process left behind in data, if there is one.
func reap(data string) {
	pid, _ := readPidFile(data)
	if pid <= 1 || !strings.Contains(commandLine(pid), data) {
		return
	}
	family := children(pid)
	_ = syscall.Kill(pid, syscall.SIGQUIT)
	for _, member := range append(family, pid) {
		awaitGone(member)
	}
}

// readPidFile returns what postmaster.pid says of the postmaster's id and state ("ready", "standby", "starting", …).
// https://git.postgresql.org/gitweb/?p=postgresql.git;a=blob;f=src/include/utils/pidfile.h
func readPidFile(data string) (pid int, state string) {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(content), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return 0, ""
	}
	if len(lines) >= 8 {
		state = strings.TrimSpace(lines[7])
	}
	return pid, state
}
