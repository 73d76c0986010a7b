// Package auth turns a connection's token into a relay.Principal.
//
// A token is a JWT in compact form (RFC 7519). Each key accepts one algorithm, the one of its own kind, so neither
// "none" nor a public key used as an HMAC secret gets through (RFC 8725, section 3.1). What a token says is kept as
// it was signed: numbers are never rounded, and what changes at each renewal (exp, iat, nbf, jti) is left out.
//
//	secret ──────────── HS256 ─────────────┐
//	PEM ───── RS256, ES256, EdDSA ─────────┼─► Verify ─► principal, or one of the errors
//	                                       │     │
//	JWKS ─► Run ─► key set, swapped whole ─┘     │ kid unknown: a bell, never a wait
//	         ▲                                   │
//	         └───────────────────────────────────┘
//
// Verify is called on goroutines that serve thousands of connections, so it does no I/O and waits for no lock that is
// held during any: it reads the key set that Run fetched last. A token whose kid is not in the set rings a bell and is
// refused with an error that Retryable knows. Run fetches the set then, though not sooner than a gap after the last
// time, so tokens with made-up kids cost the issuer nothing. While the set can't be fetched the last one stays; a set
// that was fetched is obeyed, also where it holds no key any more.
package auth
