package auth

import (
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// What can be wrong with a token or a secret. The texts are safe to show to a client: none holds any part of either.
var (
	ErrShortSecret = fmt.Errorf("the JWT secret is shorter than %d bytes; make one with: openssl rand -base64 48", MinSecretBytes)
	ErrRequired    = errors.New("a token is required")
	ErrNoKey       = errors.New("this relay has no key to check tokens with")
	ErrMalformed   = errors.New("the token is malformed")
	ErrSignature   = errors.New("the token's signature or algorithm is not accepted")
	ErrUnknownKey  = errors.New("the token's key (kid) is not known; the keys are being fetched")
	ErrNotFetched  = errors.New("the keys that tokens are checked with have not been fetched yet")
	ErrManyKeys    = errors.New("the token names no key (kid), and there are too many to try")
	ErrExpired     = errors.New("the token has expired")
	ErrNotYetValid = errors.New("the token is not valid yet")
	ErrIssuer      = errors.New("the token's claim iss is not the issuer's that is accepted here")
	ErrAudience    = errors.New("the token's claim aud names no audience that is accepted here")
	ErrClaim       = errors.New("the token lacks the claim") // the claim's name follows, which is the operator's
	ErrSubject     = errors.New("the token's claim sub is not a string")
	ErrRole        = errors.New("the token's role claim is not a role's name")
	ErrTimes       = errors.New("the token's claim exp or nbf is not a time")
)

// Retryable tells whether the same token may be accepted a little later, when the keys have been fetched.
func Retryable(err error) bool {
	return errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrNotFetched)
}

// safe replaces a parser's error, which may quote the token, by one of the package's own.
func safe(err error) error {
	if errors.Is(err, jwt.ErrTokenSignatureInvalid) || errors.Is(err, jwt.ErrTokenUnverifiable) {
		return ErrSignature
	}
	return ErrMalformed
}
