package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// issuer is a server whose answers a test sets.
type issuer struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
}

func newIssuer(t *testing.T, start func(http.Handler) *httptest.Server) *issuer {
	i := &issuer{}
	i.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*i.answer.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) set(answer http.HandlerFunc) { i.answer.Store(&answer) }

func (i *issuer) serve(body []byte) {
	i.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

// logged hands a test the lines of a log.
type logged struct {
	t     *testing.T
	lines chan string
}

func (l logged) Write(line []byte) (int, error) {
	l.lines <- string(line)
	return len(line), nil
}

// await waits for a line with a message and every text given.
func (l logged) await(message string, texts ...string) {
	l.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line := <-l.lines:
			var parsed struct{ Message string }
			if err := json.Unmarshal([]byte(line), &parsed); err != nil {
				l.t.Fatal(err)
			}
			if parsed.Message != message {
				continue
			}
			for _, text := range texts {
				if !strings.Contains(line, text) {
					l.t.Fatalf("got %s, want %s in it", line, text)
				}
			}
			return
		case <-deadline:
			l.t.Fatalf("no %q in the log", message)
		}
	}
}

const (
	fetched = "token keys fetched"
	failing = "token keys can't be fetched"
	again   = "token keys can be fetched again"
)

// running is a verifier that runs until the test ends.
func running(t *testing.T, c Config, change func(*Verifier)) (*Verifier, logged) {
	t.Helper()
	log := logged{t, make(chan string, 1000)}
	c.Logger = zerolog.New(log)
	v := verifier(t, c)
	if change != nil {
		change(v)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return v, log
}

func expect(t *testing.T, v *Verifier, token string, want error) {
	t.Helper()
	if _, err := v.Verify(token, now); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// TestRotation: the issuer is down at the start, comes, rotates its keys, fails in every way while the last keys stay,
// and takes all keys back.
func TestRotation(t *testing.T) {
	old, next := pairs()[0], pairs()[3]
	i := newIssuer(t, httptest.NewServer)
	i.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) })
	// The periodic fetch follows at once, so each state of the issuer is seen without waiting.
	v, log := running(t, Config{JWKS: JWKS{URL: i.URL + "/keys?key=hunter2", Refresh: time.Millisecond}}, nil)
	log.await(failing, "502", "remedy")
	expect(t, v, old.token(t, "old"), ErrNotFetched)
	if got := v.Reason(); !strings.Contains(got, "502") || !strings.Contains(got, i.URL+"/keys can't be fetched") || strings.Contains(got, "hunter2") {
		t.Errorf("the reason is %q", got)
	}

	i.serve(jwkSet(old.jwk(t, "old", `{}`)))
	log.await(fetched, "RS256 old")
	log.await(again)
	expect(t, v, old.token(t, "old"), nil)
	expect(t, v, next.token(t, "next"), ErrUnknownKey)
	if got := v.Reason(); got != "" {
		t.Errorf("the reason is %q, want none", got)
	}

	both := jwkSet(old.jwk(t, "old", `{}`), next.jwk(t, "next", `{}`))
	i.serve(both)
	log.await(fetched, "RS256 old", "RS256 next")
	expect(t, v, old.token(t, "old"), nil)
	expect(t, v, next.token(t, "next"), nil)

	for what, answer := range map[string]http.HandlerFunc{
		"404":                       func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"longer than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"no JSON object":            func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no array keys":             func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"unexpected EOF":            func(w http.ResponseWriter, _ *http.Request) { begin(w); panic(http.ErrAbortHandler) },
		"to another scheme": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		},
		"more than 3 times": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"http leads to another machine": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
	} {
		i.set(answer)
		log.await(failing, what, `"old_keys":true`)
		expect(t, v, next.token(t, "next"), nil)
		if got := v.Reason(); got != "" {
			t.Errorf("%s: the reason is %q, want none", what, got)
		}
	}
	i.serve(both)
	log.await(again)

	i.serve(jwkSet(next.jwk(t, "next", `{}`)))
	log.await(fetched)
	expect(t, v, old.token(t, "old"), ErrUnknownKey)
	expect(t, v, next.token(t, "next"), nil)

	i.serve(jwkSet(next.jwk(t, "next", `{"use":"enc"}`)))
	log.await(fetched, "use is")
	expect(t, v, next.token(t, "next"), ErrSignature)
	i.serve([]byte(`{"keys":[]}`)) // after it the reason of the set before is known to be there
	log.await(fetched)
	expect(t, v, next.token(t, "next"), ErrUnknownKey)
	if got := v.Reason(); !strings.Contains(got, "holds no key that can be used") {
		t.Errorf("the reason is %q", got)
	}
}

// TestIssuerThatHangs, before its answer or within it, is given up, and asked again.
func TestIssuerThatHangs(t *testing.T) {
	p := pairs()[2]
	set := jwkSet(p.jwk(t, "k", `{}`))
	i := newIssuer(t, httptest.NewServer)
	i.serve(set)
	v, log := running(t, Config{JWKS: JWKS{URL: i.URL, Refresh: time.Millisecond, Timeout: 100 * time.Millisecond}}, nil)
	log.await(fetched)
	for _, answer := range []http.HandlerFunc{
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(w http.ResponseWriter, r *http.Request) { begin(w); <-r.Context().Done() },
	} {
		i.set(answer)
		log.await(failing, "no answer in time")
		expect(t, v, p.token(t, "k"), nil)
		i.serve(set)
		log.await(again)
	}
}

// begin sends a part of an answer.
func begin(w http.ResponseWriter) {
	_, _ = w.Write([]byte(`{"keys":[`))
	_ = http.NewResponseController(w).Flush()
}

// endless sends blanks until nobody takes them.
func endless(w io.Writer) {
	for {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

// TestUnknownKidRings: the fetch that an unknown kid causes goes on while the issuer hangs, and nobody waits for it.
func TestUnknownKidRings(t *testing.T) {
	old, next := pairs()[0], pairs()[3]
	i := newIssuer(t, httptest.NewServer)
	i.serve(jwkSet(old.jwk(t, "old", `{}`)))
	v, log := running(t, Config{JWKS: JWKS{URL: i.URL, Refresh: time.Hour, Gap: time.Nanosecond}}, nil)
	log.await(fetched)
	entered, release := make(chan struct{}), make(chan struct{})
	i.set(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = w.Write(jwkSet(old.jwk(t, "old", `{}`), next.jwk(t, "next", `{}`)))
	})
	expect(t, v, next.token(t, "next"), ErrUnknownKey)
	<-entered
	expect(t, v, old.token(t, "old"), nil) // a Verify that waited for the fetch would never come back
	expect(t, v, next.token(t, "next"), ErrUnknownKey)
	i.serve(jwkSet(old.jwk(t, "old", `{}`), next.jwk(t, "next", `{}`))) // for the ring in between
	close(release)
	log.await(fetched)
	expect(t, v, next.token(t, "next"), nil)
}

// TestHTTPS: a certificate that nobody vouches for is refused with the remedy; with its authority known it is taken,
// and a redirect to http is not.
func TestHTTPS(t *testing.T) {
	p := pairs()[1]
	i := newIssuer(t, httptest.NewTLSServer)
	i.serve(jwkSet(p.jwk(t, "k", `{}`)))
	_, log := running(t, Config{JWKS: JWKS{URL: i.URL, Refresh: time.Millisecond}}, nil)
	log.await(failing, "SSL_CERT_FILE")

	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	v, log := running(t, Config{JWKS: JWKS{URL: i.URL, Refresh: time.Millisecond}}, func(v *Verifier) {
		v.jwks.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	})
	log.await("tokens for any audience are accepted, also those that the issuer made for other applications; give --jwt-audience")
	log.await(fetched, "ES256 k")
	expect(t, v, p.token(t, "k"), nil)
	i.set(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	log.await(failing, "from https to another scheme")
	expect(t, v, p.token(t, "k"), nil)
}

func TestWithoutJWKSRunWaits(t *testing.T) {
	v, _ := running(t, Config{Secret: secret}, nil)
	expect(t, v, signed(hs256, `{"exp":1e11}`, secret), nil)
	if got := v.Reason(); got != "" {
		t.Errorf("the reason is %q, want none", got)
	}
}

// answers is a transport that knows one answer and counts.
type answers struct {
	body  []byte // nil: no connection
	count int
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.count++
	if a.body == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{Status: "200 OK", StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(a.body)))}, nil
}

// TestHowOftenTheIssuerIsAsked, in an hour of a clock that doesn't wait.
func TestHowOftenTheIssuerIsAsked(t *testing.T) {
	known := jwkSet(pairs()[0].jwk(t, "k", `{}`))
	stranger := pairs()[0].token(t, "made up")
	cases := map[string]struct {
		body        []byte
		every       time.Duration // between two tokens of an unknown key; 0: none
		least, most int
	}{
		"nothing happens":         {body: known, least: 3600/330 + 1, most: 3600/300 + 1},
		"a flood of unknown kids": {body: known, every: 100 * time.Millisecond, least: 300, most: 3600/10 + 1},
		"down":                    {least: 3600/33 + 5, most: 3600/30 + 6},
		"down, in a flood":        {every: 100 * time.Millisecond, least: 300, most: 3600/10 + 5},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := &answers{body: c.body}
				v := verifier(t, Config{JWKS: JWKS{URL: "https://issuer.invalid/keys"}})
				v.jwks.client.Transport = issuer
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				flood := make(chan struct{})
				go func() {
					defer close(flood)
					for c.every > 0 && ctx.Err() == nil {
						_, _ = v.Verify(stranger, now)
						time.Sleep(c.every)
					}
				}()
				if err := v.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
				<-flood
				if issuer.count < c.least || issuer.count > c.most {
					t.Errorf("asked %d times, want %d to %d", issuer.count, c.least, c.most)
				}
			})
		})
	}
}
