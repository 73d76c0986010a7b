package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/triggers"
)

// form is a way in which changes are captured, or not.
type form struct {
	name     string
	database string
	// under is the one load that it is measured under; empty: each.
	under string
	// prepare is what its database gets beside the table, each in a transaction.
	prepare []string
	// read starts what takes the changes; nil: nothing does.
	read func(ctx context.Context, dsn string, logger zerolog.Logger) (reading, error)
}

// reading is what takes the changes in while they are written.
type reading interface {
	// finish returns when everything that was committed has been taken in.
	finish(ctx context.Context) error
	close() error
}

// triggered is capture by trigger, with something changed.
func triggered(more ...string) []string { return triggeredBy("statement", more...) }

func triggeredBy(level string, more ...string) []string {
	return append([]string{triggers.Install(""), triggers.Enable(triggers.Table{Name: table, Level: level})}, more...)
}

const (
	doorbellOff = `select relay.doorbell('off')`
	// unpinned leaves the search path as it is: without it a function that runs as its owner would be open to its callers.
	unpinned = `alter function relay.capture() reset datestyle; alter function relay.capture() reset timezone;
		alter function relay.capture() reset intervalstyle; alter function relay.capture() reset extra_float_digits;
		alter function relay.capture() reset bytea_output; alter function relay.capture() reset lc_monetary;
		alter function relay.capture() reset quote_all_identifiers`
	// unrecorded has deliveries kept by the reader's session alone.
	unrecorded = `
		create or replace view relay.delivery as
			select nullif(split_part(current_setting('bench.delivery', true), ' ', 1), '')::bigint as n,
				nullif(split_part(current_setting('bench.delivery', true), ' ', 2), '')::pg_snapshot as s1, clock_timestamp() as at;
		do $do$
		declare
			is_ text := pg_get_functiondef('relay.record(bigint, pg_snapshot, boolean)'::regprocedure);
			without text := regexp_replace(is_, 'case \(last >> 32\).*end case;',
				$$perform set_config('bench.delivery', this || ' ' || s1, false);$$);
		begin
			if without = is_ then
				raise exception 'relay.record has another form than it should';
			end if;
			execute without;
		end
		$do$`
	notifying = `
		create function public.tell() returns trigger language plpgsql as $$
		begin
			perform pg_notify('bench', row_to_json(new)::text);
			return null;
		end $$;
		create trigger tell after insert on public.bench for each row execute function public.tell()`
)

// forms are what is measured; the first is what the others are compared with.
var forms = []form{
	{name: "no capture", database: "bench_none"},
	{name: "logical", database: "bench_logical", read: readLogical},
	{name: triggersName, database: triggersDatabase, prepare: triggered(), read: readOutbox},
	{name: "triggers, doorbell off", database: "bench_unrung", prepare: triggered(doorbellOff), read: readOutbox},
	{name: "triggers, settings not pinned", database: "bench_unpinned", under: eight, prepare: triggered(unpinned), read: readOutbox},
	{name: "triggers, deliveries not recorded", database: "bench_unrecorded", under: eight, prepare: triggered(unrecorded), read: readOutbox},
	{name: "triggers, nobody reads", database: "bench_unread", under: eight, prepare: triggered()},
	{name: "triggers, level row", database: "bench_row", prepare: triggeredBy("row"), read: readOutbox},
	{name: "row trigger, pg_notify with the row", database: "bench_notify", prepare: []string{notifying}, read: readNotifications},
}

// The form that the bars are of.
const (
	triggersName     = "triggers"
	triggersDatabase = "bench_triggers"
)

// finish returns when the hub has taken in what was committed.
func (d *decoding) finish(ctx context.Context) error { return d.passed(ctx) }

func readOutbox(ctx context.Context, dsn string, logger zerolog.Logger) (reading, error) {
	d, err := startDecoding(ctx, dsn, relay.CaptureTrigger, logger)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// logical is capture by a slot, which goes with it: an inactive one would keep the WAL of all databases.
type logical struct {
	*decoding
	dsn string
}

func readLogical(ctx context.Context, dsn string, logger zerolog.Logger) (reading, error) {
	d, err := startDecoding(ctx, dsn, relay.CaptureLogical, logger)
	if err != nil {
		return nil, err
	}
	return logical{d, dsn}, nil
}

func (l logical) close() error {
	if err := l.decoding.close(); err != nil {
		return err
	}
	ctx := context.Background()
	d, err := connect(ctx, l.dsn)
	if err != nil {
		return err
	}
	defer d.close()
	// A session of the relay's may be about to end.
	for {
		var active bool
		err := d.conn.QueryRow(ctx, `select coalesce(bool_or(active), false) from pg_catalog.pg_replication_slots`).Scan(&active)
		if err != nil {
			return err
		}
		if !active {
			break
		}
	}
	return d.exec(ctx, `select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots`)
}

// notifications counts what a LISTEN brings.
type notifications struct {
	conn   *pgx.Conn
	writer *pgx.Conn
	ended  chan error
}

// last is the payload of the notification after which none is waited for.
const last = "last"

func readNotifications(ctx context.Context, dsn string, _ zerolog.Logger) (_ reading, err error) {
	n := &notifications{ended: make(chan error, 1)}
	if n.conn, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, err
	}
	if n.writer, err = pgx.Connect(ctx, dsn); err == nil {
		_, err = n.conn.Exec(ctx, "listen bench")
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	go func() {
		for {
			got, err := n.conn.WaitForNotification(ctx)
			if err != nil || got.Payload == last {
				n.ended <- err
				return
			}
		}
	}()
	return n, nil
}

func (n *notifications) finish(ctx context.Context) error {
	if _, err := n.writer.Exec(ctx, "select pg_catalog.pg_notify('bench', $1)", last); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return <-n.ended
}

func (n *notifications) close() error {
	ctx := context.Background()
	var err error
	for _, conn := range []*pgx.Conn{n.conn, n.writer} {
		if conn != nil {
			err = errors.Join(err, conn.Close(ctx))
		}
	}
	return err
}
