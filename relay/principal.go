package relay

import (
	"encoding/json"
	"time"
)

// The roles that exist without being named by a token.
const (
	RoleAnon          = "anon"
	RoleAuthenticated = "authenticated"
)

// Principal is who is asking: the verified content of a token, or nobody in particular.
type Principal struct {
	// Subject is the claim sub; empty for anon.
	Subject string
	Role    string
	// Expires is the claim exp; zero means that the token doesn't expire.
	Expires time.Time
	// Claims is the token's payload without exp, iat, nbf and jti, as a JSON object with sorted keys,
	// so that a renewed token changes nothing. "{}" for anon.
	Claims json.RawMessage
}

// Anon is the principal of a connection without a token.
func Anon() Principal { return Principal{Role: RoleAnon, Claims: json.RawMessage("{}")} }
