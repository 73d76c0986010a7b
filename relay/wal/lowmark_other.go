//go:build !linux

package wal

// setReceiveLowMark does nothing: elsewhere SO_RCVLOWAT is not honoured by polling.
func setReceiveLowMark(uintptr, int) {}
