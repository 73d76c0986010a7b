package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// publicJWK is a key of a JWK Set that tokens may be checked with.
type publicJWK struct {
	index     int // its place in the set
	kid       string
	algorithm string
	key       crypto.PublicKey
}

func (k publicJWK) same(other publicJWK) bool {
	key, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(other.key)
}

// write stores the key with its algorithm, whether or not the issuer names it.
func (k publicJWK) write(to *jwkset.MemoryJWKSet) error {
	jwk, err := jwkset.NewJWKFromKey(k.key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
		ALG: jwkset.ALG(k.algorithm), KID: k.kid, USE: jwkset.UseSig}})
	if err != nil {
		return err
	}
	return to.KeyWrite(context.Background(), jwk)
}

// The members of a JWK that are read (RFC 7517, section 4, and RFC 7518, section 6), and those that no public key has.
var (
	readMembers    = []string{"kty", "use", "key_ops", "alg", "kid", "x5c", "crv", "x", "y", "n", "e"}
	privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
)

// readJWK reads a key; the error is why it can't be used. The kid is given back with an error too, where it can be read.
func readJWK(text json.RawMessage) (kid string, key publicJWK, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return "", key, errors.New("it is no JSON object")
	}
	_ = json.Unmarshal(members["kid"], &kid)
	jwk, err := publicPart(members)
	if err != nil {
		return kid, key, err
	}
	algorithm, err := algorithmOf(jwk.Key())
	if err != nil {
		return kid, key, err
	}
	is := jwk.Marshal()
	switch {
	case is.USE != "" && is.USE != jwkset.UseSig:
		return kid, key, fmt.Errorf("its use is %q and not sig", shortened(string(is.USE)))
	case is.KEYOPS != nil && !slices.Contains(is.KEYOPS, jwkset.KeyOpsVerify):
		return kid, key, errors.New("its key_ops don't hold verify")
	case is.ALG != "" && string(is.ALG) != algorithm:
		return kid, key, fmt.Errorf("its alg is %q; a key of its kind is taken for %s alone", shortened(string(is.ALG)), algorithm)
	}
	return kid, publicJWK{kid: kid, algorithm: algorithm, key: jwk.Key()}, nil
}

// publicPart reads a key's public members, by exactly their names; nothing that it refers to is fetched.
func publicPart(members map[string]json.RawMessage) (jwkset.JWK, error) {
	if string(members["kty"]) == `"oct"` {
		return jwkset.JWK{}, errors.New("it is a symmetric key (kty oct), which everybody who can read the set could sign with")
	}
	for _, name := range privateMembers {
		if _, given := members[name]; given {
			return jwkset.JWK{}, errors.New("it is a private key, which everybody who can read the set could sign with; the issuer must replace it")
		}
	}
	public := map[string]json.RawMessage{}
	for _, name := range readMembers {
		if value, given := members[name]; given {
			public[name] = value
		}
	}
	text, err := json.Marshal(public)
	if err != nil {
		return jwkset.JWK{}, errors.New("it can't be read")
	}
	jwk, err := jwkset.NewJWKFromRawJSON(text, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, errors.New("it isn't a valid key of RSA, of a NIST curve or of Ed25519")
	}
	return jwk, nil
}
