package serve

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"slices"

	"pgrelay/relay/capture"
)

// http serves the paths beside the WebSocket.
func (s *Server) http() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if len(s.Reasons()) > 0 {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	if s.cfg.Page != nil {
		mux.Handle("/", s.cfg.Page)
	}
	return mux
}

// adminHandler serves the operator's port.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := s.Reasons()
		w.Header().Set("Content-Type", "application/json")
		if len(reasons) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": len(reasons) == 0, "reasons": reasons, "rules_broken": s.brokenRules()})
	})
	mux.HandleFunc("POST /rules/wait", s.waitForRules)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// Reasons are why the relay can't serve everything; none when it is ready.
func (s *Server) Reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	reasons := []string{}
	if s.warehouse == nil {
		reason := "the warehouse has not been read yet"
		if s.failure != "" {
			reason = s.failure
		}
		return append(reasons, reason)
	}
	for name, r := range s.captures {
		if ok, reason := r.Available(); !ok && !r.Idle() && s.wanted(r) {
			reasons = append(reasons, "source "+name+": "+reason)
		}
		if len(r.Triggered()) == 0 {
			continue
		}
		ok, reason := false, capture.NotConnected
		if outbox := s.outboxes[name]; outbox != nil {
			ok, reason = outbox.Available()
		}
		if !ok {
			reasons = append(reasons, "source "+name+", captured by triggers: "+reason)
		}
	}
	slices.Sort(reasons)
	if reason := s.tokens.Reason(); reason != "" {
		reasons = append(reasons, "tokens: "+reason)
	}
	switch {
	case s.rulesErr != "":
		reasons = append(reasons, "rules: "+s.rulesErr)
	case !s.heard || !s.serves:
		reasons = append(reasons, "rules: edits are not being heard")
	}
	return reasons
}

// wanted tells that a source is needed by logical replication: some table of it that triggers don't capture has a rule, or
// holds the rules, or they capture none. It is called with mu held.
func (s *Server) wanted(r *running) bool {
	triggered := r.Triggered()
	if len(triggered) == 0 {
		return true
	}
	return slices.ContainsFunc(append(s.rules.Relations(), rulesRelation), func(name string) bool {
		_, captured := slices.BinarySearch(triggered, name)
		return !captured && r.source.Has(name)
	})
}

// brokenRules are the rules that can't be used, with the reasons.
func (s *Server) brokenRules() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := []string{}
	for _, p := range s.problems {
		if p.Denies {
			broken = append(broken, p.Rule+": "+p.Reason)
		}
	}
	return broken
}
