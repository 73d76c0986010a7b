package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pgrelay/relay/pgserver"
)

// Config says what demo Start makes. The zero value is a working one.
type Config struct {
	// Dir is the folder in which the servers get theirs; default os.TempDir().
	Dir string
	// Rate of the traffic at its begin, in actions a second; default 8, at most MaxRate.
	Rate float64
	// Version is Postgres' major version; 0 takes any installed one.
	Version int
	// Logger tells of connections that the traffic lost; default: silence.
	Logger zerolog.Logger
}

const (
	// MaxRate is the highest rate of traffic, in actions a second.
	MaxRate = 1000

	defaultRate = 8
)

// Demo is a running sample. Its methods may be called from several goroutines.
type Demo struct {
	warehouse *pgserver.Server
	services  *pgserver.Server
	// passwords by role; each role owns the databases that it is named after, admin the warehouse and the system database.
	passwords map[string]string
	log       zerolog.Logger
	// rate holds the bits of a float64.
	rate atomic.Uint64
	// changed has room for one: the traffic's wake-up when the rate changes.
	changed chan struct{}
}

// Start makes the servers with their databases and rows and returns when they take connections. It first removes what
// earlier demos in the same Dir left behind because they crashed. Whoever calls Start owes a Close.
func Start(ctx context.Context, config Config) (_ *Demo, err error) {
	if config.Rate == 0 {
		config.Rate = defaultRate
	}
	if config.Dir == "" {
		config.Dir = os.TempDir()
	}
	d := &Demo{
		passwords: map[string]string{admin: rand.Text(), profiles: rand.Text(), orders: rand.Text()},
		log:       config.Logger.With().Str("component", "demo").Logger(),
		changed:   make(chan struct{}, 1),
	}
	if err := d.SetRate(config.Rate); err != nil {
		return nil, err
	}
	if err := pgserver.Sweep(filepath.Join(config.Dir, "pgrelay-demo-*")); err != nil {
		return nil, err
	}
	if err := errors.Join(d.start(ctx, config), ctx.Err()); err != nil {
		return nil, errors.Join(fmt.Errorf("start demo: %w", err), d.Close())
	}
	return d, nil
}

// start starts both servers at once and fills them, the services first: the warehouse imports their tables.
func (d *Demo) start(ctx context.Context, config Config) error {
	name := filepath.Join(config.Dir, "pgrelay-demo-"+rand.Text()[:8])
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		d.services, err = startServer(groupCtx, config.Version, name+"-services")
		return err
	})
	group.Go(func() (err error) {
		d.warehouse, err = startServer(groupCtx, config.Version, name+"-warehouse")
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := d.buildServices(ctx); err != nil {
		return err
	}
	return d.buildWarehouse(ctx)
}

// startServer returns a started server, or one that failed to start, which is still to be closed.
func startServer(ctx context.Context, version int, dir string) (*pgserver.Server, error) {
	s, err := pgserver.New(pgserver.Config{Version: version, Dir: dir})
	if err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// WarehouseDSN is the warehouse's connection string, all that a relay needs. It holds a password.
func (d *Demo) WarehouseDSN() string { return d.dsn(d.warehouse, admin, warehouse) }

// SystemDSN is the system database's connection string, for whoever edits rules. It holds a password.
func (d *Demo) SystemDSN() string { return d.dsn(d.warehouse, admin, system) }

// Services is the server behind the foreign tables.
func (d *Demo) Services() *pgserver.Server { return d.services }

// Warehouse is the server of the warehouse and the system database.
func (d *Demo) Warehouse() *pgserver.Server { return d.warehouse }

func (d *Demo) dsn(s *pgserver.Server, role, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, d.passwords[role]),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Rate is the traffic's rate in actions a second.
func (d *Demo) Rate() float64 { return math.Float64frombits(d.rate.Load()) }

// SetRate sets the traffic's rate, from 0 (none) to MaxRate actions a second.
func (d *Demo) SetRate(perSecond float64) error {
	if !(perSecond >= 0 && perSecond <= MaxRate) {
		return fmt.Errorf("set rate: %v isn't between 0 and %d a second", perSecond, MaxRate)
	}
	d.rate.Store(math.Float64bits(perSecond))
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return nil
}

// Close ends both servers and removes their folders. It may be called twice.
func (d *Demo) Close() error {
	var errs []error
	for _, s := range []*pgserver.Server{d.warehouse, d.services} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
