package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The frames of the scripts. Column id is the key, name is text.
const columns = `"columns":[{"name":"id","type":"integer"},{"name":"name","type":"text"}]`

func subscribedAs(id int, shape, more string) string {
	return fmt.Sprintf(`{"type":"subscribed","id":%d,"shape":"%s","table":"a.t","server":"s1","capture":"logical","key":["id"],%s,%s}`+"\n", id, shape, columns, more)
}

const (
	fresh   = `"resumed":false`
	resumed = `"resumed":true`
	shared  = `"resumed":true,"shared":true`
)

func snapshotOf(shape, rows string) string {
	return fmt.Sprintf(`{"type":"snapshot","shape":"%s","rows":%s}`+"\n", shape, rows)
}

func live(shape, cursor string) string {
	return fmt.Sprintf(`{"type":"live","shape":"%s","cursor":"%s"}`+"\n", shape, cursor)
}

func tx(shape, id, more, changes string) string {
	return fmt.Sprintf(`{"type":"changes","shape":"%s","at":"2026-01-02T03:04:05.000006Z","tx":"%s",%s,"changes":[%s]}`+"\n", shape, id, more, changes)
}

func whole(shape, id, changes string) string { return tx(shape, id, `"cursor":"c`+id+`"`, changes) }

func part(shape, id string, n int, changes string) string {
	return tx(shape, id, fmt.Sprintf(`"part":%d,"more":true`, n), changes)
}

func last(shape, id string, n int, changes string) string {
	return tx(shape, id, fmt.Sprintf(`"part":%d,"cursor":"c%s"`, n, id), changes)
}

const (
	insert2  = `{"op":"insert","row":{"id":2,"name":"b"}}`
	insert3  = `{"op":"insert","row":{"id":3,"name":"c"}}`
	update1  = `{"op":"update","row":{"id":1,"name":"A"}}`
	delete1  = `{"op":"delete","key":{"id":1}}`
	truncate = `{"op":"truncate"}`
	rowOne   = `{"id":1,"name":"a"}`
)

// begun is a subscription 1 that is live with one row.
var begun = subscribedAs(1, "x", fresh) + snapshotOf("x", "["+rowOne+"]") + live("x", "c0")

const bagged = `{"type":"subscribed","id":1,"shape":"x","table":"a.t","server":"s1","capture":"logical","key":[],"bag":true,` + columns + `,"resumed":false}` + "\n"
const listed = `{"type":"subscribed","id":1,"shape":"x","table":"a.t","server":"s1","capture":"logical","key":[],` + columns + `,"resumed":false}` + "\n"
const warehoused = `{"type":"subscribed","id":1,"shape":"x","table":"a.t","server":"s1","capture":"warehouse","key":["id"],` + columns + `,"resumed":false}` + "\n"

const grown = `"columns":[{"name":"id","type":"integer"},{"name":"name","type":"text"},{"name":"age","type":"integer"}]`
const schema = `{"type":"schema","shape":"x",` + grown + `,"fill":{"age":7}}` + "\n"

// play subscribes n times to a.t and sends the frames.
func play(t *testing.T, n int, ask Subscription, frames string) (*Mirror, *peer, error) {
	t.Helper()
	s := newStub(t)
	m := NewMirror(Hooks{})
	ask.Table = "a.t"
	for range n {
		if _, err := m.Subscribe(ask); err != nil {
			t.Fatal(err)
		}
	}
	p := s.connect(m, Options{Strict: true})
	return m, p, p.settle(m, frames)
}

func TestApply(t *testing.T) {
	cases := []struct {
		name   string
		subs   int
		ask    Subscription
		frames string
		want   []string
	}{
		{"nothing is shown before live", 1, Subscription{}, subscribedAs(1, "x", fresh) + snapshotOf("x", "["+rowOne+"]"), []string{"-"}},
		{"snapshot and live", 1, Subscription{}, begun, []string{"[" + rowOne + "]"}},
		{"snapshot in two and changes before live", 1, Subscription{},
			subscribedAs(1, "x", fresh) + snapshotOf("x", "["+rowOne+"]") + snapshotOf("x", `[{"id":2,"name":"b"}]`) + whole("x", "5", update1) + live("x", "c0"),
			[]string{`[{"id":1,"name":"A"},{"id":2,"name":"b"}]`}},
		{"insert, update, delete", 1, Subscription{}, begun + whole("x", "5", insert2+","+update1) + whole("x", "6", delete1),
			[]string{`[{"id":2,"name":"b"}]`}},
		{"an absent column keeps its value", 1, Subscription{}, begun + whole("x", "5", `{"op":"update","row":{"id":1}}`), []string{"[" + rowOne + "]"}},
		{"a key change keeps what is absent", 1, Subscription{}, begun + whole("x", "5", `{"op":"update","row":{"id":9},"key":{"id":1}}`),
			[]string{`[{"id":9,"name":"a"}]`}},
		{"truncate", 1, Subscription{}, begun + whole("x", "5", insert2+","+truncate+","+insert3), []string{`[{"id":3,"name":"c"}]`}},
		{"parts apply together", 1, Subscription{}, begun + part("x", "5", 0, insert2) + part("x", "5", 1, delete1), []string{"[" + rowOne + "]"}},
		{"the last part may be empty", 1, Subscription{}, begun + part("x", "5", 0, insert2) + last("x", "5", 1, ""),
			[]string{`[` + rowOne + `,{"id":2,"name":"b"}]`}},
		{"an unfinished transaction is thrown away by the next", 1, Subscription{}, begun + part("x", "5", 0, insert2) + part("x", "5", 0, insert3) + last("x", "5", 1, ""),
			[]string{`[` + rowOne + `,{"id":3,"name":"c"}]`}},
		{"schema fills", 1, Subscription{}, begun + schema + whole("x", "5", `{"op":"insert","row":{"id":2,"name":"b","age":8}}`),
			[]string{`[{"age":7,"id":1,"name":"a"},{"age":8,"id":2,"name":"b"}]`}},
		{"schema within a transaction fills the rows of earlier parts", 1, Subscription{},
			begun + part("x", "5", 0, insert2) + schema + last("x", "5", 1, `{"op":"update","row":{"id":1,"age":1}}`),
			[]string{`[{"age":1,"id":1,"name":"a"},{"age":7,"id":2,"name":"b"}]`}},
		{"resync keeps the old rows until live", 1, Subscription{},
			begun + `{"type":"resync","shape":"x","reason":"lagged"}` + "\n" + subscribedAs(1, "x", fresh) + snapshotOf("x", `[{"id":4,"name":"d"}]`),
			[]string{"[" + rowOne + "]"}},
		{"resync replaces at live", 1, Subscription{},
			begun + `{"type":"resync","shape":"x","reason":"lagged"}` + "\n" + subscribedAs(1, "y", fresh) + snapshotOf("y", `[{"id":4,"name":"d"}]`) + live("y", "d"),
			[]string{`[{"id":4,"name":"d"}]`}},
		{"shared with a live shape", 2, Subscription{}, begun + subscribedAs(2, "x", shared) + whole("x", "5", insert2),
			[]string{`[` + rowOne + `,{"id":2,"name":"b"}]`, `[` + rowOne + `,{"id":2,"name":"b"}]`}},
		{"shared with a shape being built", 2, Subscription{},
			subscribedAs(1, "x", fresh) + subscribedAs(2, "x", shared) + snapshotOf("x", "["+rowOne+"]") + live("x", "c"), []string{"[" + rowOne + "]", "[" + rowOne + "]"}},
		{"unavailable keeps and resumes", 1, Subscription{},
			begun + `{"type":"waiting","id":1,"reason":"unavailable","message":"m"}` + "\n" + subscribedAs(1, "y", resumed) + whole("y", "5", insert2) + live("y", "d"),
			[]string{`[` + rowOne + `,{"id":2,"name":"b"}]`}},
		{"unavailable, shared ids part", 2, Subscription{},
			begun + subscribedAs(2, "x", shared) + whole("x", "5", insert2) +
				`{"type":"waiting","id":1,"reason":"unavailable","message":"m"}` + "\n" + `{"type":"waiting","id":2,"reason":"unavailable","message":"m"}` + "\n" +
				subscribedAs(1, "y", resumed) + subscribedAs(2, "z", resumed) + whole("y", "6", delete1) + live("y", "d") + whole("z", "6", insert3) + live("z", "d"),
			[]string{`[{"id":2,"name":"b"}]`, `[` + rowOne + `,{"id":2,"name":"b"},{"id":3,"name":"c"}]`}},
		{"not_found drops", 1, Subscription{}, begun + `{"type":"waiting","id":1,"reason":"not_found","message":"m"}` + "\n", []string{"-"}},
		{"limit drops", 1, Subscription{}, begun + `{"type":"closed","id":1,"code":"limit","message":"m"}` + "\n", []string{"-"}},
		{"a bag counts equal rows", 1, Subscription{},
			bagged + snapshotOf("x", "["+rowOne+","+rowOne+","+rowOne+"]") + live("x", "c") +
				whole("x", "5", `{"op":"delete","key":`+rowOne+`},{"op":"update","key":`+rowOne+`,"row":{"id":2,"name":"b"}}`),
			[]string{`[` + rowOne + `,{"id":2,"name":"b"}]`}},
		{"an insert-only list keeps equal rows", 1, Subscription{}, listed + snapshotOf("x", "["+rowOne+"]") + live("x", "c") + whole("x", "5", insert2+","+insert2),
			[]string{`[` + rowOne + `,{"id":2,"name":"b"},{"id":2,"name":"b"}]`}},
		{"an inexact join before live", 1, Subscription{},
			warehoused + snapshotOf("x", "["+rowOne+"]") + whole("x", "5", `{"op":"insert","row":{"id":1,"name":"A"}},{"op":"delete","key":{"id":8}},{"op":"update","row":{"id":9,"name":"x"}}`) + live("x", "c"),
			[]string{`[{"id":1,"name":"A"}]`}},
		{"changes only keeps no rows", 1, Subscription{ChangesOnly: true}, subscribedAs(1, "x", fresh) + live("x", "c") + whole("x", "5", update1), []string{"-"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, _, err := play(t, c.subs, c.ask, c.frames)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if got := show(t, m, uint64(i+1)); got != want {
					t.Errorf("%d: got %s, want %s", i+1, got, want)
				}
			}
		})
	}
}

func TestViolations(t *testing.T) {
	resync := `{"type":"resync","shape":"x","reason":"lagged"}` + "\n"
	waiting := func(id int) string {
		return fmt.Sprintf(`{"type":"waiting","id":%d,"reason":"unavailable","message":"m"}`+"\n", id)
	}
	cases := map[string]struct {
		subs   int
		ask    Subscription
		frames string
		want   string
	}{
		"insert of a key that is there":       {frames: begun + whole("x", "5", `{"op":"insert","row":`+rowOne+`}`), want: "that is there"},
		"snapshot with a key twice":           {frames: subscribedAs(1, "x", fresh) + snapshotOf("x", "["+rowOne+","+rowOne+"]"), want: "that is there"},
		"update of a missing key":             {frames: begun + whole("x", "5", `{"op":"update","row":{"id":7,"name":"x"}}`), want: "isn't there"},
		"delete of a missing key":             {frames: begun + whole("x", "5", `{"op":"delete","key":{"id":7}}`), want: "isn't there"},
		"key change onto a key":               {frames: begun + whole("x", "5", insert2+`,{"op":"update","row":{"id":2},"key":{"id":1}}`), want: "to a key that is there"},
		"key change that changes none":        {frames: begun + whole("x", "5", `{"op":"update","row":{"id":1},"key":{"id":1}}`), want: "is the new one"},
		"incomplete insert":                   {frames: begun + whole("x", "5", `{"op":"insert","row":{"id":2}}`), want: `lacks column "name"`},
		"update without the key's columns":    {frames: begun + whole("x", "5", `{"op":"update","row":{"name":"b"}}`), want: `lacks column "id"`},
		"a column that isn't the shape's":     {frames: begun + whole("x", "5", `{"op":"update","row":{"id":1,"age":7}}`), want: `"age"`},
		"a delete's key with more":            {frames: begun + whole("x", "5", `{"op":"delete","key":`+rowOne+`}`), want: "other columns"},
		"an unknown op":                       {frames: begun + whole("x", "5", `{"op":"upsert","row":`+rowOne+`}`), want: "is no operation"},
		"truncate with a row":                 {frames: begun + whole("x", "5", `{"op":"truncate","row":{"id":1}}`), want: "has a field"},
		"frames of an unknown shape":          {frames: begun + whole("y", "5", insert2), want: "which no id holds"},
		"frames after resync":                 {frames: begun + resync + whole("x", "5", insert2), want: "which no id holds"},
		"frames after one of two ids' end":    {subs: 2, frames: begun + subscribedAs(2, "x", shared) + waiting(1) + whole("x", "5", insert2), want: "which has ended"},
		"a second subscribed":                 {frames: begun + subscribedAs(1, "y", fresh), want: "which is live"},
		"subscribed for a strange id":         {frames: subscribedAs(7, "x", fresh), want: "isn't open"},
		"shared with nothing":                 {frames: subscribedAs(1, "x", shared), want: "no id holds it"},
		"a held shape not shared":             {subs: 2, frames: begun + subscribedAs(2, "x", fresh), want: "another id holds it"},
		"resumed without since":               {frames: subscribedAs(1, "x", resumed), want: "nothing to continue"},
		"resumed after resync":                {frames: begun + resync + subscribedAs(1, "y", resumed), want: "after a resync"},
		"another table":                       {frames: strings.Replace(subscribedAs(1, "x", fresh), "a.t", "a.u", 1), want: "another table"},
		"columns that weren't asked for":      {ask: Subscription{Columns: []string{"id"}}, frames: subscribedAs(1, "x", fresh), want: "wasn't asked for"},
		"a snapshot after changes":            {frames: subscribedAs(1, "x", fresh) + whole("x", "5", insert2) + snapshotOf("x", "["+rowOne+"]"), want: "after changes"},
		"a snapshot after live":               {frames: begun + snapshotOf("x", "[]"), want: "isn't building"},
		"a snapshot that wasn't asked for":    {ask: Subscription{ChangesOnly: true}, frames: subscribedAs(1, "x", fresh) + snapshotOf("x", "[]"), want: "without one"},
		"changes before live, without rows":   {ask: Subscription{ChangesOnly: true}, frames: subscribedAs(1, "x", fresh) + whole("x", "5", insert2), want: "before live"},
		"live twice":                          {frames: begun + live("x", "d"), want: "live already"},
		"live within a transaction":           {frames: subscribedAs(1, "x", fresh) + part("x", "5", 0, insert2) + live("x", "d"), want: "between the frames"},
		"cursor within a transaction":         {frames: begun + part("x", "5", 0, insert2) + `{"type":"cursor","shape":"x","cursor":"d"}`, want: "between the frames"},
		"cursor before live":                  {frames: subscribedAs(1, "x", fresh) + `{"type":"cursor","shape":"x","cursor":"d"}`, want: "isn't live"},
		"a cursor that is too long":           {frames: begun + fmt.Sprintf(`{"type":"cursor","shape":"x","cursor":"%065d"}`, 0), want: "65 characters"},
		"changes without a cursor":            {frames: begun + tx("x", "5", `"cursor":""`, insert2), want: "0 characters"},
		"more and a cursor":                   {frames: begun + tx("x", "5", `"part":0,"more":true,"cursor":"c"`, insert2), want: "both more"},
		"part 0 alone":                        {frames: begun + last("x", "5", 0, insert2), want: "part 0 and no more"},
		"a part too few":                      {frames: begun + part("x", "5", 0, insert2) + last("x", "5", 2, insert3), want: "part 2 of transaction 5 after 1 parts"},
		"a part without a beginning":          {frames: begun + last("x", "5", 1, insert3), want: "part 0 never came"},
		"a part of another transaction":       {frames: begun + part("x", "5", 0, insert2) + last("x", "6", 1, insert3), want: "within transaction 5"},
		"an empty transaction":                {frames: begun + whole("x", "5", ""), want: "without changes"},
		"a time without microseconds":         {frames: begun + strings.Replace(whole("x", "5", insert2), ".000006", "", 1), want: "microseconds"},
		"a transaction twice":                 {frames: begun + whole("x", "5", insert2) + whole("x", "5", insert3), want: "a second time"},
		"two shapes out of order":             {subs: 2, frames: begun + subscribedAs(2, "y", fresh) + live("y", "c") + whole("x", "5", insert2) + whole("x", "6", insert3) + whole("y", "5", insert2), want: "after a later one"},
		"schema that loses a column":          {frames: begun + `{"type":"schema","shape":"x","columns":[{"name":"id","type":"integer"},{"name":"a","type":"text"},{"name":"b","type":"text"}],"fill":{"a":1,"b":1}}`, want: "loses a column"},
		"schema without a fill":               {frames: begun + `{"type":"schema","shape":"x",` + grown + `,"fill":{}}`, want: "no fill"},
		"an unknown reason of resync":         {frames: begun + `{"type":"resync","shape":"x","reason":"why"}`, want: `"why"`},
		"closed that nobody asked for":        {frames: begun + `{"type":"closed","id":1,"code":"unsubscribed","message":"m"}`, want: `"unsubscribed"`},
		"an error for a live id":              {frames: begun + `{"type":"error","id":1,"code":"internal","message":"m"}`, want: "asks for nothing"},
		"an unknown type":                     {frames: `{"type":"news"}`, want: "no type of message"},
		"an unknown field":                    {frames: `{"type":"pong","m":1}`, want: "unknown field"},
		"no JSON":                             {frames: `hello`, want: "can't be decoded"},
		"a bag's delete of a row it lacks":    {frames: bagged + live("x", "c") + whole("x", "5", `{"op":"delete","key":`+rowOne+`}`), want: "isn't there"},
		"a bag's update that changes nothing": {frames: bagged + snapshotOf("x", "["+rowOne+"]") + live("x", "c") + whole("x", "5", `{"op":"update","key":`+rowOne+`,"row":`+rowOne+`}`), want: "changes nothing"},
		"a delete from an insert-only list":   {frames: listed + live("x", "c") + whole("x", "5", `{"op":"delete","key":{}}`), want: "insert-only"},
		"warehouse after live is exact":       {frames: warehoused + live("x", "c") + whole("x", "5", delete1), want: "isn't there"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, _, err := play(t, max(c.subs, 1), c.ask, c.frames)
			if !errors.As(err, new(*Violation)) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want a violation with %q", err, c.want)
			}
			m.Drop()
			if m.Connected() || !Permanent(m.Err()) {
				t.Error("the mirror went on after a violation")
			}
		})
	}
}

func TestUnknownIsIgnoredUnlessStrict(t *testing.T) {
	s := newStub(t)
	m := NewMirror(Hooks{})
	p := s.connect(m, Options{})
	if err := p.settle(m, `{"type":"news"}`+"\n"+`{"type":"pong","m":1}`); err != nil {
		t.Error(err)
	}
}
