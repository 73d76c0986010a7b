package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile is what marks a folder as a server's, locked as long as the process that made it lives.
const lockFile = "lock"

// claim marks dir as this process' own. The file is locked before it gets its name, so that nobody sees it unlocked.
func claim(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, lockFile)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, lockFile)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// abandoned tells whether dir is a server's folder whose process has ended.
func abandoned(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// Sweep removes the servers' folders among those that match pattern (filepath.Match) whose process has ended without
// removing them, and ends a Postgres that still runs there. It returns what it couldn't remove.
func Sweep(pattern string) error {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", pattern, err)
	}
	var errs []error
	for _, dir := range dirs {
		if !abandoned(dir) {
			continue
		}
		reap(filepath.Join(dir, "data"))
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
