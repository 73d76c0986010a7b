package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay"
)

// TestKeysOfASetThatAreIgnored: each is passed over for its own reason, and a good one beside it is used.
func TestKeysOfASetThatAreIgnored(t *testing.T) {
	rsaKey, ecKey, good := pairs()[0], pairs()[1], pairs()[2]
	short := pair{"RSA", "RS256", must(rsa.GenerateKey(rand.Reader, 1024))}
	p384 := pair{"EC", "ES384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	b64 := func(b ...byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	quoted := func(members string) json.RawMessage { return rsaKey.jwk(t, "k", members) }
	cases := map[string]struct {
		key  json.RawMessage
		want string
	}{
		"symmetric":               {json.RawMessage(`{"kty":"oct","kid":"k","k":"` + b64(secret...) + `"}`), "symmetric"},
		"symmetric by k alone":    {quoted(`{"k":"` + b64(secret...) + `"}`), "private"},
		"private":                 {quoted(`{"d":"AQAB"}`), "private"},
		"use enc":                 {quoted(`{"use":"enc"}`), `use is "enc"`},
		"use unknown":             {quoted(`{"use":"tls"}`), "valid key"},
		"use a list":              {quoted(`{"use":["sig","enc"]}`), "valid key"},
		"key_ops encrypt":         {quoted(`{"key_ops":["encrypt"]}`), "key_ops"},
		"key_ops empty":           {quoted(`{"key_ops":[]}`), "key_ops"},
		"alg PS256":               {quoted(`{"alg":"PS256"}`), `alg is "PS256"`},
		"alg HS256":               {quoted(`{"alg":"HS256"}`), `alg is "HS256"`},
		"alg none":                {quoted(`{"alg":"none"}`), `alg is "none"`},
		"alg of another kind":     {ecKey.jwk(t, "k", `{"alg":"RS256"}`), `alg is "RS256"`},
		"RSA of 1024 bits":        {short.jwk(t, "k", `{}`), "1024 bits"},
		"RSA of 9000 bits":        {quoted(`{"n":"` + b64(append([]byte{255}, make([]byte, 1124)...)...) + `"}`), "9000 bits"},
		"exponent 1":              {quoted(`{"e":"AQ"}`), "valid key"},
		"exponent beyond 64 bits": {quoted(`{"e":"` + b64(1, 0, 0, 0, 0, 0, 1, 0, 1) + `"}`), "valid key"},
		"exponent even":           {quoted(`{"e":"BA"}`), "exponent"},
		"P-384":                   {p384.jwk(t, "k", `{}`), "P-384"},
		"off the curve":           {ecKey.jwk(t, "k", `{"y":"AQ"}`), "valid key"},
		"Ed25519 too short":       {good.jwk(t, "k", `{"x":"AQ"}`), "valid key"},
		"X25519":                  {good.jwk(t, "k", `{"crv":"X25519","alg":null}`), "kind that signs no tokens"},
		"kid a number":            {quoted(`{"kid":7}`), "valid key"},
		"kty in capitals":         {json.RawMessage(strings.Replace(string(quoted(`{}`)), `"kty"`, `"KTY"`, 1)), "valid key"},
		"kty unknown":             {quoted(`{"kty":"AKP"}`), "valid key"},
		"another's certificate":   {quoted(`{"x5c":["` + base64.StdEncoding.EncodeToString(certificate(t, pairs()[3])) + `"]}`), "valid key"},
		"no object":               {json.RawMessage(`7`), "no JSON object"},
		"null":                    {json.RawMessage(`null`), "no JSON object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			set, err := parseSet(jwkSet(c.key, good.jwk(t, "good", `{}`)))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.ignored) != 1 || !strings.Contains(set.ignored[0], c.want) || !strings.Contains(set.ignored[0], "key 1") {
				t.Errorf("ignored %q, want %s", set.ignored, c.want)
			}
			if want := []string{"EdDSA good"}; !slices.Equal(set.used, want) {
				t.Errorf("used %q, want %q", set.used, want)
			}
			if strings.Contains(strings.Join(set.ignored, ""), b64(secret...)) {
				t.Error("the reason quotes the key")
			}
		})
	}
}

func TestKeysOfASetThatAreUsed(t *testing.T) {
	p := pairs()[0]
	own := base64.StdEncoding.EncodeToString(certificate(t, p))
	for _, members := range []string{`{}`, `{"use":"sig"}`, `{"alg":null}`, `{"key_ops":["verify"]}`, `{"x5c":["` + own + `"]}`,
		`{"x5u":"http://evil.invalid","x5t":"!","unknown":{"a":[1]}}`} {
		v := holding(t, Config{}, jwkSet(p.jwk(t, "k", members)))
		if _, err := v.Verify(p.token(t, "k"), now); err != nil {
			t.Errorf("%s: %v", members, err)
		}
	}
}

func TestKidsThatOccurTwice(t *testing.T) {
	one, other, ec := pairs()[0], pairs()[3], pairs()[1]
	same := holding(t, Config{}, jwkSet(one.jwk(t, "k", `{}`), one.jwk(t, "k", `{"use":"sig"}`), ec.jwk(t, "k", `{}`)))
	for _, p := range []pair{one, ec} { // the very same key, and one of another kind, leave no doubt
		if _, err := same.Verify(p.token(t, "k"), now); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	set := jwkSet(one.jwk(t, "k", `{}`), other.jwk(t, "k", `{}`), ec.jwk(t, "k", `{}`))
	two := holding(t, Config{}, set)
	for _, p := range []pair{one, other} {
		if _, err := two.Verify(p.token(t, "k"), now); !errors.Is(err, ErrSignature) {
			t.Errorf("got %v, want %v", err, ErrSignature)
		}
	}
	if _, err := two.Verify(ec.token(t, "k"), now); err != nil {
		t.Error(err)
	}
	if got := two.jwks.set.Load().ignored; len(got) != 2 || !strings.Contains(got[1], "key 2 (kid \"k\"): another RS256 key has the same kid") {
		t.Errorf("ignored %q", got)
	}
}

func TestKid(t *testing.T) {
	one, other := pairs()[0], pairs()[3]
	v := holding(t, Config{}, jwkSet(one.jwk(t, "1", `{}`), other.jwk(t, "2", `{}`), other.jwk(t, "enc", `{"use":"enc"}`)))
	cases := map[string]struct {
		token string
		want  error
	}{
		"its own":                   {one.token(t, "1"), nil},
		"none":                      {other.token(t, ""), nil},
		"another's":                 {one.token(t, "2"), ErrSignature},
		"a key's that isn't used":   {other.token(t, "enc"), ErrSignature},
		"unknown":                   {one.token(t, "3"), ErrUnknownKey},
		"empty":                     {signedBy(t, "RS256", one.Signer, `{"alg":"RS256","kid":""}`, `{}`), ErrUnknownKey},
		"unknown, but malformed":    {one.token(t, "3") + "=", ErrMalformed},
		"unknown, for a secret":     {signed(`{"alg":"HS256","kid":"3"}`, `{}`, secret), ErrSignature},
		"unknown, not an algorithm": {signed(`{"alg":"RS384","kid":"3"}`, `{}`, secret), ErrSignature},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(c.token, now)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			rang := len(v.jwks.wanted) == 1
			if retry := c.want == ErrUnknownKey; Retryable(err) != retry || rang != retry {
				t.Errorf("retryable %v, rang %v, want both %v", Retryable(err), rang, retry)
			}
			if rang {
				<-v.jwks.wanted
			}
		})
	}
	var many []json.RawMessage
	for i := range MaxTried + 1 {
		many = append(many, pair{"EC", "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}.jwk(t, string(rune('a'+i)), `{}`))
	}
	crowd := holding(t, Config{}, jwkSet(append(many, pairs()[1].jwk(t, "mine", `{}`))...))
	if _, err := crowd.Verify(pairs()[1].token(t, ""), now); !errors.Is(err, ErrManyKeys) || Retryable(err) {
		t.Errorf("got %v, want %v", err, ErrManyKeys)
	}
	if _, err := crowd.Verify(pairs()[1].token(t, "mine"), now); err != nil {
		t.Error(err)
	}
}

func TestSetsThatAreRefused(t *testing.T) {
	key := string(pairs()[0].jwk(t, "k", `{}`))
	cases := map[string]struct{ text, want string }{
		"empty":                      {"", "no JSON object"},
		"HTML":                       {"<html>", "no JSON object"},
		"list":                       {"[" + key + "]", "no JSON object"},
		"null":                       {"null", "no JSON object"},
		"no keys":                    {`{"Keys":[]}`, "no array keys"},
		"keys null":                  {`{"keys":null}`, "no array keys"},
		"keys an object":             {`{"keys":` + key + `}`, "no array keys"},
		"keys twice":                 {`{"keys":[],"keys":[` + key + `]}`, "a name twice"},
		"a member twice":             {`{"keys":[` + strings.Replace(key, `{`, `{"kty":"oct",`, 1) + `]}`, "a name twice"},
		"something after":            {`{"keys":[]} {}`, "no JSON object"},
		"broken off":                 {`{"keys":[` + key, "no JSON object"},
		"the discovery document":     {`{"issuer":"https://issuer","jwks_uri":"https://issuer/keys"}`, "discovery document"},
		"more keys than it may have": {`{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`, "more than 100 keys"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if set, err := parseSet([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want %s", set, err, c.want)
			}
		})
	}
}

func TestJWKSURL(t *testing.T) {
	const password = "hunter2"
	cases := map[string]bool{
		"https://issuer/keys": true, "https://u:" + password + "@issuer/keys?key=" + password: true, "HTTPS://issuer": true,
		"http://127.0.0.1:1/keys": true, "http://127.9.9.9": true, "http://[::1]:8080/keys": true, "http://localhost/keys": true, "http://LOCALHOST": true,
		"http://issuer/keys": false, "http://10.0.0.1/": false, "http://localhost.evil.invalid": false, "http://127.0.0.1.nip.io/": false,
		"file:///etc/passwd": false, "ftp://issuer/keys": false, "issuer/keys": false, "https:///keys": false, "https:issuer": false,
		"https://u:" + password + "@iss uer/": false, "http://u:" + password + "@issuer/": false, "://": false,
	}
	for given, want := range cases {
		v, err := New(Config{JWKS: JWKS{URL: given}})
		if (err == nil) != want {
			t.Errorf("%s: got %v, want accepted: %v", given, err, want)
		}
		if err != nil && (relay.Remedy(err) == "" || strings.Contains(relay.Explain(err), password)) {
			t.Errorf("%s: got %v, want a remedy and no password", given, relay.Explain(err))
		}
		if err == nil && (v.Reason() == "" || strings.Contains(v.Reason(), password)) {
			t.Errorf("%s: the reason is %q", given, v.Reason())
		}
	}
	if _, err := New(Config{JWKS: JWKS{URL: "http://issuer/keys", HTTPAllowed: true}}); err != nil {
		t.Error(err)
	}
}
