package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgrelay/triggers"
)

// sick is a condition that SQL makes, and the finding that says so.
type sick struct {
	check    string
	captured bool   // triggers capture table items beforehand
	since    int    // server version; 0: all
	until    int    // the last server version; 0: all
	sql      string // makes it; one statement a line
	severity Severity
	object   string
	says     string // of the problem
	// undo ends it; where it is empty the finding's own remedy does.
	undo string
	with func(*Config)
}

const live = `select pg_create_logical_replication_slot('pgrelay_' || oid || '_1_live', 'pgoutput') from pg_publication where pubname = 'pgrelay';`

const dropSlots = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database() or slot_type = 'physical';`

// moreWAL is what slots may keep otherwise here.
const moreWAL = "alter system reset max_slot_wal_keep_size;\nselect pg_reload_conf();"

const captureItems = `alter publication pgrelay drop table only items;
select relay.enable_table('items');
`

// rowTrigger puts another trigger in the place of the one for each row.
func rowTrigger(is string) string {
	return `do $$
declare
	name text := '!relay_row_' || 'items'::regclass::oid;
begin
	perform relay.enable_table('items', level => 'row');
	execute format('create or replace trigger ` + is + ` execute function relay.capture_row('''', '''')', name);
	execute format('alter table items enable always trigger %I', name);
end $$`
}

const rootTable = "create table root (id bigint primary key, owner bigint not null, n int) partition by range (id);\n"

const attachItems = "alter table root attach partition items for values from (0) to (1000);\n"

var sicknesses = map[string]sick{
	"keep size unlimited": {check: "max_slot_wal_keep_size", severity: Warning, object: "server", says: "unlimited",
		sql: "alter system set max_slot_wal_keep_size = -1;\nselect pg_reload_conf();"},
	"keep size small": {check: "max_slot_wal_keep_size", severity: Warning, object: "server", says: "64 MB",
		sql: "alter system set max_slot_wal_keep_size = '64MB';\nselect pg_reload_conf();"},
	"synchronous": {check: "synchronous_standby_names", severity: Error, object: "server", says: "'ANY 1 (a, pgrelay)'",
		sql:  "alter system set synchronous_standby_names = 'ANY 1 (a, pgrelay)';\nselect pg_reload_conf();",
		undo: "alter system set synchronous_standby_names = 'a';\nselect pg_reload_conf();"},
	"synchronous all": {check: "synchronous_standby_names", severity: Error, object: "server", says: "commits wait",
		sql:  "alter system set synchronous_standby_names = '*';\nselect pg_reload_conf();",
		undo: "alter system reset synchronous_standby_names;\nselect pg_reload_conf();"},
	"idle timeout": {check: "idle_replication_slot_timeout", since: 18, severity: Warning, object: "server", says: "1h0m0s",
		sql: "alter system set idle_replication_slot_timeout = '1h';\nselect pg_reload_conf();"},
	"idle timeout long": {check: "idle_replication_slot_timeout", since: 18, severity: Info, object: "server", says: "48h",
		sql: "alter system set idle_replication_slot_timeout = '2d';\nselect pg_reload_conf();"},
	"synchronized absent": {check: "synchronized_standby_slots", since: 17, severity: Error, object: "slot gone", says: "isn't there",
		sql:  "select pg_create_physical_replication_slot('gone');\nalter system set synchronized_standby_slots = 'gone';\nselect pg_reload_conf();\nselect pg_drop_replication_slot('gone');",
		undo: "alter system reset synchronized_standby_slots;\nselect pg_reload_conf();"},
	"synchronized unused": {check: "synchronized_standby_slots", since: 17, severity: Error, object: "slot unused", says: "no standby uses",
		sql:  "select pg_create_physical_replication_slot('unused');\nalter system set synchronized_standby_slots = 'unused';\nselect pg_reload_conf();",
		undo: "alter system reset synchronized_standby_slots;\nselect pg_reload_conf();\nselect pg_drop_replication_slot('unused');"},

	"slot inactive": {check: "slot_inactive", severity: Warning, object: "_1_live", says: "no relay has used it", sql: live, undo: dropSlots},
	"slot lag": {check: "slot_lag", severity: Error, object: "_1_live", says: "of a budget of 100 B", undo: dropSlots,
		sql: live + "\nselect pg_logical_emit_message(false, 'x', repeat('x', 1000));", with: func(c *Config) { c.RetainedBytes = 100 }},
	"slot lag near": {check: "slot_lag", severity: Warning, object: "_1_live", says: "of a budget of 1.5 MB", undo: dropSlots,
		sql: live + "\nselect pg_logical_emit_message(false, 'x', repeat('x', 1000000));", with: func(c *Config) { c.RetainedBytes = 3 << 19 }},
	"slot lost": {check: "slot_lost", severity: Error, object: "_1_live", says: "lost", undo: dropSlots + "\nalter system reset max_slot_wal_keep_size;\nselect pg_reload_conf();",
		sql: "alter system set max_slot_wal_keep_size = '16MB';\nselect pg_reload_conf();\n" + live + strings.Repeat("\nselect pg_logical_emit_message(false, 'x', 'x');\nselect pg_switch_wal();", 4) + "\ncheckpoint;"},
	"slot lost, with the reason": {check: "slot_lost", since: 17, severity: Error, object: "_1_live", says: "lost (wal_removed)", undo: dropSlots + "\n" + moreWAL,
		sql: "alter system set max_slot_wal_keep_size = '16MB';\nselect pg_reload_conf();\n" + live + strings.Repeat("\nselect pg_logical_emit_message(false, 'x', 'x');\nselect pg_switch_wal();", 4) + "\ncheckpoint;"},
	"slot at its end": {check: "slot_safe_wal_size", severity: Error, object: "_1_live", says: "unreserved", undo: moreWAL,
		sql: "alter system set max_slot_wal_keep_size = '16MB';\nselect pg_reload_conf();\ncheckpoint;\n" + live + strings.Repeat("\nselect pg_logical_emit_message(false, 'x', 'x');\nselect pg_switch_wal();", 3)},
	"slot near its end": {check: "slot_safe_wal_size", severity: Warning, object: "_1_live", says: "gives it up", undo: moreWAL,
		sql: "alter system set max_slot_wal_keep_size = '160MB';\nselect pg_reload_conf();\ncheckpoint;\n" + live + strings.Repeat("\nselect pg_logical_emit_message(false, 'x', 'x');\nselect pg_switch_wal();", 9)},
	"slot's catalogs": {check: "slot_catalog_xmin", severity: Warning, object: "_1_live", says: "transactions old", undo: dropSlots,
		sql: live + strings.Repeat("\nselect pg_current_xact_id();", 5), with: func(c *Config) { c.CatalogAge = 3 }},
	"slot of no publication": {check: "slot_orphaned", severity: Warning, object: "pgrelay_1_7_anchor_2", says: "oid 1) is gone",
		sql: "select pg_create_logical_replication_slot('pgrelay_1_7_anchor_2', 'pgoutput');"},
	"slot of an odd name": {check: "slot_orphaned", severity: Warning, object: "pgrelay_x", says: "none that a relay gives",
		sql: "select pg_create_logical_replication_slot('pgrelay_x', 'pgoutput');"},
	"slot of another epoch": {check: "slot_orphaned", severity: Warning, object: "_1_live", says: "it is of epoch 1, and the relay is in 2",
		sql: live + "\n" + strings.Replace(live, "_1_live", "_2_live", 1)},
	"anchors that were left": {check: "slot_orphaned", severity: Warning, object: "_1_anchor_9", says: "there are newer ones",
		sql: live + "\n" + strings.Replace(live, "_live", "_anchor_9", 1) + "\n" + strings.Replace(live, "_live", "_anchor_10", 1) + "\n" +
			strings.Replace(live, "_live", "_anchor_11", 1) + "\n" + strings.Replace(live, "_live", "_anchor_12", 1)},
	"no failover": {check: "slot_failover", since: 17, severity: Info, object: "_1_live", says: "after a failover it is missing", sql: live, undo: dropSlots},
	"no failover beside a standby": {check: "slot_failover", since: 17, severity: Warning, object: "_1_live",
		sql: live + "\nselect pg_create_physical_replication_slot('s');", undo: dropSlots},
	"standby may be overtaken": {check: "standby_unsynced", since: 17, severity: Warning, object: "server", says: "synchronized_standby_slots is empty",
		sql:  "select pg_create_logical_replication_slot('pgrelay_' || oid || '_1_live', 'pgoutput', false, false, true) from pg_publication where pubname = 'pgrelay';\nselect pg_create_physical_replication_slot('s');",
		undo: dropSlots},
	"prepared transaction": {check: "long_transaction", severity: Warning, object: "prepared transaction 'p''x'", says: "(prepared)", with: func(c *Config) { c.LongTransaction = 1 },
		sql: "begin;\ninsert into items values (1, 1, 1);\nprepare transaction 'p''x';"},

	"no publication": {check: "publication_missing", severity: Error, object: "publication pgrelay", says: "may not make it", sql: "drop publication pgrelay, pgrelay_insert;"},
	"publication for all": {check: "publication_scope", severity: Error, object: "publication pgrelay", says: "for all tables",
		sql: "drop publication pgrelay;\ncreate publication pgrelay for all tables;", undo: "drop publication pgrelay;\ncreate publication pgrelay for table items;"},
	"publication for a schema": {check: "publication_scope", severity: Error, object: "publication pgrelay", says: "whole schemas",
		sql: "alter publication pgrelay add tables in schema public;"},
	"publication by root":       {check: "publication_via_root", severity: Error, object: "publication pgrelay", sql: "alter publication pgrelay set (publish_via_partition_root = true);"},
	"publication lacks updates": {check: "publication_operations", severity: Error, object: "publication pgrelay", says: "lacks update, truncate", sql: "alter publication pgrelay set (publish = 'insert, delete');"},
	"publication of inserts":    {check: "publication_operations", severity: Error, object: "publication pgrelay_insert", says: "updates and deletes of tables without", sql: "alter publication pgrelay_insert set (publish = 'insert, update, truncate');"},
	"publication filters":       {check: "publication_filters", severity: Error, object: "table public.items", says: "a row filter", sql: "alter publication pgrelay set table only items where (id > 1);"},
	"publication of columns":    {check: "publication_filters", severity: Error, object: "table public.items", says: "a column list", sql: "alter publication pgrelay set table items (id);"},
	"publication lacks a table": {check: "publication_tables", severity: Error, object: "table public.items", says: "lacks it", sql: "alter publication pgrelay drop table only items;"},
	"publication's foreign partition": {check: "publication_foreign", severity: Error, object: "table public.parts", says: "public.parts_2", undo: "alter publication pgrelay drop table parts;",
		sql: foreignPartition + "alter publication pgrelay add table parts;"},
	"publication's stranger": {check: "publication_extra", severity: Info, object: "table relay2.t", sql: "create schema relay2;\ncreate view relay2.v as select 1 as n;\n" +
		"create table relay2.t (id int);\nalter publication pgrelay add table relay2.t;"},

	"no identity": {check: "replica_identity", severity: Warning, object: "table public.keyless", says: "would fail", sql: "create table keyless (n int);"},
	"no identity, published": {check: "replica_identity", severity: Error, object: "table public.keyless", says: "fail now",
		sql: "create table keyless (n int);\nalter publication pgrelay add table keyless;"},
	"no identity, asked for": {check: "replica_identity", severity: Error, object: `table public."Key Less"`, says: "would fail",
		sql: `create table "Key Less" (n int);` + "\n" + `insert into web_socket_event_system_events.rules (name, relation, predicate) values ('k', 'public.Key Less', 'true');`},
	"identity nothing": {check: "replica_identity", severity: Error, object: "table public.items", says: "fail now", sql: "alter table items replica identity nothing;"},
	"no identity of a leaf": {check: "replica_identity", severity: Warning, object: "table public.leaf_2",
		sql: "create table parted (n int not null) partition by list (n);\ncreate table leaf_1 partition of parted for values in (1);\nalter table leaf_1 replica identity full;\ncreate table leaf_2 partition of parted for values in (2);"},
	"deferrable": {check: "deferrable_key", severity: Warning, object: "table public.late", says: "late_pkey is deferrable",
		sql: `create table late (id int primary key deferrable, "Big N" int);`},
	"deferrable, another key": {check: "deferrable_key", severity: Error, object: "table public.items", says: "fail now", undo: "alter table items drop constraint items_pkey, add constraint items_pkey primary key (id);",
		sql: "alter table items drop constraint items_pkey, add constraint items_pkey primary key (id) deferrable initially deferred;"},
	"generated before 18": {check: "full_with_generated", until: 17, severity: Info, object: "table public.made", says: "from Postgres 18 on", undo: "drop table made;",
		sql: "create table made (a int, b int generated always as (a + 1) stored);\nalter table made replica identity full;"},
	"generated": {check: "full_with_generated", since: 18, severity: Warning, object: "table public.made", says: "(b)",
		sql: "create table made (a int primary key, b int generated always as (a + 1) virtual);\nalter table made replica identity full;"},
	"generated, published": {check: "full_with_generated", since: 18, severity: Error, object: "table public.made", says: "fail now",
		sql: "create table made (a int primary key, b int generated always as (a + 1) virtual);\nalter publication pgrelay add table made;\nalter table made replica identity full;"},
	"unlogged": {check: "unlogged", severity: Info, object: "table public.brief", sql: "create unlogged table brief (id int primary key);"},
	"unlogged, asked for": {check: "unlogged", severity: Error, object: "table public.brief",
		sql: "create unlogged table brief (id int primary key);\ninsert into web_socket_event_system_events.rules (name, relation, predicate) values ('b', 'public.brief', 'true');"},
	"row security": {check: "row_security", severity: Error, object: "table public.items", undo: "alter table items disable row level security;", sql: "alter table items enable row level security;"},
	"foreign partitions": {check: "foreign_partitions", severity: Warning, object: "table public.parts", says: "public.parts_2", sql: foreignPartition,
		undo: "drop table parts;"},
	"extension's table": {check: "extension_table", severity: Warning, object: "table public.items", says: "plpgsql", sql: "alter extension plpgsql add table items;", undo: "alter extension plpgsql drop table items;"},
	"left out column":   {check: "column_not_published", until: 17, severity: Info, object: "table public.made", sql: "create table made (a int primary key, b int generated always as (a + 1) stored);", undo: "drop table made;"},

	"may not read":        {check: "privileges_lacking", severity: Error, object: "table public.items", says: "may not read", sql: "revoke select on items from relay_role;"},
	"may not enter":       {check: "privileges_lacking", severity: Error, object: "table public.items", sql: "revoke usage on schema public from public, relay_role;"},
	"may not replicate":   {check: "privileges_lacking", severity: Error, object: "role relay_role", says: "REPLICATION", sql: "alter role relay_role noreplication;"},
	"may make databases":  {check: "privileges_beyond", severity: Warning, object: "role relay_role", says: "CREATEDB, CREATEROLE, BYPASSRLS", sql: "alter role relay_role createdb createrole bypassrls;"},
	"may write all":       {check: "privileges_beyond", severity: Warning, object: "role relay_role", says: "pg_write_all_data", sql: "grant pg_write_all_data to relay_role;"},
	"may write":           {check: "privileges_beyond", severity: Warning, object: "role relay_role", says: "public.items", sql: "grant delete on items to relay_role;"},
	"owns":                {check: "privileges_beyond", severity: Warning, object: "role relay_role", says: "owns public.items", sql: "alter table items owner to relay_role;", undo: "alter table items owner to postgres;\nrevoke all on items from relay_role;\ngrant select on items to relay_role;"},
	"is a superuser":      {check: "privileges_beyond", severity: Warning, object: "role relay_role", says: "superuser", sql: "alter role relay_role superuser;", undo: "alter role relay_role nosuperuser;"},
	"sees no transaction": {check: "blind", severity: Info, object: "role relay_role", sql: "revoke pg_read_all_stats from relay_role;"},

	"older outbox": {check: "outbox_version", captured: true, severity: Warning, object: "schema relay", says: "older", sql: "update relay.state set version = 0;", undo: fmt.Sprintf("update relay.state set version = %d;", triggers.Version)},
	"newer outbox": {check: "outbox_version", captured: true, severity: Error, object: "schema relay", says: "newer", sql: "update relay.state set version = 99;", undo: fmt.Sprintf("update relay.state set version = %d;", triggers.Version)},
	"outbox past its budget": {check: "outbox_budget", captured: true, severity: Error, object: "outbox", says: "past its budget of 10 B: nothing is captured then",
		sql: "update relay.state set budget = 10;", undo: "update relay.state set budget = 1000000000;"},
	"outbox near its budget": {check: "outbox_budget", captured: true, severity: Warning, object: "outbox", says: "application's writes fail then",
		sql:  "update relay.state set policy = 'error', budget = (select sum(pg_total_relation_size(o)) + 1 from unnest(array['relay.outbox_0', 'relay.outbox_1', 'relay.outbox_2']::regclass[]) o);",
		undo: "update relay.state set budget = 1000000000;"},
	"outbox closed":            {check: "outbox_budget", captured: true, severity: Error, object: "outbox", says: "it is closed", sql: "select relay.close();", undo: "select relay.begin_epoch('test');"},
	"nobody reads":             {check: "outbox_unread", captured: true, severity: Warning, object: "outbox", says: "no relay reads it", sql: "select relay.begin_epoch('test');", undo: "update relay.state set epoch = 0;"},
	"nobody rings":             {check: "doorbell", captured: true, severity: Info, object: "outbox", says: "prepared transactions", sql: "select relay.doorbell('auto');"},
	"trigger missing":          {check: "trigger_missing", captured: true, severity: Error, object: `trigger "!relay_update" on public.items`, sql: `drop trigger "!relay_update" on items;`},
	"trigger disabled":         {check: "trigger_disabled", captured: true, severity: Error, object: `trigger "!relay_delete" on public.items`, sql: `alter table items disable trigger "!relay_delete";`},
	"trigger for replicas":     {check: "trigger_mode", captured: true, severity: Error, object: `trigger "!relay_insert" on public.items`, says: "what applications write is missed", sql: `alter table items enable replica trigger "!relay_insert";`},
	"trigger not for replicas": {check: "trigger_mode", captured: true, severity: Warning, object: `trigger "!relay_truncate" on public.items`, says: "not ENABLE ALWAYS", sql: `alter table items enable trigger "!relay_truncate";`},
	"trigger of another function": {check: "trigger_altered", captured: true, severity: Error, object: `trigger "!relay_truncate" on public.items`, says: "by hand",
		sql: "create function nothing() returns trigger language plpgsql as 'begin return null; end';\n" +
			`create or replace trigger "!relay_truncate" after truncate on items for each statement execute function nothing();` + "\n" + `alter table items enable always trigger "!relay_truncate";`},
	"trigger that looks away": {check: "trigger_altered", captured: true, severity: Error, object: `trigger "!relay_update" on public.items`,
		sql: `drop trigger "!relay_update" on items;` + "\n" + `create trigger "!relay_update" after update on items referencing old table as old_rows new table as new_rows ` +
			"for each statement execute function relay.capture('{\"n\": null}', '');\n" + `alter table items enable always trigger "!relay_update";`},
	"trigger with a condition": {check: "trigger_altered", captured: true, severity: Error, object: `trigger "!relay_row_`, says: "by hand",
		sql: rowTrigger("%I after insert or update or delete on items for each row when (pg_trigger_depth() = 0)")},
	"trigger with a condition on rows": {check: "trigger_altered", captured: true, severity: Error, object: `trigger "!relay_row_`, says: "by hand",
		sql: rowTrigger("%I after insert on items for each row when (new.id > 0)")},
	"trigger without its condition": {check: "trigger_altered", captured: true, severity: Error, object: `trigger "!relay_row_`, says: "by hand",
		sql: rowTrigger("%I after insert or update or delete on items for each row")},
	"trigger of an older version": {check: "trigger_older", captured: true, severity: Warning, object: "table public.items", says: "ATTACH PARTITION fails",
		sql: "update relay.captured set level = 'row';\n" + `drop trigger "!relay_insert" on items;` + "\n" + `drop trigger "!relay_update" on items;` + "\n" + `drop trigger "!relay_delete" on items;` + "\n" +
			`create trigger "!relay_row" after insert or update or delete on items for each row execute function relay.capture_row('', '');` + "\n" + `alter table items enable always trigger "!relay_row";`},
	"captured by itself and by its root": {check: "captured_partition", captured: true, severity: Info, object: "table public.items", says: "partition of public.root, whose triggers capture it",
		sql: rootTable + "select relay.enable_table('root');\n" + attachItems},
	"captured by itself before": {check: "captured_partition", captured: true, severity: Error, object: "table public.items", says: "partition of public.root, which isn't captured",
		sql: rootTable + attachItems},
	"trigger left over beside its root's": {check: "trigger_orphaned", captured: true, severity: Warning, object: `on public.items`, says: "the triggers of the table's root capture it",
		sql: "select relay.enable_table('items', level => 'row');\n" + rootTable + "select relay.enable_table('root');\n" + attachItems + "delete from relay.captured where relation = 'items'::regclass;"},
	"function altered": {check: "trigger_altered", captured: true, severity: Warning, object: "function relay.ring", says: "by hand", undo: triggers.Install("relay_role"),
		sql: "create or replace function relay.ring() returns void language plpgsql as 'begin end';"},
	"function unpinned": {check: "trigger_altered", captured: true, severity: Warning, object: "function relay.capture", says: "by hand", undo: triggers.Install("relay_role"),
		sql: "alter function relay.capture() reset datestyle;"},
	"trigger left over": {check: "trigger_orphaned", captured: true, severity: Warning, object: `trigger "!relay_truncate" on public.other`,
		sql: "create table other (id int primary key);\n" + `create trigger "!relay_truncate" after truncate on other for each statement execute function relay.capture_truncate();`},
	"captured by statement":  {check: "trigger_level", captured: true, severity: Error, object: "table public.items", says: "hierarchy", sql: "create table more () inherits (items);"},
	"captured table dropped": {check: "captured_gone", captured: true, severity: Info, object: "table public.items", sql: "drop table items;"},
	"captured twice":         {check: "captured_twice", captured: true, severity: Warning, object: "table public.items", says: "publication pgrelay", sql: "alter publication pgrelay add table items;"},
	"captured, deferrable": {check: "deferrable_key", captured: true, severity: Error, object: "table public.items", says: "order that keeps it unique", undo: "alter table items drop constraint items_pkey, add primary key (id);",
		sql: "alter table items drop constraint items_pkey, add primary key (id) deferrable;"},

	"rules can't be read": {check: "rules_unread", severity: Error, object: "web_socket_event_system_events.rules", sql: "revoke select on web_socket_event_system_events.rules from relay_role, public;"},
	"broken rule": {check: "rule_broken", severity: Error, object: "rule own items, table public.items", says: "now", undo: "update web_socket_event_system_events.rules set predicate = 'true';",
		sql: "update web_socket_event_system_events.rules set predicate = 'now() > now()';"},
	"broken event rule": {check: "rule_broken", severity: Error, object: "rule e, event update_user_profile", undo: "delete from web_socket_event_system_events.rules where name = 'e';",
		sql: "insert into web_socket_event_system_events.rules (name, event, predicate) values ('e', 'update_user_profile', 'nothing');"},
	"rule without identity": {check: "rule_replica_identity", severity: Error, object: "rule own items", says: "owner",
		sql: "update web_socket_event_system_events.rules set predicate = 'owner = (claims ->> ''sub'')::bigint';", undo: "alter table items replica identity full;"},
	"rule of a strange column": {check: "rule_doubtful", severity: Warning, object: "rule own items", says: "doesn't have: n", sql: "update web_socket_event_system_events.rules set columns = '{id, n}';\nalter table items drop column n;",
		undo: "update web_socket_event_system_events.rules set columns = null;"},
	"rule of no table": {check: "rule_uncaptured", severity: Error, object: "rule t, table public.itmes", undo: "delete from web_socket_event_system_events.rules where name = 't';",
		sql: "insert into web_socket_event_system_events.rules (name, relation, predicate) values ('t', 'public.itmes', 'true');"},
	"rule of a view": {check: "rule_uncaptured", severity: Error, object: "rule v, table public.seen", says: "a view", undo: "delete from web_socket_event_system_events.rules where name = 'v';",
		sql: "create view seen as select 1 as n;\ninsert into web_socket_event_system_events.rules (name, relation, predicate) values ('v', 'public.seen', 'true');"},
	"unindexed rule": {check: "rule_unindexed", severity: Warning, object: "rule own items", undo: "update web_socket_event_system_events.rules set predicate = predicate || ' and owner = (claims ->> ''o'')::int';",
		sql: "alter table items replica identity full;\nupdate web_socket_event_system_events.rules set predicate = 'n < (claims ->> ''level'')::int';"},
	"no rule": {check: "captured_without_rule", severity: Info, object: "1 tables", says: "public.items", undo: "update web_socket_event_system_events.rules set enabled = true;",
		sql: "update web_socket_event_system_events.rules set enabled = false;"},
}

const foreignPartition = `create extension if not exists postgres_fdw;
create server if not exists far foreign data wrapper postgres_fdw options (port '1');
create table parts (id int) partition by list (id);
create table parts_1 partition of parts for values in (1);
alter table parts_1 replica identity full;
create foreign table parts_2 partition of parts for values in (2) server far;
`

// TestSick provokes each finding, compares it, and ends it by its own remedy or otherwise.
func TestSick(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		server := sharedServer(t, version)
		for _, name := range sorted(sicknesses) {
			s := sicknesses[name]
			if version < s.since || s.until > 0 && version > s.until {
				continue
			}
			t.Run(name, func(t *testing.T) {
				d := newDatabase(t, server)
				if s.captured {
					d.exec(triggers.Install("relay_role"))
					d.lines(captureItems)
				}
				d.run(s.sql)
				s.find(t, d, d)
			})
		}
	})
}

// find wants the one finding, and none when it was mended in the database there.
func (s sick) find(t *testing.T, d, there *database) {
	t.Helper()
	report := examine(t, d.dsn(), s.with)
	got := report.of(s.check)
	if len(got) != 1 || got[0].Severity != s.severity || !strings.Contains(got[0].Object, s.object) || !strings.Contains(got[0].Problem, s.says) {
		t.Errorf("got\n%s\nwant one: %s of %q that says %q", show(got), s.severity, s.object, s.says)
	}
	if report.OK != (report.Errors+report.Warnings == 0) || report.OK && s.severity != Info {
		t.Errorf("got OK %t with %d errors and %d warnings", report.OK, report.Errors, report.Warnings)
	}
	undo := s.undo
	if undo == "" && len(got) > 0 {
		undo = first(got[0].Remedy)
	}
	there.run(undo)
	if left := examine(t, d.dsn(), s.with).of(s.check); len(left) > 0 {
		t.Errorf("after\n%s\nthere is still\n%s", undo, show(left))
	}
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestHealthy: of a database that is as it should be, nothing is said, whichever way it is captured, before a relay and
// beside one.
func TestHealthy(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version))
		const next = `select pg_snapshot_xmax(pg_current_snapshot())::text`
		before := d.value(next)
		report := examine(t, d.dsn(), nil)
		if after := d.value(next); after != before {
			t.Errorf("something was written: the next transaction was %s and is %s", before, after)
		}
		if len(report.Findings) > 0 || !report.OK {
			t.Errorf("got\n%s", show(report.Findings))
		}
		if !slices.Equal(report.Sources, []string{"local"}) || report.Tables < 2 || report.Rules != 1 {
			t.Errorf("got sources %q, %d tables, %d rules", report.Sources, report.Tables, report.Rules)
		}
		t.Run("triggers", func(t *testing.T) {
			d := newDatabase(t, sharedServer(t, version))
			d.exec(triggers.Install("relay_role"))
			d.lines(captureItems + "select relay.doorbell('on');")
			d.exec("insert into items values (1, 1, 1)")
			for _, when := range []string{"before a relay", "beside a relay"} {
				if got := examine(t, d.dsn(), nil).Findings; len(got) > 0 {
					t.Errorf("%s: got\n%s", when, show(got))
				}
				if when == "before a relay" {
					d.relay(t)
				}
			}
		})
		t.Run("a relay runs", func(t *testing.T) {
			d.relay(t)
			if got := examine(t, d.dsn(), nil).Findings; len(got) > 0 {
				t.Errorf("got\n%s", show(got))
			}
			if n := d.value("select count(*)::text from pg_replication_slots where database = current_database() and active"); n != "1" {
				t.Errorf("got %s active slots", n)
			}
		})
	})
}

// TestAllProvoked: every check has a condition here that makes it find something, or a test of its own.
func TestAllProvoked(t *testing.T) {
	provoked := map[string]bool{}
	for _, name := range []string{
		"unread", "long_transaction", // TestLocked
		"wal_level", "max_replication_slots", "max_wal_senders", // TestRestart
		"version",            // TestPure
		"standby",            // TestStandby
		"pooler",             // TestPooler
		"encoding",           // TestEncoding
		"clock",              // TestClock
		"notification_queue", // TestQueue
	} {
		provoked[name] = true
	}
	for _, s := range sicknesses {
		provoked[s.check] = true
	}
	for _, s := range far {
		provoked[s.check] = true
	}
	for _, name := range Checks() {
		if !provoked[name] {
			t.Errorf("nothing provokes %s", name)
		}
		if Finds(name) == "" {
			t.Errorf("%s doesn't say what it finds", name)
		}
		delete(provoked, name)
	}
	for name := range provoked {
		t.Errorf("no check is called %s", name)
	}
}
