package auth

import (
	"crypto"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Mint signs a token with HS256 for use in development: the claims given, iat now, and exp after ttl, which must be
// positive. The caller's map is left as it is.
func Mint(secret []byte, claims map[string]any, ttl time.Duration) (string, error) {
	if len(secret) < MinSecretBytes {
		return "", ErrShortSecret
	}
	return sign(jwt.SigningMethodHS256, secret, claims, ttl)
}

// Sign is Mint with a private key and its algorithm: RS256, ES256 or EdDSA. The token has no kid.
func Sign(key crypto.Signer, claims map[string]any, ttl time.Duration) (string, error) {
	algorithm, err := algorithmOf(key.Public())
	if err != nil {
		return "", err
	}
	return sign(jwt.GetSigningMethod(algorithm), key, claims, ttl)
}

func sign(method jwt.SigningMethod, key any, claims map[string]any, ttl time.Duration) (string, error) {
	if ttl <= 0 {
		return "", errors.New("the token's time to live must be positive")
	}
	payload := jwt.MapClaims{}
	maps.Copy(payload, claims)
	now := time.Now()
	payload["iat"] = now.Unix()
	payload["exp"] = now.Add(ttl).Unix()
	token, err := jwt.NewWithClaims(method, payload).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
