package attach

import (
	"fmt"
	"strings"

	"pgrelay/relay"
)

// recordSQL makes the table of what was changed, in the schema that capture by triggers uses too.
var recordSQL = []string{
	"create schema if not exists relay;",
	`create table if not exists relay.attached (
    kind      text not null,              -- role, grant, identity, mapping
    class     oid  not null,              -- the catalog of object
    object    oid  not null,
    role      text not null default '',   -- whose privilege or mapping it is
    what      text not null default '',   -- the privilege or attribute
    was       text not null default '',   -- the identity before: d, n, f or i, as in pg_class.relreplident
    was_index oid  not null default 0,
    made      text not null default '',   -- the identity that was made
    at        timestamptz not null default now(),
    constraint attached_pkey primary key (kind, class, object, role, what)
);`,
	"comment on table relay.attached is 'What pgrelay attach changed, for pgrelay detach to take back.';",
	`create or replace function relay.remember(kind text, class regclass, objects oid[], role text, what text default '') returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into relay.attached (kind, class, object, role, what) select remember.kind, remember.class, o, remember.role, remember.what from unnest(objects) o
    on conflict on constraint attached_pkey do nothing
$$;`,
	`create or replace function relay.remember_identity(relation regclass, made text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into relay.attached as a (kind, class, object, was, was_index, made)
    select 'identity', 'pg_class'::regclass, c.oid, c.relreplident, coalesce((select i.indexrelid from pg_index i where i.indrelid = c.oid and i.indisreplident), 0),
        remember_identity.made from pg_class c where c.oid = remember_identity.relation
    on conflict on constraint attached_pkey do update set made = excluded.made
$$;`,
	"revoke all on relay.attached from public;",
	"revoke all on function relay.remember(text, regclass, oid[], text, text), relay.remember_identity(regclass, text) from public;",
}

func recordStep() Step {
	return Step{Title: "what is changed is remembered", Why: []string{"pgrelay detach takes it back from there, and removes this schema."}, Statements: recordSQL}
}

// remember notes a change in the transaction that makes it. objects is what SQL reads as an array of oids.
func remember(kind, catalog, objects, role, what string) string {
	text := fmt.Sprintf("select relay.remember('%s', '%s', %s, %s", kind, catalog, objects, relay.Literal(role))
	if what != "" {
		text += ", '" + what + "'"
	}
	return text + ");"
}

func rememberRole(role, what string) string {
	return remember("role", "pg_authid", array([]string{relay.Ident(role)}, "regrole"), role, what)
}

// rememberIdentity notes a table's identity as it is, before it becomes made.
func rememberIdentity(t table, made string) string {
	return fmt.Sprintf("select relay.remember_identity(%s, '%s');", relay.Literal(t.name), made)
}

// serverOID is a foreign server's, as an array.
func serverOID(server string) string {
	return fmt.Sprintf("array(select oid from pg_foreign_server where srvname = %s)", relay.Literal(server))
}

// remembered tells whether a statement notes something.
func remembered(statement string) bool { return strings.HasPrefix(statement, "select relay.remember") }

// array is an array of oids of objects that are named as the type reads them.
func array(names []string, typ string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = relay.Literal(n)
	}
	return "array[" + strings.Join(quoted, ", ") + "]::" + typ + "[]::oid[]"
}
