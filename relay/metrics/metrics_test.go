package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgrelay/relay/wire"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestHandler(t *testing.T) {
	m := New()
	m.Connections.Inc()
	m.FramesSent.Add(3)
	m.Resync(wire.ReasonLagged)
	m.Resync("made up")
	m.Error(wire.CodeLimit)
	m.Close(wire.CloseTooSlow)
	m.ResumeRefused(RefusedTooOld)
	m.Snapshot()()
	s := m.Source("orders")
	s.Transaction(5)
	s.SetUp(true)
	s.SetJournal(1024, 7)
	s.SetRetained(1 << 40)
	got := scrape(t, m)
	for _, want := range []string{
		"pgrelay_connections 1\n",
		"pgrelay_frames_sent_total 3\n",
		`pgrelay_resyncs_total{reason="lagged"} 1`,
		`pgrelay_resyncs_total{reason="other"} 1`,
		`pgrelay_resyncs_total{reason="journal_gap"} 0`,
		`pgrelay_errors_total{code="limit"} 1`,
		`pgrelay_closes_total{code="4409"} 1`,
		`pgrelay_resumes_refused_total{reason="too_old"} 1`,
		"pgrelay_snapshots_running 0\n",
		"pgrelay_snapshot_seconds_count 1\n",
		`pgrelay_changes_total{source="orders"} 5`,
		`pgrelay_source_up{source="orders"} 1`,
		`pgrelay_journal_transactions{source="orders"} 7`,
		`pgrelay_source_retained_wal_bytes{source="orders"} 1.099511627776e+12`,
		"go_goroutines",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "made up") {
		t.Error("an unknown reason became a label")
	}
	m.DropSource("orders")
	if got := scrape(t, m); strings.Contains(got, `source="orders"`) {
		t.Error("the dropped source is still there")
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := New()
	s := m.Source("orders")
	got := testing.AllocsPerRun(100, func() {
		m.FramesSent.Inc()
		m.BytesSent.Add(250)
		m.Resync(wire.ReasonLagged)
		m.Error(wire.CodeLimit)
		s.Transaction(3)
		s.SetLag(12)
		s.SetJournal(1, 2)
		m.Source("orders").Changes(1)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
