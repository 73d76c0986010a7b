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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMirrors: with everything that applications and browsers do at once, every mirror ends equal to its table.
func TestMirrors(t *testing.T) {
	o := options{Seed: number(t, "PGRELAY_ORACLE_SEED"), Duration: time.Duration(number(t, "PGRELAY_ORACLE_SECONDS")) * time.Second}
	url, dsn := os.Getenv("PGRELAY_ORACLE_URL"), os.Getenv("PGRELAY_ORACLE_DSN")
	if url != "" && dsn != "" {
		prepare(t.Context(), t, dsn)
		run(t, url, dsn, o)
		return
	}
	server := pgserver.ForTest(t, pgserver.Config{Settings: map[string]string{"deadlock_timeout": "100ms"}})
	if err := server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	prepare(t.Context(), t, server.DSN("shop"))
	run(t, start(t, server.DSN("shop")), server.DSN("shop"), o)
}

// start runs a relay until the test's end and returns its WebSocket's URL.
func start(t *testing.T, dsn string) string {
	t.Helper()
	s, err := serve.New(serve.Config{
		Warehouse: warehouse.Config{DSN: dsn}, Listen: "127.0.0.1:0",
		Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return "ws://" + s.Addr().String() + wire.Path
}

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
