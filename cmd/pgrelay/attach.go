package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/attach"
	"pgrelay/relay/warehouse"
)

// attachFlags are what attach and detach have in common.
type attachFlags struct {
	warehouseFlags
	Role  string `default:"pgrelay" help:"The role that the relay connects to the warehouse as; at the sources its user mapping's, else one of the same name."`
	Apply bool   `help:"Do it, instead of printing it."`
}

func (f *attachFlags) config() (attach.Config, error) {
	credentials, err := parseCredentials(f.Credentials)
	if err != nil {
		return attach.Config{}, err
	}
	return attach.Config{
		Warehouse: warehouse.Config{DSN: f.Warehouse, Credentials: credentials, Hosts: f.Hosts, InsertOnly: f.InsertOnly, Publication: f.Publication},
		Role:      f.Role,
	}, nil
}

// attachCmd gets the databases behind a warehouse ready.
type attachCmd struct {
	attachFlags
	Table        []string          `help:"Tables of the warehouse, instead of all." placeholder:"SCHEMA.TABLE"`
	Schema       []string          `help:"Schemas of the warehouse, instead of all." placeholder:"NAME"`
	Capture      string            `default:"" enum:",logical,trigger" help:"How changes are captured: logical or trigger. By default as they are, and new ones logical."`
	Key          map[string]string `help:"Columns, separated by commas, that tell the rows of a foreign table apart that is captured in the warehouse since its own database can't be reached; capture trigger, table named." placeholder:"SCHEMA.TABLE=COLUMN"`
	Slot         bool              `default:"true" negatable:"" help:"Make the replication slot too; else the relay makes it when it starts."`
	FullBudget   int64             `default:"10737418240" help:"Bytes of WAL a day that a replica identity FULL may cost by estimate; past it, it is proposed only."`
	RolePassword string            `help:"Password of the relay's role, where it is made, and in its user mappings. Give it in the environment." placeholder:"PASSWORD"`
	Scripts      bool              `help:"Print triggers/install.sql whole, where it is needed."`
}

// Help is the long text.
func (attachCmd) Help() string {
	return `Looks at the warehouse and at every database behind it, and prints for each the SQL that lets the relay run there as a
role that owns nothing: the role and its grants, the publication, the replica identities that the stored rules need,
triggers, the replication slot. It writes nothing; what is printed can be run with psql.

  PGRELAY_WAREHOUSE=postgres://admin:…@… pgrelay attach
  PGRELAY_WAREHOUSE=postgres://admin:…@… PGRELAY_ROLE_PASSWORD=… pgrelay attach --apply

With --apply it is done, each step in a transaction of its own that waits for a lock for half a second at most and then
lets the application go first. Again is harmless: what is there isn't made again. pgrelay detach takes everything back.

The warehouse's role and those of its user mappings (or --credentials) have to own the tables or be superusers.
Exit status 1 where something was not done, or a database can't be read.`
}

// Run prints the plan or follows it.
func (c *attachCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *attachCmd) run(ctx context.Context, out io.Writer) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Tables, cfg.Schemas, cfg.Capture, cfg.NoSlot = c.Table, c.Schema, relay.Capture(c.Capture), !c.Slot
	cfg.FullBudget, cfg.Password, cfg.Scripts = c.FullBudget, c.RolePassword, c.Scripts
	cfg.Keys = map[string][]string{}
	for table, columns := range c.Key {
		cfg.Keys[table] = strings.Split(columns, ",")
	}
	if c.Apply {
		outcomes, err := attach.ApplyAttach(ctx, cfg, progress(out))
		return report(out, outcomes, err)
	}
	plans, err := attach.Attach(ctx, cfg)
	if err != nil {
		return err
	}
	return printPlans(out, plans)
}

// printPlans prints what would be done.
func printPlans(out io.Writer, plans []*attach.Plan) error {
	w := bufio.NewWriter(out)
	unread := 0
	for _, p := range plans {
		if err := p.Print(w); err != nil {
			return fmt.Errorf("write the plan: %w", err)
		}
		if p.Err != nil {
			unread++
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	if unread > 0 {
		return fmt.Errorf("%s can't be read", plural(unread, "database"))
	}
	return nil
}

// progress prints a line for each step, and for each wait.
func progress(out io.Writer) func(attach.Progress) {
	return func(p attach.Progress) {
		at := fmt.Sprintf("%s %d/%d ", p.Plan.Name, p.Step, p.Steps)
		switch {
		case p.Waiting != "" && p.Attempt > 1:
			fmt.Fprintln(out, printable(fmt.Sprintf("%s  attempt %d: %s", at, p.Attempt, p.Waiting)))
		case p.Waiting != "":
			fmt.Fprintln(out, printable(at+"  waits: "+p.Waiting))
		case !p.Done:
			fmt.Fprintln(out, printable(at+p.Title))
		}
	}
}

// report says what was done in each database and what wasn't.
func report(out io.Writer, outcomes []*attach.Outcome, err error) error {
	bad := 0
	for _, o := range outcomes {
		if !o.OK() {
			bad++
		}
		reportOne(out, o)
	}
	switch {
	case err != nil:
		return err
	case bad > 0:
		return errors.New("not everything is done in " + plural(bad, "database"))
	}
	return nil
}

func reportOne(out io.Writer, o *attach.Outcome) {
	fmt.Fprintf(out, "\n%s\n", printable(fmt.Sprintf("%s, at %s", o.Name, o.Address)))
	say := func(text, remedy string) {
		fmt.Fprintln(out, "  "+printable(text))
		if remedy != "" {
			fmt.Fprintln(out, indented(remedy, "      "))
		}
	}
	switch {
	case o.Failed != "":
		for _, title := range o.Done {
			say("done: "+title, "")
		}
		say("failed: "+o.Failed+": "+line(o.Err), relay.Remedy(o.Err))
		for _, title := range o.Left {
			say("not done: "+title, "")
		}
	case o.Err != nil:
		say("can't be used: "+line(o.Err), relay.Remedy(o.Err))
	case len(o.Done) == 0:
		say("nothing to do", "")
	default:
		say("done: "+plural(len(o.Done), "step"), "")
	}
	for _, n := range o.Notes {
		mark := "note: "
		if n.Undone {
			mark = "not done: "
		}
		say(mark+n.Text, n.Remedy)
	}
}

// line is an error on one line.
func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
