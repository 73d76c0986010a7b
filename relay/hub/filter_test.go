package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/rule"
)

// spec is a subscription's where, through a rule that shows everything.
func spec(t testing.TB, r *relay.Relation, where string) Spec {
	t.Helper()
	return granted(t, everything(r), r, where)
}

// everything is a rule that shows all of the relation.
func everything(r *relay.Relation) *rule.Set {
	return rule.New([]relay.Rule{{Name: "all", Enabled: true, Relation: r.Name, Roles: []string{"anon"}, Predicate: "true"}}, nil, nil)
}

func granted(t testing.TB, set *rule.Set, r *relay.Relation, where string, params ...json.RawMessage) Spec {
	t.Helper()
	g, err := set.Grant(relay.Anon(), r, rule.Request{Where: where, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Columns: g.Columns, All: true, Rule: g.Rule, Filter: g.Filter, Snapshot: true}
}

// full is the relation with replica identity FULL.
func full() *relay.Relation {
	r := relation()
	r.Leaves[0].Identity, r.Leaves[0].Full = relay.IdentityFull, true
	return r
}

// TestFilteredChanges: what a change is to a shape depends on both of its rows, whichever way the shape is found.
func TestFilteredChanges(t *testing.T) {
	for where, asked := range map[string]int{
		`status = 'open'`:                                        0,
		`status in ('open', 'paused')`:                           0,
		`status = 'open' and length(note) < 9`:                   0,
		`status like 'o%'`:                                       1,
		`(status = 'open') = true and coalesce(note, '') <> 'z'`: 1,
	} {
		t.Run(where, func(t *testing.T) {
			r := full()
			s := newTestSource(r)
			reader := NewReader(s, 0)
			shape := s.Shape(r, spec(t, r, where))
			reader.Attach(shape)
			check(t, pull(t, reader), "live")
			if got := len(shape.owner.asked); got != asked {
				t.Errorf("%d shapes are asked about every change, want %d", got, asked)
			}
			for i, row := range []struct {
				kind     byte
				old, new relay.Tuple
				want     string
			}{
				{'I', nil, tuple("1", "open", "a"), `insert row id="1",note="a",status="open"`},
				{'I', nil, tuple("2", "paid", "b"), ``},
				{'U', tuple("1", "open", "a"), tuple("1", "open", 'u'), `update row id="1",note="a",status="open"`},
				{'U', tuple("1", "open", "a"), tuple("3", "open", 'u'), `update key id="1" row id="3",note="a",status="open"`},
				{'U', tuple("3", "open", "a"), tuple("4", "paid", 'u'), `delete key id="3"`},
				{'U', tuple("4", "paid", "a"), tuple("4", "closed", 'u'), ``},
				{'U', tuple("4", "closed", "a"), tuple("5", "open", 'u'), `insert row id="5",note="a",status="open"`},
				{'D', tuple("2", "paid", "b"), nil, ``},
				{'D', tuple("5", "open", "a"), nil, `delete key id="5"`},
				{'I', nil, tuple("6", nil, "a"), ``},
			} {
				xid := uint64(i + 10)
				write(t, s, xid, relay.LSN(200+i), func() error { return s.Row(row.kind, table, row.old, row.new) })
				var want []string
				if row.want != "" {
					want = []string{fmt.Sprintf("changes tx %d %s", xid, row.want)}
				}
				check(t, pull(t, reader), want...)
			}
			write(t, s, 99, 999, func() error { s.Truncate([]uint32{table}); return nil })
			check(t, pull(t, reader), "changes tx 99 truncate")
			s.Release(shape)
			if p := shape.owner; len(p.asked)+len(p.open)+len(p.indexes)+len(p.sets) != 0 {
				t.Error("a shape that has ended is found still")
			}
		})
	}
}

// TestFilterOnTheKey: with identity DEFAULT an update that leaves the key alone sends no old row, and none is needed.
func TestFilterOnTheKey(t *testing.T) {
	r := relation()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	reader.Attach(s.Shape(r, spec(t, r, `id = 1 or id = 2`)))
	check(t, pull(t, reader), "live")
	write(t, s, 7, 200, func() error {
		return errors.Join(
			s.Row('U', table, nil, tuple("1", "a", 'u')),
			s.Row('U', table, nil, tuple("9", "a", 'u')),
			s.Row('U', table, tuple("1", nil, nil), tuple("2", "b", "x")),
			s.Row('U', table, tuple("2", nil, nil), tuple("3", "b", "x")),
			s.Row('U', table, tuple("3", nil, nil), tuple("1", "b", "x")),
			s.Row('D', table, tuple("9", nil, nil), nil),
			s.Row('D', table, tuple("1", nil, nil), nil))
	})
	check(t, pull(t, reader), `changes tx 7 update row id="1",status="a" update key id="1" row id="2",note="x",status="b" delete key id="2"`+
		` insert row id="1",note="x",status="b" delete key id="1"`)
}

// TestARowThatIsNotKnownWhole: where an insert would lack a value, or a verdict can't be given, the shape starts over,
// and the others don't notice.
func TestARowThatIsNotKnownWhole(t *testing.T) {
	r := relation()
	r.Leaves[0].Key = []string{"id", "status"}
	s := newTestSource(r)
	reader, others := NewReader(s, 0), NewReader(s, 0)
	st := reader.Attach(s.Shape(r, spec(t, r, `status = 'open'`)))
	others.Attach(s.Shape(r, plain))
	pull(t, reader)
	pull(t, others)
	write(t, s, 7, 200, func() error { return s.Row('U', table, tuple("1", "paid", nil), tuple("1", "open", 'u')) })
	check(t, pull(t, reader))
	if st.Lost != "table_changed" {
		t.Errorf("got %q, want that the stream is lost: the note of the row that comes in isn't known", st.Lost)
	}
	check(t, pull(t, others), `changes tx 7 update row id="1",status="open"`)
}

// TestReplayOfAFilteredShape brings a stream in by the journal; it gets what a live one got.
func TestReplayOfAFilteredShape(t *testing.T) {
	r := full()
	s := newTestSource(r)
	shape := s.Shape(r, spec(t, r, `status = 'open'`))
	st := NewReader(s, 0).Attach(shape)
	load, replay := st.Resume(100, func() {})
	replay.Begin(7, 1_795_490_000_000_000)
	for _, err := range []error{
		replay.Row(t.Context(), 'I', table, nil, tuple("1", "paid", "a")),
		replay.Row(t.Context(), 'U', table, tuple("1", "paid", "a"), tuple("1", "open", 'u')),
		replay.Row(t.Context(), 'U', table, tuple("1", "open", "a"), tuple("1", "paid", 'u')),
		replay.Row(t.Context(), 'D', table, tuple("1", "paid", "a"), nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := replay.Commit(context.Background(), 200); err != nil {
		t.Fatal(err)
	}
	got := &sink{}
	for _, e := range load.entries {
		got.Add(e.frame)
	}
	var lines []string
	for _, m := range got.messages(t) {
		lines = append(lines, line(m))
	}
	check(t, lines, `changes tx 7 insert row id="1",note="a",status="open" delete key id="1"`)
}

// TestSnapshotOfAFilteredShape: a row is decided once more here, by columns that the shape needn't show.
func TestSnapshotOfAFilteredShape(t *testing.T) {
	r := full()
	s := newTestSource(r)
	of := spec(t, r, `status = 'open' and length(note) <> 2`)
	of.Columns, of.All = []string{"status"}, false
	load := NewReader(s, 0).Attach(s.Shape(r, of)).Snapshot(func() {})
	condition, args := load.Condition(3)
	if want := `((status operator(pg_catalog.=) $3::text))`; condition != want || !slices.Equal(args, []string{"open"}) {
		t.Errorf("got %s with %q, want %s with open", condition, args, want)
	}
	encoder, _, columns := load.RowEncoder()
	if want := []int{0, 1, 2}; !slices.Equal(columns, want) {
		t.Fatalf("got columns %v, want %v", columns, want)
	}
	for i, row := range [][]string{{"open", "axb"}, {"open", "ab"}, {"paid", "x"}, {"open", "x"}} {
		encoder.Add([][]byte{[]byte(strconv.Itoa(i)), []byte(row[0]), []byte(row[1])})
	}
	const want = `"rows":[{"id":"0","status":"open"},{"id":"3","status":"open"}]}`
	if got := string(encoder.Rest()); got[len(got)-len(want):] != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// BenchmarkMatch is a change that concerns one of some shapes user_id = $1: always the same one, or any of them, so that
// each finds its shape as cold as it may be. The costs should not differ.
func BenchmarkMatch(b *testing.B) {
	for _, shapes := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(shapes, " shapes, one"), func(b *testing.B) { benchmarkMatch(b, shapes, func(int) int { return 7 }) })
		b.Run(fmt.Sprint(shapes, " shapes, any"), func(b *testing.B) {
			order := rand.New(rand.NewPCG(1, 2)).Perm(shapes)
			benchmarkMatch(b, shapes, func(i int) int { return order[i%shapes] })
		})
	}
}

func benchmarkMatch(b *testing.B, shapes int, touched func(i int) int) {
	const user = "user %06d"
	r := full()
	s, set := newTestSource(r), everything(r)
	for i := range shapes {
		s.Shape(r, granted(b, set, r, "status = $1", json.RawMessage(fmt.Sprintf(`"`+user+`"`, i))))
	}
	row := tuple("1", fmt.Sprintf(user, 0), "a note of some length")
	digits := bytes.Index(row, []byte("000000"))
	end := relay.LSN(1000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for at, n := digits+5, touched(i); at >= digits; at, n = at-1, n/10 {
			row[at] = byte('0' + n%10)
		}
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

// TestIdentityOfAnotherTime: tuples whose replica identity isn't what the catalog said are not decided on: with FULL
// thought to be there, the nulls of a tuple that carries the key alone would be taken for values.
func TestIdentityOfAnotherTime(t *testing.T) {
	r := full()
	s := newTestSource(r)
	reader := NewReader(s, 0)
	st := reader.Attach(s.Shape(r, spec(t, r, `status is null`)))
	pull(t, reader)
	columns := layoutOf(r)
	columns[1].Key, columns[2].Key = false, false
	s.Lock()
	drifted, _ := s.Layout(table, columns)
	s.Unlock()
	if !drifted {
		t.Error("want that the catalog is looked at")
	}
	write(t, s, 7, 200, func() error { return s.Row('D', table, tuple("1", nil, nil), nil) })
	if check(t, pull(t, reader)); st.Lost != "table_changed" {
		t.Errorf("got %q, want that the stream is lost", st.Lost)
	}
}
