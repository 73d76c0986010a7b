package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/auth"
)

// parseAuth reads the flags as the program does.
func parseAuth(t *testing.T, args ...string) auth.Config {
	t.Helper()
	var cli struct{ authFlags }
	parser, err := kong.New(&cli, kong.DefaultEnvars("PGRELAY"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := cli.config(zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAuthFlags(t *testing.T) {
	want := auth.Config{Secret: []byte("s"), JWKS: auth.JWKS{URL: "https://issuer/keys", HTTPAllowed: true, Refresh: time.Minute},
		Issuer: "https://issuer", Audience: []string{"a", "b"}, Required: []string{"org", "m.n"}, RoleClaim: "m.role", Leeway: -1,
		AnonForbidden: true, Logger: zerolog.Nop()}
	got := parseAuth(t, "--jwt-secret=s", "--jwks=https://issuer/keys", "--jwks-allow-http", "--jwks-refresh=1m", "--jwt-issuer=https://issuer",
		"--jwt-audience=a", "--jwt-audience=b", "--jwt-require=org,m.n", "--role-claim=m.role", "--jwt-leeway=0s", "--forbid-anon")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("flags: got %+v, want %+v", got, want)
	}
	for name, value := range map[string]string{"JWT_SECRET": "s", "JWKS": "https://issuer/keys", "JWKS_ALLOW_HTTP": "true", "JWKS_REFRESH": "1m",
		"JWT_ISSUER": "https://issuer", "JWT_AUDIENCE": "a,b", "JWT_REQUIRE": "org,m.n", "ROLE_CLAIM": "m.role", "JWT_LEEWAY": "0s",
		"JWT_ALLOW_NO_EXP": "true", "FORBID_ANON": "true"} {
		t.Setenv("PGRELAY_"+name, value)
	}
	if got := parseAuth(t); !reflect.DeepEqual(got, want) {
		t.Errorf("environment: got %+v, want %+v", got, want)
	}
}

// keyFiles makes a key of each kind and returns the files with the private ones, and one with all public ones.
func keyFiles(t *testing.T) (private []string, public string) {
	t.Helper()
	must := func(value any, err error) any {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	keys := []any{must(edKey, err)}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	keys = append(keys, must(rsaKey, err))
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys = append(keys, must(ecKey, err))
	dir := t.TempDir()
	var all []byte
	for i, key := range keys {
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key)).([]byte)})
		private = append(private, filepath.Join(dir, fmt.Sprintf("private%d.pem", i)))
		must(nil, os.WriteFile(private[i], text, 0o600))
		der := must(x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())).([]byte)
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	public = filepath.Join(dir, "public.pem")
	must(nil, os.WriteFile(public, all, 0o600))
	return private, public
}

func TestTokensByKeyFile(t *testing.T) {
	private, public := keyFiles(t)
	v, err := auth.New(parseAuth(t, "--jwt-key="+public))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range private {
		token, err := (&tokenCmd{Sub: "u1", TTL: time.Hour, Key: file, JWTSecret: "not looked at"}).mint()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(token, time.Now()); err != nil || got.Subject != "u1" {
			t.Errorf("got %+v, %v, want u1", got, err)
		}
		if _, err := publicKeys(file); relay.Remedy(err) == "" || !strings.Contains(err.Error(), file) {
			t.Errorf("a private key for --jwt-key: got %v, want a remedy", err)
		}
	}
	if _, err := (&tokenCmd{TTL: time.Hour, Key: public}).mint(); relay.Remedy(err) == "" {
		t.Errorf("a public key for --key: got %v, want a remedy", err)
	}
}

func TestKeyFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	for path, size := range map[string]int{empty: 0, large: maxKeyFile + 1} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "no such file", dir: "folder", empty: "no PEM block", large: "too large"} {
		_, err := publicKeys(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--jwt-key "+path) || relay.Remedy(err) == "" {
			t.Errorf("%s: got %v, want %s and a remedy", path, err, want)
		}
	}
	if _, err := (&tokenCmd{TTL: time.Hour}).mint(); relay.Remedy(err) == "" {
		t.Errorf("neither secret nor key: got %v, want a remedy", err)
	}
}
