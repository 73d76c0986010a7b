package client

import (
	"encoding/json"
	"strings"
	"testing"

	"pgrelay/relay/wire"
)

// FuzzApply looks for messages that crash a mirror, or leave a live subscription whose size isn't that of its rows.
func FuzzApply(f *testing.F) {
	f.Add(begun + whole("x", "5", insert2+","+update1) + schema + part("x", "6", 0, delete1))
	f.Add(bagged + snapshotOf("x", "["+rowOne+","+rowOne+"]") + live("x", "c") + whole("x", "5", `{"op":"delete","key":`+rowOne+`}`))
	f.Add(begun + subscribedAs(2, "x", shared) + `{"type":"waiting","id":1,"reason":"unavailable","message":"m"}` + "\n" + subscribedAs(1, "y", resumed))
	f.Add(begun + `{"type":"resync","shape":"x","reason":"lagged"}` + "\n" + `{"type":"error","id":1,"code":"limit","message":"m"}`)
	f.Fuzz(func(t *testing.T, lines string) {
		m := NewMirror(Hooks{})
		for range 2 {
			if _, err := m.Subscribe(Subscription{Table: "a.t"}); err != nil {
				t.Fatal(err)
			}
		}
		l := &link{conn: &Conn{}, streams: map[string]*stream{}, order: map[string]*txLog{}, lent: map[*rows]bool{}}
		for line := range strings.Lines(lines) {
			msg := &wire.ServerMessage{}
			if json.Unmarshal([]byte(line), msg) != nil || m.apply(l, msg) != nil {
				break
			}
		}
		for id := uint64(1); id <= 2; id++ {
			if got, want := len(m.Rows(id)), m.Status(id).Rows; got != want {
				t.Errorf("%d rows, and the status says %d", got, want)
			}
		}
	})
}
