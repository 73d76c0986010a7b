//go:build !linux

package pgserver

import "os"

// place is the folder under which servers get theirs.
func place() string { return os.TempDir() }
