package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"pgrelay/relay"
)

// maxKeys is how many keys a JWK Set may hold.
const maxKeys = 100

// keySet is a JWK Set that was fetched; it doesn't change.
type keySet struct {
	// lookups find a key by kid among those of one algorithm.
	lookups map[string]*lookup
	// kids are all that the set names, also those of keys that aren't used.
	kids    map[string]bool
	used    []string // the keys, for the log
	ignored []string // and why others aren't used
}

type lookup struct {
	keyfunc.Keyfunc
	count int
}

// keys are those that may have signed the token. A token without kid may be by any key of its algorithm.
func (s *keySet) keys(t *jwt.Token) ([]jwt.VerificationKey, error) {
	kid, named := t.Header["kid"].(string)
	missing := ErrSignature
	if named && !s.kids[kid] {
		missing = ErrUnknownKey
	}
	l := s.lookups[t.Method.Alg()]
	switch {
	case l == nil:
		return nil, missing
	case !named && l.count > MaxTried:
		return nil, ErrManyKeys
	}
	found, err := l.Keyfunc.Keyfunc(t)
	switch found := found.(type) {
	case jwt.VerificationKeySet:
		return found.Keys, nil
	case nil:
		if errors.Is(err, jwkset.ErrKeyNotFound) {
			return nil, missing
		}
		return nil, ErrSignature
	default:
		return []jwt.VerificationKey{found}, nil
	}
}

// parseSet reads a JWK Set. A key that can't be used doesn't spoil the others (RFC 7517, section 5).
func parseSet(text []byte) (*keySet, error) {
	raw, err := rawKeys(text)
	if err != nil {
		return nil, err
	}
	s := &keySet{lookups: map[string]*lookup{}, kids: map[string]bool{}}
	var keys []publicJWK
	for i, text := range raw {
		kid, key, err := readJWK(text)
		s.kids[kid] = true
		key.index = i
		switch {
		case err != nil:
			s.ignore(i, kid, err)
		case !repeated(keys, key):
			keys = append(keys, key)
		}
	}
	return s, s.store(s.unambiguous(keys))
}

// rawKeys are the set's keys as they are written.
func rawKeys(text []byte) (raw []json.RawMessage, err error) {
	if _, ok := exactObject(text); !ok {
		return nil, errors.New("the answer is no JSON object, or one with a name twice")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, errors.New("the answer is no JSON object")
	}
	if _, discovery := members["jwks_uri"]; discovery && members["keys"] == nil {
		return nil, &relay.Problem{What: "the answer is the issuer's discovery document and no JWK Set", Remedy: "give --jwks the URL that it has under jwks_uri"}
	}
	if err := json.Unmarshal(members["keys"], &raw); err != nil || raw == nil {
		return nil, &relay.Problem{What: "the answer is no JWK Set: it has no array keys", Remedy: "check the URL; it is jwks_uri in the issuer's /.well-known/openid-configuration"}
	}
	if len(raw) > maxKeys {
		return nil, fmt.Errorf("the JWK Set has more than %d keys", maxKeys)
	}
	return raw, nil
}

// repeated tells whether the set has the very same key already.
func repeated(keys []publicJWK, key publicJWK) bool {
	for _, k := range keys {
		if k.kid == key.kid && k.same(key) {
			return true
		}
	}
	return false
}

// unambiguous leaves out keys of one algorithm that share a kid: which of them is meant can't be told.
func (s *keySet) unambiguous(keys []publicJWK) []publicJWK {
	type name struct{ algorithm, kid string }
	count := map[name]int{}
	for _, k := range keys {
		count[name{k.algorithm, k.kid}]++
	}
	var kept []publicJWK
	for _, k := range keys {
		if k.kid != "" && count[name{k.algorithm, k.kid}] > 1 {
			s.ignore(k.index, k.kid, errors.New("another "+k.algorithm+" key has the same kid"))
			continue
		}
		kept = append(kept, k)
	}
	return kept
}

// store makes the lookups. Each key is stored under its one algorithm, so keyfunc takes no other from a token.
func (s *keySet) store(keys []publicJWK) error {
	byAlgorithm := map[string]*jwkset.MemoryJWKSet{}
	for _, k := range keys {
		storage := byAlgorithm[k.algorithm]
		if storage == nil {
			storage = jwkset.NewMemoryStorage()
			byAlgorithm[k.algorithm] = storage
			found, err := keyfunc.New(keyfunc.Options{Storage: storage})
			if err != nil {
				return fmt.Errorf("make a key set: %w", err)
			}
			s.lookups[k.algorithm] = &lookup{Keyfunc: found}
		}
		if err := k.write(storage); err != nil {
			return fmt.Errorf("make a key set: %w", err)
		}
		s.lookups[k.algorithm].count++
		s.used = append(s.used, k.algorithm+" "+shortened(k.kid))
	}
	return nil
}

func (s *keySet) ignore(i int, kid string, err error) {
	s.ignored = append(s.ignored, fmt.Sprintf("key %d (kid %q): %v", i+1, shortened(kid), err))
}

// shortened is the beginning of what the issuer wrote, for the log.
func shortened(text string) string {
	const most = 64
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
