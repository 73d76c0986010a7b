package hub

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/wire"
)

const table = 4711

// relation is shop.orders(id bigint primary key, status text, note text).
func relation() *relay.Relation {
	r := &relay.Relation{Name: "shop.orders", Server: "shop", Schema: "public", Table: "orders", OID: table,
		Key: []int{0}, Leaves: []relay.Leaf{{OID: table, Identity: relay.IdentityDefault, Key: []string{"id"}}}, Fingerprint: "1"}
	for i, c := range []struct {
		name, typ string
		oid       uint32
	}{{"id", "bigint", 20}, {"status", "text", 25}, {"note", "text", 25}} {
		r.Columns = append(r.Columns, relay.Column{Name: c.name, Source: c.name, TypeName: c.typ, Number: int16(i + 1), Stamp: c.name,
			Type: &relay.Type{OID: c.oid, Name: c.typ, Kind: relay.KindBase, Delimiter: ','}})
	}
	r.Highest = 3
	return r
}

func layoutOf(r *relay.Relation) []StreamColumn {
	var columns []StreamColumn
	for _, c := range r.Columns {
		columns = append(columns, StreamColumn{Name: c.Source, Type: c.Type.OID, Key: r.Leaves[0].Full || slices.Contains(r.Leaves[0].Key, c.Source)})
	}
	return columns
}

// tuple makes TupleData of strings; nil is null, the rune 'u' an unchanged TOAST value.
func tuple(values ...any) relay.Tuple {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case rune:
			b = append(b, 'u')
		case string:
			b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

// sink collects the messages that a reader pulls.
type sink struct {
	frames [][]byte
	size   int
}

func (s *sink) Add(frames []byte) { s.frames = append(s.frames, frames); s.size += len(frames) }
func (s *sink) Len() int          { return s.size }

// messages decodes what was pulled.
func (s *sink) messages(t *testing.T) (messages []wire.ServerMessage) {
	t.Helper()
	for _, f := range s.frames {
		payload := f[2:]
		switch f[1] {
		case 126:
			payload = f[4:]
		case 127:
			payload = f[10:]
		}
		var m wire.ServerMessage
		if err := json.Unmarshal(payload, &m); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		messages = append(messages, m)
	}
	return messages
}

func (s *sink) lines(t *testing.T) (lines []string) {
	t.Helper()
	for _, m := range s.messages(t) {
		lines = append(lines, line(m))
	}
	return lines
}

// line is a message in one line, for comparison.
func line(m wire.ServerMessage) string {
	var b strings.Builder
	b.WriteString(m.Type)
	if m.Tx != "" {
		b.WriteString(" tx " + m.Tx)
	}
	if m.Part != nil {
		fmt.Fprintf(&b, " part %d", *m.Part)
	}
	for _, c := range m.Changes {
		b.WriteString(" " + c.Op)
		if c.Key != nil {
			b.WriteString(" key " + object(c.Key))
		}
		if c.Row != nil {
			b.WriteString(" row " + object(c.Row))
		}
	}
	return b.String()
}

func object(m map[string]json.RawMessage) string {
	var parts []string
	for k, v := range m {
		parts = append(parts, k+"="+string(v))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// hear tells the reader of all that there is.
func hear(r *Reader) {
	r.source.Heard(r.loop, r.source.frames.seq)
	for _, st := range r.streams {
		r.Due(st)
	}
}

func pull(t *testing.T, r *Reader) (lines []string) {
	t.Helper()
	hear(r)
	for more := true; more; {
		s := &sink{}
		more = r.Pull(s, 1<<10)
		lines = append(lines, s.lines(t)...)
	}
	return lines
}

func newTestSource(r *relay.Relation) *Source {
	s := NewSource("shop", 0)
	s.Reset("system/shop/1/1", 100, "journal_gap")
	s.SetRelations([]*relay.Relation{r}, 100)
	s.Lock()
	s.Layout(table, layoutOf(r))
	s.Unlock()
	return s
}

// write takes in a transaction.
func write(t *testing.T, s *Source, xid uint64, end relay.LSN, rows func() error) {
	t.Helper()
	s.Lock()
	defer s.Unlock()
	s.Begin(xid, 1_795_490_000_000_000)
	if err := rows(); err != nil {
		t.Fatal(err)
	}
	s.Commit(end)
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestChangesReachALiveStream(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	shape := s.Shape(r, Spec{Columns: []string{"status", "note"}, All: true, Rule: "true"})
	st := reader.Attach(shape)
	check(t, pull(t, reader), "live")
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "open", nil)) })
	write(t, s, 8, 300, func() error { return s.Row('U', table, nil, tuple("1", "paid", 'u')) })
	write(t, s, 9, 400, func() error { return s.Row('U', table, tuple("1", nil, nil), tuple("2", "paid", "x")) })
	write(t, s, 10, 500, func() error { return s.Row('D', table, tuple("2", nil, nil), nil) })
	write(t, s, 11, 600, func() error { s.Truncate([]uint32{table}); return nil })
	check(t, pull(t, reader),
		`changes tx 7 insert row id="1",note=null,status="open"`,
		`changes tx 8 update row id="1",status="paid"`,
		`changes tx 9 update key id="1" row id="2",note="x",status="paid"`,
		`changes tx 10 delete key id="2"`,
		`changes tx 11 truncate`)
	if position, ok := s.Since(shape, st.CursorText()); !ok || position != 600 {
		t.Errorf("got position %d, %t, want 600", position, ok)
	}
}

func TestLiveStreamsOfASourceAreMergedInItsOrder(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	for _, columns := range [][]string{{"status"}, {"note"}} {
		reader.Attach(s.Shape(r, Spec{Columns: columns, Rule: "true"}))
	}
	pull(t, reader)
	for xid := range uint64(3) {
		write(t, s, xid+1, relay.LSN(200+xid), func() error { return s.Row('I', table, nil, tuple("1", "a", "b")) })
	}
	check(t, pull(t, reader),
		`changes tx 1 insert row id="1",status="a"`, `changes tx 1 insert row id="1",note="b"`,
		`changes tx 2 insert row id="1",status="a"`, `changes tx 2 insert row id="1",note="b"`,
		`changes tx 3 insert row id="1",status="a"`, `changes tx 3 insert row id="1",note="b"`)
}

// TestOrderBeforeAllIsHeard: of a transaction that the reader hasn't been told of nothing goes out, though another stream
// would bring it to light: a stream that isn't due may have what comes before.
func TestOrderBeforeAllIsHeard(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	var streams []*Stream
	for _, columns := range [][]string{{"status"}, {"note"}} {
		streams = append(streams, reader.Attach(s.Shape(r, Spec{Columns: columns, Rule: columns[0]})))
	}
	pull(t, reader)
	for xid := range uint64(3) {
		write(t, s, xid+1, relay.LSN(200+xid), func() error { return s.Row('I', table, nil, tuple("1", "a", "b")) })
	}
	look := func(want ...string) {
		t.Helper()
		out := &sink{}
		more := reader.Pull(out, 1<<20)
		if check(t, out.lines(t), want...); more {
			t.Error("there is said to be more at hand")
		}
	}
	look()
	reader.Due(streams[0])
	look()
	s.Heard(0, 2) // both frames of the first transaction
	reader.Due(streams[0])
	look(`changes tx 1 insert row id="1",status="a"`)
	reader.Due(streams[1])
	look(`changes tx 1 insert row id="1",note="b"`)
	if reader.Renew(200) {
		t.Error("a stream is due though each has a cursor of late")
	}
	// A cursor of its own would tell the client that there is nothing before it.
	reader.refresh = 203
	reader.Due(streams[0])
	look()
	// A look at all of them misses none.
	if !reader.Renew(204) {
		t.Error("no stream is due though the cursors of all are old")
	}
	look(`changes tx 2 insert row id="1",status="a"`, `changes tx 2 insert row id="1",note="b"`,
		`changes tx 3 insert row id="1",status="a"`, `changes tx 3 insert row id="1",note="b"`)
	s.Lock()
	s.Advance(500)
	s.Unlock()
	if !reader.Renew(400) {
		t.Error("no stream is due though the cursors of all are old")
	}
	look("cursor", "cursor")
	if reader.Renew(400) {
		t.Error("a stream is due though each has a cursor of late")
	}
}

// TestLiveWhereTheOthersAre: a stream becomes live when the connection's others have what comes before, also where the reader
// hasn't been told of that.
func TestLiveWhereTheOthersAre(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	reader.Attach(s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"}))
	check(t, pull(t, reader), "live")
	load := reader.Attach(s.Shape(r, Spec{Columns: []string{"note"}, Rule: "true", Snapshot: true})).Snapshot(func() {})
	if err := load.Register(func() {}); err != nil {
		t.Fatal(err)
	}
	load.Finish(nil, 0, nil)
	write(t, s, 9, 300, func() error { return s.Row('I', table, nil, tuple("1", "a", "b")) })
	out := &sink{}
	reader.Pull(out, 1<<20)
	check(t, out.lines(t), `changes tx 9 insert row id="1",status="a"`, `changes tx 9 insert row id="1",note="b"`, "live")
}

// TestLiveWithinATransaction: a stream without rows that is first looked at within a transaction which began after it was
// attached has all of that after its live.
func TestLiveWithinATransaction(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, plain))
	write(t, s, 6, 150, func() error { return s.Row('I', table, nil, tuple("1", "left out", nil)) })
	s.Lock()
	s.Begin(7, 0)
	if err := s.Row('I', table, nil, tuple("2", strings.Repeat("x", partBytes), nil)); err != nil {
		t.Fatal(err)
	}
	s.Unlock()
	lines := pull(t, reader)
	if len(lines) != 2 || lines[0] != "live" || !strings.HasPrefix(lines[1], "changes tx 7 part 0") || st.Cursor != 150 {
		t.Fatalf("got %.200q, cursor %d", lines, st.Cursor)
	}
	s.Lock()
	if err := s.Row('I', table, nil, tuple("3", "small", nil)); err != nil {
		t.Fatal(err)
	}
	s.Commit(200)
	s.Unlock()
	check(t, pull(t, reader), `changes tx 7 part 1 insert row id="3",note=null,status="small"`)
}

// listener has the next word held up, as a goroutine that loses its processor is.
type listener struct {
	mu   sync.Mutex
	told []string
	hold chan struct{}
	held chan struct{}
}

func (l *listener) Notify(_ *Source, shapes []*Shape, upTo uint64) {
	l.mu.Lock()
	hold := l.hold
	l.hold = nil
	l.mu.Unlock()
	if hold != nil {
		close(l.held)
		<-hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, shape := range shapes {
		l.told = append(l.told, fmt.Sprint(shape.Relation().Name, " ", upTo))
	}
}

// TestOneTellsAtATime: what one goroutine has to tell doesn't come before what another is telling.
func TestOneTellsAtATime(t *testing.T) {
	l := &listener{}
	first, second := relation(), relation()
	second.Name, second.Table, second.OID, second.Leaves[0].OID = "shop.other", "other", table+1, table+1
	s := NewSource("shop", 0, l)
	s.Reset("system/shop/1/1", 100, "journal_gap")
	s.SetRelations([]*relay.Relation{first, second}, 100)
	s.Lock()
	s.Layout(table, layoutOf(first))
	s.Unlock()
	s.Shape(first, plain)
	s.Shape(second, plain)
	hold := make(chan struct{})
	l.hold, l.held = hold, make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(t, s, 10, 300, func() error { return s.Row('I', table, nil, tuple("1", "a", "b")) })
	}()
	<-l.held
	s.SetRelations([]*relay.Relation{first}, 301) // ends the other's shape
	l.mu.Lock()
	if len(l.told) > 0 {
		t.Errorf("the listener was told %q before what comes first", l.told)
	}
	l.mu.Unlock()
	close(hold)
	<-done
	check(t, l.told, first.Name+" 1", second.Name+" 1")
}

func TestSnapshotAndStreamJoin(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	shape := s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true", Snapshot: true})
	st := reader.Attach(shape)
	load := st.Snapshot(func() {})
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "seen", nil)) })
	write(t, s, 8, 300, func() error { return s.Row('I', table, nil, tuple("2", "not seen", nil)) })
	encoder, _, _ := load.RowEncoder()
	if encoder.Add([][]byte{[]byte("1"), []byte("seen")}) != nil {
		t.Fatal("a small message was cut")
	}
	if err := load.PutRows(t.Context(), encoder.Rest()); err != nil {
		t.Fatal(err)
	}
	check(t, pull(t, reader), "snapshot")
	load.Finish(&Visibility{XMin: 8, XMax: 8}, 350, nil)
	check(t, pull(t, reader), `changes tx 8 insert row id="2",status="not seen"`)
	write(t, s, 9, 400, func() error { return s.Row('D', table, tuple("1", nil, nil), nil) })
	check(t, pull(t, reader), `changes tx 9 delete key id="1"`, "live")
}

func TestTransactionInParts(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	reader.Attach(s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"}))
	pull(t, reader)
	big := strings.Repeat("x", partBytes/2)
	s.Lock()
	s.Begin(7, 0)
	for range 3 {
		if err := s.Row('I', table, nil, tuple("1", big, nil)); err != nil {
			t.Fatal(err)
		}
	}
	s.Unlock()
	late := NewReader(s, 0)
	late.Attach(s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"}))
	s.Lock()
	s.Commit(200)
	s.Unlock()
	var parts []string
	hear(reader)
	for more := true; more; {
		out := &sink{}
		more = reader.Pull(out, 1)
		for _, m := range out.messages(t) {
			parts = append(parts, fmt.Sprintf("%d %t %d", *m.Part, m.More, len(m.Changes)))
		}
	}
	check(t, parts, "0 true 2", "1 false 1")
	check(t, pull(t, late), "live")
}

func TestAReaderThatFellBehindIsLost(t *testing.T) {
	r := relation()
	s := NewSource("shop", 1000)
	s.Reset("x", 100, "")
	s.SetRelations([]*relay.Relation{r}, 100)
	s.Lock()
	s.Layout(table, layoutOf(r))
	s.Unlock()
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"}))
	pull(t, reader)
	for xid := range uint64(50) {
		write(t, s, xid+1, relay.LSN(200+xid), func() error { return s.Row('I', table, nil, tuple("1", "a", "b")) })
	}
	check(t, pull(t, reader))
	if st.Lost != wire.ReasonLagged {
		t.Errorf("got lost %q, want %q", st.Lost, wire.ReasonLagged)
	}
}

func TestDroppedColumnEndsTheShapes(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"}))
	s.Lock()
	drifted, _ := s.Layout(table, layoutOf(r)[:2])
	s.Unlock()
	pull(t, reader)
	if !drifted || st.Lost != wire.ReasonSchemaChanged {
		t.Errorf("got drifted %t, lost %q", drifted, st.Lost)
	}
	if s.Shape(r, Spec{Rule: "true"}) != nil {
		t.Error("a drifted relation took a shape")
	}
}

func TestCursorsAreShort(t *testing.T) {
	p := newPrefix("source", "shape")
	text := string(appendPosition(p.appendText(nil), 1<<63))
	if len(text) > 64 {
		t.Errorf("%d characters", len(text))
	}
	if got, lsn, err := parseCursor(text); err != nil || got != p || lsn != 1<<63 {
		t.Errorf("got %v, %d, %v", got, lsn, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("A", cursorText))
	f.Fuzz(func(t *testing.T, text string) {
		if p, lsn, err := parseCursor(text); err == nil && len(appendPosition(p.appendText(nil), lsn)) != len(text) {
			t.Errorf("%q is read but not written so", text)
		}
	})
}

// BenchmarkTupleToFrame is a single-row transaction from its tuple to a frame in the ring.
func BenchmarkTupleToFrame(b *testing.B) {
	r := relation()
	s := newTestSource(r)
	s.Shape(r, Spec{Columns: []string{"status", "note"}, Rule: "true"})
	row := tuple("300000", "open", `order note with some text, a "quote" and more text 0123456789abcdef0123456789abcdef`)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	var end relay.LSN = 200
	for b.Loop() {
		end++
		s.Lock()
		s.Begin(uint64(end), 1_795_490_000_000_000)
		if err := s.Row('I', table, nil, row); err != nil {
			b.Fatal(err)
		}
		s.Commit(end)
		s.Unlock()
	}
}

func TestAStreamWithoutRowsBeginsAtItsLive(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	shape := s.Shape(r, Spec{Columns: []string{"status"}, Rule: "true"})
	reader.Attach(shape)
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "before", nil)) })
	check(t, pull(t, reader), "live")
	write(t, s, 8, 300, func() error { return s.Row('I', table, nil, tuple("2", "after", nil)) })
	check(t, pull(t, reader), `changes tx 8 insert row id="2",status="after"`)
}

func TestAddedColumnGoesOn(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	reader.Attach(s.Shape(r, Spec{Columns: []string{"status", "note"}, All: true, Grows: true, Rule: "true"}))
	check(t, pull(t, reader), "live")
	grown := *r
	fill := "low"
	grown.Columns = append(slices.Clone(r.Columns), relay.Column{Name: "priority", Source: "priority", TypeName: "text",
		Type: r.Columns[1].Type, Filled: true, Fill: &fill, Number: 4, Stamp: "priority"})
	grown.Fingerprint = "2"
	s.SetRelations([]*relay.Relation{&grown}, 500)
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "old form", nil)) })
	s.Lock()
	if drifted, _ := s.Layout(table, layoutOf(&grown)); drifted {
		t.Error("the new form was taken for drift")
	}
	s.Unlock()
	write(t, s, 8, 300, func() error { return s.Row('I', table, nil, tuple("2", "new form", nil, "high")) })
	check(t, pull(t, reader), "schema",
		`changes tx 7 insert row id="1",note=null,priority="low",status="old form"`,
		`changes tx 8 insert row id="2",note=null,priority="high",status="new form"`)
	s.Lock()
	if drifted, _ := s.Layout(table, layoutOf(r)); !drifted {
		t.Error("a dropped column was not noticed")
	}
	s.Unlock()
}
