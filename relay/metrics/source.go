package metrics

import "github.com/prometheus/client_golang/prometheus"

// sourceSeries are the series that carry a source's name.
type sourceSeries struct {
	up, lag, retained, journalBytes, journalTransactions *prometheus.GaugeVec
	changes, transactions, reconnects                    *prometheus.CounterVec
}

func newSourceSeries(r prometheus.Registerer) sourceSeries {
	return sourceSeries{
		up:                  sourceGauge(r, "source_up", "Whether the source's changes are being received."),
		lag:                 sourceGauge(r, "source_lag_bytes", "WAL between the source's insert position and what was received."),
		retained:            sourceGauge(r, "source_retained_wal_bytes", "WAL that the relay's slots keep at the source, counted from restart_lsn."),
		journalBytes:        sourceGauge(r, "journal_bytes", "Memory that the journal's window takes."),
		journalTransactions: sourceGauge(r, "journal_transactions", "Transactions in the journal's window."),
		changes:             sourceCounter(r, "changes_total", "Row changes decoded."),
		transactions:        sourceCounter(r, "transactions_total", "Transactions decoded."),
		reconnects:          sourceCounter(r, "source_reconnects_total", "Times that the source's stream was opened again."),
	}
}

// Source counts for one source. It is safe for concurrent use.
type Source struct {
	up, lag, retained, journalBytes, journalTransactions prometheus.Gauge
	changes, transactions, reconnects                    prometheus.Counter
}

// Source returns the source's series; the same for the same name. The name is the server's, never a DSN.
func (m *Metrics) Source(name string) *Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.sources[name]; ok {
		return s
	}
	s := &Source{
		up:                  m.series.up.WithLabelValues(name),
		lag:                 m.series.lag.WithLabelValues(name),
		retained:            m.series.retained.WithLabelValues(name),
		journalBytes:        m.series.journalBytes.WithLabelValues(name),
		journalTransactions: m.series.journalTransactions.WithLabelValues(name),
		changes:             m.series.changes.WithLabelValues(name),
		transactions:        m.series.transactions.WithLabelValues(name),
		reconnects:          m.series.reconnects.WithLabelValues(name),
	}
	m.sources[name] = s
	return s
}

// DropSource forgets a source that left the warehouse; its series end.
func (m *Metrics) DropSource(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sources, name)
	for _, vec := range []*prometheus.GaugeVec{m.series.up, m.series.lag, m.series.retained, m.series.journalBytes, m.series.journalTransactions} {
		vec.DeleteLabelValues(name)
	}
	for _, vec := range []*prometheus.CounterVec{m.series.changes, m.series.transactions, m.series.reconnects} {
		vec.DeleteLabelValues(name)
	}
}

// Transaction counts one decoded transaction and its changes.
func (s *Source) Transaction(changes int) {
	s.transactions.Inc()
	s.changes.Add(float64(changes))
}

// Changes counts decoded changes of a transaction that hasn't ended yet.
func (s *Source) Changes(n int) { s.changes.Add(float64(n)) }

// SetUp tells whether the stream is open.
func (s *Source) SetUp(up bool) {
	if up {
		s.up.Set(1)
		return
	}
	s.up.Set(0)
}

// Reconnected counts a stream that was opened again.
func (s *Source) Reconnected() { s.reconnects.Inc() }

// SetLag sets the bytes of WAL that are still to be received.
func (s *Source) SetLag(bytes uint64) { s.lag.Set(float64(bytes)) }

// SetRetained sets the bytes of WAL that the relay's slots keep at the source.
func (s *Source) SetRetained(bytes uint64) { s.retained.Set(float64(bytes)) }

// SetJournal sets the size of the journal's window.
func (s *Source) SetJournal(bytes int64, transactions int) {
	s.journalBytes.Set(float64(bytes))
	s.journalTransactions.Set(float64(transactions))
}
