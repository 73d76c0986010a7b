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

	"pgrelay/relay/auth"
)

// tokenCmd prints a token for use in development.
type tokenCmd struct {
	Sub       string        `help:"Claim sub: who the token is for." placeholder:"ID"`
	Role      string        `help:"Claim role; without it the relay takes \"authenticated\"."`
	Claims    string        `help:"Further claims, a JSON object." placeholder:"JSON"`
	TTL       time.Duration `name:"ttl" default:"1h" help:"How long the token is good."`
	JWTSecret string        `name:"jwt-secret" env:"PGRELAY_JWT_SECRET" required:"" help:"The secret that the relay checks tokens with (HS256), at least 32 bytes." placeholder:"SECRET"`
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
