// Package metrics counts what the relay does, for Prometheus.
//
// Names begin with pgrelay_. Labels are a source's name or one of the protocol's own codes and reasons, so the number
// of series is bounded by the number of sources; no value, claim, token or DSN is ever a label. Labelled counters are
// resolved beforehand: counting allocates nothing and takes no lock.
//
// https://prometheus.io/docs/practices/naming/
package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pgrelay/relay/wire"
)

// Metrics is a registry of its own with the relay's series in it. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	// What is there now.
	Connections   prometheus.Gauge
	Subscriptions prometheus.Gauge
	Shapes        prometheus.Gauge
	// RulesBroken is the number of stored rules that can't be used and therefore deny.
	RulesBroken prometheus.Gauge

	// What was written to sockets; Bytes with the WebSocket framing.
	FramesSent prometheus.Counter
	BytesSent  prometheus.Counter
	// ConnectionsTotal counts accepted handshakes.
	ConnectionsTotal prometheus.Counter
	// ResumesTotal counts subscriptions continued after a cursor.
	ResumesTotal prometheus.Counter

	SnapshotsRunning prometheus.Gauge
	SnapshotsTotal   prometheus.Counter
	SnapshotSeconds  prometheus.Histogram

	resyncs set
	faults  set
	errors  set
	refused set
	closes  set

	series  sourceSeries
	mu      sync.Mutex
	sources map[string]*Source
}

// The causes for which a since is answered with a snapshot.
const (
	RefusedUnreadable = "unreadable"
	RefusedTooOld     = "too_old"
	RefusedAhead      = "ahead"
	RefusedShape      = "shape_changed"
	RefusedTimeline   = "timeline"
	RefusedEpoch      = "epoch"
)

// The kinds of errors at the evaluation of a row.
const (
	FaultRule  = "rule"
	FaultWhere = "where"
	// FaultInternal is one that Postgres would not raise.
	FaultInternal = "internal"
)

// New returns metrics that count nothing yet, the process' and the Go runtime's own among them.
func New() *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry:         r,
		Connections:      gauge(r, "connections", "Open WebSocket connections."),
		Subscriptions:    gauge(r, "subscriptions", "Open subscriptions on all connections."),
		Shapes:           gauge(r, "shapes", "Distinct shapes that subscriptions share."),
		RulesBroken:      gauge(r, "rules_broken", "Stored rules that can't be used and therefore deny."),
		FramesSent:       counter(r, "frames_sent_total", "WebSocket frames written."),
		BytesSent:        counter(r, "bytes_sent_total", "Bytes written to WebSocket connections, framing included."),
		ConnectionsTotal: counter(r, "connections_total", "WebSocket handshakes accepted."),
		ResumesTotal:     counter(r, "resumes_total", "Subscriptions continued after a cursor."),
		SnapshotsRunning: gauge(r, "snapshots_running", "Snapshots being read from a source."),
		SnapshotsTotal:   counter(r, "snapshots_total", "Snapshots begun."),
		SnapshotSeconds:  seconds(r, "snapshot_seconds", "Time from a snapshot's begin to its last row."),
		resyncs: newSet(r, "resyncs_total", "Shapes that were told to start over.", "reason",
			wire.ReasonLagged, wire.ReasonRuleChanged, wire.ReasonSchemaChanged, wire.ReasonTableChanged, wire.ReasonJournalGap),
		faults: newSet(r, "rule_errors_total", "Rows that are hidden because a rule or a client's where raised an error on them.", "kind",
			FaultRule, FaultWhere, FaultInternal),
		errors: newSet(r, "errors_total", "Error messages sent to clients.", "code",
			wire.CodeBadMessage, wire.CodeBadToken, wire.CodeBadWhere, wire.CodeBadParams, wire.CodeBadColumns,
			wire.CodeDuplicateID, wire.CodeNotFound, wire.CodeLimit, wire.CodeRateLimited, wire.CodeUnavailable, wire.CodeInternal),
		refused: newSet(r, "resumes_refused_total", "Cursors answered with a snapshot.", "reason",
			RefusedUnreadable, RefusedTooOld, RefusedAhead, RefusedShape, RefusedTimeline, RefusedEpoch),
		closes: newSet(r, "closes_total", "Connections closed by the relay.", "code",
			"1000", "1001", "1002", "1003", "1007", "1009", "4400", "4401", "4408", "4409", "4429"),
		series:  newSourceSeries(r),
		sources: map[string]*Source{},
	}
}

// Resync counts a shape's resync by the protocol's reason.
func (m *Metrics) Resync(reason string) { m.resyncs.of(reason).Inc() }

// Fault counts a row that an error of a predicate hides, by one of the Fault kinds.
func (m *Metrics) Fault(kind string) { m.faults.of(kind).Inc() }

// Error counts an error message by its code.
func (m *Metrics) Error(code string) { m.errors.of(code).Inc() }

// ResumeRefused counts a since that was answered with a snapshot, by one of the Refused causes.
func (m *Metrics) ResumeRefused(reason string) { m.refused.of(reason).Inc() }

// Close counts a connection that the relay closed, by its close code.
func (m *Metrics) Close(code int) { m.closes.of(strconv.Itoa(code)).Inc() }

// Snapshot counts a snapshot as begun and returns what ends it.
func (m *Metrics) Snapshot() (done func()) {
	start := time.Now()
	m.SnapshotsTotal.Inc()
	m.SnapshotsRunning.Inc()
	return func() {
		m.SnapshotsRunning.Dec()
		m.SnapshotSeconds.Observe(time.Since(start).Seconds())
	}
}

// Handler serves the metrics in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
