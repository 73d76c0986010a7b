package auth

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// lastSecond is the end of the year 9999, past which RFC 3339 has no form for a time.
const lastSecond = 253402300799

// transient are the claims that differ between a token and its renewal.
var transient = []string{"exp", "iat", "nbf", "jti"}

// principal reads the claims of a token whose signature and times are good.
func (v *Verifier) principal(claims jwt.MapClaims) (relay.Principal, error) {
	p := relay.Principal{Role: relay.RoleAuthenticated}
	var err error
	if p.Expires, err = expires(claims["exp"]); err != nil {
		return relay.Principal{}, err
	}
	if sub, given := claims["sub"]; given {
		text, ok := sub.(string)
		if !ok {
			return relay.Principal{}, ErrSubject
		}
		p.Subject = text
	}
	if role, given := claims[v.roleClaim]; given {
		if p.Role, err = roleName(role); err != nil {
			return relay.Principal{}, err
		}
	}
	if p.Claims, err = canonical(claims); err != nil {
		return relay.Principal{}, err
	}
	return p, nil
}

// roleName reads a role claim. Nobody signs in as anon: it means that there is no token.
func roleName(claim any) (string, error) {
	name, ok := claim.(string)
	if !ok || name == "" || name == relay.RoleAnon || strings.TrimSpace(name) != name {
		return "", ErrRole
	}
	return name, nil
}

// expires reads a NumericDate, seconds since 1970 that may have a fraction (RFC 7519, section 2); zero without one.
func expires(claim any) (time.Time, error) {
	if claim == nil {
		return time.Time{}, nil
	}
	number, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, ErrTimes
	}
	seconds, err := number.Float64()
	if err != nil || !(seconds > 0 && seconds <= lastSecond) {
		return time.Time{}, ErrTimes
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), nil
}

// canonical is the payload without its transient claims: keys sorted at every level, numbers as they were written.
// A payload that jsonb can't hold is refused, since rules read claims as jsonb: U+0000 has no place in it.
// https://www.postgresql.org/docs/current/datatype-json.html
func canonical(claims jwt.MapClaims) (json.RawMessage, error) {
	kept := make(map[string]any, len(claims))
	for name, value := range claims {
		kept[name] = value
	}
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

// storable tells whether jsonb can hold the value.
func storable(value any) bool {
	switch v := value.(type) {
	case string:
		return utf8.ValidString(v) && strings.IndexByte(v, 0) < 0
	case []any:
		for _, element := range v {
			if !storable(element) {
				return false
			}
		}
	case map[string]any:
		for name, element := range v {
			if !storable(name) || !storable(element) {
				return false
			}
		}
	}
	return true
}
