package auth

import (
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// Verify returns whom the token speaks for at the time now; without a token that is anon. It never waits. Its errors
// are the package's own.
func (v *Verifier) Verify(token string, now time.Time) (relay.Principal, error) {
	switch {
	case token == "" && v.cfg.AnonForbidden:
		return relay.Principal{}, ErrRequired
	case token == "":
		return relay.Anon(), nil
	case len(v.fixed) == 0 && v.jwks == nil:
		return relay.Principal{}, ErrNoKey
	case len(token) > MaxTokenBytes:
		return relay.Principal{}, ErrMalformed
	}
	claims, err := v.parse(token)
	if err != nil {
		return relay.Principal{}, err
	}
	return v.principal(claims, now)
}

// parse checks form and signature. Claims with numbers keep them as json.Number.
func (v *Verifier) parse(token string) (jwt.MapClaims, error) {
	var claims jwt.MapClaims // stays nil where the payload is null
	var lookup error
	parsed, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		var set jwt.VerificationKeySet
		set.Keys, lookup = v.keys(t)
		return set, nil
	})
	if err = v.refusal(err, lookup); err != nil {
		return nil, err
	}
	// RFC 7515, section 4.1.11: an extension that isn't understood invalidates the token.
	if _, critical := parsed.Header["crit"]; critical || claims == nil || !v.exact(token) {
		return nil, ErrMalformed
	}
	return claims, nil
}

// keys are those that may have signed the token: of its algorithm, and of its kid where they have one. The error says
// why there may be others.
func (v *Verifier) keys(t *jwt.Token) ([]jwt.VerificationKey, error) {
	fixed := v.fixed[t.Method.Alg()]
	if v.jwks == nil || t.Method.Alg() == algHMAC {
		return fixed, nil
	}
	fetched, err := v.jwks.keys(t)
	return append(fixed[:len(fixed):len(fixed)], fetched...), err
}

// refusal is the error for a token that the parser refused, given what looking for its key came to.
func (v *Verifier) refusal(err, lookup error) error {
	if err == nil {
		return nil
	}
	if err = safe(err); !errors.Is(err, ErrSignature) || lookup == nil {
		return err
	}
	if Retryable(lookup) {
		v.jwks.ring()
	}
	return lookup
}

// exact tells whether header and payload are JSON that everybody reads alike.
func (v *Verifier) exact(token string) bool {
	for range 2 {
		segment, rest, _ := strings.Cut(token, ".")
		text, err := v.parser.DecodeSegment(segment)
		if err != nil || !exactObject(text) {
			return false
		}
		token = rest
	}
	return true
}
