package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// WritersConfig says where to measure what capture costs those who write.
type WritersConfig struct {
	// DSN gives a superuser's connection string for a database of a server that syncs to its disk and allows no prepared
	// transactions. Databases are made in it.
	DSN func(database string) string
	// Pgbench is the program's path.
	Pgbench string
	// Rounds is how often each form of capture is measured under each load; default 4.
	Rounds int
	// Seconds is how long each run of pgbench takes; default 3.
	Seconds int
	// Only, where given, chooses the loads by name.
	Only func(name string) bool
	// Progress, where given, is told what is being measured.
	Progress func(line string)
	Logger   zerolog.Logger
}

// load is what pgbench does.
type load struct {
	name     string
	clients  int
	rowsEach int // a statement, and each is a transaction
	// bar is what triggers with the doorbell should reach of no capture.
	bar string
}

// eight is the load under which the parts of capture are measured one by one.
const eight = "1 row, 8 clients"

var loads = []load{
	{"1 row, 1 client", 1, 1, "0.75"},
	{eight, 8, 1, "0.65"},
	{"1 row, 32 clients", 32, 1, "0.65"},
	{"100 rows, 8 clients", 8, 100, "0.45"},
}

type writers struct {
	config WritersConfig
	report *WritersReport
}

// Writers measures each load under each form of capture, in rounds: every form once, beside no capture at all. Each form has
// a database of its own; what reads runs only while its form is measured, and has delivered everything before the next.
func Writers(ctx context.Context, c WritersConfig) (*WritersReport, error) {
	if c.Rounds <= 0 {
		c.Rounds = 4
	}
	if c.Seconds <= 0 {
		c.Seconds = 3
	}
	if c.Only == nil {
		c.Only = func(string) bool { return true }
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	w := &writers{config: c, report: &WritersReport{Seconds: c.Seconds, Rounds: c.Rounds}}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if c.Only(latencyName) {
		if err := w.latency(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", latencyName, err)
		}
	}
	for _, l := range loads {
		if !c.Only(l.name) {
			continue
		}
		if err := w.measure(ctx, l); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return w.report, nil
}

// prepare makes the databases.
func (w *writers) prepare(ctx context.Context) error {
	server, err := connect(ctx, w.config.DSN("postgres"))
	if err != nil {
		return err
	}
	defer server.close()
	w.report.Machine = machine(server.conn.PgConn().ParameterStatus("server_version"))
	for _, f := range forms {
		w.report.Forms = append(w.report.Forms, f.name)
		if err := server.exec(ctx, "create database "+pgx.Identifier{f.database}.Sanitize()); err != nil {
			return fmt.Errorf("create database %s: %w", f.database, err)
		}
		d, err := open(ctx, w.config.DSN(f.database))
		if err != nil {
			return err
		}
		for _, statements := range f.prepare {
			if err := d.exec(ctx, statements); err != nil {
				d.close()
				return fmt.Errorf("prepare %s: %w", f.name, err)
			}
		}
		d.close()
	}
	return nil
}

// measure runs one load's rounds. Every other one goes backwards, so that no form is always the first after another.
func (w *writers) measure(ctx context.Context, l load) error {
	rates := make([][]float64, len(forms))
	var order []int
	for i, f := range forms {
		if f.under == "" || f.under == l.name {
			order = append(order, i)
		}
	}
	for round := range w.config.Rounds {
		if err := w.checkpoint(ctx); err != nil {
			return err
		}
		w.config.Progress(fmt.Sprintf("%s: round %d of %d", l.name, round+1, w.config.Rounds))
		for _, i := range order {
			rate, err := w.run(ctx, forms[i], l)
			if err != nil {
				return fmt.Errorf("%s: %w", forms[i].name, err)
			}
			rates[i] = append(rates[i], rate)
		}
		slices.Reverse(order)
	}
	w.report.add(l, rates)
	return nil
}

// checkpoint has the WAL's files used again, as a server that has run for a while does, and none written meanwhile.
func (w *writers) checkpoint(ctx context.Context) error {
	d, err := connect(ctx, w.config.DSN("postgres"))
	if err != nil {
		return err
	}
	defer d.close()
	return d.exec(ctx, "checkpoint")
}

// run is one run of pgbench, with what reads.
func (w *writers) run(ctx context.Context, f form, l load) (rate float64, err error) {
	dsn := w.config.DSN(f.database)
	if f.read == nil {
		return w.pgbench(ctx, dsn, l)
	}
	r, err := f.read(ctx, dsn, w.config.Logger)
	if err != nil {
		return 0, fmt.Errorf("begin to read: %w", err)
	}
	rate, err = w.pgbench(ctx, dsn, l)
	if err == nil {
		if err = r.finish(ctx); err != nil {
			err = fmt.Errorf("read to the end: %w", err)
		}
	}
	if closed := r.close(); err == nil {
		err = closed
	}
	return rate, err
}
