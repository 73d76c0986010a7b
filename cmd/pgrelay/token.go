package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/auth"
)

// tokenCmd prints a token for use in development.
type tokenCmd struct {
	Sub       string        `help:"Claim sub: who the token is for." placeholder:"ID"`
	Role      string        `help:"Claim role; without it the relay takes \"authenticated\"."`
	Claims    string        `help:"Further claims, a JSON object." placeholder:"JSON"`
	TTL       time.Duration `name:"ttl" default:"1h" help:"How long the token is good."`
	JWTSecret string        `name:"jwt-secret" env:"PGRELAY_JWT_SECRET" help:"The secret that the relay checks tokens with (HS256), at least 32 bytes." placeholder:"SECRET"`
	Key       string        `help:"File with a private key in PEM, taken instead of the secret: RSA signs with RS256, EC on P-256 with ES256, Ed25519 with EdDSA. The relay takes its public half (--jwt-key)." placeholder:"FILE"`
}

// Run prints the token and nothing else, so that $(pgrelay token) is one.
func (c *tokenCmd) Run(context.Context) error {
	token, err := c.mint()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, token)
	return err
}

func (c *tokenCmd) mint() (string, error) {
	claims, err := parseClaims(c.Claims)
	if err != nil {
		return "", fmt.Errorf("read --claims: %w", err)
	}
	if c.Sub != "" {
		claims["sub"] = c.Sub
	}
	if c.Role != "" {
		claims["role"] = c.Role
	}
	return c.sign(claims)
}

func (c *tokenCmd) sign(claims map[string]any) (string, error) {
	switch {
	case c.Key != "":
		text, err := readKey("--key", c.Key)
		if err != nil {
			return "", err
		}
		key, err := auth.ParsePrivateKey(text)
		if err != nil {
			return "", fmt.Errorf("read --key %s: %w", c.Key, err)
		}
		return auth.Sign(key, claims, c.TTL)
	case c.JWTSecret == "":
		return "", &relay.Problem{What: "there is nothing to sign the token with",
			Remedy: "give --jwt-secret, which the relay has too, or --key FILE with the private half of its --jwt-key"}
	}
	return auth.Mint([]byte(c.JWTSecret), claims, c.TTL)
}

// parseClaims reads a JSON object, its numbers as they are written.
func parseClaims(text string) (map[string]any, error) {
	claims := map[string]any{}
	if text == "" {
		return claims, nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil || claims == nil {
		return nil, errors.New(`want a JSON object such as {"tenant": 7}`)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return claims, nil
}
