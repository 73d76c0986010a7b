package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// sign makes a token out of a literal header and payload, which no library would let through.
func sign(header, payload string, key []byte) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + b64.EncodeToString(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func verifier(t testing.TB, c Config) *Verifier {
	t.Helper()
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAccepted(t *testing.T) {
	exp := now.Add(time.Hour).Unix()
	cases := map[string]struct {
		payload string
		config  Config
		want    relay.Principal
	}{
		"subject and default role": {
			payload: fmt.Sprintf(`{"sub":"u1","exp":%d,"iat":1,"nbf":1,"jti":"x"}`, exp),
			want:    relay.Principal{Subject: "u1", Role: "authenticated", Expires: now.Add(time.Hour), Claims: json.RawMessage(`{"sub":"u1"}`)},
		},
		"role": {
			payload: `{"role":"editor"}`,
			want:    relay.Principal{Role: "editor", Claims: json.RawMessage(`{"role":"editor"}`)},
		},
		"role from another claim": {
			payload: `{"role":7,"kind":"editor"}`, config: Config{RoleClaim: "kind"},
			want: relay.Principal{Role: "editor", Claims: json.RawMessage(`{"kind":"editor","role":7}`)},
		},
		"numbers stay exact and keys are sorted": {
			payload: `{"z":{"b":1.50,"a":9007199254740993},"a":[123456789012345678901234567890.10,"<&>"]}`,
			want: relay.Principal{Role: "authenticated",
				Claims: json.RawMessage(`{"a":[123456789012345678901234567890.10,"<&>"],"z":{"a":9007199254740993,"b":1.50}}`)},
		},
		"a fraction in exp": {
			payload: fmt.Sprintf(`{"exp":%d.5}`, exp),
			want:    relay.Principal{Role: "authenticated", Expires: now.Add(time.Hour + time.Second/2), Claims: json.RawMessage(`{}`)},
		},
		"expired within the leeway": {
			payload: fmt.Sprintf(`{"exp":%d}`, now.Add(-29*time.Second).Unix()),
			want:    relay.Principal{Role: "authenticated", Expires: now.Add(-29 * time.Second), Claims: json.RawMessage(`{}`)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.config.Secret = secret
			got, err := verifier(t, c.config).Verify(sign(hs256, c.payload, secret), now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != c.want.Subject || got.Role != c.want.Role || !got.Expires.Equal(c.want.Expires) || string(got.Claims) != string(c.want.Claims) {
				t.Errorf("got %+v %s, want %+v %s", got, got.Claims, c.want, c.want.Claims)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	cases := map[string]struct {
		token  string
		config Config
		want   error
	}{
		"not a token":                {token: "abc", want: ErrMalformed},
		"too long":                   {token: sign(hs256, `{"a":"`+strings.Repeat("x", MaxTokenBytes)+`"}`, secret), want: ErrMalformed},
		"payload null":               {token: sign(hs256, `null`, secret), want: ErrMalformed},
		"payload no object":          {token: sign(hs256, `[1]`, secret), want: ErrMalformed},
		"another secret":             {token: sign(hs256, `{}`, []byte("another secret of thirty-two byte")), want: ErrSignature},
		"alg none":                   {token: strings.TrimRight(sign(`{"alg":"none"}`, `{}`, secret), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), want: ErrSignature},
		"alg none, signature kept":   {token: sign(`{"alg":"none"}`, `{}`, secret), want: ErrSignature},
		"alg HS512":                  {token: sign(`{"alg":"HS512"}`, `{}`, secret), want: ErrSignature},
		"alg RS256":                  {token: sign(`{"alg":"RS256"}`, `{}`, secret), want: ErrSignature},
		"alg in another case":        {token: sign(`{"alg":"hs256"}`, `{}`, secret), want: ErrSignature},
		"no alg":                     {token: sign(`{}`, `{}`, secret), want: ErrSignature},
		"critical extension":         {token: sign(`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`, secret), want: ErrMalformed},
		"expired":                    {token: sign(hs256, fmt.Sprintf(`{"exp":%d}`, now.Add(-31*time.Second).Unix()), secret), want: ErrExpired},
		"expired without leeway":     {token: sign(hs256, fmt.Sprintf(`{"exp":%d}`, now.Add(-time.Second).Unix()), secret), config: Config{Leeway: -1}, want: ErrExpired},
		"not yet valid":              {token: sign(hs256, fmt.Sprintf(`{"nbf":%d}`, now.Add(time.Minute).Unix()), secret), want: ErrNotYetValid},
		"exp a string":               {token: sign(hs256, `{"exp":"9999999999"}`, secret), want: ErrTimes},
		"exp beyond any year":        {token: sign(hs256, `{"exp":1e15}`, secret), want: ErrTimes},
		"sub a number":               {token: sign(hs256, `{"sub":7}`, secret), want: ErrSubject},
		"role empty":                 {token: sign(hs256, `{"role":""}`, secret), want: ErrRole},
		"role null":                  {token: sign(hs256, `{"role":null}`, secret), want: ErrRole},
		"role a list":                {token: sign(hs256, `{"role":["editor"]}`, secret), want: ErrRole},
		"role anon":                  {token: sign(hs256, `{"role":"anon"}`, secret), want: ErrRole},
		"role with a space around":   {token: sign(hs256, `{"role":" editor"}`, secret), want: ErrRole},
		"a claim that jsonb refuses": {token: sign(hs256, `{"a":["\u0000"]}`, secret), want: ErrMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.config.Secret = secret
			_, err := verifier(t, c.config).Verify(c.token, now)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAsymmetricTokenIsRefused(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "u1"}).SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier(t, Config{Secret: secret}).Verify(token, now); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v, want %v", err, ErrSignature)
	}
}

func TestWithoutToken(t *testing.T) {
	got, err := verifier(t, Config{}).Verify("", now)
	if err != nil || got.Role != relay.RoleAnon || string(got.Claims) != "{}" {
		t.Errorf("got %+v, %v, want anon", got, err)
	}
	if _, err := verifier(t, Config{AnonForbidden: true}).Verify("", now); !errors.Is(err, ErrRequired) {
		t.Errorf("got %v, want %v", err, ErrRequired)
	}
}

func TestWithoutKeyEveryTokenIsRefused(t *testing.T) {
	for _, key := range [][]byte{nil, secret} {
		if _, err := verifier(t, Config{}).Verify(sign(hs256, `{}`, key), now); !errors.Is(err, ErrNoKey) {
			t.Errorf("got %v, want %v", err, ErrNoKey)
		}
	}
}

func TestShortSecret(t *testing.T) {
	if _, err := New(Config{Secret: secret[:31]}); !errors.Is(err, ErrShortSecret) {
		t.Errorf("New: got %v, want %v", err, ErrShortSecret)
	}
	if _, err := Mint(secret[:31], nil, time.Hour); !errors.Is(err, ErrShortSecret) {
		t.Errorf("Mint: got %v, want %v", err, ErrShortSecret)
	}
}

func TestMint(t *testing.T) {
	claims := map[string]any{"sub": "u1", "role": "editor", "n": json.Number("1.50")}
	token, err := Mint(secret, claims, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier(t, Config{Secret: secret}).Verify(token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"n":1.50,"role":"editor","sub":"u1"}`; string(got.Claims) != want {
		t.Errorf("got %s, want %s", got.Claims, want)
	}
	if left := time.Until(got.Expires); left < 59*time.Minute || left > time.Hour {
		t.Errorf("expires in %s, want an hour", left)
	}
	if len(claims) != 3 {
		t.Errorf("the caller's claims were changed: %v", claims)
	}
	if _, err := Mint(secret, nil, 0); err == nil {
		t.Error("a token without time to live was minted")
	}
}

// FuzzVerify looks for a token that crashes the verifier, that is accepted without the secret, or that is quoted in
// an error.
func FuzzVerify(f *testing.F) {
	f.Add(hs256, `{"sub":"u1","role":"editor","exp":1e9}`)
	f.Add(`{"alg":"none"}`, `{"a":[{"b":1e999}]}`)
	f.Add(`{"alg":"HS256","crit":[]}`, `{"exp":-1,"nbf":1e300}`)
	v, err := New(Config{Secret: secret})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := sign(header, payload, secret)
		p, err := v.Verify(token, now)
		if err == nil {
			again, err := v.Verify(sign(hs256, string(p.Claims), secret), now)
			if err == nil && v.roleClaim == "role" && string(again.Claims) != string(p.Claims) {
				t.Errorf("claims are not canonical: %s, then %s", p.Claims, again.Claims)
			}
			if !json.Valid(p.Claims) || p.Role == "" || p.Role == relay.RoleAnon {
				t.Errorf("accepted %+v", p)
			}
		} else if len(payload) > 8 && strings.Contains(err.Error(), payload) {
			t.Errorf("the error quotes the payload: %v", err)
		}
		if _, err := v.Verify(sign(header, payload, []byte("another")), now); err == nil {
			t.Error("a token with another signature was accepted")
		}
		if _, err := v.Verify(payload, now); err == nil && payload != "" {
			t.Error("an unsigned text was accepted")
		}
	})
}
