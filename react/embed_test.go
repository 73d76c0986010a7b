package react

import (
	"errors"
	"io/fs"
	"testing"
)

func TestPage(t *testing.T) {
	page, err := Page()
	if errors.Is(err, ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		t.Errorf("index.html: %v", err)
	}
}
