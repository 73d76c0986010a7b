package pgserver

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Config says what server New makes. The zero value is a working one.
type Config struct {
	// Version is the major version; 0 takes any installed one, 18 before the others.
	Version int
	// Dir is the server's own folder. It must not exist, or be the remains of a server whose process has ended.
	// Default: a new folder in memory (/dev/shm) where there is plenty, else under os.TempDir(). Who measures what a
	// disk does, or keeps the server for long, gives a folder on one.
	Dir string
	// Settings go to postgresql.conf after the package's own and override them.
	Settings map[string]string
	// Port on 127.0.0.1; 0 takes a free one, the same over restarts.
	Port int
	// Superuser's name; default "postgres".
	Superuser string
	// Password of the superuser; default: a random one.
	Password string
}

// settings are made for servers that are thrown away: no fsync, room for many connections, senders and slots, and
// nothing in /dev/shm that a crash would leave there.
func (c Config) settings(socketDir string, port int) string {
	all := map[string]string{
		"listen_addresses":           "127.0.0.1",
		"port":                       strconv.Itoa(port),
		"unix_socket_directories":    socketDir,
		"unix_socket_permissions":    "0700",
		"password_encryption":        "scram-sha-256",
		"wal_level":                  "logical",
		"max_connections":            "200",
		"max_wal_senders":            "50",
		"max_replication_slots":      "100",
		"max_prepared_transactions":  "10",
		"shared_buffers":             "64MB",
		"dynamic_shared_memory_type": "mmap",
		"fsync":                      "off",
		"full_page_writes":           "off",
		"logging_collector":          "off",
	}
	maps.Copy(all, c.Settings)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return b.String()
}

// longestSocket is what sockaddr_un takes (unix(7)), less the longest name of a socket's lock file.
const longestSocket = 103 - len("/.s.PGSQL.65535.lock")

// socketDir is the folder for the server's socket, or "" (no socket) where its path would be too long.
func socketDir(dir string) string {
	path := filepath.Join(dir, "socket")
	if len(path) > longestSocket {
		return ""
	}
	return path
}

// freePort finds a port below the range that systems take for outgoing connections (ip_local_port_range begins at 32768),
// so that no connection sits on it while the server restarts.
func freePort() (int, error) {
	const first, count, tries = 20000, 12000, 100
	var last error
	for range tries {
		port := first + rand.IntN(count)
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}
