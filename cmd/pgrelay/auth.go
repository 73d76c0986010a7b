package main

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/auth"
)

// authFlags say which tokens are accepted.
type authFlags struct {
	JWTSecret     string        `name:"jwt-secret" env:"PGRELAY_JWT_SECRET" help:"Secret of HS256 tokens, at least 32 bytes. Without a secret, a key or a JWKS every token is refused; with several, a key of any will do." placeholder:"SECRET"`
	JWTKey        string        `name:"jwt-key" help:"File with public keys of RS256, ES256 (P-256) or EdDSA (Ed25519) tokens: PEM blocks PUBLIC KEY or CERTIFICATE, at most 8 of a kind. Each key in it is accepted, whatever a token's kid says. It is read at the start." placeholder:"FILE"`
	JWKS          string        `name:"jwks" help:"https URL of the issuer's keys: jwks_uri in its /.well-known/openid-configuration. A token's kid says which key; an unknown kid has the keys fetched again, at most every 10 seconds. While they can't be fetched the last ones stay; until the first success tokens are refused and /readyz says why." placeholder:"URL"`
	JWKSRefresh   time.Duration `name:"jwks-refresh" default:"5m" help:"How often the JWKS is fetched: a key that the issuer withdraws is used that long."`
	JWKSAllowHTTP bool          `name:"jwks-allow-http" help:"Permit a JWKS by http from another machine. Who can change the answer on its way can then sign in as anybody."`
	JWTIssuer     string        `name:"jwt-issuer" help:"What the claim iss must be; by default it isn't looked at." placeholder:"ISSUER"`
	JWTAudience   []string      `name:"jwt-audience" help:"Names of which the claim aud must hold one, separated by commas or by repeating the flag; by default it isn't looked at, and tokens that the same issuer made for other applications are accepted." placeholder:"AUDIENCE"`
	JWTRequire    []string      `name:"jwt-require" help:"Claims that must be there and not null, separated by commas; named as in --role-claim. With exp among them every token has to expire." placeholder:"CLAIM"`
	JWTLeeway     time.Duration `name:"jwt-leeway" default:"30s" help:"By how much the clocks of the issuer and the relay may differ (exp, nbf)."`
	RoleClaim     string        `default:"role" help:"Claim that holds the role; a token without it has the role authenticated. Where no claim has exactly this name, dots lead into objects: app_metadata.role. Take none that users can write themselves." placeholder:"CLAIM"`
	ForbidAnon    bool          `help:"Refuse connections without a token."`
}

func (f *authFlags) config(logger zerolog.Logger) (auth.Config, error) {
	keys, err := publicKeys(f.JWTKey)
	if err != nil {
		return auth.Config{}, err
	}
	leeway := f.JWTLeeway
	if leeway <= 0 {
		leeway = -1
	}
	return auth.Config{
		Secret: []byte(f.JWTSecret), Keys: keys,
		JWKS:   auth.JWKS{URL: f.JWKS, HTTPAllowed: f.JWKSAllowHTTP, Refresh: f.JWKSRefresh},
		Issuer: f.JWTIssuer, Audience: f.JWTAudience, Required: f.JWTRequire, RoleClaim: f.RoleClaim,
		Leeway: leeway, AnonForbidden: f.ForbidAnon, Logger: logger,
	}, nil
}

// publicKeys reads the keys in a file; without a file there are none.
func publicKeys(path string) ([]crypto.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readKey("--jwt-key", path)
	if err != nil {
		return nil, err
	}
	keys, err := auth.ParsePublicKeys(text)
	if err != nil {
		return nil, fmt.Errorf("read --jwt-key %s: %w", path, err)
	}
	return keys, nil
}

// maxKeyFile is how much of a key file is read, in bytes.
const maxKeyFile = 1 << 20

// readKey reads a small file that a flag names.
func readKey(flag, path string) ([]byte, error) {
	problem := func(what, remedy string) error {
		return &relay.Problem{What: fmt.Sprintf("read %s %s: %s", flag, path, what), Remedy: remedy}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem("there is no such file", "correct the path; it counts from the folder that the program runs in")
	case err == nil && info.IsDir():
		return nil, problem("it is a folder", "name the file in it")
	case err == nil && info.Size() > maxKeyFile:
		return nil, problem("it is too large for a file of keys", "name a PEM file")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, problem("permission denied", "let the user that the program runs as read it, and search the folders above it")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", flag, err)
	}
	return text, nil
}
