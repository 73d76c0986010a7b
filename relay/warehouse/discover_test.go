package warehouse

import (
	"fmt"
	"testing"

	"pgrelay/relay/pgserver"
)

// server adds a foreign server with a mapping for the warehouse's superuser.
func addServer(t *testing.T, warehouse *pgserver.Server, name string, remote *pgserver.Server, database string) {
	t.Helper()
	execute(t, warehouse, "warehouse", fmt.Sprintf(`
		create extension if not exists postgres_fdw;
		create server %q foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%d', dbname '%s');
		create user mapping for postgres server %q options (user '%s', password '%s');`,
		name, remote.Port(), database, name, remote.Superuser(), remote.Password()))
}

// Two servers whose system identifiers are the same (both are copies of one initdb), databases of one name on each.
func TestDiscoverTwoServers(t *testing.T) {
	house := pgserver.ForTest(t, pgserver.Config{Version: 15})
	services := pgserver.ForTest(t, pgserver.Config{Version: 18})
	create(t, house, "warehouse", "profiles")
	create(t, services, "profiles", "orders")
	execute(t, services, "profiles", `create schema p; create type p.mood as enum ('sad', 'ok');
		create table p.users (id int8 primary key, name varchar(20), mood p.mood, tags text[], balance numeric(12,2))`)
	execute(t, services, "orders", `create table orders (id int primary key, note text)`)
	execute(t, house, "profiles", `create table here (id int primary key)`)
	addServer(t, house, "a_orders", services, "orders")
	addServer(t, house, "b_profiles", services, "profiles")
	addServer(t, house, "c_profiles_again", services, "profiles")
	addServer(t, house, "d_house", house, "profiles")
	addServer(t, house, "e_unused", house, "profiles")
	execute(t, house, "warehouse", `
		create schema orders; create schema profiles; create schema p; create type p.mood as enum ('sad', 'ok');
		import foreign schema public from server a_orders into orders;
		import foreign schema p from server b_profiles into profiles;
		create foreign table profiles.people ("Name" varchar(20) options (column_name 'name'), id int8) server c_profiles_again options (schema_name 'p', table_name 'users');
		create foreign table profiles.drifted (id int4, nope text) server b_profiles options (schema_name 'p', table_name 'users');
		create foreign table profiles.gone (id int4) server b_profiles options (schema_name 'p');
		create foreign table here (id int) server d_house;
		create table mine (id int primary key);
		create view v as select 1;
		create materialized view m as select 1;
		create unlogged table u (id int);
		create extension file_fdw; create server files foreign data wrapper file_fdw;
		create foreign table f (a text) server files options (filename '/nope');`)

	w := discover(t, Config{DSN: house.DSN("warehouse"), InsertOnly: []string{"public.mistyped"}})
	wantList(t, "sources", w.names(), []string{"a_orders", "b_profiles", "d_house", "local"})
	profiles := w.source(t, "b_profiles")
	wantList(t, "servers", profiles.Servers, []string{"b_profiles", "c_profiles_again"})
	for name, reason := range map[string]string{"public.v": "view", "public.m": "materialized", "public.u": "unlogged", "public.f": "file_fdw"} {
		wantText(t, name, find(t, w.Skipped, name).Reason, reason)
	}

	find(t, w.Skipped, "public.mistyped")

	in := inspect(t, profiles)
	wantEqual(t, "database", in.Database, "profiles")
	wantEqual(t, "timeline", in.Timeline, 1)
	wantEqual(t, "encoding", in.Encoding, "UTF8")
	wantEqual(t, "version", in.ServerVersion/10000, 18)
	users := in.relation(t, "profiles.users")
	wantList(t, "columns", columnNames(users), []string{"id", "name", "mood", "tags", "balance"})
	wantList(t, "key", users.KeyNames(), []string{"id"})
	wantEqual(t, "type", users.Columns[2].Type.Name, "p.mood")
	wantList(t, "labels", users.Columns[2].Type.Labels, []string{"sad", "ok"})
	wantEqual(t, "element", users.Columns[3].Type.Element.Name, "text")
	wantEqual(t, "modifier", users.Columns[4].TypeName, "numeric(12,2)")
	people := in.relation(t, "profiles.people")
	wantList(t, "columns", columnNames(people), []string{"Name", "id"})
	wantEqual(t, "source column", people.Columns[0].Source, "name")
	wantEqual(t, "same table", people.OID, users.OID)
	wantEqual(t, "server", people.Server, "b_profiles")
	drifted := find(t, in.Refused, "profiles.drifted")
	wantText(t, "reason", drifted.Reason, "integer in the warehouse", "bigint at source b_profiles")
	wantText(t, "remedy", drifted.Remedy, "alter foreign table profiles.drifted alter column id type bigint;")
	wantText(t, "reason", find(t, in.Refused, "profiles.gone").Reason, "source b_profiles has no table p.gone")

	if in := inspect(t, w.source(t, "local")); len(in.Relations) != 1 || in.Relations[0].Name != "public.mine" {
		t.Errorf("got %v, want public.mine", in.Relations)
	}
}
