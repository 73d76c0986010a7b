package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/doctor"
	"pgrelay/relay/warehouse"
)

// doctorCmd says what is wrong or risky.
type doctorCmd struct {
	warehouseFlags
	JSON            bool          `name:"json" help:"Print one JSON object."`
	Ignore          []string      `help:"Checks whose findings are left out, by the names below, separated by commas." placeholder:"CHECK"`
	RetainedBytes   int64         `default:"4294967296" help:"Bytes of WAL that a slot may keep; past half of it there is a warning."`
	LongTransaction time.Duration `default:"5m" help:"How long a transaction may hold slots back."`
	Timeout         time.Duration `default:"2m" help:"How long all of it may take."`
}

// Help is the long text.
func (doctorCmd) Help() string {
	var checks strings.Builder
	for _, name := range doctor.Checks() {
		fmt.Fprintf(&checks, "\n  %-30s %s", name, doctor.Finds(name))
	}
	return `Looks at the warehouse, every database behind it and the stored rules. It writes nothing, reads catalogs,
statistics, the rules and the relay's own schema alone, takes no lock that a writer meets, and no relay need run.

  PGRELAY_WAREHOUSE=postgres://… pgrelay doctor

  error      something isn't served, or the application's own statements fail, or soon will
  warning    it works, and will not under conditions that occur
  info       worth knowing; nothing has to be done

Under each finding stands what mends it: SQL for the database of the source that is named, or a setting.

Exit status 0 where there is no error and no warning, 1 where there is one, 2 where the warehouse couldn't be looked at.
--json has for each finding: severity, check, source, object, problem, remedy. It finds:
` + checks.String()
}

// The exit statuses.
const (
	doctorFine = iota
	doctorFound
	doctorBlind
)

// Run ends the process where the status isn't 0: main knows only one other.
func (c *doctorCmd) Run(ctx context.Context) error {
	if status := c.run(ctx, os.Stdout, os.Stderr); status != doctorFine {
		os.Exit(status)
	}
	return nil
}

// run returns the exit status.
func (c *doctorCmd) run(ctx context.Context, out, progress io.Writer) int {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("it took longer than --timeout (%s)", c.Timeout))
	defer cancel()
	report, err := c.examine(ctx, progress)
	if err == nil {
		err = c.write(out, report)
	}
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		fmt.Fprintln(progress, "pgrelay: "+err.Error())
		if remedy := relay.Remedy(err); remedy != "" {
			fmt.Fprintln(progress, "  remedy: "+remedy)
		}
		return doctorBlind
	case !report.OK:
		return doctorFound
	}
	return doctorFine
}

func (c *doctorCmd) examine(ctx context.Context, progress io.Writer) (*doctor.Report, error) {
	credentials, err := parseCredentials(c.Credentials)
	if err != nil {
		return nil, err
	}
	shown := &slowly{out: progress}
	defer shown.stop()
	shown.start()
	return doctor.Examine(ctx, doctor.Config{
		Warehouse: warehouse.Config{DSN: c.Warehouse, Credentials: credentials, Hosts: c.Hosts, InsertOnly: c.InsertOnly, Publication: c.Publication},
		Ignore:    c.Ignore, RetainedBytes: c.RetainedBytes, LongTransaction: c.LongTransaction, Progress: shown.say,
	})
}

// slowly shows what is going on once a second, from the second one on.
type slowly struct {
	out        io.Writer
	mu         sync.Mutex
	what, said string
	quit, over chan struct{}
}

func (s *slowly) start() {
	s.quit, s.over = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.over)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-s.quit:
				return
			case <-tick.C:
				s.show()
			}
		}
	}()
}

func (s *slowly) stop() { close(s.quit); <-s.over }

func (s *slowly) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what = what
}

func (s *slowly) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.what != s.said {
		fmt.Fprintln(s.out, "looking at "+printable(s.what)+" …")
		s.said = s.what
	}
}

func (c *doctorCmd) write(out io.Writer, r *doctor.Report) error {
	w := bufio.NewWriter(out)
	var err error
	if c.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(r)
	} else {
		for i := range r.Findings {
			printFinding(w, &r.Findings[i])
		}
		fmt.Fprintln(w, doctorSummary(r))
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

const doctorIndent = "          "

// printFinding writes a line, and what mends it below.
func printFinding(w io.Writer, f *doctor.Finding) {
	fmt.Fprintln(w, printable(fmt.Sprintf("%-10s%s: %s: %s", f.Severity, f.Source, f.Object, f.Problem)))
	if f.Remedy != "" {
		fmt.Fprintln(w, strings.Replace(indented(f.Remedy, doctorIndent+"        "), doctorIndent+"        ", doctorIndent+"remedy: ", 1))
	}
}

// doctorSummary is one line.
func doctorSummary(r *doctor.Report) string {
	text := fmt.Sprintf("%s in %s, %s", plural(r.Tables, "table"), plural(len(r.Sources), "source"), plural(r.Rules, "rule"))
	found := "nothing is wrong"
	if !r.OK {
		found = plural(r.Errors, "error") + ", " + plural(r.Warnings, "warning")
	}
	if r.Infos > 0 {
		found += fmt.Sprintf(", %d for information", r.Infos)
	}
	if r.Ignored > 0 {
		found += fmt.Sprintf(", %d ignored", r.Ignored)
	}
	return text + ": " + found
}
