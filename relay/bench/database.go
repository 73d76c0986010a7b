package bench

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/sql"
)

// table is what the backlog is written to.
const table = "public.bench"

// schema is an order as applications have them: about 180 bytes of text in eight columns. The rows are committed by a
// procedure, so that no client's round trip slows the writing down.
const schema = `
	create table public.bench (
		id bigint generated always as identity primary key,
		user_id integer not null, status text not null, amount numeric(12,2) not null, region text not null,
		note text not null, placed bigint not null, created_at timestamptz not null);
	create procedure public.fill(transactions integer, rows_each integer) language plpgsql as $$
	begin
		for n in 1 .. transactions loop
			insert into public.bench (user_id, status, amount, region, note, placed, created_at)
			select (n * 7919 + i) % 100000, 'open', (n % 100000) / 100.0, 'eu-west-1',
				'order note with some text, a "quote" and more text 0123456789abcdef0123456789abcdef',
				1795490000000000 + n, timestamptz '2026-11-24 03:13:31.123456+00' + n * interval '1 ms'
			from generate_series(1, rows_each) i;
			commit;
		end loop;
	end $$;
	insert into web_socket_event_system_events.rules (name, relation, roles) values ('everybody', 'public.bench', '{anon}')`

// database is the one that the benchmarks fill.
type database struct {
	conn *pgx.Conn
	dsn  string
}

// open connects to an empty database and makes the table, the rules, and the procedure that fills the table.
func open(ctx context.Context, dsn string) (*database, error) {
	d, err := connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	system, err := sql.Read(sql.System, nil)
	if err == nil {
		err = d.exec(ctx, system)
	}
	if err == nil {
		err = d.exec(ctx, schema)
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("make the table: %w", err)
	}
	return d, nil
}

func connect(ctx context.Context, dsn string) (*database, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return &database{conn: conn, dsn: dsn}, nil
}

func (d *database) close() { _ = d.conn.Close(context.Background()) }

// exec runs statements one by one, outside of a transaction.
func (d *database) exec(ctx context.Context, statements string) error {
	_, err := d.conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

// fill commits transactions of rowsEach rows and returns a position after the last of them, which is flushed.
func (d *database) fill(ctx context.Context, transactions, rowsEach int) (relay.LSN, error) {
	for _, statement := range []string{
		"set synchronous_commit = off",
		fmt.Sprintf("call public.fill(%d, %d)", transactions, rowsEach),
		"set synchronous_commit = on",
		"select pg_catalog.pg_logical_emit_message(true, 'bench', '')", // its commit flushes what came before
	} {
		if err := d.exec(ctx, statement); err != nil {
			return 0, fmt.Errorf("write the backlog: %w", err)
		}
	}
	return d.position(ctx)
}

func (d *database) position(ctx context.Context) (relay.LSN, error) {
	var text string
	if err := d.conn.QueryRow(ctx, "select pg_catalog.pg_current_wal_flush_lsn()::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("read the WAL position: %w", err)
	}
	return relay.ParseLSN(text)
}

// createSlot makes a slot that begins here.
func (d *database) createSlot(ctx context.Context, name string) error {
	_, err := d.conn.Exec(ctx, "select pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')", name)
	if err != nil {
		return fmt.Errorf("create slot %s: %w", name, err)
	}
	return nil
}

func (d *database) dropSlot(ctx context.Context, name string) error {
	if _, err := d.conn.Exec(ctx, "select pg_catalog.pg_drop_replication_slot($1)", name); err != nil {
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}

// halt stops the process that sends the relay's stream, once it has nothing to send, and returns what lets it go on.
func (d *database) halt(ctx context.Context) (resume func() error, err error) {
	const query = `select a.pid, coalesce(a.wait_event, '') from pg_catalog.pg_replication_slots s
		join pg_catalog.pg_stat_activity a on a.pid = s.active_pid where s.slot_name ~ '^pgrelay_.*_live$'`
	for {
		var pid int
		var event string
		if err := d.conn.QueryRow(ctx, query).Scan(&pid, &event); err != nil {
			return nil, fmt.Errorf("find the relay's walsender: %w", err)
		}
		if !strings.EqualFold(event, "WalSenderWaitForWAL") && event != "WalSenderMain" {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return nil, fmt.Errorf("halt the relay's walsender: %w", err)
		}
		return func() error { return syscall.Kill(pid, syscall.SIGCONT) }, nil
	}
}
