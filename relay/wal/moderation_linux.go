package wal

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// moderates tells that reads can be moderated: SO_RCVLOWAT holds back polling, too (tcp(7)).
const moderates = true

func setReceiveLowMark(fd uintptr, mark int) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, mark)
}

// readNow reads from a socket that doesn't block.
func readNow(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
