package main

import (
	"context"
	"io"
	"os"

	"pgrelay/relay/attach"
)

// detachCmd takes back what attach and the relay made.
type detachCmd struct {
	attachFlags
	DropRole bool `help:"Remove the relay's role too."`
	Force    bool `help:"End relays that are connected, instead of refusing."`
}

// Help is the long text.
func (detachCmd) Help() string {
	return `Prints the SQL that takes everything back that attach and the relay made in the warehouse and in every database behind
it: replication slots, so that none fills a disk, publications, triggers and schema relay, replica identities and
privileges that attach changed. With --apply it does it, as attach does. What it can't know to be pgrelay's it leaves,
and says so. A database to which a relay is connected is left alone.

  PGRELAY_WAREHOUSE=postgres://admin:…@… pgrelay detach
  PGRELAY_WAREHOUSE=postgres://admin:…@… pgrelay detach --apply --drop-role

Exit status 1 where something was not done, or a database can't be read.`
}

// Run prints the plan or follows it.
func (c *detachCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *detachCmd) run(ctx context.Context, out io.Writer) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.DropRole, cfg.Force = c.DropRole, c.Force
	if c.Apply {
		outcomes, err := attach.ApplyDetach(ctx, cfg, progress(out))
		return report(out, outcomes, err)
	}
	plans, err := attach.Detach(ctx, cfg)
	if err != nil {
		return err
	}
	return printPlans(out, plans)
}
