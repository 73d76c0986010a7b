package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/capture"
	"pgrelay/relay/hub"
	"pgrelay/relay/metrics"
	"pgrelay/relay/warehouse"
)

// decoding is a source that is followed into a hub with one shape that nobody reads: stream, journal, frames, and no
// sockets.
type decoding struct {
	cancel  context.CancelFunc
	ended   chan error
	hub     *hub.Source
	passed  func(ctx context.Context) error
	changed chan struct{}
}

// follower is a way of capture.
type follower interface {
	Run(ctx context.Context) error
	Available() (ok bool, reason string)
	Passed(ctx context.Context) error
}

// startDecoding returns when the source is live, captured that way, and the shape is there.
func startDecoding(ctx context.Context, dsn string, by relay.Capture, logger zerolog.Logger) (_ *decoding, err error) {
	found, err := warehouse.Discover(ctx, warehouse.Config{DSN: dsn, Publication: publication})
	if err != nil {
		return nil, err
	}
	source := found.Sources[0]
	d := &decoding{ended: make(chan error, 1), changed: make(chan struct{}, 1)}
	d.hub = hub.NewSource(source.Name, 0)
	cfg := capture.Config{Publication: publication, Logger: logger,
		Metrics: metrics.New().Source(source.Name), Changed: d.change, SnapshotStarted: func() func() { return func() {} }}
	var c follower = capture.New(source, d.hub, cfg)
	if by == relay.CaptureTrigger {
		c = capture.NewOutbox(source, d.hub, cfg)
	}
	d.passed = c.Passed
	run, cancel := context.WithCancel(ctx)
	d.cancel = cancel
	go func() { d.ended <- c.Run(run) }()
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	for ok := false; !ok; ok, _ = c.Available() {
		select {
		case <-d.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	relation := d.hub.Relation(table)
	if relation == nil {
		return nil, fmt.Errorf("table %s is not published", table)
	}
	return d, shape(d.hub, relation)
}

// shape makes a shape of all columns, as a subscription without columns would.
func shape(h *hub.Source, relation *relay.Relation) error {
	var names []string
	for _, c := range relation.Columns {
		names = append(names, c.Name)
	}
	if h.Shape(relation, hub.Spec{Columns: names, All: true, Grows: true, Rule: "true"}) == nil {
		return fmt.Errorf("table %s takes no shape", relation.Name)
	}
	return nil
}

func (d *decoding) change() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *decoding) expect(int) {}

// await returns when the hub has taken in everything before end.
func (d *decoding) await(ctx context.Context, end relay.LSN) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for d.hub.Position() < end {
		select {
		case <-tick.C:
		case err := <-d.ended:
			return errors.Join(errors.New("the source is no longer followed"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *decoding) close() error {
	d.cancel()
	if err := <-d.ended; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
