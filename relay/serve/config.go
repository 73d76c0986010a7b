package serve

import (
	"errors"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"pgrelay/relay/auth"
	"pgrelay/relay/capture"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
)

// Config is what a relay needs; only Warehouse.DSN has no default.
type Config struct {
	Warehouse warehouse.Config
	// Listen is the address of the WebSocket and of the page; default 127.0.0.1:7070.
	Listen string
	// Admin is the operator's address; empty: none.
	Admin string
	Auth  auth.Config
	// Capture is how sources are followed; Logger, Metrics and the callbacks are set by the relay.
	Capture capture.Config
	// FrameBytes bounds the frames that each source keeps in memory for connections; default 32 MiB.
	FrameBytes int
	Limits     wire.Limits
	Heartbeat  time.Duration
	// RulesTimeout is after how long without hearing of rule edits every subscription waits; default 30 s.
	RulesTimeout   time.Duration
	Origins        []string
	MaxConnections int
	MaxPerAddress  int
	DrainTimeout   time.Duration
	// Page serves every path that is not the relay's own; nil: 404.
	Page    http.Handler
	Version string
	Logger  zerolog.Logger
}

func (c *Config) setDefaults() error {
	if c.Warehouse.DSN == "" {
		return errors.New("the warehouse's DSN is missing; give --warehouse postgres://…")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:7070"
	}
	if c.RulesTimeout <= 0 {
		c.RulesTimeout = 30 * time.Second
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	c.Warehouse.Publication = c.Capture.Publication
	return nil
}
