package auth

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"pgrelay/relay"
)

// ParsePublicKeys reads PEM text: public keys (SubjectPublicKeyInfo or PKCS #1) and certificates, one or several. Of a
// certificate the key alone is read, neither its validity nor who signed it: that it is given here is the trust in it.
// What is wrong is a relay.Problem that quotes nothing of the text; a private key is refused.
func ParsePublicKeys(text []byte) ([]crypto.PublicKey, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var keys []crypto.PublicKey
	for i, block := range blocks {
		key, err := publicKey(block)
		if err == nil {
			_, err = algorithmOf(key)
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %d (%s): %w", i+1, block.Type, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func publicKey(block *pem.Block) (key crypto.PublicKey, err error) {
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, &relay.Problem{What: "it is a private key, which signs tokens; checking them takes the public one, and the relay's machine should not have this",
			Remedy: "give the public key: openssl pkey -in private.pem -pubout -out public.pem"}
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, &relay.Problem{What: "it is neither a public key nor a certificate",
			Remedy: "give a PEM block PUBLIC KEY or CERTIFICATE: openssl pkey -in private.pem -pubout -out public.pem"}
	}
	if err != nil || key == nil {
		return nil, &relay.Problem{What: "it can't be read as a key of RSA, of a NIST curve or of Ed25519",
			Remedy: "see what openssl makes of it: openssl pkey -pubin -in public.pem -text, or openssl x509 -in certificate.pem -text"}
	}
	return key, nil
}

// ParsePrivateKey reads PEM text with one private key (PKCS #8, SEC 1 or PKCS #1, not encrypted), which Sign takes.
// What is wrong is a relay.Problem that quotes nothing of the text.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var found crypto.Signer
	for _, block := range blocks {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // EC PARAMETERS, or the certificate of the key
		}
		if found != nil {
			return nil, &relay.Problem{What: "there are several private keys", Remedy: "leave one in the file"}
		}
		if found, err = privateKey(block); err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, &relay.Problem{What: "there is no private key",
			Remedy: "signing takes the private key, such as: openssl genpkey -algorithm ED25519 -out private.pem"}
	}
	_, err = algorithmOf(found.Public())
	return found, err
}

func privateKey(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, &relay.Problem{What: "the private key is encrypted",
			Remedy: "decrypt it for use in development: openssl pkey -in private.pem -out plain.pem"}
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, &relay.Problem{What: "the private key can't be read as one of RSA, of a NIST curve or of Ed25519",
			Remedy: "see what openssl makes of it: openssl pkey -in private.pem -noout -text"}
	}
	return signer, nil
}

// pemBlocks are all blocks of the text, at least one. A block that can't be decoded isn't passed over.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	if begun == 0 {
		return nil, &relay.Problem{What: "there is no PEM block", Remedy: notPEM(text)}
	}
	var blocks []*pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	if len(blocks) != begun {
		return nil, &relay.Problem{What: fmt.Sprintf("%d of %d PEM blocks are damaged", begun-len(blocks), begun),
			Remedy: "copy the file again, with every line from -----BEGIN to -----END"}
	}
	return blocks, nil
}

// notPEM is the remedy for a text in another form.
func notPEM(text []byte) string {
	first := bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(first, []byte("ssh-")), bytes.HasPrefix(first, []byte("ecdsa-sha2-")):
		return "it looks like an SSH key; convert it: ssh-keygen -e -m pkcs8 -f FILE"
	case bytes.HasPrefix(first, []byte("{")):
		return "it looks like a JWK; give the URL that serves the set: --jwks URL"
	case bytes.HasPrefix(text, []byte{0x30}):
		return "it looks like DER; convert it: openssl pkey -pubin -inform DER -in FILE, or openssl x509 -inform DER -in FILE"
	}
	return "give a PEM file, which begins with -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----"
}
