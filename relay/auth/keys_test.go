package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// pair is a private key for tests.
type pair struct {
	name string // of the kind of key
	alg  string
	crypto.Signer
}

// pairs are two keys of each kind, made once.
var pairs = sync.OnceValue(func() (all []pair) {
	for range 2 {
		all = append(all, pair{"RSA", "RS256", must(rsa.GenerateKey(rand.Reader, 2048))},
			pair{"EC", "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))})
		_, private, err := ed25519.GenerateKey(rand.Reader)
		all = append(all, pair{"Ed25519", "EdDSA", must(private, err)})
	}
	return all
})

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// signedBy makes a token out of a literal header and payload with an algorithm, which the header needn't name.
func signedBy(t testing.TB, algorithm string, key any, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	signature, err := jwt.GetSigningMethod(algorithm).Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64.EncodeToString(signature)
}

// token is one that p signs, with a kid where it isn't empty.
func (p pair) token(t testing.TB, kid string) string {
	header := `{"alg":"` + p.alg + `"}`
	if kid != "" {
		header = fmt.Sprintf(`{"alg":%q,"kid":%q}`, p.alg, kid)
	}
	return signedBy(t, p.alg, p.Signer, header, fmt.Sprintf(`{"sub":"u1","exp":%d}`, now.Add(time.Hour).Unix()))
}

// jwk is p's public key as a JWK, with members added or replaced by those of a JSON object.
func (p pair) jwk(t testing.TB, kid, members string) json.RawMessage {
	t.Helper()
	key, err := jwkset.NewJWKFromKey(p.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, ALG: jwkset.ALG(p.alg)}})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for _, text := range []string{string(must(json.Marshal(key.Marshal()))), members} {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
	}
	return must(json.Marshal(all))
}

func jwkSet(keys ...json.RawMessage) []byte {
	return must(json.Marshal(map[string]any{"keys": append([]json.RawMessage{}, keys...)}))
}

// holding is a verifier that has fetched a set.
func holding(t testing.TB, c Config, set []byte) *Verifier {
	t.Helper()
	c.JWKS.URL = "https://issuer.invalid/keys"
	v := verifier(t, c)
	parsed, err := parseSet(set)
	if err != nil {
		t.Fatal(err)
	}
	v.jwks.set.Store(parsed)
	return v
}

func certificate(t testing.TB, p pair) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now.Add(-time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, p.Public(), p.Signer))
}

func pemText(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(p pair) []byte {
	return pemText("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(p.Public())))
}

func TestEachKindOfKey(t *testing.T) {
	for i, p := range pairs()[:3] {
		other := pairs()[i+3]
		fromPEM := func(text []byte) *Verifier { return verifier(t, Config{Keys: must(ParsePublicKeys(text))}) }
		verifiers := map[string]*Verifier{
			"public key":       fromPEM(publicPEM(p)),
			"certificate":      fromPEM(pemText("CERTIFICATE", certificate(t, p))),
			"several":          fromPEM(bytes.Join([][]byte{publicPEM(pairs()[(i+1)%3]), []byte("# a comment\n"), publicPEM(p)}, nil)),
			"JWKS":             holding(t, Config{}, jwkSet(p.jwk(t, "k", `{}`))),
			"JWKS without alg": holding(t, Config{}, jwkSet(p.jwk(t, "k", `{"alg":null}`))),
			"both":             holding(t, Config{Keys: []crypto.PublicKey{p.Public()}}, jwkSet(other.jwk(t, "other", `{}`))),
		}
		if p.name == "RSA" {
			verifiers["PKCS #1"] = fromPEM(pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(p.Public().(*rsa.PublicKey))))
		}
		for name, v := range verifiers {
			t.Run(p.alg+" "+name, func(t *testing.T) {
				for _, kid := range []string{"", "k"} {
					if got, err := v.Verify(p.token(t, kid), now); err != nil || got.Subject != "u1" {
						t.Errorf("kid %q: got %+v, %v", kid, got, err)
					}
					if _, err := v.Verify(other.token(t, kid), now); name != "both" && !errors.Is(err, ErrSignature) {
						t.Errorf("another key's token, kid %q: got %v, want %v", kid, err, ErrSignature)
					}
				}
			})
		}
		minted, err := Sign(p.Signer, map[string]any{"sub": "u1"}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fromPEM(publicPEM(p)).Verify(minted, time.Now()); err != nil {
			t.Errorf("%s: a token of Sign is refused: %v", p.alg, err)
		}
	}
}

// TestAlgorithmBelongsToTheKey: a verifier of one key of each kind, by every source, takes from none of them another
// algorithm than its own. RFC 8725, sections 2.1 and 3.1.
func TestAlgorithmBelongsToTheKey(t *testing.T) {
	rsaKey, ecKey, edKey := pairs()[0], pairs()[1], pairs()[2]
	var set []json.RawMessage
	config := Config{Secret: secret}
	for _, p := range pairs()[:3] {
		set = append(set, p.jwk(t, p.name, `{}`), p.jwk(t, "bare "+p.name, `{"alg":null}`))
		config.Keys = append(config.Keys, p.Public())
	}
	set = append(set, json.RawMessage(`{"kty":"oct","kid":"oct","alg":"HS256","k":"`+base64.RawURLEncoding.EncodeToString(secret[1:])+`"}`))
	payload := fmt.Sprintf(`{"sub":"u1","exp":%d}`, now.Add(time.Hour).Unix())
	header := func(alg, kid string) string { return fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid) }
	tokens := map[string]string{
		"none":                                  strings.TrimRight(base64.RawURLEncoding.EncodeToString([]byte(header("none", "RSA"))), "=") + ".e30.",
		"HS256 by the RSA key's PEM":            signedBy(t, "HS256", publicPEM(rsaKey), header("HS256", "RSA"), payload),
		"HS256 by the RSA key's DER":            signedBy(t, "HS256", must(x509.MarshalPKIXPublicKey(rsaKey.Public())), header("HS256", "RSA"), payload),
		"HS256 by the RSA key's modulus":        signedBy(t, "HS256", rsaKey.Public().(*rsa.PublicKey).N.Bytes(), header("HS256", "RSA"), payload),
		"HS256 by the Ed25519 key":              signedBy(t, "HS256", []byte(edKey.Public().(ed25519.PublicKey)), header("HS256", "Ed25519"), payload),
		"HS256 by the set's symmetric key":      signedBy(t, "HS256", secret[1:], header("HS256", "oct"), payload),
		"HS256 by nothing":                      signedBy(t, "HS256", []byte{}, header("HS256", "RSA"), payload),
		"HS384 by the secret":                   signedBy(t, "HS384", secret, header("HS384", ""), payload),
		"RS512 by the RSA key":                  signedBy(t, "RS512", rsaKey.Signer, header("RS512", "RSA"), payload),
		"PS256 by the RSA key":                  signedBy(t, "PS256", rsaKey.Signer, header("PS256", "RSA"), payload),
		"PS256 by the RSA key, said to be RS":   signedBy(t, "PS256", rsaKey.Signer, header("RS256", "RSA"), payload),
		"ES256 by the EC key, said to be RS256": signedBy(t, "ES256", ecKey.Signer, header("RS256", "EC"), payload),
		"EdDSA by the key, said to be ES256":    signedBy(t, "EdDSA", edKey.Signer, header("ES256", "Ed25519"), payload),
		"a key in the header": signedBy(t, "RS256", pairs()[3].Signer,
			`{"alg":"RS256","kid":"RSA","jku":"https://evil.invalid","jwk":`+string(pairs()[3].jwk(t, "RSA", `{}`))+`}`, payload),
	}
	// By kid alone: the set has these keys under another kid, and nothing else has them.
	byKid := map[string]string{
		"RS256 with the kid of the EC key": signedBy(t, "RS256", rsaKey.Signer, header("RS256", "EC"), payload),
		"kid a number":                     signedBy(t, "RS256", rsaKey.Signer, `{"alg":"RS256","kid":7}`, payload),
		"kid null":                         signedBy(t, "RS256", rsaKey.Signer, `{"alg":"RS256","kid":null}`, payload),
	}
	for source, v := range map[string]*Verifier{"fixed": verifier(t, config), "set": holding(t, Config{}, jwkSet(set...)), "both": holding(t, config, jwkSet(set...))} {
		for name, token := range tokens {
			if _, err := v.Verify(token, now); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: got %v, want %v", source, name, err, ErrSignature)
			}
		}
	}
	v := holding(t, Config{}, jwkSet(set...))
	for name, token := range byKid {
		if _, err := v.Verify(token, now); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want %v", name, err, ErrSignature)
		}
	}
	for _, p := range pairs()[:3] { // and what is right is taken
		if _, err := v.Verify(p.token(t, "bare "+p.name), now); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

// TestKeysThatAreRefused: what an operator gives and can mend.
func TestKeysThatAreRefused(t *testing.T) {
	rsaKey := pairs()[0]
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	spki := func(key crypto.PublicKey) []byte { return pemText("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key))) }
	good := publicPEM(rsaKey)
	cases := map[string]struct {
		text string
		want string
	}{
		"empty":             {"", "no PEM block"},
		"RSA of 1024 bits":  {string(spki(short.Public())), "1024 bits"},
		"P-384":             {string(spki(p384.Public())), "P-384"},
		"exponent 1":        {string(pemText("RSA PUBLIC KEY", pkcs1(rsaKey, 1))), "exponent"},
		"exponent 4":        {string(pemText("RSA PUBLIC KEY", pkcs1(rsaKey, 4))), "exponent"},
		"private":           {string(pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey.Signer)))), "private key"},
		"private RSA":       {string(pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey.Signer.(*rsa.PrivateKey)))), "private key"},
		"private encrypted": {string(pemText("ENCRYPTED PRIVATE KEY", []byte("x"))), "private key"},
		"private behind a public one": {string(good) + string(pemText("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384)))),
			"block 2 (EC PRIVATE KEY)"},
		"request":                   {string(pemText("CERTIFICATE REQUEST", []byte("x"))), "neither a public key nor a certificate"},
		"not DER":                   {string(pemText("PUBLIC KEY", []byte("x"))), "can't be read"},
		"a damaged block":           {string(good) + strings.Replace(string(good), "END", "ENT", 1), "1 of 2 PEM blocks"},
		"a damaged block before it": {strings.Replace(string(good), "\n", "\n!!", 1) + string(good), "1 of 2 PEM blocks"},
		"SSH":                       {"ssh-ed25519 AAAA u@h", "no PEM block"},
		"JWK":                       {string(rsaKey.jwk(t, "", `{}`)), "no PEM block"},
		"DER":                       {string(must(x509.MarshalPKIXPublicKey(rsaKey.Public()))), "no PEM block"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			keys, err := ParsePublicKeys([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %d keys and %v, want %s", len(keys), err, c.want)
			}
			if relay.Remedy(err) == "" {
				t.Errorf("%v has no remedy", err)
			}
		})
	}
	for _, key := range []crypto.PublicKey{short.Public(), p384.Public(), *rsaKey.Public().(*rsa.PublicKey), rsaKey.Signer, secret, nil} {
		if _, err := New(Config{Keys: []crypto.PublicKey{key}}); err == nil {
			t.Errorf("New took a %T", key)
		}
	}
	many := make([]crypto.PublicKey, MaxTried+1)
	for i := range many {
		many[i] = rsaKey.Public()
	}
	if _, err := New(Config{Keys: many}); relay.Remedy(err) == "" {
		t.Errorf("got %v, want that there are too many keys", err)
	}
}

// pkcs1 is a public key with another exponent.
func pkcs1(p pair, exponent int) []byte {
	return x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: p.Public().(*rsa.PublicKey).N, E: exponent})
}

func TestPrivateKeys(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.MarshalECPrivateKey(ec))
	text := append(pemText("EC PARAMETERS", []byte("x")), pemText("EC PRIVATE KEY", der)...) // as openssl ecparam -genkey writes it
	key, err := ParsePrivateKey(text)
	if err != nil || !ec.PublicKey.Equal(key.Public()) {
		t.Errorf("got %v, %v", key, err)
	}
	for _, p := range pairs()[:3] {
		key, err := ParsePrivateKey(pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p.Signer))))
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		if _, err := Sign(key, nil, time.Hour); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if _, err := Sign(key, nil, 0); err == nil {
			t.Errorf("%s: a token without time to live was made", p.name)
		}
	}
	p384 := must(x509.MarshalECPrivateKey(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))))
	for name, text := range map[string][]byte{
		"public": publicPEM(pairs()[0]), "none": nil, "two": append(bytes.Clone(text), text...), "P-384": pemText("EC PRIVATE KEY", p384),
		"encrypted":   pemText("ENCRYPTED PRIVATE KEY", der),
		"encrypted 2": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: der}),
		"no key":      pemText("PRIVATE KEY", []byte("x")),
	} {
		if _, err := ParsePrivateKey(text); relay.Remedy(err) == "" {
			t.Errorf("%s: got %v, want a remedy", name, err)
		}
	}
}
