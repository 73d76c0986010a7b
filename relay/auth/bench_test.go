package auth

import (
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkVerify is what a hello costs an event loop, by algorithm and by where the key is from.
func BenchmarkVerify(b *testing.B) {
	payload := fmt.Sprintf(`{"sub":"7c9e6679-7425-40de-944b-e07fc1f90ae7","iss":"https://issuer","aud":"relay","role":"editor","email":"a@example.com","app_metadata":{"tenant":42},"iat":1,"exp":%d}`, now.Add(time.Hour).Unix())
	config := Config{Secret: secret}
	tokens := map[string]string{"HS256": signed(hs256, payload, secret)}
	set := jwkSet()
	for _, p := range pairs()[:3] {
		config.Keys = append(config.Keys, p.Public())
		tokens[p.alg] = signedBy(b, p.alg, p.Signer, fmt.Sprintf(`{"alg":%q,"kid":"k"}`, p.alg), payload)
		set = []byte(strings.Replace(string(set), "[", "["+string(p.jwk(b, "k", `{}`))+",", 1))
	}
	set = []byte(strings.Replace(string(set), ",]", "]", 1))
	fetched := holding(b, Config{Secret: secret}, set)
	for name, token := range tokens {
		for source, v := range map[string]*Verifier{"fixed": verifier(b, config), "fetched": fetched} {
			b.Run(name+"/"+source, func(b *testing.B) { benchmark(b, v, token, nil) })
		}
	}
	many := make([]crypto.PublicKey, MaxTried)
	for i := range many {
		many[i] = pairs()[1].Public()
	}
	forged := signedBy(b, "ES256", pairs()[4].Signer, `{"alg":"ES256"}`, payload)
	b.Run("ES256/forged, all keys tried", func(b *testing.B) { benchmark(b, verifier(b, Config{Keys: many}), forged, ErrSignature) })
	longest := filled(`{"exp":1e11`, (MaxTokenBytes-maxHeaderBytes)*3/4-50)
	b.Run("HS256/longest token", func(b *testing.B) { benchmark(b, fetched, signed(hs256, longest, secret), nil) })
	b.Run("HS256/longest token, forged", func(b *testing.B) {
		benchmark(b, fetched, signed(filled(`{"alg":"HS256"`, maxHeaderBytes*3/4), longest, secret[1:]), ErrSignature)
	})
	b.Run("RS256/unknown kid", func(b *testing.B) {
		benchmark(b, fetched, signedBy(b, "RS256", pairs()[0].Signer, `{"alg":"RS256","kid":"made up"}`, payload), ErrUnknownKey)
	})
}

func benchmark(b *testing.B, v *Verifier, token string, want error) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token, now); err != want {
			b.Fatal(err)
		}
	}
}

// filled adds members to the beginning of an object, up to so many bytes.
func filled(text string, size int) string {
	for i := 0; ; i++ {
		member := fmt.Sprintf(`,"%d":0`, i)
		if len(text)+len(member) >= size {
			return text + "}"
		}
		text += member
	}
}
