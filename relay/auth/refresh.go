package auth

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"

	"pgrelay/relay"
)

// jwks keeps a key set fresh. run writes, everybody else reads.
type jwks struct {
	cfg    JWKS
	url    *url.URL
	place  string // the URL without what may be secret in it
	client *http.Client
	log    zerolog.Logger

	set    atomic.Pointer[keySet] // nil before the first success
	why    atomic.Pointer[string] // what reason gives
	wanted chan struct{}          // one place: a kid was unknown

	body   []byte // the set's text
	failed string // the failure that was logged last; empty after a success
}

func newJWKS(c JWKS, logger zerolog.Logger) (*jwks, error) {
	c.setDefaults()
	u, err := c.check()
	if err != nil {
		return nil, err
	}
	place := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	j := &jwks{cfg: c, url: u, place: place.String(), client: newClient(u, c), wanted: make(chan struct{}, 1)}
	j.log = logger.With().Str("component", "auth").Str("url", j.place).Logger()
	j.explain("the JWKS at " + j.place + " has not been fetched yet")
	return j, nil
}

// keys are those that may have signed the token.
func (j *jwks) keys(t *jwt.Token) ([]jwt.VerificationKey, error) {
	if set := j.set.Load(); set != nil {
		return set.keys(t)
	}
	return nil, ErrNotFetched
}

// ring asks for the set to be fetched soon.
func (j *jwks) ring() {
	select {
	case j.wanted <- struct{}{}:
	default:
	}
}

func (j *jwks) reason() string { return *j.why.Load() }

func (j *jwks) explain(why string) { j.why.Store(&why) }

// run fetches the set now and then until ctx ends.
func (j *jwks) run(ctx context.Context) error {
	failures := 0
	for {
		select { // what rang before is answered by this fetch
		case <-j.wanted:
		default:
		}
		err := j.refresh(ctx)
		if ctx.Err() != nil {
			return nil
		}
		j.note(err)
		failures++
		if err == nil {
			failures = 0
		}
		if !j.pause(ctx, j.rest(failures)) {
			return nil
		}
	}
}

// The waits after a failure: doubled from the first to the last.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// rest is how long to wait after so many failures in a row, with up to a tenth more, so that relays don't ask in step.
func (j *jwks) rest(failures int) time.Duration {
	rest := j.cfg.Refresh
	if failures > 0 {
		rest = min(rest, lastRetry, firstRetry<<min(failures-1, 5))
	}
	return rest + rand.N(rest/10+1)
}

// pause waits for a duration, or for the gap alone once somebody rings; false when ctx ends.
func (j *jwks) pause(ctx context.Context, rest time.Duration) bool {
	begin := time.Now()
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for wanted := j.wanted; ; {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-wanted:
			wanted = nil
			timer.Reset(time.Until(begin.Add(min(rest, j.cfg.Gap))))
		}
	}
}

// refresh fetches the set and puts it in force. A failure leaves the old one.
func (j *jwks) refresh(ctx context.Context) error {
	body, err := j.fetch(ctx)
	if err != nil {
		return err
	}
	if bytes.Equal(body, j.body) {
		return nil
	}
	set, err := parseSet(body)
	if err != nil {
		return err
	}
	j.body = body
	j.set.Store(set)
	j.log.Info().Strs("keys", set.used).Strs("ignored", set.ignored).Msg("token keys fetched")
	return nil
}

// note explains what a fetch means for tokens, and logs how it ended, a failure once until there is another.
func (j *jwks) note(err error) {
	set := j.set.Load()
	switch {
	case set == nil:
		j.explain("the JWKS at " + j.place + " can't be fetched: " + relay.Explain(err))
	case len(set.used) == 0:
		j.explain(strings.Join(append([]string{"the JWKS at " + j.place + " holds no key that can be used"}, set.ignored...), "; "))
	default:
		j.explain("")
	}
	failed := ""
	if err != nil {
		failed = err.Error()
	}
	switch failed {
	case j.failed:
	case "":
		j.log.Info().Msg("token keys can be fetched again")
	default:
		j.log.Warn().Err(err).Str("remedy", relay.Remedy(err)).Bool("old_keys", set != nil).Msg("token keys can't be fetched")
	}
	j.failed = failed
}
