package pgserver_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
)

func connect(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func TestFindPrefersTheFolderOfTheEnvironment(t *testing.T) {
	installed, err := pgserver.Find(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(pgserver.EnvBin, installed.Dir)
	if got, err := pgserver.Find(0); err != nil || got != installed {
		t.Errorf("got %v, %v, want %v", got, err, installed)
	}
	t.Setenv(pgserver.EnvBin, t.TempDir())
	if _, err := pgserver.Find(0); err == nil || !strings.Contains(err.Error(), pgserver.EnvBin) {
		t.Errorf("empty folder: got %v, want an error that names %s", err, pgserver.EnvBin)
	}
}

func TestFindSaysWhatToInstall(t *testing.T) {
	_, err := pgserver.Find(9)
	if !errors.Is(err, pgserver.ErrNoBinaries) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want ErrNoBinaries in one line", err)
	}
}

// TestUnhydratedPackage runs the npm package as npm 11 unpacks it: without its symbolic links, in a folder that only
// its owner may enter.
func TestUnhydratedPackage(t *testing.T) {
	found, err := pgserver.Find(18)
	if err != nil {
		t.Fatal(err)
	}
	native := filepath.Dir(found.Dir)
	if _, err := os.Stat(filepath.Join(native, "pg-symlinks.json")); errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s isn't the npm package; nothing to hydrate", native)
		return
	}
	fresh := filepath.Join(t.TempDir(), "native")
	if err := os.CopyFS(fresh, withoutLinks{os.DirFS(native)}); err != nil {
		t.Fatal(err)
	}
	t.Setenv(pgserver.EnvBin, filepath.Join(fresh, "bin"))
	s := pgserver.ForTest(t, pgserver.Config{Version: 18})
	if got := query[int](t, s, "select 1"); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
}

// withoutLinks is a file system without its symbolic links.
type withoutLinks struct{ fs.FS }

func (f withoutLinks) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	var kept []fs.DirEntry
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink == 0 {
			kept = append(kept, entry)
		}
	}
	return kept, err
}
