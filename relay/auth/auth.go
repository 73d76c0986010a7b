package auth

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"

	"pgrelay/relay"
)

// Limits and defaults.
const (
	// MinSecretBytes is the shortest secret that is accepted: the size of SHA-256's output (RFC 7518, section 3.2).
	MinSecretBytes = 32
	// MaxTokenBytes is the longest token that is looked at.
	MaxTokenBytes = 16 << 10
	// maxHeaderBytes is the longest header of one, as it is encoded: it is read before anybody has signed for it.
	maxHeaderBytes = 4 << 10
	// MaxTried is with how many keys a token is checked at most, so that a forged one costs little.
	MaxTried = 8
	// DefaultLeeway is the clock difference that is tolerated where the configuration names none.
	DefaultLeeway = 30 * time.Second
	// DefaultRoleClaim names the claim that holds the role where the configuration names none.
	DefaultRoleClaim = "role"
)

// Config says which tokens are accepted. Its zero value accepts none and lets connections without a token in as anon.
// Where several sources of keys are given, a key of any of them will do.
type Config struct {
	// Secret is the HS256 key, at least MinSecretBytes long; empty: none.
	Secret []byte
	// Keys are public keys of RS256 (RSA), ES256 (ECDSA on P-256) and EdDSA (Ed25519) tokens, at most MaxTried of a
	// kind. They have no name: a token's kid doesn't matter to them.
	Keys []crypto.PublicKey
	// JWKS is where the issuer publishes its keys; without a URL: none.
	JWKS JWKS

	// Issuer is what the claim iss must be; empty: anything.
	Issuer string
	// Audience are the names of which the claim aud must hold one; none: anything.
	Audience []string
	// Required are claims that must be there and not null, named as RoleClaim is. Without exp among them a token need not
	// expire; nothing ends such a one but the change of its key.
	Required []string
	// RoleClaim names the claim that holds the role; default DefaultRoleClaim. A token without it is "authenticated".
	// Where there is no claim of exactly that name, dots lead into objects: app_metadata.role.
	RoleClaim string
	// Leeway is the clock difference tolerated for exp and nbf; default DefaultLeeway, negative for none.
	Leeway time.Duration
	// AnonForbidden refuses connections without a token.
	AnonForbidden bool

	// Logger hears what Run does.
	Logger zerolog.Logger
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	parser *jwt.Parser
	fixed  map[string][]jwt.VerificationKey // the secret and Config.Keys, by algorithm
	jwks   *jwks                            // nil without a URL
}

// New returns a verifier; what is wrong with the configuration is a relay.Problem or ErrShortSecret. It starts nothing
// and fetches nothing: Run does.
func New(c Config) (*Verifier, error) {
	if c.RoleClaim == "" {
		c.RoleClaim = DefaultRoleClaim
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	c.Leeway = max(c.Leeway, 0)
	v := &Verifier{cfg: c, fixed: map[string][]jwt.VerificationKey{}, parser: jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())}
	if err := v.addSecret(c.Secret); err != nil {
		return nil, err
	}
	for _, key := range c.Keys {
		if err := v.addKey(key); err != nil {
			return nil, err
		}
	}
	if c.JWKS.URL == "" {
		return v, nil
	}
	var err error
	v.jwks, err = newJWKS(c.JWKS, c.Logger)
	return v, err
}

func (v *Verifier) addSecret(secret []byte) error {
	switch {
	case len(secret) == 0:
		return nil
	case bytes.Contains(secret, []byte("-----BEGIN ")):
		return &relay.Problem{What: "the JWT secret is a PEM text; who knows a public key could sign tokens with it",
			Remedy: "put it into a file and give that as --jwt-key FILE, or make a secret with: openssl rand -base64 48"}
	case len(secret) < MinSecretBytes:
		return ErrShortSecret
	}
	v.fixed[algHMAC] = append(v.fixed[algHMAC], bytes.Clone(secret))
	return nil
}

func (v *Verifier) addKey(key crypto.PublicKey) error {
	algorithm, err := algorithmOf(key)
	if err != nil {
		return err
	}
	if len(v.fixed[algorithm]) == MaxTried {
		return &relay.Problem{What: fmt.Sprintf("there are more than %d keys for %s, and each token would be tried with all", MaxTried, algorithm),
			Remedy: "take out those that sign no token any more, or serve them as a JWKS with a kid each (--jwks URL)"}
	}
	v.fixed[algorithm] = append(v.fixed[algorithm], key)
	return nil
}

// Leeway is how long after Principal.Expires a connection may still live: what Verify grants a new one.
func (v *Verifier) Leeway() time.Duration { return v.cfg.Leeway }

// Run keeps the JWKS fresh until ctx ends; what fails is logged and tried again. It is to be called once, and also
// returns nil only when ctx ends where there is no JWKS.
func (v *Verifier) Run(ctx context.Context) error {
	if v.jwks == nil {
		<-ctx.Done()
		return nil
	}
	if len(v.cfg.Audience) == 0 {
		v.jwks.log.Warn().Msg("tokens for any audience are accepted, also those that the issuer made for other applications; give --jwt-audience")
	}
	return v.jwks.run(ctx)
}

// Reason is why tokens that should be good are refused now, with the remedy; empty where nothing is wrong. An issuer
// that can't be reached is no such reason while an earlier key set is at hand.
func (v *Verifier) Reason() string {
	if v.jwks == nil {
		return ""
	}
	return v.jwks.reason()
}
