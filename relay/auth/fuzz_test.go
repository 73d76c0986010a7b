package auth

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// fuzzed is a verifier that has keys of every kind from every source.
func fuzzed(f *testing.F) *Verifier {
	rsaKey, ecKey, edKey := pairs()[0], pairs()[1], pairs()[2]
	return holding(f, Config{Secret: secret, Keys: []crypto.PublicKey{ecKey.Public()}, RoleClaim: "m.role"},
		jwkSet(rsaKey.jwk(f, "r", `{}`), edKey.jwk(f, "e", `{}`)))
}

// FuzzVerify looks for a token that crashes the verifier, that is accepted with another algorithm than its key's or
// with another reading than its one, or that is quoted in an error.
func FuzzVerify(f *testing.F) {
	for _, header := range []string{hs256, `{"alg":"RS256","kid":"r"}`, `{"alg":"ES256"}`, `{"alg":"EdDSA","kid":"e"}`, `{"alg":"EdDSA","kid":"r"}`,
		`{"alg":"none"}`, `{"alg":"HS256","crit":[]}`, `{"alg":"HS256","alg":"none"}`, `{"alg":["HS256"]}`, `{"alg":"HS256","kid":null}`, `{"alg":"RS256","kid":7}`} {
		f.Add(header, `{"sub":"u1","m":{"role":"editor"},"exp":1e10}`, "a.b.c")
	}
	for _, payload := range []string{`{"exp":-1,"nbf":1e300}`, `{"a":[{"b":1e999,"c":-0.0}],"exp":null}`, `{"a":"\ud83d\ude00\ud800"}`, `{"a":1,"a":2}`, `{"a":1e700}`, `{} `, `{}{}`,
		`null`, `[]`, `{"m.role":"x","m":{"role":7}}`, `{"aud":["a",["b"]],"iss":{}}`, "{\"\xff\":\"\\u0000\"}", `{"a":` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `}`} {
		f.Add(hs256, payload, "eyJhbGciOiJub25lIn0.e30.")
	}
	v := fuzzed(f)
	f.Fuzz(func(t *testing.T, header, payload, bare string) {
		if _, err := v.Verify(bare, now); err == nil && bare != "" {
			t.Error("a text that nobody signed was accepted")
		}
		for _, key := range [][]byte{[]byte("another"), publicPEM(pairs()[0]), {}} {
			if _, err := v.Verify(signed(header, payload, key), now); err == nil {
				t.Error("a token with another signature was accepted")
			}
		}
		checkReading(t, v, signed(header, payload, secret), "HS256", header, payload)
		for _, p := range pairs()[:3] {
			if p.name == "RSA" && !strings.Contains(header, "R") { // signing takes a millisecond
				continue
			}
			checkReading(t, v, signedBy(t, p.alg, p.Signer, header, payload), p.alg, header, payload)
		}
	})
}

// checkReading verifies a token that a key signed by its algorithm. What is accepted must say so, and must have one
// reading: the one that comes back.
func checkReading(t *testing.T, v *Verifier, token, algorithm, header, payload string) {
	p, err := v.Verify(token, now)
	if err != nil {
		for _, text := range []string{header, payload} {
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the token: %v", err)
			}
		}
		return
	}
	var h, c map[string]any
	decoder := json.NewDecoder(strings.NewReader(payload)) // 1e700 is too much for a float and none too much for jsonb
	decoder.UseNumber()
	if json.Unmarshal([]byte(header), &h) != nil || decoder.Decode(&c) != nil {
		t.Fatalf("accepted what is no JSON: %s %s", header, payload)
	}
	if _, critical := h["crit"]; h["alg"] != algorithm || critical {
		t.Errorf("accepted %s from a key of %s", header, algorithm)
	}
	if p.Role == "" || p.Role == relay.RoleAnon || p.Subject != fmt.Sprint(orEmpty(c["sub"])) {
		t.Errorf("accepted %+v", p)
	}
	var kept map[string]json.RawMessage
	if err := json.Unmarshal(p.Claims, &kept); err != nil {
		t.Fatalf("the claims are no object: %v", err)
	}
	for _, name := range transient {
		delete(c, name)
	}
	if len(kept) != len(c) {
		t.Errorf("%s became %s", payload, p.Claims)
	}
	again, err := v.Verify(signed(hs256, string(p.Claims), secret), now)
	if err != nil || string(again.Claims) != string(p.Claims) || again.Role != p.Role || again.Subject != p.Subject {
		t.Errorf("claims are not canonical: %s, then %s, %v", p.Claims, again.Claims, err)
	}
}

func orEmpty(value any) any {
	if value == nil {
		return ""
	}
	return value
}

// FuzzParseSet looks for a JWK Set that crashes the reader, or of which a symmetric or weak key is taken.
func FuzzParseSet(f *testing.F) {
	for _, p := range pairs()[:3] {
		f.Add(jwkSet(p.jwk(f, "k", `{}`), p.jwk(f, "k", `{"alg":null}`)))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQ","e":"AQ"},null,7]}`))
	f.Add([]byte(`{"jwks_uri":"x"}`))
	token := &jwt.Token{Header: map[string]any{}, Method: jwt.SigningMethodRS256}
	forged := signed(`{"alg":"HS256"}`, `{}`, must(base64.RawURLEncoding.DecodeString("AAAA")))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := parseSet(text)
		if err != nil {
			return
		}
		keys, _ := set.keys(token)
		for _, key := range keys {
			if algorithm, err := algorithmOf(key); err != nil || algorithm != "RS256" {
				t.Errorf("a %T is used for RS256: %v", key, err)
			}
		}
		v := holding(t, Config{}, text)
		if _, err := v.Verify(forged, now); err == nil {
			t.Error("a symmetric key is used")
		}
	})
}
