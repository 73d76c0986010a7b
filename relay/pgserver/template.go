package pgserver

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// template is a folder with a freshly made cluster and its superuser's password, which copies start with.
type template struct {
	data     string
	password string
}

// cacheDir is where templates are kept between processes; only the account may enter it.
func cacheDir(a account) (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pgrelay-cache-%d", a.uid))
	if err := a.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("look at cache folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != a.uid || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("use cache folder %s: it isn't a folder of mode 0700 that belongs to uid %d; remove it", dir, a.uid)
	}
	return dir, nil
}

// templateOf returns the template for the version, made at the first call on this machine: initdb takes a second,
// a copy a tenth. Processes that come at the same time wait for one another.
func templateOf(b Binaries, a account, superuser string) (template, error) {
	cache, err := cacheDir(a)
	if err != nil {
		return template{}, err
	}
	info, err := os.Stat(b.postgres())
	if err != nil {
		return template{}, fmt.Errorf("look at postgres: %w", err)
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d\n%s", b.Dir, info.Size(), info.ModTime().UnixNano(), superuser))
	dir := filepath.Join(cache, fmt.Sprintf("%d-%x", b.Version, key[:6]))
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return template{}, fmt.Errorf("lock template: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return template{}, fmt.Errorf("lock template: %w", err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeTemplate(b, a, dir, superuser); err != nil {
			return template{}, err
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return template{}, fmt.Errorf("read template: %w", err)
	}
	return template{data: filepath.Join(dir, "data"), password: string(password)}, nil
}

// makeTemplate runs initdb beside dir and gives the result its name when it is whole.
func makeTemplate(b Binaries, a account, dir, superuser string) error {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("clear template: %w", err)
	}
	if err := a.mkdir(part); err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	password := filepath.Join(part, "password")
	if err := os.WriteFile(password, []byte(rand.Text()), 0o600); err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	if err := a.own(password); err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	locale := "C"
	if runtime.GOOS == "linux" {
		locale = "C.UTF-8"
	}
	cmd := a.command(b.initdb(), "--pgdata="+filepath.Join(part, "data"), "--username="+superuser, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale="+locale, "--no-sync", "--no-instructions")
	cmd.Dir = part
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w: %s", err, strings.TrimSpace(string(bytes.ToValidUTF8(out, nil))))
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	return nil
}

// copyTree copies a folder's folders, regular files and symbolic links with their modes, for the account.
func copyTree(from, to string, a account) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, info.Mode().Perm())
		case info.Mode()&fs.ModeSymlink != 0:
			var link string
			if link, err = os.Readlink(path); err == nil {
				err = os.Symlink(link, target)
			}
		default:
			err = copyFile(path, target, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
		return a.own(target)
	})
}

func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// reachable returns b, or a copy of it that the account can run where b lies in a folder closed to it
// (a checkout in root's home).
func reachable(b Binaries, a account) (Binaries, error) {
	if a.reaches(b.Dir) {
		return b, nil
	}
	cache, err := cacheDir(a)
	if err != nil {
		return Binaries{}, err
	}
	key := sha256.Sum256([]byte(b.Dir))
	dir := filepath.Join(cache, fmt.Sprintf("programs-%d-%x", b.Version, key[:6]))
	copied := Binaries{Dir: filepath.Join(dir, "bin"), Version: b.Version}
	if executable(copied.postgres()) {
		return copied, nil
	}
	part, err := os.MkdirTemp(cache, "part-")
	if err != nil {
		return Binaries{}, fmt.Errorf("copy Postgres: %w", err)
	}
	defer os.RemoveAll(part)
	whole := filepath.Join(part, "native")
	if err := copyTree(filepath.Dir(b.Dir), whole, a); err != nil {
		return Binaries{}, fmt.Errorf("copy Postgres: %w", err)
	}
	if err := os.Rename(whole, dir); err != nil && !executable(copied.postgres()) {
		return Binaries{}, fmt.Errorf("copy Postgres: %w", err)
	}
	return copied, nil
}
