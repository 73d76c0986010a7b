//go:build !linux

package wal

import "errors"

// moderates is false: elsewhere SO_RCVLOWAT is not honoured by polling, and sockets are read as they come.
const moderates = false

func setReceiveLowMark(uintptr, int) {}

func readNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
