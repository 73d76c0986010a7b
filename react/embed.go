// Package react holds the demo page, as Vite builds it from demo/ into demo/dist.
package react

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

//go:embed all:demo/dist
var dist embed.FS

// ErrNotBuilt tells that the binary was compiled before the page was.
var ErrNotBuilt = errors.New("the demo page was not built: run `npm ci && npm run build` in react/ and compile again")

// Page is the demo page's files, with index.html at the root.
// Without a built page the error is ErrNotBuilt.
func Page() (fs.FS, error) {
	page, err := fs.Sub(dist, "demo/dist")
	if err != nil {
		return nil, fmt.Errorf("open the embedded page: %w", err)
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		return nil, ErrNotBuilt
	}
	return page, nil
}
