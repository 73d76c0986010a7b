package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// limit is pg_recvlogical, which writes what it gets to /dev/null: what the server sends to a client that does nothing.
// https://www.postgresql.org/docs/current/app-pgrecvlogical.html
type limit struct {
	program string
	config  *pgx.ConnConfig
	// startup is what it takes to start, connect, and end, which no figure counts.
	startup time.Duration
}

// limitSlot is pg_recvlogical's.
const limitSlot = "bench_limit"

func newLimit(ctx context.Context, d *database, program string) (*limit, error) {
	l := &limit{program: program, config: d.conn.Config()}
	var runs []float64
	for range 3 {
		if err := d.createSlot(ctx, limitSlot); err != nil {
			return nil, err
		}
		end, err := d.fill(ctx, 1, 1)
		if err != nil {
			return nil, err
		}
		took, err := l.drain(ctx, end)
		if err != nil {
			return nil, err
		}
		runs = append(runs, took.Seconds())
		if err := d.dropSlot(ctx, limitSlot); err != nil {
			return nil, err
		}
	}
	l.startup = time.Duration(median(runs) * float64(time.Second))
	return l, nil
}

// drain reads the slot up to end and returns how long that took.
func (l *limit) drain(ctx context.Context, end relay.LSN) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, l.program, "--start", "--no-loop", "-f", "/dev/null", "-S", limitSlot,
		"-o", "proto_version=1", "-o", "publication_names="+publication, "--endpos", end.String(),
		"-h", l.config.Host, "-p", strconv.Itoa(int(l.config.Port)), "-U", l.config.User, "-d", l.config.Database)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+l.config.Password)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w: %s", err, bytes.TrimSpace(out))
	}
	return max(time.Since(began)-l.startup, time.Microsecond), nil
}
