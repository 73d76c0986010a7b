package warehouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

const secret = "s3cr3t-pässword'\\ x"

func wantNoSecret(t *testing.T, what string, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %s", err, err, remedy(t, err).Remedy)
	if strings.Contains(text, "s3cr3t") {
		t.Errorf("%s tells the password: %s", what, text)
	}
}

func TestMalformedDSN(t *testing.T) {
	for _, dsn := range []string{"postgres://u:s3cr3t@/%zz", "host=x password='s3cr3t", "password=s3cr3t\\'x y=", "postgres://u:s3cr3t x@h:nope/db"} {
		_, err := Discover(t.Context(), Config{DSN: dsn})
		if err == nil {
			t.Fatalf("%s: no error", dsn)
		}
		wantNoSecret(t, dsn, err)
	}
}

func TestUnreachable(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "warehouse", "service")
		execute(t, s, "service", `create table t (id int primary key)`)
		execute(t, s, "warehouse", fmt.Sprintf(`create extension postgres_fdw;
			create role relay login password 'relay'; create role other login;
			create server good foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[1]d', dbname 'service');
			create server wrong_password foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[1]d', dbname 'service');
			create server no_such_host foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'service');
			create server no_such_database foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[1]d', dbname 'nope');
			create server hidden foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[1]d', dbname 'service');
			create server unmapped foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[1]d', dbname 'service');
			grant usage on foreign server good, wrong_password, no_such_host, no_such_database to relay;
			create user mapping for relay server good options (user 'postgres', password %[2]s);
			create user mapping for relay server wrong_password options (user 'postgres', password %[3]s);
			create user mapping for relay server no_such_host options (user 'postgres', password %[3]s);
			create user mapping for relay server no_such_database options (user 'postgres', password %[2]s);
			create user mapping for public server hidden options (user 'postgres', password %[2]s);
			create user mapping for other server unmapped options (user 'postgres', password %[2]s);
			create foreign table a (id int) server good options (table_name 't');
			create foreign table b (id int) server wrong_password options (table_name 't');
			create foreign table c (id int) server no_such_host options (table_name 't');
			create foreign table d (id int) server no_such_database options (table_name 't');
			create foreign table e (id int) server hidden options (table_name 't');
			create foreign table f (id int) server unmapped options (table_name 't')`,
			s.Port(), relay.Literal(s.Password()), relay.Literal(secret)))
		cfg := Config{DSN: fmt.Sprintf("postgres://relay:relay@127.0.0.1:%d/warehouse", s.Port())}
		w := discover(t, cfg)
		wantList(t, "sources", w.names(), []string{"good", "hidden", "no_such_database", "no_such_host", "unmapped", "wrong_password"})
		for name, parts := range map[string][]string{
			"wrong_password":   {`can't connect to foreign server "wrong_password"`, "password authentication failed"},
			"no_such_host":     {"127.0.0.1:1/service", "refused"},
			"no_such_database": {`"nope"`},
			"hidden":           {`can't be read by role "relay"`},
			"unmapped":         {"no user mapping"},
		} {
			err := w.source(t, name).Err
			wantNoSecret(t, name, err)
			wantText(t, name, err.Error(), parts...)
			if remedy(t, err).Remedy == "" {
				t.Errorf("%s: no remedy", name)
			}
		}
		wantText(t, "remedy", remedy(t, w.source(t, "hidden").Err).Remedy, "grant usage on foreign server hidden to relay;", `credentials: {"hidden": {user: …, password: …}}`)
		inspect(t, w.source(t, "good")).relation(t, "public.a")

		// Credentials and hosts mend the rest, and all that lead to one database become one source.
		own := Credential{User: s.Superuser(), Password: s.Password()}
		cfg.Credentials = map[string]Credential{"hidden": own, "unmapped": own, "wrong_password": {Password: s.Password()}, "no_such_host": own}
		cfg.Hosts = map[string]string{"127.0.0.1:1": fmt.Sprintf("127.0.0.1:%d", s.Port())}
		w = discover(t, cfg)
		good := w.source(t, "good")
		wantList(t, "servers", good.Servers, []string{"good", "hidden", "no_such_host", "unmapped", "wrong_password"})
		wantEqual(t, "relations", len(inspect(t, good).Relations), 5)
		if !good.Same(discover(t, cfg).source(t, "good")) || good.Same(w.source(t, "no_such_database")) {
			t.Error("Same doesn't tell sources apart")
		}

		_, err := Discover(t.Context(), Config{DSN: fmt.Sprintf("postgres://relay:s3cr3t@127.0.0.1:%d/warehouse", s.Port())})
		wantNoSecret(t, "the DSN's password", err)
		wantText(t, "the DSN's password", err.Error(), "the warehouse", "password authentication failed")
	})
}

func TestResolve(t *testing.T) {
	far, err := pgx.ParseConfig("postgres://u@db.example.com:6000/w")
	if err != nil {
		t.Fatal(err)
	}
	near, err := pgx.ParseConfig("postgres://u@localhost:6000/w")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Hosts: map[string]string{"svc": "10.0.0.1", "svc:7000": "10.0.0.2:7001", "v6": "[::1]:9"}}
	for _, c := range []struct {
		host, port string
		own        *pgx.ConnConfig
		want       string
	}{
		{"", "", far, "db.example.com 6000"},
		{"", "5433", far, "db.example.com 5433"},
		{"", "", near, "localhost 6000"},
		{"localhost", "", far, "db.example.com 5432"},
		{"localhost", "", near, "localhost 5432"},
		{"127.0.0.1", "5433", near, "127.0.0.1 5433"},
		{"/run/postgresql", "5433", far, "db.example.com 5433"},
		{"/run/postgresql", "5433", near, "/run/postgresql 5433"},
		{"other", "", far, "other 5432"},
		{"svc", "5432", far, "10.0.0.1 5432"},
		{"svc", "7000", far, "10.0.0.2 7001"},
		{"v6", "1", far, "::1 9"},
	} {
		e := cfg.resolve(c.host, c.port, c.own)
		wantEqual(t, fmt.Sprintf("%q:%q seen from %s", c.host, c.port, c.own.Host), e.host+" "+e.port, c.want)
	}
}

// A server over the warehouse's own database is one source with its local tables.
func TestLoopback(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	create(t, s, "warehouse")
	execute(t, s, "warehouse", `create table t (id int primary key)`)
	addServer(t, s, "zz_self", s, "warehouse")
	execute(t, s, "warehouse", `create schema web_socket_event_system_events; create foreign table ft (id int) server zz_self options (table_name 't');
		create table web_socket_event_system_events.rules (id int primary key)`)
	w := discover(t, Config{DSN: s.DSN("warehouse")})
	wantList(t, "sources", w.names(), []string{"zz_self"})
	in := inspect(t, w.Sources[0])
	wantEqual(t, "one table under two names", in.relation(t, "public.ft").OID, in.relation(t, "public.t").OID)
	wantEqual(t, "rules", w.Rules, Rules{"zz_self", RulesTable})
}
