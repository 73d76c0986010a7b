package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pgrelay/relay"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// signed makes a token out of a literal header and payload, which no library would let through.
func signed(header, payload string, key []byte) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + b64.EncodeToString(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		header  string // hs256 where empty
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
		"role within an object": {
			payload: `{"app_metadata":{"role":"editor"}}`, config: Config{RoleClaim: "app_metadata.role"},
			want: relay.Principal{Role: "editor", Claims: json.RawMessage(`{"app_metadata":{"role":"editor"}}`)},
		},
		"a claim of exactly the name goes before the path": {
			payload: `{"app_metadata":{"role":"editor"},"app_metadata.role":"reader"}`, config: Config{RoleClaim: "app_metadata.role"},
			want: relay.Principal{Role: "reader", Claims: json.RawMessage(`{"app_metadata":{"role":"editor"},"app_metadata.role":"reader"}`)},
		},
		"a claim named like a URL": {
			payload: `{"https://example.com/role":"editor"}`, config: Config{RoleClaim: "https://example.com/role"},
			want: relay.Principal{Role: "editor", Claims: json.RawMessage(`{"https://example.com/role":"editor"}`)},
		},
		"a path that leads nowhere": {
			payload: `{"app_metadata":"role"}`, config: Config{RoleClaim: "app_metadata.role"},
			want: relay.Principal{Role: "authenticated", Claims: json.RawMessage(`{"app_metadata":"role"}`)},
		},
		"a header with a kid, whatever it is": {
			header: `{"alg":"HS256","kid":"7"}`, payload: `{}`,
			want: relay.Principal{Role: "authenticated", Claims: json.RawMessage(`{}`)},
		},
		"a surrogate pair, and a backslash before what looks like half of one": {
			payload: `{"a":"\ud83d\ude00 \\ud83d"}`,
			want:    relay.Principal{Role: "authenticated", Claims: json.RawMessage(`{"a":"😀 \\ud83d"}`)},
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
			if c.header == "" {
				c.header = hs256
			}
			got, err := verifier(t, c.config).Verify(signed(c.header, c.payload, secret), now)
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
		"too long":                   {token: signed(hs256, `{"a":"`+strings.Repeat("x", MaxTokenBytes)+`"}`, secret), want: ErrMalformed},
		"header too long":            {token: signed(`{"alg":"HS256","a":"`+strings.Repeat("x", maxHeaderBytes*3/4)+`"}`, `{}`, secret), want: ErrMalformed},
		"payload null":               {token: signed(hs256, `null`, secret), want: ErrMalformed},
		"payload no object":          {token: signed(hs256, `[1]`, secret), want: ErrMalformed},
		"another secret":             {token: signed(hs256, `{}`, []byte("another secret of thirty-two byte")), want: ErrSignature},
		"alg none":                   {token: strings.TrimRight(signed(`{"alg":"none"}`, `{}`, secret), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), want: ErrSignature},
		"alg none, signature kept":   {token: signed(`{"alg":"none"}`, `{}`, secret), want: ErrSignature},
		"alg HS512":                  {token: signed(`{"alg":"HS512"}`, `{}`, secret), want: ErrSignature},
		"alg RS256":                  {token: signed(`{"alg":"RS256"}`, `{}`, secret), want: ErrSignature},
		"alg in another case":        {token: signed(`{"alg":"hs256"}`, `{}`, secret), want: ErrSignature},
		"no alg":                     {token: signed(`{}`, `{}`, secret), want: ErrSignature},
		"critical extension":         {token: signed(`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`, secret), want: ErrMalformed},
		"expired":                    {token: signed(hs256, fmt.Sprintf(`{"exp":%d}`, now.Add(-31*time.Second).Unix()), secret), want: ErrExpired},
		"expired without leeway":     {token: signed(hs256, fmt.Sprintf(`{"exp":%d}`, now.Add(-time.Second).Unix()), secret), config: Config{Leeway: -1}, want: ErrExpired},
		"not yet valid":              {token: signed(hs256, fmt.Sprintf(`{"nbf":%d}`, now.Add(time.Minute).Unix()), secret), want: ErrNotYetValid},
		"exp a string":               {token: signed(hs256, `{"exp":"9999999999"}`, secret), want: ErrTimes},
		"exp beyond any year":        {token: signed(hs256, `{"exp":1e15}`, secret), want: ErrTimes},
		"sub a number":               {token: signed(hs256, `{"sub":7}`, secret), want: ErrSubject},
		"role empty":                 {token: signed(hs256, `{"role":""}`, secret), want: ErrRole},
		"role null":                  {token: signed(hs256, `{"role":null}`, secret), want: ErrRole},
		"role a list":                {token: signed(hs256, `{"role":["editor"]}`, secret), want: ErrRole},
		"role anon":                  {token: signed(hs256, `{"role":"anon"}`, secret), want: ErrRole},
		"role with a space around":   {token: signed(hs256, `{"role":" editor"}`, secret), want: ErrRole},
		"a claim that jsonb refuses": {token: signed(hs256, `{"a":["\u0000"]}`, secret), want: ErrMalformed},
		"critical extension, empty":  {token: signed(`{"alg":"HS256","crit":[]}`, `{}`, secret), want: ErrMalformed},
		"a name twice in the header": {token: signed(`{"alg":"HS256","alg":"HS256"}`, `{}`, secret), want: ErrMalformed},
		"a name twice, escaped":      {token: signed(hs256, `{"sub":"a","s\u0075b":"b"}`, secret), want: ErrMalformed},
		"a name twice within":        {token: signed(hs256, `{"a":[{"b":1,"b":1}]}`, secret), want: ErrMalformed},
		"a second value":             {token: signed(hs256, `{}{"sub":"u1"}`, secret), want: ErrMalformed},
		"something after the value":  {token: signed(hs256, `{}x`, secret), want: ErrMalformed},
		"half a surrogate pair":      {token: signed(hs256, `{"sub":"\ud800"}`, secret), want: ErrMalformed},
		"two first halves":           {token: signed(hs256, `{"sub":"\ud800\ud800"}`, secret), want: ErrMalformed},
		"no UTF-8":                   {token: signed(hs256, "{\"sub\":\"\xff\"}", secret), want: ErrMalformed},
		"nested too deeply":          {token: signed(hs256, `{"a":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}`, secret), want: ErrMalformed},
		"exp null":                   {token: signed(hs256, `{"exp":null}`, secret), want: ErrTimes},
		"exp negative":               {token: signed(hs256, `{"exp":-1}`, secret), want: ErrTimes},
		"exp zero":                   {token: signed(hs256, `{"exp":0}`, secret), want: ErrExpired},
		"nbf beyond any year":        {token: signed(hs256, `{"nbf":1e300}`, secret), want: ErrTimes},
		"nbf null":                   {token: signed(hs256, `{"nbf":null}`, secret), want: ErrTimes},
		"another issuer":             {token: signed(hs256, `{"iss":"https://other"}`, secret), config: Config{Issuer: "https://issuer"}, want: ErrIssuer},
		"the issuer and a slash":     {token: signed(hs256, `{"iss":"https://issuer/"}`, secret), config: Config{Issuer: "https://issuer"}, want: ErrIssuer},
		"no issuer":                  {token: signed(hs256, `{}`, secret), config: Config{Issuer: "https://issuer"}, want: ErrIssuer},
		"a list of issuers":          {token: signed(hs256, `{"iss":["https://issuer"]}`, secret), config: Config{Issuer: "https://issuer"}, want: ErrIssuer},
		"another audience":           {token: signed(hs256, `{"aud":["c","d"]}`, secret), config: Config{Audience: []string{"a", "b"}}, want: ErrAudience},
		"no audience":                {token: signed(hs256, `{}`, secret), config: Config{Audience: []string{"a"}}, want: ErrAudience},
		"an audience and a number":   {token: signed(hs256, `{"aud":["a",1]}`, secret), config: Config{Audience: []string{"a"}}, want: ErrAudience},
		"an audience within":         {token: signed(hs256, `{"aud":[["a"]]}`, secret), config: Config{Audience: []string{"a"}}, want: ErrAudience},
		"a claim missing":            {token: signed(hs256, `{"a":1}`, secret), config: Config{Required: []string{"a", "b"}}, want: ErrClaim},
		"a claim null":               {token: signed(hs256, `{"b":null}`, secret), config: Config{Required: []string{"b"}}, want: ErrClaim},
		"a claim missing within":     {token: signed(hs256, `{"a":{"c":1}}`, secret), config: Config{Required: []string{"a.b"}}, want: ErrClaim},
		"a role null within":         {token: signed(hs256, `{"a":{"b":null}}`, secret), config: Config{RoleClaim: "a.b"}, want: ErrRole},
		"padding":                    {token: signed(hs256, `{"sub":"1"}`, secret) + "=", want: ErrMalformed},
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

func TestMeantForUs(t *testing.T) {
	config := Config{Secret: secret, Issuer: "https://issuer", Audience: []string{"a", "b"}, Required: []string{"org", "m.n"}}
	for _, aud := range []string{`"b"`, `["c","a"]`} {
		payload := `{"iss":"https://issuer","aud":` + aud + `,"org":false,"m":{"n":0}}`
		if _, err := verifier(t, config).Verify(signed(hs256, payload, secret), now); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	_, err := verifier(t, config).Verify(signed(hs256, `{"iss":"https://issuer","aud":"a","org":1}`, secret), now)
	if want := "the token lacks the claim m.n"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWithoutExpiryOnlyWhereAllowed(t *testing.T) {
	token := signed(hs256, `{"sub":"u1"}`, secret)
	if _, err := verifier(t, Config{Secret: secret, Required: []string{"exp"}}).Verify(token, now); !errors.Is(err, ErrClaim) {
		t.Errorf("got %v, want %v", err, ErrClaim)
	}
	got, err := verifier(t, Config{Secret: secret}).Verify(token, now)
	if err != nil || !got.Expires.IsZero() {
		t.Errorf("got %+v, %v, want no expiry", got, err)
	}
}

func TestSecretThatIsAPublicKey(t *testing.T) {
	_, err := New(Config{Secret: []byte("-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("A", 64))})
	if relay.Remedy(err) == "" {
		t.Errorf("got %v, want a refusal with a remedy", err)
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
		if _, err := verifier(t, Config{}).Verify(signed(hs256, `{}`, key), now); !errors.Is(err, ErrNoKey) {
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
