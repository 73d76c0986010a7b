package auth

import (
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
	if ttl <= 0 {
		return "", errors.New("the token's time to live must be positive")
	}
	payload := jwt.MapClaims{}
	maps.Copy(payload, claims)
	now := time.Now()
	payload["iat"] = now.Unix()
	payload["exp"] = now.Add(ttl).Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, payload).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
