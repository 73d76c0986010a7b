package oracle

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
	"pgrelay/triggers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMirrors: with everything that applications and browsers do at once, every mirror ends equal to its table.
func TestMirrors(t *testing.T) {
	o := fromEnvironment(t)
	url, dsn := os.Getenv("PGRELAY_ORACLE_URL"), os.Getenv("PGRELAY_ORACLE_DSN")
	if url != "" && dsn != "" {
		prepare(t.Context(), t, dsn)
		run(t, url, dsn, o)
		return
	}
	captures(t, func(t *testing.T, dsn string) {
		r := newProcess(t, dsn, "127.0.0.1:0")
		t.Cleanup(r.end)
		run(t, r.url(), dsn, o)
	})
}

// captures runs a test on a database for each way of capture. Where triggers capture every table, that of the rules among
// them, the server needs no logical replication.
func captures(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("logical", func(t *testing.T) { test(t, database(t, "logical")) })
	t.Run("trigger", func(t *testing.T) {
		dsn := database(t, "replica")
		conn := connect(t.Context(), t, dsn)
		scripts := []string{triggers.Install(""), triggers.Enable(triggers.Table{Name: warehouse.RulesTable})}
		for _, k := range tables {
			scripts = append(scripts, triggers.Enable(triggers.Table{Name: k.name}))
		}
		for _, script := range scripts {
			if _, err := conn.Exec(t.Context(), script); err != nil {
				t.Fatalf("capture by triggers: %v", err)
			}
		}
		test(t, dsn)
	})
}

// TestMirrorsAcrossRestarts: the same while the relay ends and begins again three times.
func TestMirrorsAcrossRestarts(t *testing.T) {
	o := fromEnvironment(t)
	o.setDefaults()
	captures(t, func(t *testing.T, dsn string) { acrossRestarts(t, dsn, o) })
}

func acrossRestarts(t *testing.T, dsn string, o options) {
	r := newProcess(t, dsn, "127.0.0.1:0")
	t.Cleanup(func() { r.end() })
	url, address := r.url(), r.server.Addr().String()
	o.Disturb = func(_ context.Context, stop <-chan struct{}) error {
		ticker := time.NewTicker(o.Duration / 4)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				r.end()
				r = newProcess(t, dsn, address)
			case <-stop:
				return nil
			}
		}
	}
	run(t, url, dsn, o)
}

func fromEnvironment(t *testing.T) options {
	t.Helper()
	return options{
		Seed:     number(t, "PGRELAY_ORACLE_SEED"),
		Duration: time.Duration(number(t, "PGRELAY_ORACLE_SECONDS")) * time.Second,
	}
}

// database starts Postgres and prepares a database that is its own warehouse.
func database(t *testing.T, walLevel string) (dsn string) {
	t.Helper()
	server := pgserver.ForTest(t, pgserver.Config{Settings: map[string]string{"deadlock_timeout": "100ms", "wal_level": walLevel}})
	if err := server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	prepare(t.Context(), t, server.DSN("shop"))
	return server.DSN("shop")
}

// process is one life of a relay.
type process struct {
	t      *testing.T
	server *serve.Server
	cancel context.CancelFunc
	ended  chan error
}

func newProcess(t *testing.T, dsn, address string) *process {
	s, err := serve.New(serve.Config{
		Warehouse: warehouse.Config{DSN: dsn}, Listen: address,
		Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	})
	if err != nil {
		t.Error(err)
		return &process{t: t}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, server: s, cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- s.Run(ctx) }()
	return p
}

// end stops the relay. Without one, nothing happens.
func (p *process) end() {
	if p.server == nil {
		return
	}
	p.cancel()
	if err := <-p.ended; err != nil {
		p.t.Errorf("the relay ended with %v", err)
	}
}

func (p *process) url() string { return "ws://" + p.server.Addr().String() + wire.Path }

// number reads a number from the environment; 0 where it isn't set.
func number(t *testing.T, name string) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
