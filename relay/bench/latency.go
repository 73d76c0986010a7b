package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	latencyName = "commit to client"
	// Every calm a row is inserted, so often: the reader is asleep before each.
	calm    = 10 * time.Millisecond
	samples = 300
	warmUp  = 20
)

// Latency is how soon a client of a whole relay has a row, calm. In milliseconds.
type Latency struct {
	// Inserts are the round trips of single-row inserts, Above how much later than their end the row had come.
	Inserts Quantiles `json:"insert"`
	Above   Quantiles `json:"above"`
}

// Quantiles of a distribution.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func quantiles(of []float64) Quantiles { return Quantiles{quantile(of, 0.5), quantile(of, 0.99)} }

// latency measures the way of single rows through the outbox.
func (w *writers) latency(ctx context.Context) (err error) {
	w.config.Progress(latencyName)
	dsn := w.config.DSN(triggersDatabase)
	s, err := startServed(ctx, dsn, w.config.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	d, err := connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer d.close()
	var inserts, above []float64
	tick := time.NewTicker(calm)
	defer tick.Stop()
	for i := range samples + warmUp {
		<-tick.C
		s.expect(1)
		began := time.Now()
		if err := d.exec(ctx, script(1)); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		ended := time.Now()
		if err := s.await(ctx, 0); err != nil {
			return err
		}
		if i >= warmUp {
			inserts = append(inserts, milliseconds(ended.Sub(began)))
			above = append(above, milliseconds(s.came().Sub(ended)))
		}
	}
	w.report.Latency = &Latency{Inserts: quantiles(inserts), Above: quantiles(above)}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
