package main

import (
	"os"
	"path/filepath"
	"testing"
)

// golden compares an output with a file of testdata, and writes that first where update says so.
func golden(t *testing.T, update bool, folder, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", folder, name)
	if update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant, as in %s:\n%s", got, path, want)
	}
}
