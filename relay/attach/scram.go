package attach

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// scramRounds is what Postgres takes. https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-SCRAM-ITERATIONS
const scramRounds = 4096

// scramVerifier is what pg_authid keeps of a password, so that neither the server's log nor pg_stat_statements gets it.
// Characters beyond ASCII would have to be prepared by SASLprep (RFC 4013), and are refused.
// https://www.rfc-editor.org/rfc/rfc5802#section-3
// https://www.postgresql.org/docs/current/catalog-pg-authid.html
func scramVerifier(password string) (string, error) {
	for _, c := range []byte(password) {
		if c < ' ' || c > '~' {
			return "", errors.New("it holds other characters than printable ASCII")
		}
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramRounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("make its verifier: %w", err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramRounds, encode(salt), encode(stored[:]), encode(mac("Server Key"))), nil
}
