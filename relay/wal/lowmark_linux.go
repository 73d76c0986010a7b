package wal

import "golang.org/x/sys/unix"

func setReceiveLowMark(fd uintptr, mark int) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, mark)
}
