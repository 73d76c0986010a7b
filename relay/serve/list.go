package serve

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/capture"
)

// Listed waits until every source was looked at or has failed.
func (s *Server) Listed(ctx context.Context) error { return s.await(ctx, s.looked) }

// Ready waits until the relay serves everything that it found.
func (s *Server) Ready(ctx context.Context) error {
	return s.await(ctx, func() bool { return len(s.Reasons()) == 0 })
}

func (s *Server) await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

func (s *Server) looked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warehouse == nil {
		return false
	}
	for _, r := range append(slices.Collect(maps.Values(s.captures)), slices.Collect(maps.Values(s.outboxes))...) {
		if _, reason := r.Available(); r.Inspection() == nil && reason == capture.NotConnected {
			return false
		}
	}
	return true
}

// List prints what was found, under which name it is published, and what can't be and why.
func (s *Server) List(w io.Writer) {
	s.mu.Lock()
	found := s.warehouse
	captures, outboxes := maps.Clone(s.captures), maps.Clone(s.outboxes)
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(captures)) {
		if r := captures[name]; !r.Idle() {
			fmt.Fprintf(w, "\nsource %s at %s\n", name, r.source.Address())
			r.list(w)
		}
		if r := outboxes[name]; r != nil {
			fmt.Fprintf(w, "\nsource %s at %s, captured by triggers\n", name, r.source.Address())
			r.list(w)
		}
	}
	if len(found.Skipped) > 0 {
		fmt.Fprintf(w, "\nnot published\n")
		for _, skip := range found.Skipped {
			printSkip(w, skip.Name, skip.Reason, skip.Remedy)
		}
	}
	if found.Rules.Source == "" {
		fmt.Fprintf(w, "\nno table %s: nothing is visible to anybody; run sql/system.sql with psql and insert rules\n", rulesRelation)
	}
}

// list prints what one capture found.
func (r *running) list(w io.Writer) {
	in := r.Inspection()
	if in == nil {
		_, reason := r.Available()
		fmt.Fprintf(w, "  can't be used: %s\n", reason)
		return
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	for _, rel := range in.Relations {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", rel.Name, origin(rel), keyText(rel))
	}
	_ = t.Flush()
	for _, skip := range in.Refused {
		printSkip(w, skip.Name, skip.Reason, skip.Remedy)
	}
	for _, note := range in.Notes {
		fmt.Fprintf(w, "  note: %s: %s\n", note.Name, note.Reason)
	}
}

func origin(r *relay.Relation) string {
	text := "from " + relay.Ident(r.Schema, r.Table)
	if r.Partitioned {
		text += fmt.Sprintf(" (%d partitions)", len(r.Leaves))
	}
	return text
}

func keyText(r *relay.Relation) string {
	switch {
	case r.InsertOnly:
		return "insert only"
	case r.Bag:
		return "no key, whole rows"
	}
	return "key " + strings.Join(r.KeyNames(), ", ")
}

func printSkip(w io.Writer, name, reason, remedy string) {
	fmt.Fprintf(w, "  %s is not published: %s\n", name, reason)
	if remedy != "" {
		fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(remedy, "\n", "\n    "))
	}
}
