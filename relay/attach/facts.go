package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// facts are what a database has.
type facts struct {
	server  server
	role    role
	schema  schema
	slots   []slot
	publish uint32 // the publication's oid; 0: there is none
}

// server is the whole of it.
type server struct {
	id        string
	version   int
	standby   bool
	encoding  string
	walLevel  string
	freeSlots int
	maxSlots  int
	senders   int
	// me is the role that makes the changes, whether it is a superuser and may make slots.
	me         string
	superuser  bool
	replicates bool
	prepares   bool // max_prepared_transactions isn't 0
}

// role is the relay's.
type role struct {
	name                           string
	exists, login, replicates      bool
	bypasses, superuser, databases bool // databases: it may connect
	// functions that it may not execute, as SQL writes them.
	functions []string
}

// schema is what there is of schema relay.
type schema struct {
	exists bool
	// attached: there is the table of what attach changed; installed: capture by triggers.
	attached, installed bool
	// strangers are relations, types and, where there is no outbox, functions in it that aren't pgrelay's.
	strangers []string
	// captured are the oids of tables that triggers capture.
	captured map[uint32]bool
}

// slot is one of pgrelay's in this database.
type slot struct {
	name string
	// publication that it is for, as its name says, and whether that is there.
	publication uint32
	orphan      bool
	pid         int32 // of the process that uses it; 0: none
	user        string
	// making: it is being created.
	making bool
}

const serverSQL = `
select (select system_identifier::text from pg_catalog.pg_control_system()), current_setting('server_version_num')::int4, pg_is_in_recovery(),
  current_setting('server_encoding'), current_setting('wal_level'),
  (current_setting('max_replication_slots')::int4 - (select count(*) from pg_replication_slots s
    where not (s.slot_name like 'pgrelay\_%' and s.database = current_database())))::int4,
  current_setting('max_replication_slots')::int4, current_setting('max_wal_senders')::int4,
  current_user::text, r.rolsuper, r.rolsuper or r.rolreplication or exists (select from pg_roles d where d.rolname = 'rds_replication' and pg_has_role(d.oid, 'USAGE')),
  current_setting('max_prepared_transactions') <> '0'
from pg_roles r where r.rolname = current_user`

// What the relay calls, and PUBLIC may call unless somebody took that away.
const roleSQLPrivileges = `
with grantee as (select coalesce((select rolname::text from pg_roles where rolname = $1), 'public') as name)
select r.oid is not null, coalesce(r.rolcanlogin, false),
  coalesce(r.rolreplication or r.rolsuper or exists (select from pg_roles d where d.rolname = 'rds_replication' and pg_has_role(r.oid, d.oid, 'USAGE')), false),
  coalesce(r.rolbypassrls or r.rolsuper, false), coalesce(r.rolsuper, false),
  has_database_privilege(g.name, current_database(), 'CONNECT'),
  array(select 'pg_catalog.' || f from unnest(array['pg_control_system()', 'pg_control_checkpoint()', 'pg_is_in_recovery()', 'pg_current_snapshot()',
      'pg_current_wal_insert_lsn()', 'pg_walfile_name(pg_lsn)', 'pg_logical_emit_message(boolean, text, text)',
      'pg_logical_emit_message(boolean, text, text, boolean)', 'pg_drop_replication_slot(name)', 'pg_create_logical_replication_slot(name, name, boolean, boolean)',
      'pg_create_logical_replication_slot(name, name, boolean, boolean, boolean)',
      'pg_copy_logical_replication_slot(name, name, boolean)', 'pg_copy_logical_replication_slot(name, name, boolean, name)']) f
    where to_regprocedure('pg_catalog.' || f) is not null and not has_function_privilege(g.name, ('pg_catalog.' || f)::regprocedure, 'EXECUTE'))
from grantee g left join pg_roles r on r.rolname = $1`

const schemaSQL = `
select n.oid is not null, to_regclass('relay.attached') is not null, to_regclass('relay.state') is not null and to_regclass('relay.captured') is not null,
  array(select c.oid::regclass::text from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and c.relname !~ '^(attached|outbox|outbox_id|outbox_[0-9]|delivery|delivery_[0-9]|state|captured|layout)$'
    union all select p.oid::regprocedure::text from pg_proc p where p.pronamespace = n.oid and to_regclass('relay.state') is null
      and not (to_regclass('relay.attached') is not null and p.proname in ('remember', 'remember_identity'))
    union all select t.oid::regtype::text from pg_type t where t.typnamespace = n.oid and t.typtype in ('d', 'e', 'r') order by 1)
from (select) one left join pg_namespace n on n.nspname = 'relay'`

const slotSQL = `
select slot_name::text, split_part(slot_name, '_', 2)::oid, not exists (select from pg_publication p where p.oid::text = split_part(slot_name, '_', 2)),
  coalesce(s.active_pid, 0), coalesce(a.usename::text, ''), s.confirmed_flush_lsn is null
from pg_replication_slots s left join pg_stat_activity a on a.pid = s.active_pid
where s.database = current_database() and s.slot_type = 'logical' and s.slot_name ~ '^pgrelay_[0-9]+_[0-9]+_' order by 1`

func readFacts(ctx context.Context, conn *pgx.Conn, roleName, publication string) (*facts, error) {
	f := &facts{role: role{name: roleName}}
	for _, read := range []func(context.Context, *pgx.Conn) error{f.readServer, f.readRole, f.readSchema, f.readSlots} {
		if err := read(ctx, conn); err != nil {
			return nil, err
		}
	}
	err := conn.QueryRow(ctx, `select oid from pg_publication where pubname = $1`, publication).Scan(&f.publish)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read the publication: %w", err)
	}
	return f, nil
}

func (f *facts) readServer(ctx context.Context, conn *pgx.Conn) error {
	s := &f.server
	err := conn.QueryRow(ctx, serverSQL).Scan(&s.id, &s.version, &s.standby, &s.encoding, &s.walLevel, &s.freeSlots, &s.maxSlots, &s.senders,
		&s.me, &s.superuser, &s.replicates, &s.prepares)
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	return nil
}

func (f *facts) readRole(ctx context.Context, conn *pgx.Conn) error {
	r := &f.role
	err := conn.QueryRow(ctx, roleSQLPrivileges, r.name).Scan(&r.exists, &r.login, &r.replicates, &r.bypasses, &r.superuser, &r.databases, &r.functions)
	if err != nil {
		return fmt.Errorf("read the relay's role: %w", err)
	}
	return nil
}

func (f *facts) readSchema(ctx context.Context, conn *pgx.Conn) error {
	s := &f.schema
	if err := conn.QueryRow(ctx, schemaSQL).Scan(&s.exists, &s.attached, &s.installed, &s.strangers); err != nil {
		return fmt.Errorf("read schema relay: %w", err)
	}
	s.captured = map[uint32]bool{}
	if !s.installed {
		return nil
	}
	rows, err := conn.Query(ctx, `select relation from relay.captured`)
	if err != nil {
		return fmt.Errorf("read what triggers capture: %w", err)
	}
	var oid uint32
	_, err = pgx.ForEachRow(rows, []any{&oid}, func() error { s.captured[oid] = true; return nil })
	if err != nil {
		return fmt.Errorf("read what triggers capture: %w", err)
	}
	return nil
}

func (f *facts) readSlots(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, slotSQL)
	if err != nil {
		return fmt.Errorf("read replication slots: %w", err)
	}
	f.slots, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s slot, err error) {
		err = row.Scan(&s.name, &s.publication, &s.orphan, &s.pid, &s.user, &s.making)
		return s, err
	})
	if err != nil {
		return fmt.Errorf("read replication slots: %w", err)
	}
	return nil
}

// unusable tells why the database can't be a source at all.
func (f *facts) unusable() error {
	switch s := f.server; {
	case s.standby:
		return &relay.Problem{What: "it is a hot standby", Remedy: "point the foreign server (or hosts in pgrelay.yaml) at the primary"}
	case s.version < 150000:
		return &relay.Problem{What: fmt.Sprintf("Postgres %d is too old", s.version/10000), Remedy: "upgrade to Postgres 15 or newer"}
	case s.encoding == "SQL_ASCII":
		return &relay.Problem{What: "its encoding is SQL_ASCII: what its bytes mean isn't known", Remedy: "move it to a database with encoding UTF8"}
	case len(f.schema.strangers) > 0 && !f.schema.attached && !f.schema.installed:
		return &relay.Problem{What: fmt.Sprintf("schema relay is somebody else's: it holds %s", f.schema.strangers[0]), Remedy: "alter schema relay rename to …;"}
	}
	return nil
}
