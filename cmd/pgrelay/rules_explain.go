package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/auth"
	"pgrelay/relay/rule"
	"pgrelay/relay/serve"
)

// rulesExplainCmd says what somebody sees of a table.
type rulesExplainCmd struct {
	warehouseFlags
	Table     string   `arg:"" help:"The table as the warehouse names it: schema.name."`
	As        string   `help:"Who is asking: a token's claims, a JSON object. Without it: anon, who has no token." placeholder:"CLAIMS"`
	Role      string   `help:"The role, whatever the claims say."`
	RoleClaim string   `default:"role" help:"Claim that holds the role, as serve takes it; a token without it has the role authenticated."`
	Columns   []string `help:"Columns that a client asks for, separated by commas; without them those that all of the role's rules let be seen."`
	Where     string   `help:"A client's where." placeholder:"SQL"`
	Params    string   `help:"Its params, a JSON array." placeholder:"JSON"`
	Row       string   `xor:"row" help:"Why is or isn't this row seen: a JSON object by column names. Columns may be left out." placeholder:"JSON"`
	Key       string   `xor:"row" env:"PGRELAY_ROW_KEY" help:"The same for a row of the table, found by the columns in a JSON object and read at its source." placeholder:"JSON"`
	JSON      bool     `name:"json" help:"Print one JSON object."`
}

// Help is the long text.
func (rulesExplainCmd) Help() string {
	return `Says which rules there are for the table and which of them apply, what they let be seen, how changes find who sees them,
what the source is asked for in a snapshot, and of a row why it is or isn't seen, condition by condition.

  export PGRELAY_WAREHOUSE=postgres://…
  pgrelay rules explain profiles.users --as '{"sub": "42", "role": "editor"}' --key '{"id": 7}'
  pgrelay rules explain orders.orders --as '{"sub": "42"}' --where 'status = $1' --params '["open"]' --row '{"status": "open", "total": "12.50"}'

The values in --row are those of the protocol, or texts that Postgres reads for the column's type; what is left out isn't
known. Nothing is written, and no relay need run. A table that can't be served, and input that can't be used, give exit
status 1; that nobody may see the row doesn't.`
}

// Run prints the explanation.
func (c *rulesExplainCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *rulesExplainCmd) run(ctx context.Context, out io.Writer) error {
	principal, err := c.principal()
	if err != nil {
		return err
	}
	request, err := c.request()
	if err != nil {
		return err
	}
	looked, err := c.look(ctx)
	if err != nil {
		return err
	}
	table := looked.Table(c.Table)
	if table.Err != nil {
		return &relay.Problem{What: unnamed(c.Table, table), Remedy: relay.Remedy(table.Err)}
	}
	e := rule.Explain(looked.Rules, principal, table.Relation, request)
	x := explained(table, principal, request, e)
	row, err := c.row(ctx, table)
	if err != nil {
		return err
	}
	if row != nil {
		x.decide(table.Relation, e, row)
	}
	return c.write(out, x)
}

// unnamed is why a table can't be explained, with its name.
func unnamed(name string, t serve.Table) string {
	if t.State == serve.TableUnknown {
		return t.Err.Error()
	}
	return name + ": " + t.Err.Error()
}

func (c *rulesExplainCmd) write(out io.Writer, x *explanation) (err error) {
	w := bufio.NewWriter(out)
	if c.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(x)
	} else {
		x.print(w)
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// principal is what the relay would make of a token with the claims: one is minted and verified.
func (c *rulesExplainCmd) principal() (relay.Principal, error) {
	p := relay.Anon()
	if strings.TrimSpace(c.As) != "" {
		var err error
		if p, err = signedIn(c.As, c.RoleClaim); err != nil {
			return p, err
		}
	}
	switch {
	case c.Role == relay.RoleAnon && p.Role != relay.RoleAnon:
		return p, &relay.Problem{What: "anon has no claims: it is who has no token", Remedy: "leave --as out, or name another role"}
	case c.Role != "":
		p.Role = c.Role
	}
	return p, nil
}

func signedIn(text, roleClaim string) (relay.Principal, error) {
	claims, err := parseClaims(text)
	if err != nil {
		return relay.Principal{}, &relay.Problem{What: fmt.Sprintf("--as: %v", err),
			Remedy: `quote it for the shell: --as '{"sub": "42", "role": "editor"}'`}
	}
	for _, name := range []string{"exp", "nbf"} {
		delete(claims, name) // no rule reads them, and an old token's are welcome
	}
	secret := []byte(rand.Text() + rand.Text())
	token, err := auth.Mint(secret, claims, time.Minute)
	if err != nil {
		return relay.Principal{}, fmt.Errorf("read --as: %w", err)
	}
	verifier, err := auth.New(auth.Config{Secret: secret, RoleClaim: roleClaim})
	if err != nil {
		return relay.Principal{}, fmt.Errorf("read --as: %w", err)
	}
	p, err := verifier.Verify(token, time.Now())
	if err != nil {
		return relay.Principal{}, &relay.Problem{What: "--as: a token with these claims is refused: " + err.Error(),
			Remedy: "give claims as a token has them; without --as it is anon"}
	}
	return p, nil
}

func (c *rulesExplainCmd) request() (rule.Request, error) {
	request := rule.Request{Columns: c.Columns, Where: c.Where}
	if c.Params == "" {
		return request, nil
	}
	if err := json.Unmarshal([]byte(c.Params), &request.Params); err != nil {
		return request, &relay.Problem{What: "--params is no JSON array", Remedy: `write it as ["open", 5], the first for $1`}
	}
	return request, nil
}

// row is the row that is asked about; nil without one.
func (c *rulesExplainCmd) row(ctx context.Context, table serve.Table) ([]relay.Value, error) {
	flag, text, read := "--row", c.Row, table.Row
	if c.Key != "" {
		flag, text, read = "--key", c.Key, table.Find
	}
	if text == "" {
		return nil, nil
	}
	row, err := read(ctx, json.RawMessage(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return row, nil
}
