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

// unread are claims that the parser leaves alone: they are read once it is known who signed them.
type unread struct{ jwt.MapClaims }

// UnmarshalJSON does nothing.
func (*unread) UnmarshalJSON([]byte) error { return nil }

// parse checks signature and form. Claims with numbers keep them as json.Number.
func (v *Verifier) parse(token string) (jwt.MapClaims, error) {
	header, rest, _ := strings.Cut(token, ".")
	if len(header) > maxHeaderBytes {
		return nil, ErrMalformed
	}
	var lookup error
	_, err := v.parser.ParseWithClaims(token, &unread{}, func(t *jwt.Token) (any, error) {
		var set jwt.VerificationKeySet
		set.Keys, lookup = v.keys(t)
		return set, nil
	})
	if err = v.refusal(err, lookup); err != nil {
		return nil, err
	}
	payload, _, _ := strings.Cut(rest, ".")
	members, ok := v.object(header)
	claims, exact := v.object(payload)
	// RFC 7515, section 4.1.11: an extension that isn't understood invalidates the token.
	if _, critical := members["crit"]; critical || !ok || !exact {
		return nil, ErrMalformed
	}
	return claims, nil
}

// object reads a part of a token.
func (v *Verifier) object(segment string) (map[string]any, bool) {
	text, err := v.parser.DecodeSegment(segment)
	if err != nil {
		return nil, false
	}
	return exactObject(text)
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
