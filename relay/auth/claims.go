package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// lastSecond is the end of the year 9999, past which RFC 3339 has no form for a time.
const lastSecond = 253402300799

// transient are the claims that differ between a token and its renewal.
var transient = []string{"exp", "iat", "nbf", "jti"}

// principal reads the claims of a token whose signature is good.
func (v *Verifier) principal(claims jwt.MapClaims, now time.Time) (p relay.Principal, err error) {
	p.Role = relay.RoleAuthenticated
	if p.Expires, err = v.times(claims, now); err != nil {
		return relay.Principal{}, err
	}
	if err := v.meant(claims); err != nil {
		return relay.Principal{}, err
	}
	if sub, given := claims["sub"]; given {
		text, ok := sub.(string)
		if !ok {
			return relay.Principal{}, ErrSubject
		}
		p.Subject = text
	}
	if role, given := claim(claims, v.cfg.RoleClaim); given {
		if p.Role, err = roleName(role); err != nil {
			return relay.Principal{}, err
		}
	}
	if p.Claims, err = canonical(claims); err != nil {
		return relay.Principal{}, err
	}
	return p, nil
}

// times checks nbf and exp and returns the latter; zero without one.
func (v *Verifier) times(claims jwt.MapClaims, now time.Time) (time.Time, error) {
	expires, err := numericDate(claims, "exp")
	if err != nil {
		return time.Time{}, err
	}
	notBefore, err := numericDate(claims, "nbf")
	switch {
	case err != nil:
		return time.Time{}, err
	case !expires.IsZero() && !now.Before(expires.Add(v.cfg.Leeway)):
		return time.Time{}, ErrExpired
	case now.Before(notBefore.Add(-v.cfg.Leeway)):
		return time.Time{}, ErrNotYetValid
	}
	return expires, nil
}

// numericDate reads seconds since 1970 that may have a fraction (RFC 7519, section 2); zero where the claim is absent.
func numericDate(claims jwt.MapClaims, name string) (time.Time, error) {
	value, given := claims[name]
	if !given {
		return time.Time{}, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, ErrTimes
	}
	seconds, err := number.Float64()
	if err != nil || !(seconds >= 0 && seconds <= lastSecond) {
		return time.Time{}, ErrTimes
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), nil
}

// meant checks that the token is from whom, for whom and with what the configuration asks.
func (v *Verifier) meant(claims jwt.MapClaims) error {
	if v.cfg.Issuer != "" && claims["iss"] != v.cfg.Issuer {
		return ErrIssuer
	}
	if len(v.cfg.Audience) > 0 && !v.addressed(claims["aud"]) {
		return ErrAudience
	}
	for _, name := range v.cfg.Required {
		if value, _ := claim(claims, name); value == nil {
			return fmt.Errorf("%w %s", ErrClaim, name)
		}
	}
	return nil
}

// addressed reads aud, a string or an array of strings (RFC 7519, section 4.1.3).
func (v *Verifier) addressed(aud any) bool {
	names, ok := aud.([]any)
	if !ok {
		names = []any{aud}
	}
	found := false
	for _, name := range names {
		text, ok := name.(string)
		if !ok {
			return false
		}
		found = found || slices.Contains(v.cfg.Audience, text)
	}
	return found
}

// claim is the claim of exactly that name; where there is none and the name has dots, what they lead to: each part
// names a member of the object before it.
func claim(claims jwt.MapClaims, name string) (value any, given bool) {
	if value, given = claims[name]; given {
		return value, true
	}
	object := map[string]any(claims)
	for {
		member, rest, deeper := strings.Cut(name, ".")
		value, given = object[member]
		if !given || !deeper {
			return value, given
		}
		if object, given = value.(map[string]any); !given {
			return nil, false
		}
		name = rest
	}
}

// roleName reads a role claim. Nobody signs in as anon: it means that there is no token.
func roleName(claim any) (string, error) {
	name, ok := claim.(string)
	if !ok || name == "" || name == relay.RoleAnon || strings.TrimSpace(name) != name {
		return "", ErrRole
	}
	return name, nil
}

// canonical is the payload without its transient claims: keys sorted at every level, numbers as they were written.
// A payload that jsonb can't hold is refused, since rules read claims as jsonb.
func canonical(claims jwt.MapClaims) (json.RawMessage, error) {
	kept := maps.Clone(map[string]any(claims))
	for _, name := range transient {
		delete(kept, name)
	}
	if !storable(kept) {
		return nil, ErrMalformed
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(kept); err != nil {
		return nil, ErrMalformed
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
