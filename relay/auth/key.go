package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// The sizes of RSA keys that are accepted, in bits: the least that RFC 7518, section 3.3, allows, and one beyond which
// checking a signature takes too long.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// The names of the algorithms (RFC 7518, section 3.1, and RFC 8037, section 3.1).
var (
	algHMAC    = jwt.SigningMethodHS256.Alg()
	algRSA     = jwt.SigningMethodRS256.Alg()
	algECDSA   = jwt.SigningMethodES256.Alg()
	algEd25519 = jwt.SigningMethodEdDSA.Alg()

	algorithms = []string{algHMAC, algRSA, algECDSA, algEd25519}
)

// algorithmOf is the one algorithm that a public key is used with, or what is wrong with the key.
func algorithmOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return algRSA, checkRSA(k)
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", &relay.Problem{What: "the key is on the curve " + k.Curve.Params().Name + "; ES256 is on P-256",
				Remedy: "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private.pem"}
		}
		return algECDSA, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", &relay.Problem{What: "the Ed25519 key has the wrong length", Remedy: "make one with: openssl genpkey -algorithm ED25519 -out private.pem"}
		}
		return algEd25519, nil
	}
	return "", &relay.Problem{What: fmt.Sprintf("the key is of a kind that signs no tokens here (%T)", key),
		Remedy: "give an RSA key (RS256), an EC key on P-256 (ES256) or an Ed25519 key (EdDSA)"}
}

func checkRSA(k *rsa.PublicKey) error {
	bits := k.N.BitLen()
	const remedy = "make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out private.pem"
	switch {
	case bits < MinRSABits || bits > MaxRSABits:
		return &relay.Problem{What: fmt.Sprintf("the RSA key has %d bits; RS256 takes %d to %d", bits, MinRSABits, MaxRSABits), Remedy: remedy}
	case k.E < 3 || k.E%2 == 0: // with an exponent of 1 anybody signs
		return &relay.Problem{What: "the RSA key's public exponent is not an odd number above 2", Remedy: remedy}
	}
	return nil
}
