package warehouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

func TestKeys(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `
			create table pk (b int, a int, c text, primary key (a, b));
			create table deferred (id int primary key deferrable);
			create table keyless (x int);
			create table "Weird ""Name""" ("a.b" int);
			create table nothing (id int primary key); alter table nothing replica identity nothing;
			create table by_index (id int primary key, "U" text not null, inc int, unique ("U") include (inc));
			alter table by_index replica identity using index "by_index_U_inc_key";
			create table could_index (n int not null unique);
			create table full_pk (id int primary key, n int); alter table full_pk replica identity full;
			create table full_deferred (id int primary key deferrable, n int); alter table full_deferred replica identity full;
			create table bag (x int, y int); alter table bag replica identity full;
			create table logbook (x int);
			create table parent (id int primary key); create table child (extra int, primary key (id)) inherits (parent);
			create table partial (n int not null); create unique index partial_u on partial (n) where n > 0`)
		in := local(t, Config{DSN: s.DSN("w"), InsertOnly: []string{"public.logbook", "public.full_pk"}})
		for name, key := range map[string][]string{
			"public.pk": {"a", "b"}, "public.by_index": {"U"}, "public.bag": {}, "public.full_deferred": {},
			"public.logbook": {}, "public.full_pk": {}, "public.parent": {"id"}, "public.child": {"id"},
		} {
			r := in.relation(t, name)
			wantList(t, name, r.KeyNames(), key)
			wantEqual(t, name+" is a bag", r.Bag, name == "public.bag" || name == "public.full_deferred")
			wantEqual(t, name+" is insert-only", r.InsertOnly, name == "public.logbook" || name == "public.full_pk")
			wantEqual(t, name+" leaves", len(r.Leaves), 1)
		}
		wantList(t, "columns of child", columnNames(in.relation(t, "public.child")), []string{"id", "extra"})
		wantText(t, "note", find(t, in.Notes, "public.parent").Reason, "inherit")
		for name, c := range map[string]struct{ reason, remedy string }{
			"public.deferred": {"its primary key is deferrable", "alter table public.deferred replica identity full;\nor\ninsert_only: [\"public.deferred\"]"},
			"public.keyless":  {"no replica identity", "alter table public.keyless replica identity full;\nor\ninsert_only: [\"public.keyless\"]"},
			`public.Weird "Name"`: {"no replica identity",
				`alter table public."Weird ""Name""" replica identity full;` + "\nor\n" + `insert_only: ["public.Weird \"Name\""]`},
			"public.nothing":     {"set to NOTHING", "alter table public.nothing replica identity default;\nor\n"},
			"public.could_index": {"no replica identity", "alter table public.could_index replica identity using index could_index_n_key;\nor\n"},
			"public.partial":     {"no replica identity", "alter table public.partial replica identity full;\nor\n"},
		} {
			refused := find(t, in.Refused, name)
			wantText(t, name, refused.Reason, c.reason)
			if !strings.HasPrefix(refused.Remedy, c.remedy) {
				t.Errorf("%s: got remedy %q, want %q", name, refused.Remedy, c.remedy)
			}
		}
		// The remedies mend what they are for.
		var sql []string
		for _, refused := range in.Refused {
			sql = append(sql, strings.Split(refused.Remedy, "\nor\n")[0])
		}
		execute(t, s, "w", strings.Join(sql, "\n"))
		if in = local(t, Config{DSN: s.DSN("w"), InsertOnly: []string{"public.logbook"}}); len(in.Refused) > 0 {
			t.Errorf("still refused: %v", in.Refused)
		}
		wantList(t, "key of FULL", in.relation(t, "public.full_pk").KeyNames(), []string{"id"})
		// The server agrees on every identity.
		agree(t, s, in)
	})
}

// agree compares each leaf's key with what the server itself takes as the replica identity.
func agree(t *testing.T, s *pgserver.Server, in *Inspection) {
	t.Helper()
	conn, err := s.Connect(t.Context(), in.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, r := range in.Relations {
		for _, l := range r.Leaves {
			var want []string
			err := conn.QueryRow(t.Context(), `select array(select a.attname::text from pg_index i, unnest(i.indkey::int2[]) with ordinality k(n, o), pg_attribute a
				where i.indexrelid = pg_get_replica_identity_index($1::oid::regclass) and a.attrelid = i.indrelid and a.attnum = k.n and k.o <= i.indnkeyatts order by o)`, l.OID).Scan(&want)
			if err != nil {
				t.Fatal(err)
			}
			if !l.Full && !slices.Equal(l.Key, want) {
				t.Errorf("%s: got identity %q, the server says %q", l.Table, l.Key, want)
			}
		}
	}
}

func TestPartitions(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w", "other")
		execute(t, s, "other", `create table far (id int primary key, n int)`)
		addServerTo(t, s, "w", "remote", "other")
		execute(t, s, "w", `
			create table good (id int, n int not null, primary key (id)) partition by range (id);
			create table good1 partition of good for values from (0) to (10);
			create table good2 (n int not null, id int not null) partition by range (id); alter table good attach partition good2 for values from (10) to (30);
			create table good2a partition of good2 for values from (10) to (20);
			create table good2b partition of good2 for values from (20) to (30); alter table good2b replica identity full;
			create table mixed (id int primary key) partition by range (id);
			create table mixed1 partition of mixed for values from (0) to (10); alter table mixed1 replica identity nothing;
			create table mixed2 partition of mixed for values from (10) to (20);
			create table by_unique (id int not null, unique (id)) partition by range (id);
			create table by_unique1 partition of by_unique for values from (0) to (10); alter table by_unique1 replica identity using index by_unique1_id_key;
			create table bag (x int) partition by list (x);
			create table bag1 partition of bag for values in (1); alter table bag1 replica identity full;
			create table halfbag (x int) partition by list (x);
			create table halfbag1 partition of halfbag for values in (1); alter table halfbag1 replica identity full;
			create table halfbag2 partition of halfbag for values in (2);
			create table leafpk (x int not null) partition by list (x);
			create table leafpk1 partition of leafpk (primary key (x)) for values in (1);
			create table empty (id int primary key) partition by range (id);
			create table emptykeyless (id int) partition by range (id);
			create table house (id int, n int) partition by range (id);
			create table house1 (id int primary key, n int); alter table house attach partition house1 for values from (0) to (10);
			create foreign table house2 partition of house for values from (10) to (20) server remote options (table_name 'far');
			create table dusty (id int) partition by range (id);
			create unlogged table dusty1 partition of dusty for values from (0) to (10)`)
		w := discover(t, Config{DSN: s.DSN("w")})
		in := inspect(t, w.source(t, "local"))
		good := in.relation(t, "public.good")
		wantList(t, "key", good.KeyNames(), []string{"id"})
		wantEqual(t, "partitioned", good.Partitioned, true)
		var leaves []string
		for _, l := range good.Leaves {
			leaves = append(leaves, fmt.Sprint(l.Table, " ", l.Full, " ", strings.Join(l.Key, ",")))
		}
		slices.Sort(leaves)
		wantList(t, "leaves", leaves, []string{"good1 false id", "good2a false id", "good2b true n,id"})
		wantList(t, "key", in.relation(t, "public.by_unique").KeyNames(), []string{"id"})
		wantEqual(t, "bag", in.relation(t, "public.bag").Bag, true)
		wantList(t, "key", in.relation(t, "public.empty").KeyNames(), []string{"id"})
		for name, remedy := range map[string]string{
			"public.mixed":        "alter table public.mixed1 replica identity default;",
			"public.halfbag":      "alter table public.halfbag2 replica identity full;\nor\ninsert_only: [\"public.halfbag\"]",
			"public.leafpk":       "alter table public.leafpk1 replica identity full;\nor",
			"public.emptykeyless": "alter table public.emptykeyless replica identity full;\nor",
		} {
			if got := find(t, in.Refused, name).Remedy; !strings.HasPrefix(got, remedy) {
				t.Errorf("%s: got %q, want %q", name, got, remedy)
			}
		}
		wantText(t, "house", find(t, w.Skipped, "public.house").Reason, "public.house2")
		wantList(t, "key of a leaf of its own", in.relation(t, "public.house1").KeyNames(), []string{"id"})
		wantEqual(t, "foreign leaf", inspect(t, w.source(t, "remote")).relation(t, "public.house2").Table, "far")
		for _, skip := range w.Skipped {
			if skip.Name == "public.good1" || skip.Name == "public.good2" {
				t.Errorf("%s is among the skipped", skip.Name)
			}
		}
		if s.Version() < 18 { // 18 makes such a partition's root unlogged-proof by itself
			wantText(t, "dusty", find(t, w.Skipped, "public.dusty").Reason, "public.dusty1")
		}
		agree(t, s, in)
	})
}

func addServerTo(t *testing.T, s *pgserver.Server, database, name, remote string) {
	t.Helper()
	execute(t, s, database, fmt.Sprintf(`create extension if not exists postgres_fdw;
		create server %s foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%d', dbname '%s');
		create user mapping for postgres server %s options (user '%s', password '%s')`, name, s.Port(), remote, name, s.Superuser(), s.Password()))
}

// What a foreign table may lead to at the source, and how names and types may differ.
func TestForeignTables(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		long := strings.Repeat("é", 27) // with what stands before it, 62 bytes
		create(t, s, "w", "service")
		execute(t, s, "service", fmt.Sprintf(`
			create type color as enum ('red', 'green'); create domain email as varchar(50); create type pair as (a int8, b color[]);
			create table t ("Id" int primary key, v varchar(20), c color, e email, p pair, n numeric(12,2), gen int generated always as ("Id" * 2) stored);
			create table "Wei.rd ""%s" (id int primary key, "a b" int);
			create view v as select 1 as id; create materialized view m as select 1 as id; create unlogged table u (id int); create sequence seq;
			create extension postgres_fdw; create server loop foreign data wrapper postgres_fdw;
			create foreign table ft (id int) server loop;
			create table root (id int) partition by range (id);
			create foreign table root1 partition of root for values from (0) to (10) server loop;
			create table leafroot (id int primary key) partition by range (id); create table leaf partition of leafroot for values from (0) to (9)`, long))
		addServerTo(t, s, "w", "svc", "service")
		execute(t, s, "w", fmt.Sprintf(`create schema other; create type other.color as enum ('red');
			create foreign table all_fine (num numeric options (column_name 'n'), "the id" int options (column_name 'Id'), e text, v character varying, c other.color) server svc options (table_name 't');
			create foreign table enum_as_text ("Id" int, c text) server svc options (table_name 't');
			create foreign table nokey (v varchar(20)) server svc options (table_name 't');
			create foreign table narrow ("Id" int, v varchar(10)) server svc options (table_name 't');
			create foreign table nocolumn ("Id" int, nope int) server svc options (table_name 't');
			create foreign table "sch.ema ""x" (id int, "a b" int) server svc options (table_name 'Wei.rd "%s');
			create foreign table v (id int) server svc; create foreign table m (id int) server svc; create foreign table u (id int) server svc;
			create foreign table ft (id int) server svc; create foreign table root (id int) server svc; create foreign table leaf (id int) server svc;
			create foreign table stats (pid int) server svc options (schema_name 'pg_catalog', table_name 'pg_stat_activity')`, long))
		w := discover(t, Config{DSN: s.DSN("w")})
		in := inspect(t, w.source(t, "svc"))
		fine := in.relation(t, "public.all_fine")
		wantList(t, "columns", columnNames(fine), []string{"num", "the id", "e", "v", "c"})
		wantList(t, "key", fine.KeyNames(), []string{"the id"})
		wantEqual(t, "domain", fine.Columns[2].Type.Kind, relay.KindDomain)
		wantEqual(t, "base", fine.Columns[2].Type.Base.Name, "character varying")
		wantList(t, "labels", fine.Columns[4].Type.Labels, []string{"red", "green"})
		wantEqual(t, "type name", fine.Columns[0].TypeName, "numeric(12,2)")
		in.relation(t, "public.enum_as_text")
		wantEqual(t, "odd name", in.relation(t, `public.sch.ema "x`).Table, `Wei.rd "`+long)
		wantEqual(t, "leaf of its own", in.relation(t, "public.leaf").Partitioned, false)
		for name, c := range map[string]struct{ reason, remedy string }{
			"public.nokey":    {"leaves out columns of the key (Id)", `alter foreign table public.nokey add column "Id" integer;`},
			"public.narrow":   {"column v is character varying(10) in the warehouse and character varying(20) at source svc", "alter foreign table public.narrow alter column v type character varying(20);"},
			"public.nocolumn": {"no column nope", "alter foreign table public.nocolumn drop column nope;"},
			"public.v":        {"public.v is a view", "lead to the table"},
			"public.m":        {"a materialized view", ""},
			"public.u":        {"unlogged", "alter table public.u set logged;"},
			"public.ft":       {"a foreign table there as well", ""},
			"public.root":     {"its partition public.root1 is a foreign table", ""},
			"public.stats":    {"belongs to the server", ""},
		} {
			refused := find(t, in.Refused, name)
			wantText(t, name, refused.Reason, c.reason)
			wantText(t, name, refused.Remedy, c.remedy)
		}
		for _, name := range []string{"nokey", "narrow", "nocolumn"} {
			execute(t, s, "w", find(t, in.Refused, "public."+name).Remedy)
		}
		in = inspect(t, discover(t, Config{DSN: s.DSN("w")}).source(t, "svc"))
		for _, name := range []string{"nokey", "narrow", "nocolumn"} {
			in.relation(t, "public."+name)
		}
	})
}

func TestPrivilegesAndRowSecurity(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create role "Reader" login password 'p'; create role owner login password 'p';
			create schema closed; create table closed.t (id int primary key); create table open (id int primary key);
			create table secured (id int primary key); alter table secured enable row level security;
			create table owned (id int primary key); alter table owned owner to owner; alter table owned enable row level security;
			create table forced (id int primary key); alter table forced owner to owner; alter table forced enable row level security; alter table forced force row level security;
			grant select on secured, owned, forced to "Reader", owner`)
		as := func(user string) *Inspection {
			source := discover(t, Config{DSN: s.DSN("w")}).source(t, "local")
			source.Conn.User, source.Conn.Password = user, "p"
			return inspect(t, source)
		}
		in := as("Reader")
		wantEqual(t, "grants", find(t, in.Refused, "closed.t").Remedy, "grant usage on schema closed to \"Reader\";\ngrant select on table closed.t to \"Reader\";")
		wantEqual(t, "grants", find(t, in.Refused, "public.open").Remedy, "grant select on table public.open to \"Reader\";")
		for _, name := range []string{"public.secured", "public.owned", "public.forced"} {
			wantText(t, name, find(t, in.Refused, name).Remedy, `alter role "Reader" bypassrls;`)
		}
		execute(t, s, "w", find(t, in.Refused, "closed.t").Remedy+find(t, in.Refused, "public.open").Remedy+`alter role "Reader" bypassrls`)
		if in = as("Reader"); len(in.Refused) > 0 {
			t.Errorf("still refused: %v", in.Refused)
		}
		in = as("owner")
		in.relation(t, "public.owned")
		wantText(t, "forced", find(t, in.Refused, "public.forced").Reason, "row security")
	})
}

func TestGenerated(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `
			create table stored (id int primary key, g int generated always as (id) stored);
			create table full_stored (id int primary key, g int generated always as (id) stored); alter table full_stored replica identity full;
			create table gkey (id int, g int generated always as (id) stored primary key);
			create table keyless (id int, g int generated always as (id) stored)`)
		if s.Version() >= 18 {
			execute(t, s, "w", `create table virtual (id int primary key, g int generated always as (id) virtual);
				create table full_virtual (id int primary key, g int generated always as (id) virtual); alter table full_virtual replica identity full;
				create table keyless_virtual (id int, g int generated always as (id) virtual)`)
		}
		in := local(t, Config{DSN: s.DSN("w")})
		if s.Version() < 18 {
			for _, name := range []string{"public.stored", "public.full_stored"} {
				wantList(t, name, columnNames(in.relation(t, name)), []string{"id"})
				wantText(t, name, find(t, in.Notes, name).Reason, "column g is generated (stored)")
			}
			wantText(t, "gkey", find(t, in.Refused, "public.gkey").Reason, "its primary key is a generated column")
			wantEqual(t, "stored may be FULL", in.relation(t, "public.stored").Leaves[0].NoFull, false)
			return
		}
		for _, name := range []string{"public.stored", "public.full_stored", "public.gkey"} {
			wantList(t, name, columnNames(in.relation(t, name)), []string{"id", "g"})
		}
		wantList(t, "virtual", columnNames(in.relation(t, "public.virtual")), []string{"id"})
		wantEqual(t, "stored may be FULL", in.relation(t, "public.stored").Leaves[0].NoFull, false)
		wantEqual(t, "virtual may not be FULL", in.relation(t, "public.virtual").Leaves[0].NoFull, true)
		full := find(t, in.Refused, "public.full_virtual")
		wantText(t, "full_virtual", full.Reason, "UPDATE and DELETE would fail")
		wantEqual(t, "full_virtual", full.Remedy, "alter table public.full_virtual replica identity default;")
		if keyless := find(t, in.Refused, "public.keyless_virtual").Remedy; !strings.HasPrefix(keyless, "insert_only:") {
			t.Errorf("FULL is proposed beside a virtual column: %s", keyless)
		}
		// A publication that doesn't carry generated columns changes all that.
		execute(t, s, "w", `create publication pgrelay`)
		in = local(t, Config{DSN: s.DSN("w")})
		wantList(t, "stored", columnNames(in.relation(t, "public.stored")), []string{"id"})
		wantEqual(t, "stored may not be FULL", in.relation(t, "public.stored").Leaves[0].NoFull, true)
		wantEqual(t, "remedy", find(t, in.Notes, "public.stored").Remedy, "alter publication pgrelay set (publish_generated_columns = stored);")
		find(t, in.Refused, "public.full_stored")
		find(t, in.Refused, "public.gkey")
	})
}

func TestCollations(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create schema "Sch"; create collation "Sch"."C" from "C";
			create collation loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
			create domain code as text collate "C";
			create table t (id int primary key, d text, c text collate "C", p varchar(3) collate "POSIX", o text collate "Sch"."C",
				n text collate loose, code code, codes code[], m name)`)
		r := local(t, Config{DSN: s.DSN("w")}).relation(t, "public.t")
		for name, want := range map[string]string{
			"id": "", "d": "", "c": "C", "p": "POSIX", "o": `"Sch".C`, "n": "public.loose", "code": "C", "codes": "C", "m": "C",
		} {
			c := r.Columns[r.Column(name)]
			wantEqual(t, name, c.Collation, want)
			wantEqual(t, name+" is nondeterministic", c.Nondeterministic, name == "n")
		}
	})
}

func TestEncoding(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	execute(t, s, "postgres", `create database japan encoding 'EUC_JP' lc_collate 'C' lc_ctype 'C' template template0`)
	execute(t, s, "japan", `create table t (id int primary key)`)
	wantEqual(t, "encoding", local(t, Config{DSN: s.DSN("japan")}).relation(t, "public.t").Encoding, "EUC_JP")
}

// A table that is dropped between discovery and inspection.
func TestDropped(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	create(t, s, "w", "service")
	execute(t, s, "service", `create table t (id int primary key)`)
	addServerTo(t, s, "w", "svc", "service")
	execute(t, s, "w", `create foreign table far (id int) server svc options (table_name 't'); create table near (id int primary key)`)
	w := discover(t, Config{DSN: s.DSN("w")})
	execute(t, s, "service", `drop table t`)
	execute(t, s, "w", `drop table near`)
	far, near := find(t, inspect(t, w.source(t, "svc")).Refused, "public.far"), find(t, inspect(t, w.source(t, "local")).Refused, "public.near")
	wantText(t, "far", far.Remedy, "drop foreign table public.far;")
	wantText(t, "near", near.Reason, "dropped")
	wantEqual(t, "near", near.Remedy, "")
}

func TestTypes(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create extension hstore; create extension citext; create schema "Sch";
			create type "Sch".inner as (x numeric, y text[]); create type outer_ as (i "Sch".inner, l "Sch".inner[]);
			create domain positive as int8 check (value > 0); create domain list as positive[]; create type span as range (subtype = timestamptz);
			create table t (id int primary key, h hstore, c citext[], o outer_, l list, s span, m int4multirange, b box[], v int2vector, n name)`)
		r := local(t, Config{DSN: s.DSN("w")}).relation(t, "public.t")
		get := func(name string) *relay.Type { return r.Columns[r.Column(name)].Type }
		wantEqual(t, "extension", get("h").Extension, true)
		wantEqual(t, "extension's array", get("c").Element.Extension, true)
		wantEqual(t, "composite", get("o").Fields[0].Type.Name, `"Sch"."inner"`)
		wantEqual(t, "nested", get("o").Fields[1].Type.Element.Fields[1].Type.Element.Name, "text")
		wantEqual(t, "domain over array", get("l").Base.Element.Base.Name, "bigint")
		wantEqual(t, "range", get("s").Base.Name, "timestamp with time zone")
		wantEqual(t, "multirange", get("m").Base.Name, "integer")
		wantEqual(t, "delimiter", get("b").Delimiter, ';')
		wantEqual(t, "vector", get("v").Element.Name, "smallint")
		wantEqual(t, "name", get("n").Element == nil, true)
	})
}

func TestFill(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create domain dom as int default 7; create table t (id int primary key); insert into t values (1);
			alter table t add vol float default random();
			alter table t add d dom;
			alter table t add const text default 'a "quoted", {value}' not null, add arr int[] default '{1,NULL}', add nul int,
			  add late timestamptz default '2020-01-01 00:00+02', add bx box[] default '{(1,1),(0,0)}';
			alter table t add dropped int default 3; alter table t alter dropped drop default;
			create table p (id int primary key) partition by range (id);
			create table p1 partition of p for values from (0) to (10); create table p2 partition of p for values from (10) to (20);
			insert into p values (1), (11); alter table p add same int default 5; alter table p add n int`)
		in := local(t, Config{DSN: s.DSN("w")})
		text := func(r *relay.Relation, name string) string {
			c := r.Columns[r.Column(name)]
			switch {
			case !c.Filled:
				return "unknown"
			case c.Fill == nil:
				return "null"
			}
			return *c.Fill
		}
		r := in.relation(t, "public.t")
		for name, want := range map[string]string{"id": "unknown", "const": `a "quoted", {value}`, "arr": "{1,NULL}", "nul": "null", "vol": "unknown",
			"late": "2019-12-31 22:00:00+00", "bx": "unknown", "dropped": "3"} {
			wantEqual(t, name, text(r, name), want)
		}
		if got := text(r, "d"); got != "7" && got != "unknown" {
			t.Errorf("domain with a default: got %s", got)
		}
		p := in.relation(t, "public.p")
		wantEqual(t, "same", text(p, "same"), "5")
		wantEqual(t, "n", text(p, "n"), "null")
		execute(t, s, "w", `create table p3 partition of p for values from (20) to (30)`)
		wantEqual(t, "a leaf made later has no missing value", text(local(t, Config{DSN: s.DSN("w")}).relation(t, "public.p"), "same"), "unknown")
	})
}
