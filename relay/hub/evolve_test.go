package hub

import (
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/wire"
)

// whole is a shape of every column, which grows with the relation.
func whole(snapshot bool) Spec {
	return Spec{Columns: []string{"status", "note"}, All: true, Grows: true, Rule: "true", Snapshot: snapshot}
}

// narrow is the relation as it was before note was added.
func narrow() *relay.Relation {
	r := relation()
	r.Columns, r.Highest, r.Fingerprint = r.Columns[:2], 2, "0"
	return r
}

// noted is the relation with note as a column that older rows have null in.
func noted() *relay.Relation {
	r := relation()
	r.Columns[2].Filled, r.Fingerprint = true, "2"
	return r
}

// fed is a source in which the stream and the relation differ from the start.
func fed(r, stream *relay.Relation) *Source {
	s := newTestSource(r)
	s.Lock()
	defer s.Unlock()
	s.Layout(table, layoutOf(stream))
	return s
}

// TestOldColumnIsNotFilled: a column that the source has had for longer and that is shown from now on has other values
// than null in older rows.
func TestOldColumnIsNotFilled(t *testing.T) {
	before := narrow()
	before.Highest = 3 // the source's table has note already
	s := fed(before, relation())
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(before, whole(false)))
	check(t, pull(t, reader), "live")
	s.SetRelations([]*relay.Relation{noted()}, 200)
	check(t, pull(t, reader))
	if st.Lost != wire.ReasonSchemaChanged {
		t.Errorf("got lost %q, want %q", st.Lost, wire.ReasonSchemaChanged)
	}
}

// TestRewrittenColumnIsNotFilled: a column that is added beside another's change doesn't tell of that one.
func TestRewrittenColumnIsNotFilled(t *testing.T) {
	s := newTestSource(narrow())
	was := s.Relation("shop.orders")
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(was, whole(false)))
	check(t, pull(t, reader), "live")
	r := noted()
	r.Columns[1].Stamp = "rewritten"
	s.SetRelations([]*relay.Relation{r}, 200)
	check(t, pull(t, reader))
	if st.Lost != wire.ReasonSchemaChanged {
		t.Errorf("got lost %q, want %q", st.Lost, wire.ReasonSchemaChanged)
	}
}

// TestLateLookDoesNotFill: rows that came with a column's own values before the catalog told of it are not filled.
func TestLateLookDoesNotFill(t *testing.T) {
	before := narrow()
	s := newTestSource(before)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(before, whole(false)))
	check(t, pull(t, reader), "live")
	s.Lock()
	if _, extra := s.Layout(table, layoutOf(relation())); !extra {
		t.Error("the column that came was not noticed")
	}
	s.Unlock()
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "open", "its own value")) })
	s.SetRelations([]*relay.Relation{noted()}, 150)
	for _, line := range pull(t, reader) {
		if line == "schema" {
			t.Error("rows that have values were filled")
		}
	}
	if st.Lost != wire.ReasonSchemaChanged {
		t.Errorf("got lost %q, want %q", st.Lost, wire.ReasonSchemaChanged)
	}
}

// TestCursorBehindAChange: the catalog changed where the stream has yet to come; a cursor that the old shape gave
// meanwhile is not gone on after.
func TestCursorBehindAChange(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, whole(true)))
	st.Snapshot(func() {}).Finish(&Visibility{XMin: 1, XMax: 1}, 100, nil)
	check(t, pull(t, reader), "live")
	write(t, s, 7, 120, func() error { return s.Row('I', table, nil, tuple("1", "open", nil)) })
	check(t, pull(t, reader), `changes tx 7 insert row id="1",note=null,status="open"`)
	cursor := st.CursorText()
	same := relation()
	same.Fingerprint = "a partition was detached, and attached again"
	s.SetRelations([]*relay.Relation{same}, 110)
	if position, ok := s.Since(s.Shape(same, whole(true)), cursor); ok {
		t.Errorf("the cursor at %d counts still", position)
	}
	back := relation() // the catalog is as it was: what happened in between isn't known
	s.SetRelations([]*relay.Relation{back}, 115)
	if position, ok := s.Since(s.Shape(back, whole(true)), cursor); ok {
		t.Errorf("the cursor at %d counts again", position)
	}
}

// TestCursorOfAnotherLife: after a restart, a cursor counts where the catalog is as it was and nowhere else.
func TestCursorOfAnotherLife(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, whole(true)))
	st.Snapshot(func() {}).Finish(&Visibility{XMin: 1, XMax: 1}, 100, nil)
	write(t, s, 7, 200, func() error { return s.Row('I', table, nil, tuple("1", "open", nil)) })
	pull(t, reader)
	cursor := st.CursorText()
	for fingerprint, want := range map[string]bool{r.Fingerprint: true, "an enum's label was renamed": false} {
		next := relation()
		next.Fingerprint = fingerprint
		n := NewSource("shop", 0)
		n.SetRelations([]*relay.Relation{next}, 900) // first the catalog, then the stream from the window's start
		n.Reset("system/shop/1/1", 150, wire.ReasonJournalGap)
		n.Lock()
		n.Advance(950)
		n.Unlock()
		if _, ok := n.Since(n.Shape(next, whole(true)), cursor); ok != want {
			t.Errorf("%q: the cursor counts: %t, want %t", fingerprint, ok, want)
		}
	}
}

// TestNewcomerAfterGrowth: whoever comes when a column was added doesn't join a snapshot without it, and who asked
// before is told of the column.
func TestNewcomerAfterGrowth(t *testing.T) {
	before := narrow()
	s := newTestSource(before)
	a, b := NewReader(s, 0), NewReader(s, 0)
	spec := whole(true)
	load := a.Attach(s.Shape(before, spec)).Snapshot(func() {})
	encoder, _, _ := load.RowEncoder()
	grown := noted()
	s.SetRelations([]*relay.Relation{grown}, 200)
	shape := s.Shape(grown, spec)
	own := b.Attach(shape).Snapshot(func() {})
	if own == nil {
		t.Fatal("the newcomer joined the snapshot without the column")
	}
	if load.Register(func() {}) != ErrSchema {
		t.Error("the snapshot was taken anew under the columns that its connection was told of")
	}
	encoder.Add([][]byte{[]byte("1"), []byte("open")})
	for _, l := range []*Load{load, own} {
		if l == own {
			encoder, _, _ = own.RowEncoder()
			encoder.Add([][]byte{[]byte("1"), []byte("open"), []byte("new")})
		}
		if err := l.PutRows(t.Context(), encoder.Rest()); err != nil {
			t.Fatal(err)
		}
		l.Finish(&Visibility{XMin: 1, XMax: 1}, 100, nil)
	}
	check(t, pull(t, a), "snapshot", "schema", "live")
	sk := &sink{}
	b.Pull(sk, 1<<20)
	messages := sk.messages(t)
	if len(messages) != 2 || len(messages[0].Rows) != 1 || string(messages[0].Rows[0]["note"]) != `"new"` {
		t.Errorf("the newcomer got %+v", messages)
	}
}

// TestGrowthInABrokenTransaction: a column was told of between a transaction's frames, and the transaction never ended.
// Its schema message is thrown away with it, so the shape starts over.
func TestGrowthInABrokenTransaction(t *testing.T) {
	before := narrow()
	s := newTestSource(before)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(before, whole(false)))
	check(t, pull(t, reader), "live")
	s.Lock()
	s.Begin(7, 0)
	if err := s.Row('I', table, nil, tuple("1", "a")); err != nil {
		t.Fatal(err)
	}
	s.Unlock()
	s.SetRelations([]*relay.Relation{noted()}, 200)
	check(t, pull(t, reader), `changes tx 7 part 0 insert row id="1",status="a"`, "schema")
	s.Reset("system/shop/1/1", 100, wire.ReasonJournalGap) // the stream broke and is up again
	write(t, s, 7, 300, func() error { return s.Row('I', table, nil, tuple("1", "a")) })
	check(t, pull(t, reader))
	if st.Lost != wire.ReasonSchemaChanged {
		t.Errorf("got lost %q, want %q", st.Lost, wire.ReasonSchemaChanged)
	}
}

// TestRetire: shapes end before the stream stops to carry their tables; a relation that only changed goes on until it is
// told what it is.
func TestRetire(t *testing.T) {
	moved := relation()
	moved.Leaves, moved.OID, moved.Fingerprint = []relay.Leaf{{OID: table + 1, Key: moved.Leaves[0].Key}}, table+1, "3"
	changed := relation()
	changed.Fingerprint = "4"
	for name, c := range map[string]struct {
		next  []*relay.Relation
		ends  bool
		known bool
	}{
		"gone":    {nil, true, false},
		"moved":   {[]*relay.Relation{moved}, true, true},
		"changed": {[]*relay.Relation{changed}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := relation()
			s := newTestSource(r)
			reader := NewReader(s, 0)
			st := reader.Attach(s.Shape(r, whole(false)))
			check(t, pull(t, reader), "live")
			s.Retire(c.next)
			check(t, pull(t, reader))
			if ended := st.Lost != ""; ended != c.ends {
				t.Errorf("got lost %q", st.Lost)
			}
			if known := s.Relation(r.Name) != nil; known != c.known {
				t.Errorf("the relation is known: %t", known)
			}
			if served := s.Shape(r, whole(false)) != nil; served == c.ends {
				t.Errorf("a shape of what is no longer carried: %t", served)
			}
			s.SetRelations([]*relay.Relation{relation()}, 200)
			if s.Shape(s.Relation(r.Name), whole(false)) == nil {
				t.Error("no shape of what is carried again")
			}
		})
	}
}
