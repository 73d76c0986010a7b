package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/wire"
)

// leakStream is one shape on one connection, from its subscribed to its end.
type leakStream struct {
	relation string
	columns  []string // that it shows, the key's apart
	names    []string // all that it shows
	bag      bool
	ids      map[uint64]leakAsk
	began    time.Time
	// grants are those of leakJudge.grant under which all that came was visible: the stream has one filter for its life.
	grants map[int]bool
}

// leakCounts is what was looked at.
type leakCounts struct {
	frames, changes, rows, streams int
}

// verifier looks at what one client was sent.
type verifier struct {
	*leakJudge
	client  *leakClient
	counts  *leakCounts
	capture relay.Capture
	streams map[string]*leakStream
	ids     map[uint64]*leakStream
	// before is how long before its subscribed a shape's snapshot may have been taken.
	before time.Duration
}

// verify returns what a client was sent and should not have been.
func (v *verifier) verify(ctx context.Context) (leaks []string, err error) {
	connection := -1
	for i := range v.client.frames {
		f := &v.client.frames[i]
		if f.connection != connection {
			connection, v.streams, v.ids = f.connection, map[string]*leakStream{}, map[uint64]*leakStream{}
		}
		v.counts.frames++
		what, err := v.frame(ctx, f)
		if err != nil {
			return leaks, err
		}
		if what != "" {
			leaks = append(leaks, fmt.Sprintf("client %d (%s %s), frame %d, rules %d to %d: %s: %.600s", v.client.number, f.who.role, f.who.text, i, f.least, f.most, what, f.raw))
		}
	}
	return leaks, nil
}

func (v *verifier) frame(ctx context.Context, f *leakFrame) (leak string, err error) {
	switch f.Type {
	case wire.TypeSubscribed:
		return v.subscribed(ctx, f)
	case wire.TypeSnapshot:
		return v.judge(ctx, f, func(s *leakStream, grant int) string { return v.snapshot(ctx, s, f, grant) })
	case wire.TypeChanges:
		return v.judge(ctx, f, func(s *leakStream, grant int) string { return v.transaction(ctx, s, f, grant) })
	case wire.TypeResync:
		delete(v.streams, f.Shape)
	case wire.TypeWaiting, wire.TypeClosed, wire.TypeError:
		if id, err := strconv.ParseUint(string(f.ID), 10, 64); err == nil && v.ids[id] != nil {
			delete(v.ids[id].ids, id)
			delete(v.ids, id)
		}
	}
	if bytes.Contains(f.raw, []byte(mark)) {
		return "a value in a frame that has none", nil
	}
	return "", nil
}

// allowed are the grants by which a frame of a stream may have been made.
func (v *verifier) allowed(ctx context.Context, f *leakFrame, s *leakStream) (map[int]bool, error) {
	grants := map[int]bool{}
	for version := f.least; version <= f.most; version++ {
		for _, ask := range s.ids {
			reads := slices.Concat(s.columns, ask.reads)
			reads = slices.DeleteFunc(reads, func(c string) bool { return slices.Contains(leakTables[s.relation], c) })
			n, err := v.grant(ctx, version, f.who, s.relation, reads)
			if err != nil {
				return nil, err
			}
			if n >= 0 {
				grants[n] = true
			}
		}
	}
	return grants, nil
}

func (v *verifier) subscribed(ctx context.Context, f *leakFrame) (leak string, err error) {
	id, err := strconv.ParseUint(string(f.ID), 10, 64)
	if err != nil {
		return "", err
	}
	ask := v.client.asks[id]
	if f.Shared {
		s := v.streams[f.Shape]
		s.ids[id], v.ids[id] = ask, s
		return "", nil
	}
	s := &leakStream{relation: f.Table, bag: f.Bag, ids: map[uint64]leakAsk{id: ask}, began: f.when}
	for _, c := range f.Columns {
		s.names = append(s.names, c.Name)
		if !slices.Contains(f.Key, c.Name) {
			s.columns = append(s.columns, c.Name)
		}
	}
	v.streams[f.Shape], v.ids[id] = s, s
	v.counts.streams++
	if f.Capture != string(v.capture) {
		return "captured otherwise than by " + string(v.capture), nil
	}
	if s.grants, err = v.allowed(ctx, f, s); err != nil {
		return "", err
	}
	if len(s.grants) == 0 {
		return "columns that no rule granted", nil
	}
	return "", nil
}

// judge leaves of a stream's grants those by which a frame is good; with none of them left it isn't.
func (v *verifier) judge(ctx context.Context, f *leakFrame, bad func(s *leakStream, grant int) string) (leak string, err error) {
	s := v.streams[f.Shape]
	if s == nil {
		return "a frame of a shape that has ended", nil
	}
	allowed, err := v.allowed(ctx, f, s)
	if err != nil {
		return "", err
	}
	good := map[int]bool{}
	what := "no rule grants its columns"
	for grant := range s.grants {
		if !allowed[grant] {
			continue
		}
		if w := bad(s, grant); w != "" {
			what = w
			continue
		}
		good[grant] = true
	}
	if len(good) > 0 {
		s.grants = good
		return "", nil
	}
	return fmt.Sprintf("%s (of %d grants of the stream, %d of this moment)", what, len(s.grants), len(allowed)), nil
}

// visible tells whether a version is shown by a grant, and by the where of everybody whom the stream is for.
func (v *verifier) visible(ctx context.Context, s *leakStream, f *leakFrame, version, grant int) bool {
	if version < 0 || !v.shown[grant][version] {
		return false
	}
	for _, ask := range s.ids {
		if ask.Where == "" {
			continue
		}
		holds, err := v.verdict(ctx, s.relation, ask.condition(), f.who.text)
		if err != nil || !holds[version] {
			return false
		}
	}
	return true
}

func canonicalRow(row map[string]json.RawMessage) map[string]string {
	values := make(map[string]string, len(row))
	for name, value := range row {
		values[name] = string(canonical(value))
	}
	return values
}

// snapshot looks for each row among those that stood while the snapshot may have been taken.
func (v *verifier) snapshot(ctx context.Context, s *leakStream, f *leakFrame, grant int) string {
	t := v.tables[s.relation]
	for _, raw := range f.Rows {
		v.counts.rows++
		found := t.find(canonicalRow(raw))
		if !slices.ContainsFunc(found, func(version int) bool {
			r := &t.versions[version]
			stood := !r.created.After(f.when) && (s.bag || r.ended.IsZero() || r.ended.After(s.began.Add(-v.before)))
			return stood && v.visible(ctx, s, f, version, grant)
		}) {
			text, _ := json.Marshal(raw)
			return fmt.Sprintf("the row %.200s, one of %d versions", text, len(found))
		}
	}
	return ""
}

// transaction looks for each change among those of its transaction.
func (v *verifier) transaction(ctx context.Context, s *leakStream, f *leakFrame, grant int) string {
	t := v.tables[s.relation]
	events := t.events[f.Tx]
	for _, c := range f.Changes {
		v.counts.changes++
		row, key := canonicalRow(c.Row), canonicalRow(c.Key)
		if !slices.ContainsFunc(events, func(e leakEvent) bool {
			is, was := v.visible(ctx, s, f, e.new, grant), v.visible(ctx, s, f, e.old, grant)
			switch c.Op {
			case wire.OpTruncate:
				return e.op == "TRUNCATE"
			case wire.OpInsert:
				return is && !was && len(row) == len(s.names) && t.has(e.new, row)
			case wire.OpUpdate:
				return is && was && t.has(e.new, row) && t.has(e.old, key)
			case wire.OpDelete:
				return was && !is && t.has(e.old, key)
			}
			return false
		}) {
			text, _ := json.Marshal(c)
			return fmt.Sprintf("the change %.300s, one of %d of transaction %s", text, len(events), f.Tx)
		}
	}
	return ""
}

func quoted(text string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("'"), []byte("''")))
}
