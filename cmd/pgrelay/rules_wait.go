package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// rulesWaitCmd waits until edits of the rules are in force.
type rulesWaitCmd struct {
	Admin   []string      `default:"127.0.0.1:7071" help:"Operator's address of the relay; several where several relays serve. An address or an http URL." placeholder:"ADDRESS"`
	Timeout time.Duration `default:"30s" help:"After how long to give up, with exit status 1."`
}

// Help is printed below the flags.
func (c *rulesWaitCmd) Help() string {
	return "Returns when every edit of the rules that was committed before is in force on all connections of the relay, so that a script can restrict first and insert then:\n\n" +
		"  psql -c \"update web_socket_event_system_events.rules set predicate = 'false' where name = 'drafts'\" && pgrelay rules wait && psql -f drafts.sql"
}

// Run asks each relay.
func (c *rulesWaitCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not in force after %s", c.Timeout))
	defer cancel()
	for _, address := range c.Admin {
		if err := waitForRules(ctx, address); err != nil {
			return fmt.Errorf("wait for the rules at %s: %w", address, err)
		}
	}
	return nil
}

func waitForRules(ctx context.Context, address string) error {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.JoinPath(address, "rules/wait")
	if err != nil {
		return fmt.Errorf("want an address such as 127.0.0.1:7071: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("is the relay running, and is this its --admin address? %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return errors.New(strings.TrimSpace(string(body)))
}
