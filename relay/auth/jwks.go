package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"pgrelay/relay"
)

// MaxJWKSBytes is the longest answer of a JWKS URL that is read, unpacked.
const MaxJWKSBytes = 1 << 20

// maxRedirects is how many redirects are followed.
const maxRedirects = 3

// JWKS is where the issuer publishes its keys as a JWK Set (RFC 7517, section 5), and how it is asked.
type JWKS struct {
	// URL is https, or http to a loopback address.
	URL string
	// HTTPAllowed permits http to other machines too.
	HTTPAllowed bool
	// Refresh is how often the set is fetched; default 5 min. A key that the issuer withdraws is used that long.
	Refresh time.Duration
	// Gap is the least time between two fetches that unknown kids cause; default 10 s.
	Gap time.Duration
	// Timeout is for one fetch with its redirects and its body; default 10 s.
	Timeout time.Duration
}

func (c *JWKS) setDefaults() {
	set := func(field *time.Duration, is time.Duration) {
		if *field <= 0 {
			*field = is
		}
	}
	set(&c.Refresh, 5*time.Minute)
	set(&c.Gap, 10*time.Second)
	set(&c.Timeout, 10*time.Second)
}

// check reads the URL. Its errors don't quote it, since it may hold a password.
func (c *JWKS) check() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &relay.Problem{What: "the JWKS URL is no https URL", Remedy: "give --jwks https://issuer/path; it is jwks_uri in the issuer's /.well-known/openid-configuration"}
	case u.Scheme == "http" && !c.HTTPAllowed && !loopback(u.Hostname()):
		return nil, &relay.Problem{What: "the JWKS URL is http, so who can change the answer on its way can sign in as anybody",
			Remedy: "give an https URL, or, where the network can be trusted, --jwks-allow-http"}
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || strings.EqualFold(host, "localhost")
}

// newClient is a client for one URL. It keeps no connection, since minutes lie between two requests.
func newClient(u *url.URL, c JWKS) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 64 << 10}
	if u.Scheme == "http" && !c.HTTPAllowed {
		transport.Proxy = nil
		transport.DialContext = (&net.Dialer{Control: loopbackOnly}).DialContext
	}
	return &http.Client{Transport: transport, Timeout: c.Timeout, CheckRedirect: sameScheme}
}

// loopbackOnly refuses to dial another machine, whatever a name resolves to or a redirect says.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().IsLoopback() {
		return errors.New("http leads to another machine")
	}
	return nil
}

func sameScheme(next *http.Request, before []*http.Request) error {
	switch {
	case next.URL.Scheme != before[0].URL.Scheme:
		return errors.New("it redirects from " + before[0].URL.Scheme + " to another scheme")
	case len(before) > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// fetch asks the URL once. Its errors don't quote the URL.
func (j *jwks) fetch(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url.String(), nil)
	if err != nil {
		return nil, errors.New("make the request")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := j.client.Do(request)
	if err != nil {
		return nil, unquoted(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, &relay.Problem{What: "the answer is " + response.Status,
			Remedy: "check the URL; it is jwks_uri in the issuer's /.well-known/openid-configuration"}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxJWKSBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", unquoted(err))
	case len(body) > MaxJWKSBytes:
		return nil, fmt.Errorf("the answer is longer than %d bytes", MaxJWKSBytes)
	}
	return body, nil
}

// unquoted is what a client's error says apart from the URL.
func unquoted(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("no answer in time")
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return &relay.Problem{What: err.Error(), Remedy: "name the file with its authority's certificate in the environment: SSL_CERT_FILE=ca.pem"}
	}
	return err
}
