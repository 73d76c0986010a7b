// Package auth turns a connection's token into a relay.Principal.
//
// A token is a JWT in compact form (RFC 7519). Each key accepts one algorithm, the one of its own kind, so neither
// "none" nor a public key used as an HMAC secret gets through (RFC 8725, section 3.1). What a token says is kept as
// it was signed: numbers are never rounded, and what changes at each renewal (exp, iat, nbf, jti) is left out.
package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// Limits and defaults.
const (
	// MinSecretBytes is the shortest secret that is accepted: the size of SHA-256's output (RFC 7518, section 3.2).
	MinSecretBytes = 32
	// MaxTokenBytes is the longest token that is looked at.
	MaxTokenBytes = 16 << 10
	// DefaultLeeway is the clock difference that is tolerated where the configuration names none.
	DefaultLeeway = 30 * time.Second
	// DefaultRoleClaim names the claim that holds the role where the configuration names none.
	DefaultRoleClaim = "role"
)

// What can be wrong with a token or a secret. The texts are safe to show to a client: none holds any part of either.
var (
	ErrShortSecret = fmt.Errorf("the JWT secret is shorter than %d bytes; make one with: openssl rand -base64 48", MinSecretBytes)
	ErrRequired    = errors.New("a token is required")
	ErrNoKey       = errors.New("this relay has no key to check tokens with")
	ErrMalformed   = errors.New("the token is malformed")
	ErrSignature   = errors.New("the token's signature or algorithm is not accepted")
	ErrExpired     = errors.New("the token has expired")
	ErrNotYetValid = errors.New("the token is not valid yet")
	ErrSubject     = errors.New("the token's claim sub is not a string")
	ErrRole        = errors.New("the token's role claim is not a role's name")
	ErrTimes       = errors.New("the token's claim exp or nbf is not a time")
)

// Config says which tokens are accepted. Its zero value accepts none and lets connections without a token in as anon.
type Config struct {
	// Secret is the HS256 key, at least MinSecretBytes long. Empty: every token is refused.
	Secret []byte
	// RoleClaim names the claim that holds the role; default DefaultRoleClaim. A token without it is "authenticated".
	RoleClaim string
	// Leeway is the clock difference tolerated for exp and nbf; default DefaultLeeway, negative for none.
	Leeway time.Duration
	// AnonForbidden refuses connections without a token.
	AnonForbidden bool
}

// key is what one kind of token is checked with. The algorithm belongs to the key, never to the token.
type key struct {
	algorithm string
	material  any
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	keys          []key
	roleClaim     string
	leeway        time.Duration
	anonForbidden bool
}

// New returns a verifier, or ErrShortSecret.
func New(c Config) (*Verifier, error) {
	v := &Verifier{roleClaim: c.RoleClaim, leeway: c.Leeway, anonForbidden: c.AnonForbidden}
	if v.roleClaim == "" {
		v.roleClaim = DefaultRoleClaim
	}
	if v.leeway == 0 {
		v.leeway = DefaultLeeway
	}
	v.leeway = max(v.leeway, 0)
	if len(c.Secret) > 0 {
		if len(c.Secret) < MinSecretBytes {
			return nil, ErrShortSecret
		}
		v.keys = append(v.keys, key{jwt.SigningMethodHS256.Alg(), append([]byte(nil), c.Secret...)})
	}
	return v, nil
}

// Leeway is how long after Principal.Expires a connection may still live: what Verify grants a new one.
func (v *Verifier) Leeway() time.Duration { return v.leeway }

// Verify returns whom the token speaks for at the time now; without a token that is anon. Its errors are the
// package's own, wrapped in nothing.
func (v *Verifier) Verify(token string, now time.Time) (relay.Principal, error) {
	switch {
	case token == "" && v.anonForbidden:
		return relay.Principal{}, ErrRequired
	case token == "":
		return relay.Anon(), nil
	case len(v.keys) == 0:
		return relay.Principal{}, ErrNoKey
	case len(token) > MaxTokenBytes:
		return relay.Principal{}, ErrMalformed
	}
	claims, err := v.parse(token, now)
	if err != nil {
		return relay.Principal{}, err
	}
	return v.principal(claims)
}

// parse checks signature and times. Claims with numbers keep them as json.Number.
func (v *Verifier) parse(token string, now time.Time) (jwt.MapClaims, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods(v.algorithms()),
		jwt.WithJSONNumber(),
		jwt.WithLeeway(v.leeway),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var claims jwt.MapClaims // stays nil where the payload is null
	parsed, err := parser.ParseWithClaims(token, &claims, v.material)
	if err != nil {
		return nil, safe(err)
	}
	// RFC 7515, section 4.1.11: an extension that isn't understood invalidates the token.
	if _, critical := parsed.Header["crit"]; critical || claims == nil {
		return nil, ErrMalformed
	}
	return claims, nil
}

func (v *Verifier) algorithms() []string {
	names := make([]string, len(v.keys))
	for i, k := range v.keys {
		names[i] = k.algorithm
	}
	return names
}

// material returns the keys of the token's algorithm; the parser has already refused the algorithms that have none.
func (v *Verifier) material(t *jwt.Token) (any, error) {
	var set jwt.VerificationKeySet
	for _, k := range v.keys {
		if k.algorithm == t.Method.Alg() {
			set.Keys = append(set.Keys, k.material)
		}
	}
	return set, nil
}

// safe replaces a parser's error, which may quote the token, by one of the package's own.
func safe(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return ErrMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return ErrSignature
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return ErrNotYetValid
	case errors.Is(err, jwt.ErrInvalidType):
		return ErrTimes
	}
	return ErrMalformed
}
