package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"
)

// FuzzExactObject compares with a reader that goes through the text token by token.
func FuzzExactObject(f *testing.F) {
	for _, text := range []string{`{}`, ` {"a":1} `, `{"a":{"b":1,"b":2}}`, `{"a:":":","\"":"\":"}`, `{"a":1,"\u0061":2}`, `{"a":[{"b":[]}],"a":0}`, `{"\\":1,"\\":2}`,
		`{"a":"\ud83d\ude00"}`, `{"a":"\\ud83d"}`, `{"a":"\ud83d\\ude00"}`, `{"a":"\ud83d`, `{"a":1}}`, `{"a":1} 2`, `[{}]`, `null`, `{"a":1e999}`, "{\"\xff\":1}", `{"a" 1}`, `{"a":1,}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, got := exactObject(text)
		if want := plainObject(text); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	})
}

// plainObject tells whether text is one object in which no name occurs twice and nothing is replaced by U+FFFD.
func plainObject(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	first, err := decoder.Token()
	if err != nil || first != json.Delim('{') || !json.Valid(text) || !utf8.Valid(text) || !plainRest(decoder, '{', maxDepth) {
		return false
	}
	_, err = decoder.Token()
	return err == io.EOF && !replaced(text)
}

// plainRest reads an object or an array to its end.
func plainRest(decoder *json.Decoder, open json.Delim, depth int) bool {
	seen := map[string]bool{}
	for decoder.More() {
		if open == '{' {
			name, err := decoder.Token()
			text, ok := name.(string)
			if err != nil || !ok || seen[text] {
				return false
			}
			seen[text] = true
		}
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if delim, nested := token.(json.Delim); nested && (depth == 1 || !plainRest(decoder, delim, depth-1)) {
			return false
		}
	}
	_, err := decoder.Token()
	return err == nil && depth > 0
}

// replaced tells whether the decoder has made U+FFFD of something else: of each that it reads the text must hold one,
// as it is or escaped.
func replaced(text []byte) bool {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return true
	}
	encoded, err := json.Marshal(value)
	escapes := bytes.ToLower(bytes.ReplaceAll(text, []byte(`\\`), nil))
	there := bytes.Count(text, []byte("\ufffd")) + bytes.Count(escapes, []byte(`\ufffd`))
	return err != nil || bytes.Count(encoded, []byte("\ufffd")) > there
}
