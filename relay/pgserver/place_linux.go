package pgserver

import (
	"os"

	"golang.org/x/sys/unix"
)

// roomy is how much a file system in memory must have free before servers go there: tests fill logs by the gigabyte.
const roomy = 8 << 30

// place is the folder under which servers get theirs. Where memory is plenty that is /dev/shm, on which making and
// removing a cluster is ten times faster than on a disk; setting TMPDIR overrides it.
func place() string {
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Access(shm, unix.W_OK) != nil || unix.Statfs(shm, &fs) != nil {
		return os.TempDir()
	}
	if fs.Type != unix.TMPFS_MAGIC || fs.Bavail*uint64(fs.Bsize) < roomy {
		return os.TempDir()
	}
	return shm
}
