package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// inForceEvery is how often RulesInForce looks whether the edits have been read.
const inForceEvery = 2 * time.Millisecond

// RulesInForce returns when every edit of the rules that was committed before the call is in force on all connections:
// after it no frame is made under the rules that it replaced.
func (s *Server) RulesInForce(ctx context.Context) error {
	r, _, found := s.rulesSource()
	if !found {
		return errors.New("the warehouse has not been read yet")
	}
	if r == nil {
		return nil // without the table there are no rules
	}
	if err := r.Passed(ctx); err != nil {
		return fmt.Errorf("hear of the rules' edits: %w", err)
	}
	s.edits.mu.Lock()
	heard := s.edits.count
	s.edits.mu.Unlock()
	tick := time.NewTicker(inForceEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		read := s.heard && s.directed >= heard
		s.mu.Unlock()
		if read {
			return s.handler.Settled(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// rulesWaitMost bounds how long a request waits.
const rulesWaitMost = 5 * time.Minute

// waitForRules answers when the rules are in force.
func (s *Server) waitForRules(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), rulesWaitMost, errors.New("the edits are not in force yet"))
	defer cancel()
	if err := s.RulesInForce(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
