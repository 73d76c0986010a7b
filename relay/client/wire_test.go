package client

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"pgrelay/relay/wire"
)

const samples = "../../testdata/wire"

// TestWireSamples: every message that the TypeScript client reads or writes is read by the Go types without an unknown
// field, and written again as the same JSON.
func TestWireSamples(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		files, err := filepath.Glob(filepath.Join(samples, side, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no samples of the %s's messages: %v", side, err)
		}
		for _, file := range files {
			t.Run(side+"/"+filepath.Base(file), func(t *testing.T) {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, message := range typesOf(t, side, raw) {
					again(t, raw, message)
				}
			})
		}
	}
}

// typesOf are the Go types that a sample must fit; none for the messages of events, which have no Go type yet.
func typesOf(t *testing.T, side string, raw []byte) []any {
	t.Helper()
	var head struct{ Type string }
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	switch {
	case head.Type == wire.TypeEmit, head.Type == wire.TypeEvent:
		return nil
	case side == "client":
		return []any{&wire.ClientMessage{}}
	}
	types := []any{&wire.ServerMessage{}}
	switch head.Type {
	case wire.TypeWelcome:
		types = append(types, &wire.Welcome{})
	case wire.TypeSubscribed:
		types = append(types, &wire.Subscribed{})
	case wire.TypeResync, wire.TypeWaiting, wire.TypeClosed, wire.TypeError:
		types = append(types, &wire.Notice{})
	}
	return types
}

func again(t *testing.T, raw []byte, message any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(message); err != nil {
		t.Fatalf("%T: %v", message, err)
	}
	encoded, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := loose(t, encoded), loose(t, raw); !reflect.DeepEqual(got, want) {
		t.Errorf("%T: got %s, want %s", message, encoded, raw)
	}
}

// loose is a message without the fields that say nothing: false, and lists without elements.
func loose(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	for name, value := range m {
		list, isList := value.([]any)
		if value == false && name != "snapshot" || isList && len(list) == 0 {
			delete(m, name)
		}
	}
	return m
}
