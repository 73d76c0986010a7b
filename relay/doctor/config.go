package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// Config says what to look at. Only Warehouse.DSN has no default.
type Config struct {
	Warehouse warehouse.Config
	// Ignore are names of checks whose findings are left out.
	Ignore []string
	// RetainedBytes of WAL that a slot may keep: an error past it, a warning past half of it; default 4 GiB.
	RetainedBytes int64
	// LongTransaction is how long a transaction may hold the slots back; default 5 minutes.
	LongTransaction time.Duration
	// CatalogAge is how many transactions old a slot's catalog_xmin may be; default 10 million.
	CatalogAge int64
	// ClockSkew between a server and this machine; default 5 s.
	ClockSkew time.Duration
	// StatementTimeout of one question; default 10 s.
	StatementTimeout time.Duration
	// Now is this machine's clock; default time.Now.
	Now func() time.Time
	// Progress is told what is being looked at, from several goroutines; nil: nobody.
	Progress func(what string)
}

func (c Config) withDefaults() (Config, error) {
	for _, name := range c.Ignore {
		if !slices.ContainsFunc(checks, func(k check) bool { return k.name == name }) {
			return c, &relay.Problem{What: fmt.Sprintf("there is no check %q to ignore", name), Remedy: "one of " + strings.Join(checkNames(), ", ")}
		}
	}
	if c.RetainedBytes <= 0 {
		c.RetainedBytes = 4 << 30
	}
	if c.LongTransaction <= 0 {
		c.LongTransaction = 5 * time.Minute
	}
	if c.CatalogAge <= 0 {
		c.CatalogAge = 10_000_000
	}
	if c.ClockSkew <= 0 {
		c.ClockSkew = 5 * time.Second
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return c, nil
}
