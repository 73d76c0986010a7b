package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/auth"
	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

func TestLine(t *testing.T) {
	plain := &tail{command: &tailCmd{Table: "a.t"}, key: []string{"id"}, columns: []wire.Column{{Name: "name"}, {Name: "id"}, {Name: "o"}}}
	at := "2026-01-02T03:04:05.000006Z"
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		t.Fatal(err)
	}
	prefix := when.Local().Format("15:04:05.000000") + " "
	row := func(text string) (r client.Row) {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	cases := map[string]struct {
		change wire.Change
		want   string
	}{
		"insert":     {wire.Change{Op: "insert", Row: row(`{"name":"Ada L","id":7,"o":null}`)}, `insert   id=7 name="Ada L" o=null`},
		"key change": {wire.Change{Op: "update", Row: row(`{"id":8}`), Key: row(`{"id":7}`)}, `update   id=7 -> id=8`},
		"delete":     {wire.Change{Op: "delete", Key: row(`{"id":7}`)}, `delete   id=7`},
		"truncate":   {wire.Change{Op: "truncate"}, `truncate`},
		"an escape sequence": {wire.Change{Op: "insert", Row: row(`{"id":1,"name":"\u001b[2J\u009b","o":{"a":"` + "\u202e\u009b" + `"}}`)},
			`insert   id=1 name="\x1b[2J\u009b" o={"a":"\u202e\u009b"}`},
		"a text that looks like null": {wire.Change{Op: "insert", Row: row(`{"id":1,"name":"null"}`)}, `insert   id=1 name="null"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := plain.line(at, c.change); got != prefix+c.want {
				t.Errorf("got  %s\nwant %s", got, prefix+c.want)
			}
		})
	}
	colored := *plain
	colored.color = true
	if got := colored.line(at, wire.Change{Op: "delete", Key: row(`{"id":7}`)}); !strings.Contains(got, "\x1b[31mdelete") {
		t.Errorf("got %q, want a red delete", got)
	}
}

func TestPrintableKeepsJSON(t *testing.T) {
	const text = "a\u202eb\U000e0001c\u009b"
	encoded, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := json.Unmarshal([]byte(printable(string(encoded))), &got); err != nil || got != text {
		t.Errorf("got %q, %v, want %q", got, err, text)
	}
}

func TestToken(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	c := tokenCmd{Sub: "u1", Role: "editor", Claims: `{"tenant":9007199254740993}`, TTL: time.Hour, JWTSecret: secret}
	token, err := c.mint()
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.New(auth.Config{Secret: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(token, time.Now())
	if want := `{"role":"editor","sub":"u1","tenant":9007199254740993}`; err != nil || string(got.Claims) != want {
		t.Errorf("got %s, %v, want %s", got.Claims, err, want)
	}
	for _, claims := range []string{`[1]`, `null`, `{} {}`, `{`} {
		if _, err := (&tokenCmd{Claims: claims, TTL: time.Hour, JWTSecret: secret}).mint(); err == nil {
			t.Errorf("the claims %s were accepted", claims)
		}
	}
}
